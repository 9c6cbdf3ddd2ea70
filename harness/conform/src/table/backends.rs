//! Cases by backends: shows where the verdicts of a case differ.

use std::collections::{BTreeMap, BTreeSet};

use super::markdown::table;
use super::read::{Case, NamedReport};
use super::{NONE, TableError, counts, short};

/// The table: the counts of verdicts on each backend, then a line for each case whose verdicts differ, or for each case
/// if `every` is set.
pub fn by_backends(reports: &[NamedReport], every: bool) -> Result<String, TableError> {
    let mut runs = reports.iter().filter(|told| told.proofs.is_empty());
    let first = runs.next().ok_or(TableError::NoRun)?;
    if let Some(other) = runs.find(|told| told.place.recipe != first.place.recipe) {
        return Err(TableError::OtherImage {
            file: other.file.clone(),
            image: other.place.recipe.clone(),
            first: first.file.clone(),
            other: first.place.recipe.clone(),
        });
    }
    let mut backends: Vec<String> = Vec::new();
    let mut cases: BTreeMap<&str, BTreeMap<String, (&Case, &str)>> = BTreeMap::new();
    for told in reports.iter().filter(|told| told.proofs.is_empty()) {
        let backend = told.place.backend();
        // In the given order.
        if !backends.contains(&backend) {
            backends.push(backend.clone());
        }
        for case in &told.cases {
            let of_case = cases.entry(&case.id).or_default();
            if let Some((_, first)) = of_case.insert(backend.clone(), (case, &told.file)) {
                return Err(TableError::Twice {
                    file: told.file.clone(),
                    first: first.to_owned(),
                    what: format!("{} on {backend}", case.id),
                });
            }
        }
    }
    let mut totals = vec![
        [String::new()]
            .into_iter()
            .chain(backends.iter().cloned())
            .collect(),
        vec![format!("{} cases", cases.len())],
    ];
    for backend in &backends {
        let mut of_backend = BTreeMap::new();
        for (case, _) in cases.values().filter_map(|of_case| of_case.get(backend)) {
            *of_backend.entry(short(case.verdict)).or_default() += 1;
        }
        totals[1].push(counts(&of_backend));
    }
    let mut lines: Vec<Vec<String>> = vec![
        ["case".to_owned()]
            .into_iter()
            .chain(backends.iter().cloned())
            .chain(["why".to_owned()])
            .collect(),
    ];
    for (id, of_case) in &cases {
        if every || differ(of_case, &backends) {
            lines.push(line(id, of_case, &backends));
        }
    }
    let mut text = table(&totals) + "\n";
    if lines.len() == 1 {
        text += "No verdict differs.\n";
    } else {
        text += &table(&lines);
    }
    Ok(text)
}

/// Whether the backends do not all have the same verdict for the case.
fn differ(of_case: &BTreeMap<String, (&Case, &str)>, backends: &[String]) -> bool {
    let verdicts: BTreeSet<&str> = of_case.values().map(|(case, _)| case.verdict.name()).collect();
    verdicts.len() > 1 || of_case.len() < backends.len()
}

fn line(id: &str, of_case: &BTreeMap<String, (&Case, &str)>, backends: &[String]) -> Vec<String> {
    let mut line = vec![format!("`{id}`")];
    let cell = |backend| of_case.get(backend).map_or(NONE, |(case, _)| short(case.verdict));
    line.extend(backends.iter().map(|backend| cell(backend).to_owned()));
    // A reason that several backends share is printed once.
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for backend in backends {
        let Some(reason) = of_case
            .get(backend)
            .and_then(|(case, _)| case.reason.as_deref())
            .filter(|reason| !reason.is_empty())
        else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, on)) => on.push(backend),
            None => reasons.push((reason, vec![backend])),
        }
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(reason, on)| format!("{}: {reason}", on.join(", ")))
        .collect();
    line.push(reasons.join("; "));
    line
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;

    fn told(file: &str, backend: &str, recipe: &str, cases: &[(&str, &str, &str)]) -> NamedReport {
        let case = |(id, verdict, reason): &(&str, &str, &str)| {
            format!(
                r#"{{"id": "{id}", "source": {{"folder": "x"}}, "verdict": "{verdict}", "reason": "{reason}"}}"#
            )
        };
        let cases: Vec<String> = cases.iter().map(case).collect();
        let text = format!(
            r#"{{"run": {{{backend}, "recipe": "{recipe}", "kernel": "6", "parser": "4", "libvirt": "11",
                "profile_set": {{"name": "packaged"}}}}, "cases": [{}]}}"#,
            cases.join(",")
        );
        parse(file.into(), &text).unwrap()
    }

    const VM: &str = r#""backend": "vm""#;
    const PODMAN: &str = r#""backend": "container", "engine": "podman""#;

    #[test]
    fn only_what_differs_has_a_line() {
        let reports = [
            told(
                "1",
                VM,
                "i",
                &[("a", "skip", "no disk"), ("b", "pass", ""), ("c", "skip", "no")],
            ),
            told(
                "2",
                PODMAN,
                "i",
                &[("a", "skip", "no disk"), ("b", "skip", "no PCI")],
            ),
        ];
        let expected = "\
|  | vm | container podman |
|---|---|---|
| 3 cases | 1 pass, 2 skip | 2 skip |

| case | vm | container podman | why |
|---|---|---|---|
| `b` | pass | skip | container podman: no PCI |
| `c` | skip | – | vm: no |
";
        assert_eq!(by_backends(&reports, false).unwrap(), expected);
        let every = by_backends(&reports, true).unwrap();
        assert!(
            every.contains("| `a` | skip | skip | vm, container podman: no disk |"),
            "{every}"
        );
        let same = by_backends(&reports[..1], false).unwrap();
        assert!(same.ends_with("\nNo verdict differs.\n"), "{same}");
    }

    #[test]
    fn one_image_and_each_case_once() {
        let one = |file, backend, recipe| told(file, backend, recipe, &[("a", "pass", "")]);
        let twice = by_backends(&[one("1", VM, "i"), one("2", VM, "i")], false).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "2 and 1 both tell of a on vm; give one of them"
        );
        let other = by_backends(&[one("1", VM, "i"), one("2", PODMAN, "j")], false).unwrap_err();
        assert!(
            other.to_string().contains("2 is of image j, and 1 of i"),
            "{other}"
        );
        assert!(matches!(by_backends(&[], false), Err(TableError::NoRun)));
    }
}
