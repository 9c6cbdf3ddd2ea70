use std::collections::BTreeMap;
use std::path::PathBuf;

use rstest::rstest;

use super::*;
use crate::case::expand::expand;
use crate::case::plan::{Facts, plan};

/// The data that this repository ships is right, and every variant of it can be planned.
#[test]
fn the_shipped_data_is_right() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = read(&root, None).unwrap_or_else(|errors| {
        let rendered: Vec<String> = errors.iter().map(|error| error.render(false)).collect();
        panic!("{}", rendered.join("\n\n"))
    });
    assert!(!data.cases.is_empty());
    let manifest = &data.sets.manifests["packaged"];
    let roles = manifest.roles(|_| true);
    let facts_of = |fixture: &Fixture| {
        fixture
            .facts
            .keys()
            .map(|fact| (fact.clone(), format!("/fact/{fact}")))
            .collect::<BTreeMap<_, _>>()
    };
    let fixtures = data
        .fixtures
        .iter()
        .map(|(name, fixture)| (name.clone(), facts_of(fixture)))
        .collect();
    let facts = Facts {
        set: manifest.dirs.as_ref().unwrap().by_key(),
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

const CASE: &str = "name: one
summary: s
origin: [{kind: bug, id: 1}]
needs: [disk]
subjects: {d: {role: daemon}, g: {role: guest, user: tester}}
steps: [{as: d, change-profile: '{disk.path}'}, {as: g, acct: off}]
guards: [{of: d, without: {change-profile: x}, denial: {operation: change_profile}}]
";
const FIXTURE: &str = "name: disk
summary: s
facts: {path: where}
timeout: 5
machine: [iommu]
up: echo path=/x
";
const SET: &str = "name: base
summary: s
from: packaged
dirs: {libexecdir: /a, sbindir: /b, sysconfdir: /c}
profiles:
  - {name: p, file: usr.p, roles: [daemon]}
  - {name: p//c, within: p, roles: [child]}
  - {name: q, template: l/T, placeholder: W, files: ['/x r,'], roles: [guest], user: tester, optional: true}
";
const BAD: &str = "name: bad
summary: s
of: base
edits: [{profile: p, without: {capability: kill}}, {profile: q, add: '/y r,'}]
";
const KNOWN: &str =
    "- {case: one@p, sets: [base], images: [i], step: 1, denial: {operation: open}, reason: r, link: l}
- {case: one, sets: [base], images: [i], step: all, effect: e, reason: r, link: l}
";

#[test]
fn a_set_may_be_like_another_and_then_nothing_is_sure_to_be_there() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("cases/x/one.yaml", CASE);
    write("cases/fixtures/disk.yaml", FIXTURE);
    write("profiles/base.yaml", SET);
    let like = |name: &str| format!("name: {name}\nsummary: s\nfrom: dir\nlike: base\n");
    write("profiles/also.yaml", &like("also"));
    let sets = read(root.path(), None).unwrap().sets;
    let also = &sets.manifests["also"];
    assert_eq!(also.profiles.len(), sets.manifests["base"].profiles.len());
    assert!(also.profiles.iter().all(|profile| profile.optional));
    // `like` may not name a missing set, nor one that has `like` itself.
    for other in ["bse", "also"] {
        write("profiles/third.yaml", &like("third").replace("base", other));
        let errors = read(root.path(), None).unwrap_err();
        assert!(
            errors[0]
                .to_string()
                .contains(&format!("unknown profile set `{other}`")),
            "{}",
            errors[0]
        );
    }
    write("profiles/third.yaml", &like("third").replace("like: base\n", ""));
    let errors = read(root.path(), None).unwrap_err();
    assert!(
        errors[0].to_string().contains("exactly one of profiles, like"),
        "{}",
        errors[0]
    );
}

/// The errors of a checkout with these files, with `from` replaced by `to` in one of them.
fn errors(file: &str, from: &str, to: &str) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("cases/x/one.yaml", CASE),
        ("cases/fixtures/disk.yaml", FIXTURE),
        ("profiles/base.yaml", SET),
        ("profiles/known-bad/bad.yaml", BAD),
        ("profiles/known-failures.yaml", KNOWN),
    ];
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = if name == file {
            assert_eq!(
                text.matches(from).count(),
                1,
                "{from:?} must stand in {name} once"
            );
            text.replace(from, to)
        } else {
            text.to_owned()
        };
        std::fs::write(path, text).unwrap();
    }
    match read(root.path(), None) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The control for the table below.
