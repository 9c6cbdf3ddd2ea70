//! Who the case is: name, origin, needs, variants.

use std::collections::BTreeSet;

use super::one_of_known;
use crate::case::known_names::KnownNames;
use crate::case::model::{Case, Scalar};
use crate::case::names;
use crate::case::plan;
use crate::case::problem::{Located, Problem};
use crate::case::template;
use crate::yaml::path::Path;

pub(super) fn check(case: &Case, known_names: &KnownNames, problems: &mut Vec<Located>) {
    let root = Path::root();
    name("case name", &case.name, &root.key("name"), problems);
    if case.summary.trim().is_empty() {
        problems.push(Problem::Empty("summary").at(root.key("summary")));
    }
    if case.origin.is_empty() {
        problems.push(Problem::Empty("origin").at(root.key("origin")));
    }
    for (index, origin) in case.origin.iter().enumerate() {
        if origin.id.trim().is_empty() {
            problems.push(Problem::Empty("id").at(root.key("origin").index(index).key("id")));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, need) in case.needs.iter().enumerate() {
        let path = root.key("needs").index(index);
        one_of_known(
            "fixture",
            need,
            known_names.fixtures.keys().map(String::as_str),
            &path,
            problems,
        );
        if !seen.insert(need) {
            problems.push(
                Problem::Twice {
                    what: "fixture",
                    name: need.clone(),
                }
                .at(path),
            );
        }
    }
    for (index, class) in case.mediates.iter().enumerate() {
        let first = class.split('/').next().unwrap_or_default();
        let path = root.key("mediates").index(index);
        one_of_known(
            "class of mediation",
            first,
            names::MEDIATION_CLASSES.iter().copied(),
            &path,
            problems,
        );
    }
    if let Some(seconds) = case.timeout {
        problems.extend(plan::milliseconds(seconds, &root.key("timeout")).err());
    }
    variants(case, &root.key("with"), problems);
}

/// Checks that every entry has its own `id` and the same keys.
fn variants(case: &Case, path: &Path, problems: &mut Vec<Located>) {
    let Some(first) = case.with.first() else { return };
    let mut seen = BTreeSet::new();
    for (index, entry) in case.with.iter().enumerate() {
        let path = path.index(index);
        match entry.get("id") {
            None => problems.push(
                Problem::Needs {
                    key: "with",
                    needs: "id",
                }
                .at(path.clone()),
            ),
            Some(id) => {
                let id = id.to_string();
                name("variant", &id, &path.key("id"), problems);
                if !seen.insert(id.clone()) {
                    problems.push(
                        Problem::Twice {
                            what: "variant",
                            name: id,
                        }
                        .at(path.key("id")),
                    );
                }
            }
        }
        for key in entry.keys().filter(|key| !template::is_word(key)) {
            problems.push(
                Problem::BadName {
                    what: "template key",
                    name: key.clone(),
                }
                .at(path.key(key)),
            );
        }
        // A missing `id` is already reported.
        let lacks = missing(first.keys(), |key| key == "id" || entry.contains_key(key));
        let extra = missing(entry.keys(), |key| key == "id" || first.contains_key(key));
        if !lacks.is_empty() || !extra.is_empty() {
            problems.push(Problem::UnevenWith { lacks, extra }.at(path.clone()));
        }
        for (key, value) in entry {
            if matches!(value, Scalar::Text(text) if !template::keys(text).is_empty()) {
                problems.push(
                    Problem::Beside {
                        key: "a template",
                        beside: "with",
                    }
                    .at(path.key(key)),
                );
            }
        }
    }
}

fn missing<'a>(keys: impl Iterator<Item = &'a String>, there: impl Fn(&str) -> bool) -> Vec<String> {
    keys.filter(|key| !there(key)).cloned().collect()
}

/// Checks that `text` is lower-case words joined by `-`.
pub fn name(what: &'static str, text: &str, path: &Path, problems: &mut Vec<Located>) {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = text
        .split('-')
        .all(|word| !word.is_empty() && word.chars().all(letters));
    if !good {
        problems.push(
            Problem::BadName {
                what,
                name: text.to_owned(),
            }
            .at(path.clone()),
        );
    }
}
