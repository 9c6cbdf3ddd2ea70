//! Expanding and planning together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rstest::rstest;
use virt_aa_probe::protocol::Act;

use super::expand::{Roles, SubjectProfile, Variant, expand};
use super::loaded::Loaded;
use super::model::Case;
use super::plan::{Facts, Planned, plan};
use crate::yaml::document::Document;
use crate::yaml::source::Source;

fn loaded(text: &str) -> Loaded {
    let source = Source::from_bytes(Path::new("c.yaml"), text.as_bytes().to_vec()).unwrap();
    let case: Case = Document::parse(&source).unwrap()[0]
        .read()
        .unwrap_or_else(|error| panic!("{error}"));
    Loaded {
        case: Arc::new(case),
        held: 0,
        file: PathBuf::from("c.yaml"),
        line: 1,
        group: "network".to_owned(),
    }
}

fn roles(of: &[(&str, &[&str])]) -> Roles {
    let profile = |name: &&str| SubjectProfile {
        name: name.to_string(),
        profile: name.to_string(),
        user: Some("tester".to_owned()),
    };
    of.iter()
        .map(|(role, profiles)| (role.to_string(), profiles.iter().map(profile).collect()))
        .collect()
}

fn ids(variants: &[Variant]) -> Vec<&str> {
    variants.iter().map(|variant| variant.id.as_str()).collect()
}