#[test]
fn the_right_checkout_is_right() {
    assert_eq!(errors("", "", ""), Vec::<String>::new());
}

#[rstest]
#[case(
    "cases/fixtures/disk.yaml",
    "name: disk",
    "name: disc",
    "cases/fixtures/disk.yaml:1:7: the fixture is called `disc` and its file `disk`"
)]
#[case(
    "cases/fixtures/disk.yaml",
    "path: where",
    "pth: where",
    "cases/fixtures/disk.yaml:3:9: the script never prints `pth=…`"
)]
#[case(
    "cases/fixtures/disk.yaml",
    "path: where",
    "Path: where",
    "cases/fixtures/disk.yaml:3:9: the fact `Path` is not a lower-case word"
)]
#[case(
    "cases/fixtures/disk.yaml",
    "timeout: 5",
    "timeout: 9999",
    "cases/fixtures/disk.yaml:4:10: 9999 is not a time from 1 to 900 seconds"
)]
#[case(
    "cases/fixtures/disk.yaml",
    "[iommu]",
    "[iomu]",
    "cases/fixtures/disk.yaml:5:11: unknown word `iomu` (did you mean `iommu`?)"
)]
#[case(
    "cases/fixtures/disk.yaml",
    "up: echo path=/x\n",
    "",
    "cases/fixtures/disk.yaml:1:1: the key `up` is missing"
)]
#[case(
    "cases/x/one.yaml",
    "needs: [disk]",
    "needs: [disc]",
    "cases/x/one.yaml:4:9: unknown fixture `disc` (did you mean `disk`?)"
)]
#[case(
    "cases/x/one.yaml",
    "user: tester",
    "user: tstr",
    "cases/x/one.yaml:5:54: unknown user `tstr` (known are: nobody, root, tester)"
)]
#[case(
    "profiles/base.yaml",
    "name: base",
    "name: bas",
    "profiles/base.yaml:1:7: unknown name for this file `bas` (did you mean `base`?)"
)]
#[case(
    "profiles/base.yaml",
    "libexecdir: /a",
    "libexecdir: a",
    "profiles/base.yaml:4:20: `a` is not an absolute path without a slash at the end"
)]
#[case(
    "profiles/base.yaml",
    "sbindir: /b,",
    "",
    "profiles/base.yaml:4:8: the key `sbindir` is missing"
)]
#[case(
    "profiles/base.yaml",
    "from: packaged",
    "from: package",
    "profiles/base.yaml:3:7: unknown word `package` (did you mean `packaged`?)"
)]
#[case(
    "profiles/base.yaml",
    "file: usr.p",
    "file: ../usr.p",
    "profiles/base.yaml:6:21: `../usr.p` is not a path below /etc/apparmor.d"
)]
#[case(
    "profiles/base.yaml",
    "file: usr.p, ",
    "",
    "profiles/base.yaml:6:6: a profile needs exactly one of file, within, template, and has none"
)]
#[case(
    "profiles/base.yaml",
    "within: p",
    "within: pp",
    "profiles/base.yaml:7:26: unknown profile `pp` (known are: p, p//c, q)"
)]
#[case(
    "profiles/base.yaml",
    "placeholder: W, ",
    "",
    "profiles/base.yaml:8:15: `template` needs `placeholder`"
)]
#[case(
    "profiles/base.yaml",
    "file: usr.p",
    "file: usr.p, placeholder: W",
    "profiles/base.yaml:6:28: `placeholder` needs `template`"
)]
#[case(
    "profiles/base.yaml",
    "'/x r,'",
    "'/x r'",
    "profiles/base.yaml:8:54: a rule ends with a comma (write it as it would stand in the profile)"
)]
#[case(
    "profiles/base.yaml",
    "roles: [child]",
    "roles: []",
    "profiles/base.yaml:7:36: `roles` is empty"
)]
#[case(
    "profiles/base.yaml",
    "name: p//c",
    "name: p",
    "profiles/base.yaml:7:12: the profile `p` is used twice (each profile must be another)"
)]
#[case(
    "profiles/known-bad/bad.yaml",
    "of: base",
    "of: bse",
    "profiles/known-bad/bad.yaml:3:5: unknown profile set `bse` (did you mean `base`?)"
)]
#[case(
    "profiles/known-bad/bad.yaml",
    "profile: p,",
    "profile: x,",
    "profiles/known-bad/bad.yaml:4:19: unknown profile `x` (known are: p, p//c, q)"
)]
#[case(
    "profiles/known-bad/bad.yaml",
    "capability: kill",
    "capability: kil",
    "profiles/known-bad/bad.yaml:4:44: unknown capability `kil` (did you mean `kill`?)"
)]
#[case(
    "profiles/known-bad/bad.yaml",
    "add: '/y r,'",
    "add: '/y r'",
    "profiles/known-bad/bad.yaml:4:70: a rule ends with a comma (write it as it would stand in the profile)"
)]
#[case(
    "profiles/known-bad/bad.yaml",
    ", add: '/y r,'",
    "",
    "profiles/known-bad/bad.yaml:4:53: an edit needs exactly one of without, add, and has none"
)]
#[case(
    "profiles/known-failures.yaml",
    "case: one@p",
    "case: onne@p",
    "profiles/known-failures.yaml:1:10: unknown case `onne` (did you mean `one`?)"
)]
#[case(
    "profiles/known-failures.yaml",
    "case: one@p",
    "case: one@x",
    "profiles/known-failures.yaml:1:10: unknown profile `x` (known are: p, p//c, q)"
)]
#[case(
    "profiles/known-failures.yaml",
    "step: 1",
    "step: 2",
    "profiles/known-failures.yaml:1:50: `2` is not the index of a step of this case, counted from 0 over `setup` and `steps`"
)]
#[case(
    "profiles/known-failures.yaml",
    "{operation: open}",
    "{operations: open}",
    "profiles/known-failures.yaml:1:62: the kernel writes no key `operations` (did you mean `operation`?)"
)]
#[case(
    "profiles/known-failures.yaml",
    "effect: e, ",
    "",
    "profiles/known-failures.yaml:2:4: a known failure needs at least one of denial, effect"
)]
#[case(
    "profiles/known-failures.yaml",
    "{operation: open}",
    "{operation: open}, no-fix: n",
    "profiles/known-failures.yaml:1:4: a known failure needs exactly one of no-fix, fix, denial, and has no-fix, denial"
)]
#[case(
    "profiles/known-failures.yaml",
    "[i], step: all",
    "[], step: all",
    "profiles/known-failures.yaml:2:37: `images` is empty"
)]
fn a_broken_file_is_one_clear_error(
    #[case] file: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] want: &str,
) {
    assert_eq!(errors(file, from, to), [want]);
}

