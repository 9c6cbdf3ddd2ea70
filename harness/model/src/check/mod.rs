//! What a case must satisfy beyond its form. Each rule is a function, and each violation is a located error.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::case::beginning::Joined;
use crate::case::known_names::KnownNames;
use crate::case::model::{Case, RecordMatch};
use crate::case::problem::{Located, Problem};
use crate::case::{names, plan};
use crate::yaml::document::Document;
use crate::yaml::error::DataError;
use crate::yaml::node::Part;
use crate::yaml::path::Path;

mod effect;
mod guards;
mod identity;
mod known;
mod steps;
mod subjects;
mod templates;
#[cfg(test)]
mod tests;

pub use guards::access_problems;
pub use identity::name;
pub use known::known_failure;

/// All errors of a case, in no particular order.
pub fn case(joined: &Joined, document: &Document, known_names: &KnownNames) -> Vec<DataError> {
    let case = &joined.own;
    let mut problems = Vec::new();
    identity::check(case, known_names, &mut problems);
    subjects::check(case, known_names, &mut problems);
    steps::check(case, &mut problems);
    guards::check(case, known_names, &mut problems);
    templates::check(case, known_names, &mut problems);
    check_filled(case, &mut problems);
    // A wrong name in a step would be reported twice.
    if problems.is_empty() {
        subjects::check_use(case, &joined.whole, &mut problems);
    }
    located(problems, document)
}

/// Converts problems to errors of a document, without duplicates.
pub fn located(problems: Vec<Located>, document: &Document) -> Vec<DataError> {
    let mut seen = BTreeSet::new();
    problems
        .into_iter()
        .map(|Located { path, problem }| {
            let part = if problem.is_about_key() {
                Part::Key
            } else {
                Part::Value
            };
            let error = DataError::at(document.place(&path, part), problem.to_string());
            match problem.help() {
                Some(help) => error.with_help(help),
                None => error,
            }
        })
        .filter(|error| seen.insert(error.to_string()))
        .collect()
}

/// A placeholder for values that only the machine knows. A text that holds it is not checked. It looks like a path.
const UNKNOWN: &str = "/\u{fffd}";

/// Checks words and numbers that may come from `with`, for each of its entries.
fn check_filled(case: &Case, problems: &mut Vec<Located>) {
    let no_values = [Default::default()];
    let entries = if case.with.is_empty() {
        &no_values[..]
    } else {
        &case.with[..]
    };
    for values in entries {
        let lookup = |key: &str| {
            Some(match values.get(key) {
                Some(value) => Cow::Owned(value.to_string()),
                None => Cow::Borrowed(UNKNOWN),
            })
        };
        let Ok(filled) = plan::fill_case(case, &lookup) else {
            continue;
        };
        let mut found = Vec::new();
        steps::check_words(&filled, &mut found);
        guards::check_words(&filled, &mut found);
        problems.extend(
            found
                .into_iter()
                .filter(|located| !located.problem.text().contains(UNKNOWN)),
        );
    }
}

/// Checks that `name` is one of `known`.
fn one_of_known<'a>(
    what: &'static str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    path: &Path,
    problems: &mut Vec<Located>,
) {
    let known: Vec<&str> = known.into_iter().collect();
    if !known.contains(&name) {
        let known = known.into_iter().map(str::to_owned).collect();
        problems.push(
            Problem::Unknown {
                what,
                name: name.to_owned(),
                known,
            }
            .at(path.clone()),
        );
    }
}

/// Reports keys that the kernel never writes, and a record without content.
fn record(record: &RecordMatch, path: &Path, problems: &mut Vec<Located>) {
    if record.is_empty() {
        problems.push(Problem::Empty("record").at(path.clone()));
    }
    for key in record
        .keys()
        .filter(|key| !names::RECORD_KEYS.contains(&key.as_str()))
    {
        problems.push(Problem::UnknownRecordKey(key.clone()).at(path.key(key)));
    }
}