const TWO: &str = "name: two
summary: s
origin: []
subjects: {a: {role: guest}, z: {role: daemon, except: {bad: it is bad}}, n: {label: \"x-{a.label}\", user: nobody}}
with: [{id: one, how: mmap}, {id: other, how: mlock}]
timeout: 7
setup: [{as: agent, run: [/bin/true]}]
steps:
  - {as: z, lock-memory: {how: \"{how}\", bytes: 9}, timeout: 3}
  - {as: n, change-profile: \"{a.label}//{n.label}\"}
cleanup: [{as: agent, run: [\"{set.sbindir}/x\", \"{disk.path}\"]}]
guards: [{add: \"{disk.path} r,\", of: a}]
";

#[test]
fn a_variant_for_each_entry_and_profile() {
    let variants = expand(
        &loaded(TWO),
        &roles(&[("guest", &["g"]), ("daemon", &["bad", "d1", "d2"])]),
    )
    .unwrap();
    assert_eq!(
        ids(&variants),
        ["two:one@d1", "two:one@d2", "two:other@d1", "two:other@d2"]
    );
    let variants = expand(
        &loaded(TWO),
        &roles(&[("guest", &["g", "h"]), ("daemon", &["d"])]),
    )
    .unwrap();
    assert_eq!(
        ids(&variants),
        ["two:one@d+g", "two:one@d+h", "two:other@d+g", "two:other@d+h"]
    );
}

/// A daemon's own child program.
const CHILD: &str = "name: three
summary: s
origin: []
subjects: {d: {role: daemon}, c: {role: child, run-by: d}}
steps: [{as: d, run: [/x]}]
guards: []
";

#[test]
fn a_program_that_a_subject_runs_enters_that_subjects_child() {
    let both = roles(&[("daemon", &["one", "two"]), ("child", &["one//c", "two//c"])]);
    let variants = expand(&loaded(CHILD), &both).unwrap();
    assert_eq!(ids(&variants), ["three@one", "three@two"]);
    let child = |variant: &Variant| variant.profiles["c"].name.clone();
    assert_eq!(
        variants.iter().map(child).collect::<Vec<_>>(),
        ["one//c", "two//c"]
    );
    // The id is the same in a set with fewer profiles.
    let one = roles(&[("daemon", &["one", "two"]), ("child", &["one//c"])]);
    assert_eq!(ids(&expand(&loaded(CHILD), &one).unwrap()), ["three@one"]);
    let none = roles(&[("daemon", &["two"]), ("child", &["one//c"])]);
    let reason = expand(&loaded(CHILD), &none).unwrap_err().to_string();
    assert!(reason.contains("role `child` of subject `c`"), "{reason}");
}

#[test]
fn a_key_is_the_same_in_sets_with_more_and_with_fewer_profiles() {
    let few = roles(&[("guest", &["g"]), ("daemon", &["d"])]);
    let more = roles(&[("guest", &["g", "h"]), ("daemon", &["d", "e"])]);
    let keys = |roles: &Roles| -> Vec<String> {
        let variants = expand(&loaded(TWO), roles).unwrap();
        variants.iter().map(Variant::key).collect()
    };
    let (few, more) = (keys(&few), keys(&more));
    assert_eq!((few.len(), more.len()), (2, 8));
    assert!(few.iter().all(|key| more.contains(key)), "{few:?} {more:?}");
    // A profile that the kernel lists under another name is still the same profile.
    let renamed = SubjectProfile {
        name: "d".into(),
        profile: "/usr/sbin/d".into(),
        user: None,
    };
    let mut roles = roles(&[("guest", &["g"])]);
    roles.insert("daemon".into(), vec![renamed]);
    assert_eq!(keys(&roles), few);
}

#[test]
fn no_profile_is_an_answer_and_not_nothing() {
    let missing = expand(&loaded(TWO), &roles(&[("guest", &["g"]), ("daemon", &["bad"])])).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no profile of this set is left for the role `daemon` of subject `z` in case `two`; not for bad: it is bad"
    );
}

#[rstest]
#[case("two", true)]
#[case("two:one", true)]
#[case("two:one@d", true)]
#[case("two:on?@*", true)]
#[case("*@d", true)]
#[case("network", true)]
#[case("network/*", true)]
#[case("network/two:one", true)]
#[case("net*/t*", true)]
#[case("two:other", false)]
#[case("tw", false)]
#[case("@d", false)]
#[case("helpers/*", false)]
#[case("", false)]
fn patterns_select(#[case] pattern: &str, #[case] want: bool) {
    let variants = expand(&loaded(TWO), &roles(&[("guest", &["g"]), ("daemon", &["d"])])).unwrap();
    assert_eq!(variants[0].matches(pattern), want, "{}", variants[0].id);
}

fn planned(text: &str, facts: &Facts) -> Result<Planned, String> {
    let variants = expand(&loaded(text), &roles(&[("guest", &["g"]), ("daemon", &["d"])])).unwrap();
    plan(&variants[0], facts, "token".to_owned()).map_err(|error| error.to_string())
}

fn facts() -> Facts {
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    Facts {
        set: one("sbindir", "/usr/sbin"),
        fixtures: [("disk".to_owned(), one("path", "/dev/loop0"))].into(),
    }
}

#[test]
fn a_plan_has_everything_filled_in() {
    let Planned { plan, case } = planned(TWO, &facts()).unwrap();
    assert_eq!(plan.id, "two:one@d");
    assert_eq!(plan.token, "token");
    assert_eq!(plan.step_timeout_ms, 7000);
    let subject = |name: &str| {
        (
            plan.subjects[name].label.as_deref(),
            plan.subjects[name].user.as_deref(),
        )
    };
    assert_eq!(subject("z"), (Some("d"), Some("tester")));
    assert_eq!(subject("n"), (Some("x-g"), Some("nobody")));
    let by: Vec<Option<&str>> = plan.steps.iter().map(|step| step.by.as_deref()).collect();
    assert_eq!(by, [None, Some("z"), Some("n")]);
    assert_eq!(plan.steps[1].timeout_ms, Some(3000));
    assert!(
        matches!(&plan.steps[1].act, Act::LockMemory(memory) if memory.how == "mmap" && memory.bytes == 9)
    );
    assert!(matches!(&plan.steps[2].act, Act::ChangeProfile { to } if to == "g//x-g"));
    assert!(matches!(&plan.cleanup[0].act, Act::Run(run) if run.argv == ["/usr/sbin/x", "/dev/loop0"]));
    assert_eq!(case.guards[0].add.as_deref(), Some("/dev/loop0 r,"));
}

#[test]
fn a_fact_that_is_not_there_is_an_error() {
    let facts = Facts {
        fixtures: BTreeMap::new(),
        ..facts()
    };
    let want = "case `two:one@d`: unknown name `{disk.path}` in cleanup[0].run[1]";
    assert_eq!(planned(TWO, &facts).unwrap_err(), want);
}

#[rstest]
#[case(
    "socket: {family: packet, type: raw, protocol: \"{how}\"}",
    "case `two:one@d`: steps[0].socket.protocol: `mmap` is not a protocol's number"
)]
#[case(
    "socket: {family: packet, type: raw, protocol: 0x100000000}",
    "case `two:one@d`: steps[0].socket.protocol: `4294967296` is not a protocol's number"
)]
#[case(
    "ioctl: {path: /x, open: r, request: \"0x-1\"}",
    "case `two:one@d`: steps[0].ioctl.request: `0x-1` is not a request's number"
)]
#[case(
    "ioctl: {path: /x, open: r, request: 1, argument: \"0g\"}",
    "case `two:one@d`: steps[0].ioctl.argument: `0g` is not bytes in hex"
)]
#[case(
    "ask: {socket: s, say: hello}",
    "case `two:one@d`: steps[0].ask.socket: `s` is not an absolute path"
)]
#[case(
    "ask: {socket: /s, say: \"hello\\u00e9\"}",
    "case `two:one@d`: steps[0].ask.say: `hello\u{e9}` is not one line of printable ASCII"
)]
#[case("run: []", "case `two:one@d`: steps[0].run: `run` is empty")]
fn what_makes_no_sense_is_an_error_with_its_place(#[case] action: &str, #[case] want: &str) {
    let text = TWO.replace("lock-memory: {how: \"{how}\", bytes: 9}", action);
    assert_ne!(text, TWO);
    assert_eq!(planned(&text, &facts()).unwrap_err(), want);
}

