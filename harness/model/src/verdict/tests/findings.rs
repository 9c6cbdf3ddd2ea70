//! Findings of a step: unexpected denials and unmet expectations.

use rstest::rstest;
use virt_aa_probe::protocol::{Effect, Outcome};

use crate::testing::evidence::{DENIED, Made, NEGATIVE, POSITIVE, errno, exited, ok};
use crate::verdict::features::Features;
use crate::verdict::judge::{FindingLocation, Verdict};
use crate::verdict::steps::Finding;

const RUN: &str = "{as: d, run: [/x], expect: {stdout: {equals: out}}}";
const ASK: &str = "{as: agent, ask: {socket: /s, say: hello}, expect: {stdout: {contains: [out]}}}";

fn read(bytes: &[u8]) -> Outcome {
    Outcome::Ok(Effect {
        data: bytes.to_vec(),
        written: 0,
        value: 0,
    })
}

fn broken() -> Outcome {
    Outcome::Broken { reason: "no".into() }
}

fn no_answer() -> Outcome {
    Outcome::NoAnswer {
        reason: "silence".into(),
    }
}

fn no_subject() -> Outcome {
    Outcome::NoSubject {
        reason: "gone".into(),
    }
}

#[rstest]
#[case::succeeds(POSITIVE, ok(), Verdict::Pass)]
#[case::fails(POSITIVE, errno(libc::EACCES), Verdict::Fail)]
#[case::hangs(POSITIVE, Outcome::TimedOut, Verdict::Error)]
#[case::subject_gone(POSITIVE, no_subject(), Verdict::Error)]
#[case::guest_silent(ASK, no_answer(), Verdict::Error)]
#[case::guest_answers(ASK, exited(0), Verdict::Pass)]
#[case::guest_has_an_error(ASK, exited(1), Verdict::Fail)]
#[case::error_wanted(
    "{as: agent, ask: {socket: /s, say: x}, expect: {exit: 1}}",
    exited(1),
    Verdict::Pass
)]
#[case::agent_broke(POSITIVE, broken(), Verdict::Error)]
#[case::exit(RUN, exited(0), Verdict::Pass)]
#[case::other_exit(RUN, exited(1), Verdict::Fail)]
#[case::exit_wanted("{as: d, run: [/x], expect: {exit: 3}}", exited(3), Verdict::Pass)]
#[case::exit_not_come("{as: d, run: [/x], expect: {exit: 3}}", exited(0), Verdict::Fail)]
#[case::not_started(RUN, errno(libc::ENOENT), Verdict::Fail)]
#[case::other_output(
    "{as: d, run: [/x], expect: {stdout: {equals: in}}}",
    exited(0),
    Verdict::Fail
)]
#[case::lacking(
    "{as: d, run: [/x], expect: {stdout: {contains: [o, x]}}}",
    exited(0),
    Verdict::Fail
)]
#[case::having(
    "{as: d, run: [/x], expect: {stdout: {lacks: [ut]}}}",
    exited(0),
    Verdict::Fail
)]
#[case::empty(
    "{as: d, run: [/x], expect: {stderr: {some: true}}}",
    exited(0),
    Verdict::Fail
)]
#[case::bytes(
    "{as: d, file: {path: /x, open: r, read: 9}, expect: {bytes: 4}}",
    read(b"four"),
    Verdict::Pass
)]
#[case::fewer_bytes(
    "{as: d, file: {path: /x, open: r, read: 9}, expect: {bytes: 4}}",
    read(b"two"),
    Verdict::Fail
)]
#[case::content("{as: d, file: {path: /x, open: r, read: 9}, expect: {content: {equals: '00ff'}}}", read(&[0, 255]), Verdict::Pass)]
#[case::other_content("{as: d, file: {path: /x, open: r, read: 9}, expect: {content: {equals: '00ff'}}}", read(&[0]), Verdict::Fail)]
#[case::error_wanted(
    "{as: d, acct: off, expect: {errno: ENOENT}}",
    errno(libc::ENOENT),
    Verdict::Pass
)]
#[case::other_error(
    "{as: d, acct: off, expect: {errno: ENOENT}}",
    errno(libc::EPERM),
    Verdict::Fail
)]
#[case::error_not_come("{as: d, acct: off, expect: {errno: ENOENT}}", ok(), Verdict::Fail)]
fn a_step_must_have_its_effect(#[case] step: &str, #[case] outcome: Outcome, #[case] verdict: Verdict) {
    let made = Made::of(&[step]).ending(outcome);
    let judgement = made.judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
    if verdict == Verdict::Pass {
        // The effect alone is not enough.
        assert_eq!(made.saying(0, DENIED).judge().verdict, Verdict::Fail);
    }
}

