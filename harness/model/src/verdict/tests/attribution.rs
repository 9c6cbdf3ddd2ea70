//! The owner of a record, and whether the record counts.

use rstest::rstest;

use crate::testing::evidence::{DENIED, Made, POSITIVE, canary};
use crate::verdict::judge::{FindingLocation, Verdict};
use crate::verdict::records::Class;

/// A denial by another process, in another profile.
fn foreign(pid: i32, profile: &str) -> String {
    DENIED
        .replace("pid=40", &format!("pid={pid}"))
        .replace("profile=\"daemon\"", &format!("profile=\"{profile}\""))
}

#[rstest]
#[case::started_by_a_subject(foreign(77, "elsewhere"), Some("d"), Some("d"))]
#[case::agents(foreign(77, "elsewhere"), Some("agent"), Some("agent"))]
// A subject's label or process number does not make a process the subject's.
#[case::with_its_number(foreign(40, "elsewhere"), None, None)]
#[case::with_its_label(foreign(77, "daemon"), None, None)]
#[case::with_a_childs_label(foreign(77, "daemon//child"), None, None)]
#[case::of_the_canarys_process(foreign(77, "elsewhere"), Some("canary"), None)]
fn a_record_is_charged_to_the_subject_that_started_its_process(
    #[case] text: String,
    #[case] started_by: Option<&'static str>,
    #[case] owner: Option<&str>,
) {
    let judgement = Made::of(&[POSITIVE]).saying_from(0, &text, started_by).judge();
    assert_eq!(judgement.records[0].owner.as_deref(), owner);
    // A denial always counts, whoever owns it.
    let verdict = if owner.is_some() {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    };
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

#[rstest]
#[case::in_the_step(0, FindingLocation::Step(0))]
#[case::in_the_next(1, FindingLocation::Step(1))]
#[case::after_the_last(2, FindingLocation::Case)]
fn a_denial_is_found_in_the_step_in_whose_time_it_came(#[case] step: usize, #[case] place: FindingLocation) {
    let judgement = Made::of(&[POSITIVE, POSITIVE]).saying(step, DENIED).judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert_eq!(judgement.findings.first().map(|(place, _)| *place), Some(place));
}

#[rstest]
#[case("DENIED", Verdict::Fail)]
#[case("ALLOWED", Verdict::Fail)]
#[case("KILLED", Verdict::Fail)]
#[case("ERROR", Verdict::Fail)]
#[case("AUDIT", Verdict::Pass)]
#[case("STATUS", Verdict::Pass)]
#[case("HINT", Verdict::Pass)]
fn only_some_records_speak_against_a_pass(#[case] word: &str, #[case] verdict: Verdict) {
    let judgement = Made::of(&[POSITIVE])
        .saying(0, &DENIED.replace("DENIED", word))
        .judge();
    assert_eq!(judgement.verdict, verdict, "{:?}", judgement.reason);
}

#[test]
fn a_record_that_cannot_be_read_is_a_gap() {
    let judgement = Made::of(&[POSITIVE]).saying(0, "apparmor=\"NONSENSE").judge();
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(
        judgement.gaps[0].contains("could not be read"),
        "{:?}",
        judgement.gaps
    );
}

#[test]
fn the_canarys_profile_is_no_cloak() {
    let denial = canary("made-up").text.replace("pid=9", "pid=40");
    let judgement = Made::of(&[POSITIVE]).saying_from(0, &denial, Some("d")).judge();
    assert_eq!(judgement.verdict, Verdict::Fail);
    let judgement = Made::of(&[POSITIVE])
        .saying_from(0, &denial, Some("canary"))
        .judge();
    assert_eq!(judgement.verdict, Verdict::Pass);
}

fn open(path: &str, profile: &str) -> String {
    format!(
        r#"apparmor="DENIED" operation="open" class="file" profile="{profile}" name="{path}" pid=40 comm="x" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#
    )
}

#[rstest]
#[case::covered("/quiet/x", "daemon", true)]
#[case::covered_in_the_child("/quiet/x", "daemon//child", true)]
#[case::another_path("/loud/x", "daemon", false)]
#[case::another_profile("/quiet/x", "other", false)]
#[case::unknown_profile("/quiet/x", "elsewhere", false)]
fn a_denial_that_a_deny_rule_covers_is_quieted(
    #[case] path: &str,
    #[case] profile: &str,
    #[case] quieted: bool,
) {
    let judgement = Made::of(&[POSITIVE]).saying(0, &open(path, profile)).judge();
    assert_eq!(matches!(judgement.records[0].class, Class::Quieted(_)), quieted);
    let verdict = if quieted { Verdict::Pass } else { Verdict::Fail };
    assert_eq!(judgement.verdict, verdict);
    // A report shows it, so a start of daemons with such a denial is no silent one.
    assert!(judgement.why_not_silent().is_some());
    assert_eq!(Made::of(&[POSITIVE]).judge().why_not_silent(), None);
    // A quieted denial does not excuse a step that loses its effect.
    let failing = Made::of(&[POSITIVE])
        .ending(crate::testing::evidence::errno(libc::EACCES))
        .saying(0, &open(path, profile));
    assert_eq!(failing.judge().verdict, Verdict::Fail);
}

#[test]
fn what_is_logged_and_allowed_is_never_quieted() {
    let text = open("/quiet/x", "daemon").replace("DENIED", "ALLOWED");
    assert_eq!(
        Made::of(&[POSITIVE]).saying(0, &text).judge().verdict,
        Verdict::Fail
    );
}
