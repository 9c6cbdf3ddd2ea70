//! Every data file of a checkout, read together: cases refer to fixtures and profile sets, known failures to cases.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::case::load::{self, FIXTURES, Loaded};
use crate::case::problem::{Located, Problem};
use crate::case::rules;
use crate::case::world::World;
use crate::fixture;
use crate::fixture::model::Fixture;
use crate::known::{Known, KnownFailure};
use crate::profile_set;
use crate::profile_set::load::{KNOWN_FAILURES, Sets};
use crate::root::{CASES, PROFILES, Root};
use crate::yaml::document::Document;
use crate::yaml::error::DataError;
use crate::yaml::path::Path as DataPath;
use crate::yaml::source;

/// What a checkout's data files say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Data {
    /// Sorted by file and line.
    pub cases: Vec<Loaded>,
    /// By name.
    pub fixtures: BTreeMap<String, Fixture>,
    /// By name.
    pub sets: Sets,
    /// Empty where there is no file.
    pub known: Known,
}

/// Users that any machine has.
const USERS: [&str; 2] = ["root", "nobody"];

/// Read `cases/` and `profiles/` of the folder `dir`; or everything that is wrong.
pub fn read(dir: &Path) -> Result<Data, Vec<DataError>> {
    read_root(&Root::at(dir))
}

/// Read the cases and profile sets of a root; or everything that is wrong, sorted. What refers to a file
/// that is itself wrong is judged by its form only, so that one mistake is told once.
///
/// Where a folder takes the place of the cases, its fixtures are used if it has some, and of the known failures those
/// that are of its cases.
pub fn read_root(root: &Root) -> Result<Data, Vec<DataError>> {
    let Root { dir, cases, .. } = root;
    let own_cases = dir.join(CASES);
    // Messages name the files of another folder as it was named.
    let (cases_dir, cases_root) = match cases {
        Some(cases) => (cases, Path::new("")),
        None => (&own_cases, dir.as_path()),
    };
    let profiles_dir = dir.join(PROFILES);
    let mut errors = Vec::new();
    let fixtures = match cases_dir.join(FIXTURES) {
        fixtures if fixtures.is_dir() => fixture::load::load(&fixtures, cases_root),
        _ => fixture::load::load(&own_cases.join(FIXTURES), dir),
    };
    let fixtures = keep(fixtures, &mut errors);
    let sets = keep(profile_set::load::load(&profiles_dir, dir), &mut errors);
    let cases = if errors.is_empty() {
        keep(
            load::load(cases_dir, cases_root, &world(&fixtures, &sets)),
            &mut errors,
        )
    } else {
        errors.extend(load::errors_of_form(cases_dir, cases_root));
        Vec::new()
    };
    let known = match read_known(&profiles_dir.join(KNOWN_FAILURES), dir) {
        Ok(Some((known, document))) => {
            if errors.is_empty() {
                let others = root.cases.is_some();
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
pub fn world(fixtures: &BTreeMap<String, Fixture>, sets: &Sets) -> World {
    let mut world = World::default();
    for fixture in fixtures.values() {
        world
            .fixtures
            .insert(fixture.name.clone(), fixture.facts.keys().cloned().collect());
    }
    world.users = USERS.iter().map(ToString::to_string).collect();
    for profile in sets.manifests.values().flat_map(|manifest| &manifest.profiles) {
        for role in &profile.roles {
            world
                .roles
                .entry(role.clone())
                .or_default()
                .insert(profile.name.clone());
        }
        world.users.extend(profile.user.clone());
    }
    world
}

fn read_known(file: &Path, root: &Path) -> Result<Option<(Known, Document)>, DataError> {
    if !file.exists() {
        return Ok(None);
    }
    let document = Document::read_single(file, source::shown(file, root))?;
    Ok(Some((document.read()?, document)))
}

/// Known failures are of cases, profiles and steps that there are; where the cases are `others` than those beside
/// them, some may be of none.
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
    rules::located(problems.collect(), document)
}

/// `NAME` or `NAME:VARIANT` of each variant, with its number of steps.
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

/// `CASE` or `CASE:VARIANT`, and `@PROFILE`.
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
    problems.extend(rules::known_failure(failure, steps.copied(), path));
    problems
}

#[cfg(test)]
mod tests;
