//! Reads all data files of a checkout together: cases refer to fixtures and profile sets, and known failures to cases.

mod cases;
mod fixtures;
pub mod sets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::cases::FIXTURES;
use self::sets::{KNOWN_FAILURES, Sets};
use crate::case::known_names::KnownNames;
use crate::case::loaded::Loaded;
use crate::case::problem::{Located, Problem};
use crate::check;
use crate::fixture::Fixture;
use crate::known::{Known, KnownFailure};
use crate::yaml::document::Document;
use crate::yaml::error::DataError;
use crate::yaml::path::Path as DataPath;
use crate::yaml::source;

/// The contents of a checkout's data files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Data {
    /// The cases, sorted by file and line.
    pub cases: Vec<Loaded>,
    /// The fixtures by name.
    pub fixtures: BTreeMap<String, Fixture>,
    /// The profile sets by name.
    pub sets: Sets,
    /// The known failures; empty if there is no file.
    pub known: Known,
}

/// Users that every machine has.
const USERS: [&str; 2] = ["root", "nobody"];

/// The cases and their fixtures, below the root.
pub const CASES: &str = "cases";
/// The profile sets and the known failures, below the root.
pub const PROFILES: &str = "profiles";

/// Reads the cases and profile sets of the folder `dir`, or returns all errors, sorted. An entry that refers to a
/// faulty file is checked only for its form, so that each mistake is reported once.
///
/// If the folder `other_cases` replaces the cases, its fixtures are used if it has any. Only the known failures of its
/// cases are used.
pub fn read(dir: &Path, other_cases: Option<&Path>) -> Result<Data, Vec<DataError>> {
    let own_cases = dir.join(CASES);
    // Messages name the files of another folder by the path given for it.
    let (cases_dir, cases_root) = match other_cases {
        Some(cases) => (cases, Path::new("")),
        None => (own_cases.as_path(), dir),
    };
    let profiles_dir = dir.join(PROFILES);
    let mut errors = Vec::new();
    let fixtures = match cases_dir.join(FIXTURES) {
        fixtures if fixtures.is_dir() => fixtures::load(&fixtures, cases_root),
        _ => fixtures::load(&own_cases.join(FIXTURES), dir),
    };
    let fixtures = keep(fixtures, &mut errors);
    let sets = keep(sets::load(&profiles_dir, dir), &mut errors);
    let cases = if errors.is_empty() {
        keep(
            cases::load(cases_dir, cases_root, &known_names(&fixtures, &sets)),
            &mut errors,
        )
    } else {
        errors.extend(cases::errors_of_form(cases_dir, cases_root));
        Vec::new()
    };
    let known = match read_known(&profiles_dir.join(KNOWN_FAILURES), dir) {
        Ok(Some((known, document))) => {
            if errors.is_empty() {
                let others = other_cases.is_some();
                errors.extend(check_known(&known, &document, &cases, &sets, others));
            }
            known
        }
        Ok(None) => Known::default(),
        Err(error) => {
            errors.push(error);
            Known::default()
        }
    };
    if errors.is_empty() {
        return Ok(Data {
            cases,
            fixtures,
            sets,
            known,
        });
    }
    errors.sort_by(DataError::order);
    Err(errors)
}

fn keep<T: Default>(result: Result<T, Vec<DataError>>, errors: &mut Vec<DataError>) -> T {
    result.unwrap_or_else(|mut found| {
        errors.append(&mut found);
        T::default()
    })
}

/// What cases may refer to.
pub fn known_names(fixtures: &BTreeMap<String, Fixture>, sets: &Sets) -> KnownNames {
    let mut names = KnownNames::default();
    for fixture in fixtures.values() {
        names
            .fixtures
            .insert(fixture.name.clone(), fixture.facts.keys().cloned().collect());
    }
    names.users = USERS.iter().map(ToString::to_string).collect();
    for profile in sets.manifests.values().flat_map(|manifest| &manifest.profiles) {
        for role in &profile.roles {
            names
                .roles
                .entry(role.clone())
                .or_default()
                .insert(profile.name.clone());
        }
        names.users.extend(profile.user.clone());
    }
    names
}

fn read_known(file: &Path, root: &Path) -> Result<Option<(Known, Document)>, DataError> {
    if !file.exists() {
        return Ok(None);
    }
    let document = Document::read_single(file, source::shown(file, root))?;
    Ok(Some((document.read()?, document)))
}

/// Checks that known failures name existing cases, profiles and steps. If the cases are `others` than those beside the
/// known failures, a known failure may name a missing case.
fn check_known(
    known: &Known,
    document: &Document,
    cases: &[Loaded],
    sets: &Sets,
    others: bool,
) -> Vec<DataError> {
    let names = variant_names(cases);
    let root = DataPath::root();
    let is_here = |failure: &KnownFailure| names.contains_key(parts(&failure.case).0);
    let entries = known
        .0
        .iter()
        .enumerate()
        .filter(|(_, failure)| !others || is_here(failure));
    let problems =
        entries.flat_map(|(index, failure)| check_failure(failure, &names, sets, &root.index(index)));
    check::located(problems.collect(), document)
}

/// Each variant's `NAME` or `NAME:VARIANT`, with its number of steps.
fn variant_names(cases: &[Loaded]) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for case in cases.iter().map(|loaded| &loaded.case) {
        let steps = case.setup.len() + case.steps.len();
        if case.with.is_empty() {
            names.insert(case.name.clone(), steps);
        }
        for id in case.with.iter().filter_map(|entry| entry.get("id")) {
            names.insert(format!("{}:{id}", case.name), steps);
        }
    }
    names
}

/// Splits `CASE` or `CASE:VARIANT` from the `@PROFILE` behind it.
fn parts(case: &str) -> (&str, Option<&str>) {
    match case.split_once('@') {
        Some((name, profile)) => (name, Some(profile)),
        None => (case, None),
    }
}

fn check_failure(
    failure: &KnownFailure,
    names: &BTreeMap<String, usize>,
    sets: &Sets,
    path: &DataPath,
) -> Vec<Located> {
    let mut problems = Vec::new();
    let (name, profile) = parts(&failure.case);
    let mut unknown = |what, name: &str, known: Vec<String>, key| {
        problems.push(
            Problem::Unknown {
                what,
                name: name.to_owned(),
                known,
            }
            .at(path.key(key)),
        );
    };
    let steps = names.get(name);
    if steps.is_none() {
        unknown("case", name, names.keys().cloned().collect(), "case");
    }
    let mut profiles: BTreeSet<&str> = BTreeSet::new();
    for set in &failure.sets {
        match sets.manifests.get(set) {
            None => unknown(
                "profile set",
                set,
                sets.manifests.keys().cloned().collect(),
                "sets",
            ),
            Some(manifest) => profiles.extend(manifest.profiles.iter().map(|profile| profile.name.as_str())),
        }
    }
    let in_no_set = |part: &&str| !profiles.is_empty() && !profiles.contains(part);
    for part in profile
        .into_iter()
        .flat_map(|names| names.split('+'))
        .filter(in_no_set)
    {
        let known = profiles.iter().map(ToString::to_string).collect();
        unknown("profile", part, known, "case");
    }
    problems.extend(check::known_failure(failure, steps.copied(), path));
    problems
}

#[cfg(test)]
mod tests;