#[rstest]
#[case("socket: {family: packet, type: raw, protocol: 768}", |act: &Act| matches!(act, Act::Socket(s) if s.protocol == 768))]
#[case("ioctl: {path: /x, open: rw, request: 0x3b67, argument: \"08000000 00ff\"}", |act: &Act| matches!(act, Act::Ioctl(i) if i.request == 0x3b67 && i.argument == [8, 0, 0, 0, 0, 255]))]
#[case("ask: {socket: /s, say: \"read 80 {how}\"}", |act: &Act| matches!(act, Act::Ask(ask) if ask.socket == "/s" && ask.say == "read 80 mmap"))]
#[case("acct: off", |act: &Act| matches!(act, Act::Acct { file: None }))]
#[case("acct: /x", |act: &Act| matches!(act, Act::Acct { file: Some(file) } if file == "/x"))]
#[case("signal: {to: n, signal: term}", |act: &Act| matches!(act, Act::Signal { to, signal } if to == "n" && signal == "term"))]
#[case("ptrace: {of: n, how: read}", |act: &Act| matches!(act, Act::Ptrace(look) if look.of == "n" && look.how == "read" && look.pid.is_none()))]
fn an_action_becomes_an_act(#[case] action: &str, #[case] right: impl Fn(&Act) -> bool) {
    let text = TWO.replace("lock-memory: {how: \"{how}\", bytes: 9}", action);
    let planned = planned(&text, &facts()).unwrap();
    assert!(
        right(&planned.plan.steps[1].act),
        "{:?}",
        planned.plan.steps[1].act
    );
}

#[test]
fn a_record_keeps_its_numbers() {
    let text = TWO
        .replace("how: mmap", "how: 768")
        .replace(
            "guards: [",
            "guards: [{without: {capability: kill}, denial: {protocol: \"{how}\", name: \"x{how}\"}}, ",
        )
        .replace(
            "lock-memory: {how: \"{how}\", bytes: 9}",
            "acct: off, denied: {records: [{protocol: \"{how}\"}]}",
        );
    let case = planned(&text, &facts()).unwrap().case;
    let denial = case.guards[0].denial.as_ref().unwrap();
    assert_eq!(
        (&denial["protocol"], &denial["name"]),
        (&768.into(), &"x768".into())
    );
    assert_eq!(
        case.steps[0].denied.as_ref().unwrap().records[0]["protocol"],
        768.into()
    );
}

#[test]
fn a_daemon_is_labelled_by_attachment() {
    let text = TWO.replace(
        "z: {role: daemon,",
        "z: {role: daemon, daemon: {argv: [/d], ready: /s},",
    );
    let planned = planned(&text, &facts()).unwrap();
    assert_eq!(planned.plan.subjects["z"].label, None);
    assert_eq!(
        planned.plan.subjects["z"]
            .program
            .as_ref()
            .map(|daemon| daemon.timeout_ms),
        Some(30_000)
    );
}
