use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use rstest::rstest;

use super::facts::{Facts, GroupFacts, ImageFacts};
use super::text::{Files, MARK};
use super::write::write;
use super::{autopkgtest, github, gitlab, tmt};
use virt_aa_engine::image::Store;
use virt_aa_model::data::{self, Data};

type Make = fn(&Facts) -> Files;

const KINDS: [(&str, Make); 4] = [
    ("autopkgtest", autopkgtest::files),
    ("github", github::files),
    ("gitlab", gitlab::files),
    ("tmt", tmt::files),
];

/// Whether expect-test writes files anew. It does not handle a missing folder or a file's mode.
fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Two images, one of them with a hypervisor, and a folder of cases on both.
fn made() -> Facts {
    let image = |name: &str, plain, cases| ImageFacts {
        name: name.into(),
        suite: Some("stable".into()),
        plain,
        cases,
    };
    let group = |name: &str, cases, images: &[&str]| GroupFacts {
        name: name.into(),
        cases,
        images: images.iter().map(ToString::to_string).collect(),
    };
    Facts {
        images: vec![image("one", true, 3), image("two", false, 1)],
        groups: vec![group("both", 2, &["one", "two"]), group("plain", 1, &["one"])],
    }
}

fn shipped() -> (Data, Facts) {
    let data = data::read(&repository(), None).unwrap();
    let store = Store::open(&repository().join("vm-images"), None).unwrap();
    let recipes: BTreeMap<_, _> = store
        .names()
        .unwrap()
        .into_iter()
        .map(|name| {
            let recipe = store.recipe(&name).unwrap();
            (name, recipe)
        })
        .collect();
    let facts = Facts::of(&data, &recipes);
    (data, facts)
}

#[test]
fn files_of_made_facts_read_as_before() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/emit");
    for (kind, make) in KINDS {
        for (path, file) in make(&made()) {
            let golden = golden.join(kind).join(path);
            if updating() {
                std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            }
            expect_file![golden].assert_eq(&file.text);
        }
    }
}

/// The files in `ci/templates` are those that `emit` writes.
#[test]
fn the_committed_templates_are_those_of_the_shipped_data() {
    let (_, facts) = shipped();
    let folder = repository().join("ci/templates");
    let mut expected = BTreeSet::new();
    for (kind, make) in KINDS {
        let files = make(&facts);
        if updating() {
            write(&folder.join(kind), &files, true).unwrap();
        }
        for (path, file) in files {
            let path = folder.join(kind).join(path);
            expect_file![path.clone()].assert_eq(&file.text);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o100 != 0, file.executable, "{}", path.display());
            expected.insert(path);
        }
    }
    assert_eq!(
        files_below(&folder),
        expected,
        "files of ci/templates that `emit` does not write (any more)"
    );
}

fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

#[rstest]
#[case::made(made())]
#[case::shipped(shipped().1)]
fn no_place_is_left_open_and_each_kind_says_by_what_it_was_tried(#[case] facts: Facts) {
    for (kind, make) in KINDS {
        let files = make(&facts);
        for (path, file) in &files {
            assert!(!file.text.contains(MARK), "{kind}: {path}");
            assert!(
                file.text.ends_with('\n') && !file.text.contains("\n\n\n"),
                "{path}"
            );
            let script = file.text.starts_with("#!");
            assert_eq!(script, file.executable, "{kind}: {path}");
        }
        let tried = files.values().filter(|file| file.text.contains("\n# Tried: "));
        assert_eq!(tried.count(), 1, "{kind}");
    }
}

#[rstest]
#[case(&gitlab::files(&made())["ci/apparmor-conform.yml"].text)]
#[case(&gitlab::files(&made())["ci/apparmor-conform-default.yml"].text)]
#[case(&github::files(&made())[".github/workflows/apparmor-conform.yml"].text)]
#[case(&tmt::files(&made())["plans/apparmor-conform.fmf"].text)]
#[case(&tmt::files(&made())["tests/apparmor-conform/main.fmf"].text)]
fn a_template_is_yaml(#[case] text: &str) {
    let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    assert!(value.is_mapping());
}

#[test]
fn a_test_of_tmt_has_what_tmt_reads() {
    let text = &tmt::files(&made())["tests/apparmor-conform/main.fmf"].text;
    let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let required = value["require"].as_sequence().unwrap();
    assert!(required.iter().any(|package| package == "mmdebstrap"), "{text}");
    assert_eq!(value["/both"]["tag"][1], "two", "{text}");
}

#[test]
fn facts_are_those_of_the_cases() {
    let (data, facts) = shipped();
    let group = |name: &str| facts.groups.iter().find(|group| group.name == name).unwrap();
    let image = |name: &str| facts.images.iter().find(|image| image.name == name).unwrap();
    let cases: usize = facts.groups.iter().map(|group| group.cases).sum();
    assert_eq!(cases, data.cases.len());
    let (plain, xen) = (image("debian-13"), image("debian-13-xen"));
    assert!(plain.plain && !xen.plain);
    // Each case belongs on one of the two images.
    assert_eq!(plain.cases + xen.cases, data.cases.len());
    let network = &group("network").images;
    assert!(
        network.contains(&plain.name) && !network.contains(&xen.name),
        "{network:?}"
    );
    assert!(group("xen").images.contains(&xen.name));
}
