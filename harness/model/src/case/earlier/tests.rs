use std::sync::Arc;

use rstest::rstest;

use super::*;
use crate::case::beginning::{complete, join};
use crate::case::expand::SubjectProfile;
use crate::case::model::Case;
use crate::case::plan::{Facts, plan};

const DAEMON: &str = "name: daemon, subjects: {d: {role: daemon, daemon: {argv: [/d], ready: /r, timeout: 20}}}, \
                      setup: [{as: agent, run: [/a]}], steps: [{as: d, start: daemon, timeout: 5}], timeout: 7, \
                      cleanup: [{as: agent, run: [/z]}], policy-loads: {count: 2}";
const GUEST: &str = "name: guest, from: daemon, subjects: {vm: {role: guest, run-by: d, label: libvirt-u}}, \
                     steps: [{create: {guest: vm}}], policy-loads: {count: 1}";
const MINE: &str = "name: mine, from: guest, setup: [{as: agent, run: [/b]}], steps: [{virsh: [list]}], \
                    policy-loads: {count: 4}";

/// The cases as they are loaded, with the last one as variant.
fn loaded(texts: &[&str]) -> (Vec<Loaded>, Variant) {
    let cases: Vec<Case> = texts
        .iter()
        .map(|text| {
            let mut case: Case =
                serde_yaml::from_str(&format!("{{summary: s, origin: [], {text}}}")).unwrap();
            complete(&mut case);
            case
        })
        .collect();
    let by_name = cases.iter().map(|case| (case.name.as_str(), case)).collect();
    let loaded: Vec<Loaded> = cases
        .iter()
        .map(|case| {
            let joined = join(case, &by_name).unwrap();
            Loaded {
                case: Arc::new(joined.whole),
                held: joined.held,
                file: "c.yaml".into(),
                line: 1,
                group: String::new(),
            }
        })
        .collect();
    let chosen = |name: &str| SubjectProfile {
        name: name.into(),
        profile: name.into(),
        user: None,
    };
    let last = loaded.last().unwrap().clone();
    let profiles = [("d", "daemon"), ("vm", "guest")];
    let variant = Variant {
        id: "mine@daemon".into(),
        variant: None,
        values: BTreeMap::new(),
        profiles: profiles
            .iter()
            .map(|(name, profile)| ((*name).to_owned(), chosen(profile)))
            .collect(),
        loaded: last,
    };
    (loaded, variant)
}

fn names_of(chain: &[Earlier]) -> Vec<(&str, usize)> {
    chain
        .iter()
        .map(|earlier| (earlier.variant.id.as_str(), earlier.steps))
        .collect()
}

#[test]
fn the_earlier_cases_come_in_order_each_with_the_steps_of_all_before_it() {
    let (cases, mine) = loaded(&[DAEMON, GUEST, MINE]);
    let chain = chain(&mine, &cases);
    assert_eq!(names_of(&chain), [("daemon", 2), ("guest", 3)]);
    assert_eq!(chain[1].steps, mine.loaded.held);
    let profiles = |at: usize| -> Vec<&str> {
        let profiles = chain[at].variant.profiles.keys();
        profiles.map(String::as_str).collect()
    };
    assert_eq!((profiles(0), profiles(1)), (vec!["d"], vec!["d", "vm"]));
    assert!(chain[1].has_any(&["x", "vm"]) && !chain[0].has_any(&["x", "vm"]));
    // Two steps of seven and five seconds, and twenty for the daemon.
    assert_eq!(chain[0].limit(), Duration::from_secs(32));
}

#[test]
fn a_case_that_begins_at_its_own_first_step_has_no_earlier_one() {
    let (cases, daemon) = loaded(&[DAEMON]);
    assert_eq!(chain(&daemon, &cases), []);
}

#[rstest]
#[case::no_other(", steps: [{as: d2, acct: off}]", 1)]
#[case::acts_in_one_only("", 2)]
fn a_subject_that_ends_with_its_case_does_not_act_in_both(#[case] more: &str, #[case] kept: usize) {
    let probe = "d2: {role: daemon}";
    let guest = GUEST.replace("vm: {", &format!("{probe}, vm: {{"));
    let guest = guest.replace("steps: [", "steps: [{as: d2, acct: off}, ");
    let mine = if more.is_empty() {
        MINE.to_owned()
    } else {
        MINE.replace(", steps: [{virsh: [list]}]", more)
    };
    let (cases, mine) = loaded(&[DAEMON, &guest, &mine]);
    assert_eq!(chain(&mine, &cases).len(), kept);
}

#[test]
fn a_program_with_a_label_of_its_own_is_not_kept() {
    let guest = GUEST.replace(", label: libvirt-u", "");
    let (cases, mine) = loaded(&[
        DAEMON,
        &guest.replace("create: {guest: vm}", "virsh: [list]"),
        MINE,
    ]);
    assert_eq!(names_of(&chain(&mine, &cases)), [("daemon", 2)]);
}

#[rstest]
#[case::step(DAEMON, "run: [/a]", "run: [/aa]")]
#[case::daemon(DAEMON, "argv: [/d]", "argv: [/d, -v]")]
#[case::step_of_the_later_case(GUEST, "create: {guest: vm}", "create: {guest: vm, memory: 64}")]
fn any_difference_in_what_comes_before_makes_another_identity(
    #[case] of: &str,
    #[case] from: &str,
    #[case] to: &str,
) {
    let identity = |texts: &[&str], folder: &str| {
        let (cases, mine) = loaded(texts);
        let folders = BTreeMap::from([("sbindir".to_owned(), folder.to_owned())]);
        chain(&mine, &cases).last().unwrap().identity(&folders)
    };
    let one = identity(&[DAEMON, GUEST, MINE], "/sbin");
    assert_eq!(one, identity(&[DAEMON, GUEST, MINE], "/sbin"));
    // What the later case itself does makes no difference.
    assert_eq!(
        one,
        identity(&[DAEMON, GUEST, &MINE.replace("/b", "/c")], "/sbin")
    );
    assert_ne!(one, identity(&[DAEMON, GUEST, MINE], "/usr/sbin"));
    assert!(of.contains(from));
    let changed = [DAEMON, GUEST, MINE].map(|text| {
        if text == of {
            text.replace(from, to)
        } else {
            text.to_owned()
        }
    });
    let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
    assert_ne!(one, identity(&changed, "/sbin"));
}

#[test]
fn a_case_that_begins_later_has_only_its_own_loads_and_one_that_is_kept_no_cleanup() {
    let (cases, mine) = loaded(&[DAEMON, GUEST, MINE]);
    let chain = chain(&mine, &cases);
    let mut planned = plan(&mine, &Facts::default(), "token".into()).unwrap();
    assert_eq!(planned.plan.own_steps().len(), 5);
    assert_eq!(planned.case.policy_loads.count, 7);
    planned.begin_from(&chain[1], "guest-1");
    assert_eq!((planned.plan.held, planned.plan.own_steps().len()), (3, 2));
    assert_eq!(planned.plan.begins_from.as_deref(), Some("guest-1"));
    assert_eq!(planned.case.policy_loads.count, 4);
    assert_eq!(planned.plan.guests[0].label, "libvirt-u");
    planned.keep_as("mine-1");
    assert!(planned.plan.cleanup.is_empty() && planned.case.cleanup.is_empty());
    assert_eq!(planned.plan.keep_as.as_deref(), Some("mine-1"));
}