/// A reference to a broken file is not reported too, but errors in the form of the referring file are.
#[test]
fn one_mistake_is_told_once() {
    let told = errors("profiles/base.yaml", "sbindir", "sbindr");
    assert_eq!(told.len(), 1, "{told:?}");
}

/// The samples in docs/cases.md are cases that the program takes.
#[test]
fn the_samples_of_the_documents_are_cases() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/cases.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let samples: Vec<&str> = blocks.filter_map(|block| block.split("```").next()).collect();
    assert_eq!(samples.len(), page.matches("```yaml").count());
    assert!(samples.len() >= 2, "{page}");
    // They stand beside the shipped cases, which they may begin with, and may have their names.
    let (cases_of_page, steps): (Vec<&str>, Vec<&str>) = samples
        .into_iter()
        .partition(|sample| sample.starts_with("name: "));
    for sample in steps {
        let steps: Result<Vec<crate::case::model::Step>, _> = serde_yaml::from_str(sample);
        assert!(steps.is_ok_and(|steps| !steps.is_empty()), "{sample}");
    }
    let shipped = read(&root, None).unwrap();
    let cases = tempfile::tempdir().unwrap();
    for (number, sample) in cases_of_page.iter().enumerate() {
        let renamed = sample.replacen("name: ", "name: sample-", 1);
        std::fs::write(cases.path().join(format!("{number}.yaml")), renamed).unwrap();
    }
    for name in ["libvirt-daemon", "running-guest"] {
        let loaded = shipped
            .cases
            .iter()
            .find(|loaded| loaded.case.name == name)
            .unwrap();
        std::fs::copy(root.join(&loaded.file), cases.path().join(format!("{name}.yaml"))).unwrap();
    }
    let read = read(&root, Some(cases.path())).unwrap_or_else(|errors| {
        let rendered: Vec<String> = errors.iter().map(|error| error.render(false)).collect();
        panic!("{}", rendered.join("\n\n"))
    });
    assert_eq!(read.cases.len(), cases_of_page.len() + 2);
}
