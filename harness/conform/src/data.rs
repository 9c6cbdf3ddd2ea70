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
use crate::yaml::document::Document;
use crate::yaml::error::DataError;
use crate::yaml::path::Path as DataPath;

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

/// Read `cases/` and `profiles/` of the checkout `root`; or everything that is wrong, sorted.
pub fn read(root: &Path) -> Result<Data, Vec<DataError>> {
    let cases_dir = root.join("cases");
    let profiles_dir = root.join("profiles");
    let mut errors = Vec::new();
    let fixtures = keep(fixture::load::load(&cases_dir.join(FIXTURES), root), &mut errors);
    let sets = keep(profile_set::load::load(&profiles_dir, root), &mut errors);
    if !errors.is_empty() {
        // A broken fixture or set would make every case that refers to it look wrong.
        errors.sort_by(DataError::order);
        return Err(errors);
    }
    let cases = keep(load::load(&cases_dir, &world(&fixtures, &sets)), &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let known = read_known(&profiles_dir.join(KNOWN_FAILURES), root, &cases, &sets)?;
    Ok(Data {
        cases,
        fixtures,
        sets,
        known,
    })
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

fn read_known(file: &Path, root: &Path, cases: &[Loaded], sets: &Sets) -> Result<Known, Vec<DataError>> {
    if !file.exists() {
        return Ok(Known::default());
    }
    let one = |error| vec![error];
    let document = Document::read_single(file, crate::yaml::source::shown(file, root)).map_err(one)?;
    let known: Known = document.read().map_err(one)?;
    let names = variant_names(cases);
    let problems = known
        .0
        .iter()
        .enumerate()
        .flat_map(|(index, failure)| check_known(failure, &names, sets, &DataPath::root().index(index)))
        .collect();
    let mut errors = rules::located(problems, &document);
    if errors.is_empty() {
        return Ok(known);
    }
    errors.sort_by(DataError::order);
    Err(errors)
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

fn check_known(
    failure: &KnownFailure,
    names: &BTreeMap<String, usize>,
    sets: &Sets,
    path: &DataPath,
) -> Vec<Located> {
    let mut problems = Vec::new();
    let (name, profile) = match failure.case.split_once('@') {
        Some((name, profile)) => (name, Some(profile)),
        None => (failure.case.as_str(), None),
    };
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
    match sets.manifests.get(&failure.set) {
        None => unknown(
            "profile set",
            &failure.set,
            sets.manifests.keys().cloned().collect(),
            "set",
        ),
        Some(manifest) => {
            let profiles: BTreeSet<&str> = manifest
                .profiles
                .iter()
                .map(|profile| profile.name.as_str())
                .collect();
            for part in profile.into_iter().flat_map(|profiles| profiles.split('+')) {
                if !profiles.contains(part) {
                    unknown(
                        "profile",
                        part,
                        profiles.iter().map(ToString::to_string).collect(),
                        "case",
                    );
                }
            }
        }
    }
    problems.extend(rules::known_failure(failure, steps.copied(), path));
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::case::expand::expand;
    use crate::case::plan::{Facts, plan};

    /// What this repository ships is right, and every variant of it can be planned.
    #[test]
    fn the_shipped_data_is_right() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = read(&root).unwrap_or_else(|errors| {
            let rendered: Vec<String> = errors.iter().map(|error| error.render(false)).collect();
            panic!("{}", rendered.join("\n\n"))
        });
        assert!(!data.cases.is_empty());
        let manifest = &data.sets.manifests["packaged"];
        let roles = manifest.roles(|_| true);
        let fixtures = data
            .fixtures
            .iter()
            .map(|(name, fixture)| {
                let facts = fixture
                    .facts
                    .keys()
                    .map(|fact| (fact.clone(), format!("/fact/{fact}")))
                    .collect();
                (name.clone(), facts)
            })
            .collect::<BTreeMap<_, BTreeMap<_, _>>>();
        let facts = Facts {
            set: manifest.dirs.by_key(),
            fixtures,
        };
        let mut ids = BTreeSet::new();
        for loaded in &data.cases {
            for variant in expand(loaded, &roles).unwrap() {
                let planned = plan(&variant, &facts, "token".to_owned()).unwrap();
                assert_eq!(
                    planned.plan.steps.len(),
                    planned.case.setup.len() + planned.case.steps.len()
                );
                assert!(ids.insert(variant.id.clone()), "{} is there twice", variant.id);
            }
        }
        assert!(ids.contains("packet-raw:all@libvirtd"), "{ids:?}");
        assert!(!ids.contains("packet-raw:all@virtxend"), "{ids:?}");
    }
}
