use rstest::rstest;

use super::*;
use crate::testing::evidence::{DENIED, Made, NEGATIVE, POSITIVE, errno, ok};

fn guard(text: &str) -> Guard {
    serde_yaml::from_str(text).unwrap()
}

const WITHOUT: &str = "{of: d, without: {network: packet raw}, denial: {operation: create}}";
const ADD: &str = "{of: d, add: 'network packet raw,'}";

/// The finding that kills the guard's mutant in the run `after`, with `before` as the base run.
fn kill(text: &str, before: &Made, after: &Made) -> Option<String> {
    let base = findings_of(&before.judge());
    let guard = guard(text);
    let subject = guard.of.clone().unwrap_or_default();
    killer(&guard, &subject, &base, &after.expected, &after.judge())
}

/// Two subjects; the second one's step must be denied.
fn two() -> Made {
    let mut made = Made::of(&[
        POSITIVE,
        "{as: g, file: {path: /x, open: r}, denied: {records: [{operation: open}]}}",
    ]);
    let guest = serde_yaml::from_str("{role: guest}").unwrap();
    made.expected.case.subjects.insert("g".into(), guest);
    made.expected.profiles.insert(
        "g".into(),
        crate::case::expand::SubjectProfile {
            name: "other".into(),
            profile: "other".into(),
            user: None,
        },
    );
    made.outcomes[1] = errno(libc::EACCES);
    made.saying_from(1, OPEN, Some("g"))
}

const OPEN: &str = r#"apparmor="DENIED" operation="open" class="file" profile="other" name="/x" pid=41 comm="x" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#;

fn refused() -> Made {
    Made::of(&[POSITIVE])
        .ending(errno(libc::EACCES))
        .saying(0, DENIED)
}

#[test]
fn the_guards_own_denial_kills() {
    assert!(kill(WITHOUT, &Made::of(&[POSITIVE]), &refused()).is_some());
}

#[test]
fn a_denial_that_another_step_expects_does_not_kill() {
    // The case is red by something unrelated to the guard, and the green run has the same denial.
    let guard = "{of: d, without: {network: packet raw}, denial: {operation: open}}";
    let red = two().ending(errno(libc::EACCES)).saying(0, DENIED);
    assert_eq!(kill(guard, &two(), &red), None);
}

#[test]
fn a_finding_that_the_base_run_has_does_not_kill() {
    assert_eq!(kill(WITHOUT, &refused(), &refused()), None);
}

#[rstest]
#[case::of_another_profile(DENIED.replace("profile=\"daemon\"", "profile=\"other\""), Some("d"), false)]
#[case::of_a_child_profile(DENIED.replace("profile=\"daemon\"", "profile=\"daemon//child\""), Some("d"), true)]
#[case::of_nobodys_process(DENIED.to_string(), None, false)]
#[case::of_another_operation(DENIED.replace("create", "bind"), Some("d"), false)]
fn only_a_denial_of_the_guards_own_subject_kills(
    #[case] record: String,
    #[case] owner: Option<&'static str>,
    #[case] kills: bool,
) {
    let red = Made::of(&[POSITIVE])
        .ending(errno(libc::EACCES))
        .saying_from(0, &record, owner);
    assert_eq!(kill(WITHOUT, &Made::of(&[POSITIVE]), &red).is_some(), kills);
}

#[test]
fn a_denial_of_another_subject_with_the_same_label_does_not_kill() {
    let mut red = Made::of(&[POSITIVE])
        .ending(errno(libc::EACCES))
        .saying_from(0, DENIED, Some("e"));
    let twin = red.expected.profiles["d"].clone();
    red.expected.profiles.insert("e".into(), twin);
    assert_eq!(kill(WITHOUT, &Made::of(&[POSITIVE]), &red), None);
}

#[test]
fn an_added_rule_kills_by_the_act_that_now_succeeds() {
    let denied = Made::of(&[NEGATIVE])
        .ending(errno(libc::EACCES))
        .saying(0, DENIED);
    assert!(kill(ADD, &denied, &Made::of(&[NEGATIVE]).ending(ok())).is_some());
    // An act of another subject does not kill.
    let other = two();
    let mut undenied = two();
    undenied.outcomes[1] = ok();
    undenied.said.clear();
    assert_eq!(kill(ADD, &other, &undenied), None);
}

#[test]
fn an_added_rule_kills_by_an_act_in_the_name_of_its_profile() {
    // `d` has changed to the profile of `g`.
    let made = || {
        let step =
            "{as: d, file: {path: /x, open: r}, denied: {records: [{operation: open, profile: other}]}}";
        Made {
            expected: Expected {
                case: Made::of(&[step]).expected.case,
                profiles: two().expected.profiles,
                held: 0,
            },
            ..Made::of(&[step])
        }
    };
    let with_guest = |mut made: Made| {
        made.expected.case.subjects = two().expected.case.subjects;
        made
    };
    let denied = with_guest(made()).ending(errno(libc::EACCES)).saying(0, OPEN);
    let guard = "{of: g, add: '/x r,'}";
    assert!(kill(guard, &denied, &with_guest(made()).ending(ok())).is_some());
}

const OPENS: &str = "{as: g, file: {path: /x, open: r}, denied: {records: [{operation: open}]}}";

#[rstest]
#[case::another_subject(OPENS, "{of: d, add: '/x r,'}", false)]
#[case::a_subject_that_runs_it(
    "{as: r, file: {path: /x, open: r}, denied: {records: [{operation: open}]}}",
    "{of: g, add: '/x r,'}",
    true
)]
#[case::a_subject_that_runs_another(
    "{as: r, file: {path: /x, open: r}, denied: {records: [{operation: open}]}}",
    "{of: d, add: '/x r,'}",
    false
)]
#[case::in_the_name_of_another(
    "{as: g, file: {path: /x, open: r}, denied: {records: [{operation: open, profile: other}]}}",
    "{of: d, add: '/x r,'}",
    false
)]
#[case::a_signal_to_it(
    "{as: g, signal: {to: d, signal: term}, denied: {records: [{operation: signal}]}}",
    "{of: d, add: 'signal receive,'}",
    true
)]
#[case::a_signal_to_another(
    "{as: g, signal: {to: g, signal: term}, denied: {records: [{operation: signal}]}}",
    "{of: d, add: 'signal receive,'}",
    false
)]
#[case::a_trace_of_it(
    "{as: g, ptrace: {of: d, how: trace}, denied: {records: [{operation: ptrace}]}}",
    "{of: d, add: 'ptrace tracedby,'}",
    true
)]
#[case::by_the_consent_of_both(OPENS, "{of: d, add: '/x r,', also: [{of: g, add: '/x r,'}]}", true)]
#[case::by_the_consent_of_others(OPENS, "{of: d, add: '/x r,', also: [{of: r, add: '/x r,'}]}", false)]
fn an_added_rule_kills_only_by_an_act_that_has_to_do_with_it(
    #[case] step: &str,
    #[case] guard: &str,
    #[case] kills: bool,
) {
    let made = |outcome| {
        let mut made = two();
        made.expected.case.steps[1] = serde_yaml::from_str(step).unwrap();
        for (name, text) in [("r", "{}"), ("g", "{role: guest, run-by: r}")] {
            let subject = serde_yaml::from_str(text).unwrap();
            made.expected.case.subjects.insert(name.into(), subject);
        }
        made.outcomes[1] = outcome;
        made
    };
    assert_eq!(
        kill(guard, &made(errno(libc::EACCES)), &made(ok())).is_some(),
        kills
    );
}
