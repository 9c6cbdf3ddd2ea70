//! Every profile set of a folder, read and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::case::problem::{Located, Problem, exactly_one};
use crate::check::{access_problems, located, name};
use crate::profile_set::manifest::{Dirs, Edit, KnownBad, Manifest, Profile};
use crate::yaml::document::Document;
use crate::yaml::error::DataError;
use crate::yaml::path::Path as DataPath;
use crate::yaml::source;

/// The file beside the sets that lists known failures.
pub const KNOWN_FAILURES: &str = "known-failures.yaml";
/// The folder of sets that are wrong on purpose.
pub const KNOWN_BAD: &str = "known-bad";

/// Profile sets by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets {
    /// The sets to test.
    pub manifests: BTreeMap<String, Manifest>,
    /// The sets that are wrong on purpose.
    pub known_bad: BTreeMap<String, KnownBad>,
}

/// Reads the sets under `dir`, or returns all errors, sorted. Messages name files relative to `root`.
pub fn load(dir: &Path, root: &Path) -> Result<Sets, Vec<DataError>> {
    let mut sets = Sets::default();
    let mut bad = Vec::new();
    let mut likes = Vec::new();
    let mut errors = Vec::new();
    for file in source::files(dir, root)? {
        let shown = source::shown(&file, root);
        let below = source::shown(&file, dir);
        let stem = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if below == Path::new(KNOWN_FAILURES) {
            continue;
        }
        if below.starts_with(KNOWN_BAD) {
            match read::<KnownBad>(&file, shown) {
                Ok((set, document)) => bad.push((set, document, stem)),
                Err(error) => errors.push(error),
            }
            continue;
        }
        match read::<Manifest>(&file, shown) {
            Ok((manifest, document)) => {
                errors.extend(located(check_manifest(&manifest, &stem), &document));
                if manifest.like.is_some() {
                    likes.push((manifest, document));
                } else {
                    sets.manifests.insert(manifest.name.clone(), manifest);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    for (manifest, document) in &likes {
        match like(manifest, &sets.manifests) {
            Ok(whole) => drop(sets.manifests.insert(whole.name.clone(), whole)),
            Err(problem) => errors.extend(located(vec![problem], document)),
        }
    }
    let complete = errors.is_empty();
    for (set, document, stem) in bad {
        // If a manifest is broken, every set made from it would look wrong.
        if !complete {
            break;
        }
        errors.extend(located(check_known_bad(&set, &stem, &sets.manifests), &document));
        sets.known_bad.insert(set.name.clone(), set);
    }
    if errors.is_empty() {
        return Ok(sets);
    }
    errors.sort_by(DataError::order);
    Err(errors)
}

/// A manifest with the profiles of the set that its `like` names.
fn like(manifest: &Manifest, manifests: &BTreeMap<String, Manifest>) -> Result<Manifest, Located> {
    let name = manifest.like.clone().unwrap_or_default();
    // Sets that have `like` themselves are not candidates, so there is no cycle.
    let known = |manifests: &BTreeMap<String, Manifest>| {
        let written = manifests.values().filter(|other| other.like.is_none());
        written.map(|other| other.name.clone()).collect()
    };
    let other = manifests.get(&name).filter(|other| other.like.is_none());
    let other = other.ok_or_else(|| {
        Problem::Unknown {
            what: "profile set",
            name: name.clone(),
            known: known(manifests),
        }
        .at(DataPath::root().key("like"))
    })?;
    let profiles = other.profiles.iter().map(|profile| Profile {
        optional: true,
        ..profile.clone()
    });
    Ok(Manifest {
        profiles: profiles.collect(),
        further: other.further.iter().chain(&manifest.further).cloned().collect(),
        ..manifest.clone()
    })
}

fn read<T: DeserializeOwned>(file: &Path, shown: &Path) -> Result<(T, Document), DataError> {
    let document = Document::read_single(file, shown)?;
    Ok((document.read()?, document))
}

fn check_name(text: &str, stem: &str, problems: &mut Vec<Located>) {
    let path = DataPath::root().key("name");
    name("profile set", text, &path, problems);
    if text != stem {
        let known = vec![stem.to_owned()];
        problems.push(
            Problem::Unknown {
                what: "name for this file",
                name: text.to_owned(),
                known,
            }
            .at(path),
        );
    }
}

fn check_manifest(manifest: &Manifest, stem: &str) -> Vec<Located> {
    let root = DataPath::root();
    let mut problems = Vec::new();
    check_name(&manifest.name, stem, &mut problems);
    for (key, dir) in manifest.dirs.iter().flat_map(Dirs::by_key) {
        if !dir.starts_with('/') || dir.ends_with('/') {
            let wanted = "an absolute path without a slash at the end";
            problems.push(Problem::NotA { text: dir, wanted }.at(root.key("dirs").key(&key)));
        }
    }
    let given = [
        ("profiles", !manifest.profiles.is_empty()),
        ("like", manifest.like.is_some()),
    ];
    exactly_one("a profile set", "profiles, like", &given, &root, &mut problems);
    for (index, file) in manifest.further.iter().enumerate() {
        check_file(file, &root.key("further").index(index), &mut problems);
    }
    let mut seen = BTreeSet::new();
    for (index, profile) in manifest.profiles.iter().enumerate() {
        let path = root.key("profiles").index(index);
        check_profile(manifest, profile, &path, &mut problems);
        let label = profile.label.as_ref().filter(|label| !seen.insert(*label));
        if let Some(label) = label {
            problems.push(
                Problem::Twice {
                    what: "profile",
                    name: label.clone(),
                }
                .at(path.key("label")),
            );
        }
        if !seen.insert(&profile.name) {
            problems.push(
                Problem::Twice {
                    what: "profile",
                    name: profile.name.clone(),
                }
                .at(path.key("name")),
            );
        }
    }
    problems
}

fn check_profile(manifest: &Manifest, profile: &Profile, path: &DataPath, problems: &mut Vec<Located>) {
    let template = profile.template.is_some();
    let given = [
        ("file", profile.file.is_some()),
        ("within", profile.within.is_some()),
        ("template", template),
    ];
    exactly_one("a profile", "file, within, template", &given, path, problems);
    let given = [
        ("placeholder", profile.placeholder.is_some()),
        ("label", profile.label.is_some()),
        ("files", !profile.files.is_empty()),
    ];
    for (key, given) in given {
        if given && !template {
            problems.push(
                Problem::Needs {
                    key,
                    needs: "template",
                }
                .at(path.key(key)),
            );
        }
    }
    if template && profile.placeholder.is_none() {
        problems.push(
            Problem::Needs {
                key: "template",
                needs: "placeholder",
            }
            .at(path.key("template")),
        );
    }
    for (index, rule) in profile.files.iter().enumerate() {
        if !rule.trim_end().ends_with(',') {
            problems.push(Problem::NoComma.at(path.key("files").index(index)));
        }
    }
    for (key, file) in [("file", &profile.file), ("template", &profile.template)] {
        if let Some(file) = file {
            check_file(file, &path.key(key), problems);
        }
    }
    if let Some(within) = &profile.within {
        check_profile_name(within, manifest, &path.key("within"), problems);
    }
    if profile.roles.is_empty() {
        problems.push(Problem::Empty("roles").at(path.key("roles")));
    }
    for (index, role) in profile.roles.iter().enumerate() {
        name("role", role, &path.key("roles").index(index), problems);
    }
}

fn check_file(file: &str, path: &DataPath, problems: &mut Vec<Located>) {
    if file.starts_with('/') || file.split('/').any(|part| part == ".." || part.is_empty()) {
        let (text, wanted) = (file.to_owned(), "a path below /etc/apparmor.d");
        problems.push(Problem::NotA { text, wanted }.at(path.clone()));
    }
}

fn check_profile_name(text: &str, manifest: &Manifest, path: &DataPath, problems: &mut Vec<Located>) {
    if !manifest.profiles.iter().any(|profile| profile.name == text) {
        let known = manifest
            .profiles
            .iter()
            .map(|profile| profile.name.clone())
            .collect();
        problems.push(
            Problem::Unknown {
                what: "profile",
                name: text.to_owned(),
                known,
            }
            .at(path.clone()),
        );
    }
}

fn check_known_bad(set: &KnownBad, stem: &str, manifests: &BTreeMap<String, Manifest>) -> Vec<Located> {
    let root = DataPath::root();
    let mut problems = Vec::new();
    check_name(&set.name, stem, &mut problems);
    let Some(manifest) = manifests.get(&set.of) else {
        let known = manifests.keys().cloned().collect();
        problems.push(
            Problem::Unknown {
                what: "profile set",
                name: set.of.clone(),
                known,
            }
            .at(root.key("of")),
        );
        return problems;
    };
    if set.edits.is_empty() {
        problems.push(Problem::Empty("edits").at(root.key("edits")));
    }
    for (index, edit) in set.edits.iter().enumerate() {
        let path = root.key("edits").index(index);
        check_profile_name(&edit.profile, manifest, &path.key("profile"), &mut problems);
        check_edit(edit, &path, &mut problems);
    }
    problems
}

fn check_edit(edit: &Edit, path: &DataPath, problems: &mut Vec<Located>) {
    let given = [("without", edit.without.is_some()), ("add", edit.add.is_some())];
    exactly_one("an edit", "without, add", &given, path, problems);
    if let Some(access) = &edit.without {
        problems.extend(access_problems(access, &path.key("without")));
    }
    if let Some(rule) = &edit.add
        && !rule.trim_end().ends_with(',')
    {
        problems.push(Problem::NoComma.at(path.key("add")));
    }
}
