//! Images by groups of cases: counts of verdicts.

use std::collections::{BTreeMap, BTreeSet};

use super::markdown::table;
use super::read::{NamedReport, Where};
use super::{NONE, TableError, counts, short};

/// Columns before the groups.
const BEFORE: [&str; 4] = ["image", "kernel", "parser", "libvirt"];
/// The column of `prove`.
pub const GUARDS: &str = "guards";

#[derive(Default)]
struct Row<'a> {
    groups: BTreeMap<&'a str, BTreeMap<&'static str, usize>>,
    /// Counts by outcome, `killed` first.
    guards: BTreeMap<(bool, String), usize>,
}

/// The columns of a table over these groups.
pub fn heading<'a>(groups: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let groups = groups.into_iter();
    let all = BEFORE.into_iter().chain(groups).chain([GUARDS]);
    all.map(str::to_owned).collect()
}

/// The table. Reports of the same image, set and backend share a row: shards, and `run` and `prove`.
pub fn by_images<'a>(reports: &'a [NamedReport]) -> Result<String, TableError> {
    let groups: BTreeSet<&str> = reports
        .iter()
        .flat_map(|told| &told.cases)
        .map(|case| group(&case.source.folder))
        .collect();
    let mut rows: BTreeMap<&Where, Row<'_>> = BTreeMap::new();
    let mut seen: BTreeMap<(&Where, String), &str> = BTreeMap::new();
    let mut once =
        |told: &'a NamedReport, what: String| match seen.insert((&told.place, what.clone()), &told.file) {
            None => Ok(()),
            Some(first) => Err(TableError::Twice {
                file: told.file.clone(),
                first: first.to_owned(),
                what: format!("{what} on {}", told.place.recipe),
            }),
        };
    for told in reports {
        let row = rows.entry(&told.place).or_default();
        for case in &told.cases {
            once(told, case.id.clone())?;
            let of_group = row.groups.entry(group(&case.source.folder)).or_default();
            *of_group.entry(short(case.verdict)).or_default() += 1;
        }
        for proof in &told.proofs {
            once(told, format!("{} {}", proof.case, proof.guard))?;
            let outcome = proof.outcome.replace('-', " ");
            *row.guards.entry((outcome != "killed", outcome)).or_default() += 1;
        }
    }
    let mut lines = vec![heading(groups.iter().copied())];
    for (place, row) in &rows {
        let mut line = vec![
            title(place),
            place.kernel.clone(),
            place.parser.clone(),
            place.libvirt.clone(),
        ];
        let empty = BTreeMap::new();
        line.extend(
            groups
                .iter()
                .map(|group| counts(row.groups.get(group).unwrap_or(&empty))),
        );
        let guards: Vec<String> = row
            .guards
            .iter()
            .map(|((_, outcome), number)| format!("{number} {outcome}"))
            .collect();
        line.push(if guards.is_empty() {
            NONE.into()
        } else {
            guards.join(", ")
        });
        lines.push(line);
    }
    Ok(table(&lines))
}

/// The image's name, with everything unusual about the run.
fn title(place: &Where) -> String {
    let mut title = format!("`{}`", place.recipe);
    if place.set() != "packaged" {
        title += &format!(" {}", place.set());
    }
    if place.backend != "vm" {
        title += &format!(" ({})", place.backend());
    }
    title
}

/// The first folder below `cases/`.
pub fn group(folder: &str) -> &str {
    folder.split('/').next().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;

    fn told(file: &str, recipe: &str, body: &str) -> NamedReport {
        let run = format!(
            r#"{{"backend": "vm", "recipe": "{recipe}", "kernel": "6", "parser": "4", "libvirt": "11",
                "profile_set": {{"name": "packaged", "known_bad": null, "hash": "x"}}}}"#
        );
        parse(
            file.into(),
            &format!(r#"{{"schema_version": 9, "run": {run}, {body}}}"#),
        )
        .unwrap()
    }

    fn case(id: &str, folder: &str, verdict: &str) -> String {
        format!(
            r#"{{"id": "{id}", "source": {{"folder": "{folder}"}}, "verdict": "{verdict}", "reason": null}}"#
        )
    }

    fn cases(of: &[String]) -> String {
        format!(r#""cases": [{}]"#, of.join(","))
    }

    fn proofs(outcomes: &[(&str, &str)]) -> String {
        let one = |(guard, outcome): &(&str, &str)| {
            format!(r#"{{"case": "a", "guard": "{guard}", "outcome": "{outcome}", "detail": null}}"#)
        };
        let all: Vec<String> = outcomes.iter().map(one).collect();
        format!(r#""proofs": [{}]"#, all.join(","))
    }

    #[test]
    fn reports_of_one_image_are_one_row() {
        let reports = [
            told(
                "1",
                "b",
                &cases(&[case("a", "xen/dom0", "pass"), case("b", "xen", "known-failure")]),
            ),
            told("2", "b", &cases(&[case("c", "xen", "pass")])),
            told(
                "3",
                "b",
                &proofs(&[("x", "no-edit-mends-it"), ("y", "killed"), ("z", "killed")]),
            ),
            told("4", "a", &cases(&[case("a", "pci", "skip")])),
        ];
        let expected = "\
| image | kernel | parser | libvirt | pci | xen | guards |
|---|---|---|---|---|---|---|
| `a` | 6 | 4 | 11 | 1 skip | – | – |
| `b` | 6 | 4 | 11 | – | 2 pass, 1 known | 2 killed, 1 no edit mends it |
";
        assert_eq!(by_images(&reports).unwrap(), expected);
    }

    #[test]
    fn what_is_told_twice_is_not_counted_twice() {
        let one = cases(&[case("a", "xen", "pass")]);
        let error = by_images(&[told("1", "b", &one), told("2", "b", &one)]).unwrap_err();
        assert_eq!(error.to_string(), "2 and 1 both tell of a on b; give one of them");
        assert!(by_images(&[told("1", "b", &one), told("2", "c", &one)]).is_ok());
        let one = proofs(&[("x", "killed")]);
        assert!(by_images(&[told("1", "b", &one), told("2", "b", &one)]).is_err());
    }

    #[test]
    fn what_is_no_report_is_told() {
        for text in ["", "{}", r#"{"run": {}, "cases": []}"#] {
            let error = parse("f".into(), text).unwrap_err().to_string();
            assert!(error.starts_with("f: not a JSON report"), "{error}");
        }
    }
}
