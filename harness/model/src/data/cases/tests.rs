//! Folders of cases.

use std::collections::BTreeSet;

use super::*;

const GOOD: &str = "name: NAME
summary: s
origin: [{kind: bug, id: 1}]
subjects: {d: {role: daemon}}
steps: [{as: d, change-profile: x}]
guards: [{without: {change-profile: x}, denial: {operation: change_profile}}]
";

fn names() -> KnownNames {
    KnownNames {
        roles: [("daemon".to_owned(), BTreeSet::from(["d".to_owned()]))].into(),
        ..KnownNames::default()
    }
}

#[test]
fn a_folder_is_loaded_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dir.path().join("cases");
    std::fs::create_dir_all(cases.join("b")).unwrap();
    std::fs::create_dir_all(cases.join("fixtures")).unwrap();
    std::fs::write(cases.join("fixtures/f.yaml"), "no: case").unwrap();
    let two = format!(
        "{}---\n{}",
        GOOD.replace("NAME", "one"),
        GOOD.replace("NAME", "two")
    );
    std::fs::write(cases.join("b/x.yaml"), two).unwrap();
    std::fs::write(cases.join("a.yaml"), GOOD.replace("NAME", "three")).unwrap();
    let loaded = load(&cases, dir.path(), &names()).unwrap();
    let seen: Vec<_> = loaded
        .iter()
        .map(|l| {
            (
                l.case.name.as_str(),
                l.file.to_str().unwrap(),
                l.line,
                l.group.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("three", "cases/a.yaml", 1, ""),
            ("one", "cases/b/x.yaml", 1, "b"),
            ("two", "cases/b/x.yaml", 8, "b")
        ]
    );
}

#[test]
fn every_error_of_a_folder_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dir.path().join("cases");
    std::fs::create_dir_all(&cases).unwrap();
    std::fs::write(cases.join("a.yaml"), GOOD.replace("NAME", "one")).unwrap();
    std::fs::write(
        cases.join("b.yaml"),
        GOOD.replace("NAME", "one").replace("role: daemon", "role: demon"),
    )
    .unwrap();
    std::fs::write(cases.join("c.yaml"), "name: [").unwrap();
    std::fs::write(cases.join("d.yml"), "").unwrap();
    let told = |cases: &Path| -> Vec<String> {
        load(cases, cases.parent().unwrap(), &names())
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(
        told(&cases),
        ["cases/d.yml: data files end in `.yaml`; rename it"]
    );
    std::fs::remove_file(cases.join("d.yml")).unwrap();
    assert_eq!(
        told(&cases),
        [
            "cases/b.yaml:1:7: the case name `one` is used twice (each case name must be another) \
             [first here: cases/a.yaml:1:7]",
            "cases/b.yaml:4:22: unknown role `demon` (did you mean `daemon`?)",
            "cases/c.yaml:1:8: this is not YAML: while parsing a node, did not find expected node content",
        ]
    );
    let shown = load(&cases, dir.path(), &names()).unwrap_err()[0].render(false);
    assert!(
        shown.contains("cases/a.yaml:1:7") && shown.contains("cases/b.yaml:1:7"),
        "{shown}"
    );
}
