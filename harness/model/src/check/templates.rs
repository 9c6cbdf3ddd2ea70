//! Checks that every template key will be filled in.

use std::collections::BTreeSet;

use crate::case::known_names::{KnownNames, SET_KEYS};
use crate::case::model::Case;
use crate::case::problem::{Located, Problem};
use crate::case::template;
use crate::yaml::path::Path;

pub(super) fn check(case: &Case, known_names: &KnownNames, problems: &mut Vec<Located>) {
    let known = keys(case, known_names);
    let root = Path::root();
    let texts = [
        template::texts(&case.subjects, &root.key("subjects")),
        template::texts(&case.setup, &root.key("setup")),
        template::texts(&case.steps, &root.key("steps")),
        template::texts(&case.cleanup, &root.key("cleanup")),
        template::texts(&case.guards, &root.key("guards")),
        template::texts(&case.policy_loads, &root.key("policy-loads")),
    ];
    for (path, text) in texts.into_iter().flatten() {
        for (_, key) in template::keys(&text) {
            // A wrong guest is reported where the case names it; the template for its UUID is not the user's.
            let is_made_up = key.ends_with(".uuid") && path.to_string().ends_with(".uuid");
            if !known.contains(key) && !is_made_up && !is_of_unknown_fixture(key, case, known_names) {
                let known = known.iter().cloned().collect();
                problems.push(
                    Problem::UnknownTemplate {
                        key: key.to_owned(),
                        known,
                    }
                    .at(path.clone()),
                );
            }
        }
    }
}

/// Whether the key may be a fact of a fixture that the case needs but that does not exist. The missing fixture is
/// reported.
fn is_of_unknown_fixture(key: &str, case: &Case, known_names: &KnownNames) -> bool {
    let (known, unknown): (Vec<_>, Vec<_>) = case
        .needs
        .iter()
        .partition(|need| known_names.fixtures.contains_key(*need));
    let Some((name, _)) = key.split_once('.') else {
        return false;
    };
    let declared =
        name == "set" || case.subjects.contains_key(name) || known.iter().any(|need| *need == name);
    !unknown.is_empty() && !declared
}

/// The keys that a case's templates may use.
fn keys(case: &Case, known_names: &KnownNames) -> BTreeSet<String> {
    let set = SET_KEYS.iter().map(|key| format!("set.{key}"));
    let facts = case.needs.iter().flat_map(|need| {
        let facts = known_names.fixtures.get(need).into_iter().flatten();
        facts.map(move |fact| format!("{need}.{fact}"))
    });
    let labels = case.subjects.keys().map(|name| format!("{name}.label"));
    let guests = case.subjects.iter().filter(|(_, subject)| subject.is_guest());
    let uuids = guests.map(|(name, _)| format!("{name}.uuid"));
    let values = case.with.iter().flat_map(|entry| entry.keys().cloned());
    set.chain(facts)
        .chain(labels)
        .chain(uuids)
        .chain(values)
        .collect()
}