fn exec(target: &str) -> String {
    format!(
        r#"apparmor="AUDIT" operation="exec" class="file" profile="daemon" name="/x" pid=41 comm="x" requested_mask="x" fsuid=0 ouid=0{target}"#
    )
}

#[rstest]
#[case::inherits(Some(exec("")), "[inherit]", Verdict::Pass)]
#[case::unconfined(Some(exec(" target=\"unconfined\"")), "[unconfined]", Verdict::Pass)]
#[case::either(Some(exec(" target=\"unconfined\"")), "[inherit, unconfined]", Verdict::Pass)]
#[case::another(Some(exec(" target=\"unconfined\"")), "[inherit]", Verdict::Fail)]
#[case::not_told(None, "[inherit]", Verdict::Fail)]
#[case::of_another_process(Some(exec("").replace("pid=41", "pid=42")), "[inherit]", Verdict::Fail)]
#[case::not_granted(Some(exec("").replace("AUDIT", "STATUS")), "[inherit]", Verdict::Fail)]
fn the_label_of_a_program_is_that_of_its_exec(
    #[case] record: Option<String>,
    #[case] labels: &str,
    #[case] verdict: Verdict,
) {
    let step = format!("{{as: d, run: [/x], expect: {{label: {labels}}}}}");
    let mut made = Made::of(&[&step]).ending(exited(0));
    if let Some(record) = record {
        made = made.saying(0, &record);
    }
    let judgement = made.judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

const COUNTED: &str =
    "{as: d, socket: {family: packet, type: raw}, denied: {count: 1, records: [{operation: create}]}}";
const WITH_ERRNO: &str =
    "{as: d, socket: {family: packet, type: raw}, denied: {errno: ENOENT, records: [{operation: create}]}}";
const DENIED_RUN: &str = "{as: d, run: [/x], denied: {records: [{operation: create}]}}";

#[rstest]
#[case::denied(NEGATIVE, errno(libc::EACCES), &[DENIED], Verdict::Pass)]
#[case::denied_twice(NEGATIVE, errno(libc::EPERM), &[DENIED, DENIED], Verdict::Pass)]
#[case::succeeded(NEGATIVE, ok(), &[], Verdict::Fail)]
#[case::succeeded_with_a_record(NEGATIVE, ok(), &[DENIED], Verdict::Fail)]
#[case::no_record(NEGATIVE, errno(libc::EACCES), &[], Verdict::Fail)]
#[case::failed_otherwise(NEGATIVE, errno(libc::ENOENT), &[DENIED], Verdict::Fail)]
#[case::hung(NEGATIVE, Outcome::TimedOut, &[DENIED], Verdict::Fail)]
#[case::subject_gone(NEGATIVE, no_subject(), &[DENIED], Verdict::Fail)]
#[case::once(COUNTED, errno(libc::EACCES), &[DENIED], Verdict::Pass)]
#[case::not_once(COUNTED, errno(libc::EACCES), &[DENIED, DENIED], Verdict::Fail)]
#[case::that_errno(WITH_ERRNO, errno(libc::ENOENT), &[DENIED], Verdict::Pass)]
#[case::not_that_errno(WITH_ERRNO, errno(libc::EACCES), &[DENIED], Verdict::Fail)]
#[case::program(DENIED_RUN, exited(1), &[DENIED], Verdict::Pass)]
#[case::program_undenied(DENIED_RUN, exited(1), &[], Verdict::Fail)]
fn a_step_that_must_be_denied_is_denied_by_what_the_case_names(
    #[case] step: &str,
    #[case] outcome: Outcome,
    #[case] records: &[&str],
    #[case] verdict: Verdict,
) {
    let made = Made::of(&[step]).ending(outcome);
    let made = records.iter().fold(made, |made, text| made.saying(0, text));
    let judgement = made.judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

#[rstest]
#[case::by_another_kind("family=\"packet\"", "family=\"inet\"")]
#[case::logged_and_allowed("DENIED", "ALLOWED")]
#[case::killed("DENIED", "KILLED")]
fn another_record_is_not_the_denial_and_one_more_is_red(#[case] from: &str, #[case] to: &str) {
    let other = DENIED.replace(from, to);
    let alone = Made::of(&[NEGATIVE])
        .ending(errno(libc::EACCES))
        .saying(0, &other);
    assert_eq!(alone.judge().verdict, Verdict::Fail);
    let beside = Made::of(&[NEGATIVE])
        .ending(errno(libc::EACCES))
        .saying(0, DENIED)
        .saying(0, &other);
    assert_eq!(beside.judge().verdict, Verdict::Fail);
}

#[rstest]
#[case::own(Some("d"), Verdict::Pass)]
#[case::of_another_subject(Some("e"), Verdict::Fail)]
#[case::of_an_unconfined_process(Some("agent"), Verdict::Fail)]
#[case::nobodys(None, Verdict::Inconclusive)]
fn only_the_steps_own_subject_can_be_denied_as_expected(
    #[case] owner: Option<&'static str>,
    #[case] verdict: Verdict,
) {
    // The act failed for another reason, while the owner of the record was denied what the case names.
    let judgement = Made::of(&[NEGATIVE])
        .ending(errno(libc::EACCES))
        .saying_from(0, DENIED, owner)
        .judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

#[rstest]
#[case::inherits("", "", Verdict::Pass)]
#[case::its_program(" target=\"unconfined\"", "", Verdict::Inconclusive)]
#[case::a_child_of_it(" target=\"unconfined\" pid=42", "", Verdict::Inconclusive)]
#[case::named(
    " target=\"unconfined\" pid=42",
    ", expect: {label: [inherit, unconfined]}",
    Verdict::Pass
)]
fn an_act_outside_the_label_is_no_pass_unless_the_case_says_so(
    #[case] target: &str,
    #[case] expect: &str,
    #[case] verdict: Verdict,
) {
    let (target, pid) = match target.strip_suffix(" pid=42") {
        Some(target) => (target, "pid=42"),
        None => (target, "pid=41"),
    };
    let step = format!("{{as: d, run: [/x]{expect}}}");
    let mut made = Made::of(&[&step]).ending(exited(0));
    if !expect.is_empty() {
        made = made.saying(0, &exec(""));
    }
    let judgement = made.saying(0, &exec(target).replace("pid=41", pid)).judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

#[test]
fn a_denial_of_another_step_does_not_count() {
    let mut made = Made::of(&[NEGATIVE, POSITIVE]).ending(errno(libc::EACCES));
    assert_eq!(made.judge().verdict, Verdict::Fail);
    made = made.saying(0, DENIED);
    assert_eq!(made.judge().verdict, Verdict::Pass);
    let late = Made::of(&[NEGATIVE, POSITIVE])
        .ending(errno(libc::EACCES))
        .saying(1, DENIED);
    assert_eq!(late.judge().verdict, Verdict::Fail);
}

#[rstest]
#[case::by_its_mode(libc::EACCES, true)]
#[case::for_want_of_a_capability(libc::EPERM, true)]
#[case::for_another_reason(libc::EBUSY, false)]
fn a_refusal_that_no_record_tells_is_said_not_to_be_apparmors(#[case] code: i32, #[case] said: bool) {
    let judgement = Made::of(&[POSITIVE]).ending(errno(code)).judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    let reason = judgement.reason.unwrap();
    assert_eq!(reason.contains("there is no AppArmor record"), said, "{reason}");
}

#[rstest]
#[case::text("equals: a b", b"a b\n", true)]
#[case::other_text("equals: a b", b"a c", false)]
#[case::bytes_as_hex("equals: 00ff", b"\0\xff", true)]
#[case::a_nul_as_hex("equals: '6100'", b"a\0", true)]
#[case::fields("nul-fields: 2", b"a\0b\0", true)]
#[case::too_few_fields("nul-fields: 2", b"a\0", false)]
#[case::a_part("contains: [b]", b"abc", true)]
#[case::no_such_part("contains: [b]", b"ac", false)]
#[case::no_unwanted_part("lacks: [b]", b"ac", true)]
#[case::an_unwanted_part("lacks: [b]", b"abc", false)]
#[case::something("some: true", b"x", true)]
#[case::nothing("some: true", b" \n", false)]
#[case::nothing_wanted("some: false", b"", true)]
fn what_was_read_is_compared(#[case] content: &str, #[case] data: &[u8], #[case] passes: bool) {
    let step = format!("{{as: d, file: {{path: /x, open: r}}, expect: {{content: {{{content}}}}}}}");
    let read = Outcome::Ok(Effect {
        data: data.to_vec(),
        ..Effect::default()
    });
    let verdict = Made::of(&[&step]).ending(read).judge().verdict;
    assert_eq!(verdict, if passes { Verdict::Pass } else { Verdict::Fail });
}

#[rstest]
#[case::all_of_a_short_one(200, "")]
#[case::the_start_of_a_long_one(201, "…")]
fn what_was_read_instead_is_told(#[case] length: usize, #[case] cut: &str) {
    let step = "{as: d, file: {path: /x, open: r}, expect: {content: {contains: [x]}}}";
    let read = Outcome::Ok(Effect {
        data: "é".repeat(length).into_bytes(),
        ..Effect::default()
    });
    let reason = Made::of(&[step]).ending(read).judge().reason.unwrap();
    let told = format!("step 0: the content lacks \"x\": {:?}", "é".repeat(200) + cut);
    assert_eq!(reason, told);
}

#[test]
fn a_cleanup_that_fails_is_an_error() {
    let mut made = Made::of(&[POSITIVE]);
    made.expected.case.cleanup = made.expected.case.steps.clone();
    made.cleanup.push(errno(libc::EBUSY));
    assert_eq!(made.judge().verdict, Verdict::Error);
}

#[test]
fn a_denial_is_of_the_cleanup_step_in_whose_time_it_came() {
    let mut made = Made::of(&[POSITIVE, POSITIVE]);
    made.expected.case.cleanup = made.expected.case.steps.clone();
    made.cleanup = vec![ok(), ok()];
    let findings = made.saying(3, DENIED).judge().findings;
    let places: Vec<_> = findings.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [FindingLocation::Cleanup(1)]);
}

#[rstest]
#[case::passes(POSITIVE, ok(), Verdict::Vacuous)]
#[case::is_not_denied(NEGATIVE, ok(), Verdict::Vacuous)]
#[case::fails_all_the_same(POSITIVE, errno(libc::ENOENT), Verdict::Fail)]
fn where_nothing_is_mediated_only_failures_speak(
    #[case] step: &str,
    #[case] outcome: Outcome,
    #[case] verdict: Verdict,
) {
    let mut made = Made::of(&[step]).ending(outcome);
    made.policy.kernel = Features::parse("file {mask {r\n}\n}\n");
    assert_eq!(made.judge().verdict, verdict);
}

#[rstest]
#[case::all_absent("[dbus, mqueue]", Verdict::Vacuous)]
#[case::one_there("[dbus, file]", Verdict::Pass)]
fn a_case_names_the_classes_that_it_is_about(#[case] classes: &str, #[case] verdict: Verdict) {
    let mut made = Made::of(&[POSITIVE]);
    made.expected.case.mediates = serde_yaml::from_str(classes).unwrap();
    assert_eq!(made.judge().verdict, verdict);
}

/// Denials before a step that does not end are reported with it. They make the failure the profile's fault.
#[rstest]
#[case::hangs(POSITIVE, Outcome::TimedOut)]
#[case::subject_gone(POSITIVE, no_subject())]
#[case::guest_silent(POSITIVE, no_answer())]
#[case::hangs_where_denied(NEGATIVE, Outcome::TimedOut)]
fn a_step_without_an_end_keeps_its_denials(#[case] step: &str, #[case] outcome: Outcome) {
    let other = DENIED.replace("family=\"packet\"", "family=\"inet\"");
    let judgement = Made::of(&[step]).ending(outcome).saying(0, &other).judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    let kinds: Vec<_> = judgement.findings.iter().map(|(_, finding)| finding).collect();
    assert!(
        matches!(kinds[..], [Finding::Denial(_), Finding::Effect(_)]),
        "{kinds:?}"
    );
}

#[test]
fn a_known_lost_effect_does_not_excuse_a_new_denial() {
    let known = || {
        Made::of(&[POSITIVE])
            .ending(Outcome::TimedOut)
            .knowing("step: 0, effect: did not end within its time limit")
    };
    assert_eq!(known().saying(0, DENIED).judge().verdict, Verdict::Fail);
}

fn killed_by(signal: i32) -> Outcome {
    let Outcome::Ran(ran) = exited(0) else {
        unreachable!()
    };
    Outcome::Ran(virt_aa_probe::protocol::Ran {
        exit: None,
        signal: Some(signal),
        ..ran
    })
}

/// A program that dies proves neither a denial nor its absence.
#[test]
fn a_crash_is_no_success_of_what_should_be_denied() {
    let step = "{as: d, run: [/x], denied: {records: [{operation: create, family: packet}]}}";
    let judgement = Made::of(&[step]).ending(killed_by(libc::SIGSEGV)).judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    let findings: Vec<_> = judgement.findings.iter().map(|(_, finding)| finding).collect();
    assert!(
        findings
            .iter()
            .any(|finding| matches!(finding, Finding::Crash(_)))
    );
    assert!(
        !findings
            .iter()
            .any(|finding| matches!(finding, Finding::NotDenied(_)))
    );
    // With the denial the step counts as denied, but the program's death is reported too.
    let denied = Made::of(&[step])
        .ending(killed_by(libc::SIGABRT))
        .saying(0, DENIED);
    assert_eq!(denied.judge().verdict, Verdict::Fail);
}

/// `lacks` proves nothing about text that was dropped.
#[rstest]
#[case::stdout("{stdout: {lacks: [secret]}}", Verdict::Inconclusive)]
#[case::nothing_asked("{label: [inherit], exit: 0}", Verdict::Pass)]
fn output_that_was_cut_is_a_gap_where_it_is_judged(#[case] expect: &str, #[case] verdict: Verdict) {
    let Outcome::Ran(ran) = exited(0) else {
        unreachable!()
    };
    let cut = Outcome::Ran(virt_aa_probe::protocol::Ran {
        stdout_cut: true,
        ..ran
    });
    let step = format!("{{as: d, run: [/x], expect: {expect}}}");
    let judgement = Made::of(&[&step]).ending(cut).saying(0, &exec("")).judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

/// A denial is expected of each side, and each must occur.
#[rstest]
#[case::both(&["packet", "inet"], Verdict::Pass)]
#[case::one(&["packet"], Verdict::Fail)]
#[case::the_other(&["inet"], Verdict::Fail)]
#[case::one_twice(&["packet", "packet"], Verdict::Fail)]
fn every_denial_that_is_named_must_come(#[case] families: &[&str], #[case] verdict: Verdict) {
    let step = "{as: d, socket: {family: packet, type: raw}, denied: {records: [{operation: create, family: packet}, {operation: create, family: inet}]}}";
    let made = Made::of(&[step]).ending(errno(libc::EACCES));
    let made = families.iter().fold(made, |made, family| {
        made.saying(0, &DENIED.replace("\"packet\"", &format!("{family:?}")))
    });
    let judgement = made.judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

/// AppArmor refuses with EACCES. A missing file is the fault of the case or the image, unless an earlier step was
/// denied creating it.
#[rstest]
#[case::no_program("execve", libc::ENOENT, Verdict::Error)]
#[case::no_file("open", libc::ENOENT, Verdict::Error)]
#[case::refused("open", libc::EACCES, Verdict::Fail)]
#[case::no_profile("change_profile", libc::ENOENT, Verdict::Fail)]
fn a_missing_file_is_no_fault_of_the_profile(
    #[case] call: &str,
    #[case] errno: i32,
    #[case] verdict: Verdict,
) {
    let made = Made::of(&[RUN]).ending(Outcome::Errno {
        call: call.into(),
        errno,
    });
    assert_eq!(made.judge().verdict, verdict);
    assert_eq!(made.saying(0, DENIED).judge().verdict, Verdict::Fail);
}
