//! Tests that the tables in docs/images.md and docs/guests.md cover the current cases and recipes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::between;
use super::images::{GUARDS, group, heading};
use virt_aa_engine::image::{Recipe, Store};
use virt_aa_engine::placement::{Placement, of_case, of_recipe, place};
use virt_aa_model::case::loaded::Loaded;
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
    let names: Vec<String> = tested().into_iter().map(|(_, name)| name).collect();
    let told = check("docs/images.md", false, AGAIN);
    assert_eq!(told, names, "{AGAIN}");
}

#[test]
fn the_table_of_real_guests_is_of_what_there_is_now() {
    const AGAIN: &str = "make it anew: virt-aa-conform table --into docs/guests.md REPORT.json…";
    // The page says that it may lack images.
    assert!(!check("docs/guests.md", true, AGAIN).is_empty(), "{AGAIN}");
}

/// The recipes of tested images, with the name in a table.
fn tested() -> Vec<(Recipe, String)> {
    let store = Store::open(&root().join("vm-images"), Some(root().join("target"))).unwrap();
    let names = store.names().unwrap().into_iter();
    names
        .map(|name| (store.recipe(&name).unwrap(), format!("`{name}`")))
        .filter(|(recipe, _)| !recipe.untested)
        .collect()
}

/// Checks that the table of a page has each quick or slow case, for each image that it has a row for. Returns their names.
fn check(page: &str, slow: bool, again: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join(page)).unwrap();
    let rows = rows(between(&page).expect(again));
    let data = data::read(&root(), None).unwrap_or_else(|_| panic!("the data files are wrong; see `check`"));
    let cases: Vec<&Loaded> = data
        .cases
        .iter()
        .filter(|loaded| loaded.case.slow == slow)
        .collect();
    let groups: BTreeSet<&str> = cases.iter().map(|loaded| group(&loaded.group)).collect();
    assert_eq!(rows[0], heading(groups.iter().copied()), "{again}");
    for row in &rows[1..] {
        let recipe = tested().into_iter().find(|(_, name)| name == row[0]);
        let (recipe, name) = recipe.unwrap_or_else(|| panic!("there is no image {}; {again}", row[0]));
        assert_eq!(row.len(), rows[0].len(), "{name}: {again}");
        let had = of_recipe(&recipe);
        for (column, cell) in rows[0].iter().zip(row) {
            if !groups.contains(column) {
                continue;
            }
            // Each case has at least one run, so a newly added case shows as missing here.
            let here = |loaded: &&&Loaded| {
                group(&loaded.group) == *column && place(&of_case(&data, loaded), &had) == Placement::Here
            };
            let cases = cases.iter().filter(here).count();
            let told = counted(cell);
            assert!(
                told.is_some_and(|told| told >= cases),
                "{name}, {column}: `{cell}` of {cases} cases, or one of them red; {again}"
            );
        }
        let guards = row[rows[0].iter().position(|column| *column == GUARDS).unwrap()];
        assert!(
            guards.contains(" killed"),
            "{name}: no guards are proven: `{guards}`; {again}"
        );
    }
    rows[1..].iter().map(|row| row[0].to_owned()).collect()
}

#[test]
fn a_cell_that_tells_of_something_red_is_none() {
    assert_eq!(counted("12 pass, 1 known"), Some(13));
    assert_eq!(counted(super::NONE), Some(0));
    for bad in ["1 fail", "many pass", "1 pass, 2 inconclusive", ""] {
        assert_eq!(counted(bad), None, "{bad}");
    }
}
