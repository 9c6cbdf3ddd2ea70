//! Tests that the table in docs/images.md covers the current cases and recipes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::between;
use super::images::{GUARDS, group, heading};
use virt_aa_engine::image::Store;
use virt_aa_engine::placement::{Placement, of_case, of_recipe, place};
use virt_aa_model::data;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of the table, its heading first.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with("|---"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// How many cases a cell counts: `12 pass, 1 known`.
fn counted(cell: &str) -> Option<usize> {
    if cell == super::NONE {
        return Some(0);
    }
    cell.split(", ")
        .map(|part| {
            let (number, word) = part.split_once(' ')?;
            let known = ["pass", "known", "skip", "vacuous"].contains(&word);
            number.parse::<usize>().ok().filter(|_| known)
        })
        .sum()
}

#[test]
fn the_table_of_releases_is_of_what_there_is_now() {
    const AGAIN: &str = "make it anew: virt-aa-conform table --into docs/images.md REPORT.json…";
    let root = root();
    let page = std::fs::read_to_string(root.join("docs/images.md")).unwrap();
    let rows = rows(between(&page).expect(AGAIN));
    let data = data::read(&root, None).unwrap_or_else(|_| panic!("the data files are wrong; see `check`"));
    let groups: BTreeSet<&str> = data.cases.iter().map(|loaded| group(&loaded.group)).collect();
    assert_eq!(rows[0], heading(groups.iter().copied()), "{AGAIN}");

    let store = Store::open(&root.join("vm-images"), Some(root.join("target"))).unwrap();
    let recipes: Vec<_> = store
        .names()
        .unwrap()
        .into_iter()
        .map(|name| (store.recipe(&name).unwrap(), format!("`{name}`")))
        .filter(|(recipe, _)| !recipe.untested)
        .collect();
    let told: Vec<&str> = rows[1..].iter().map(|row| row[0]).collect();
    let names: Vec<&str> = recipes.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(told, names, "{AGAIN}");

    for ((recipe, name), row) in recipes.iter().zip(&rows[1..]) {
        assert_eq!(row.len(), rows[0].len(), "{name}: {AGAIN}");
        let had = of_recipe(recipe);
        for (column, cell) in rows[0].iter().zip(row) {
            if !groups.contains(column) {
                continue;
            }
            // Each case has at least one run, so a newly added case shows as missing here.
            let here = |loaded: &&virt_aa_model::case::loaded::Loaded| {
                group(&loaded.group) == *column && place(&of_case(&data, loaded), &had) == Placement::Here
            };
            let cases = data.cases.iter().filter(here).count();
            let told = counted(cell);
            assert!(
                told.is_some_and(|told| told >= cases),
                "{name}, {column}: `{cell}` of {cases} cases, or one of them red; {AGAIN}"
            );
        }
        let guards = row[rows[0].iter().position(|column| *column == GUARDS).unwrap()];
        assert!(
            guards.contains(" killed"),
            "{name}: no guards are proven: `{guards}`; {AGAIN}"
        );
    }
}

#[test]
fn a_cell_that_tells_of_something_red_is_none() {
    assert_eq!(counted("12 pass, 1 known"), Some(13));
    assert_eq!(counted(super::NONE), Some(0));
    for bad in ["1 fail", "many pass", "1 pass, 2 inconclusive", ""] {
        assert_eq!(counted(bad), None, "{bad}");
    }
}
