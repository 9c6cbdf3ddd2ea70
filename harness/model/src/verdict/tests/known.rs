//! Known failures of a shipped set: as described, gone, or different.

use rstest::rstest;

use crate::testing::evidence::{DENIED, Made, POSITIVE, errno};
use crate::verdict::judge::Verdict;

const BY_DENIAL: &str = "step: 0, denial: {operation: create, family: packet}";
const BY_EFFECT: &str = "step: 0, effect: socket failed";

fn failing() -> Made {
    Made::of(&[POSITIVE, POSITIVE])
}

#[test]
fn a_known_failure_that_shows_is_told_as_such() {
    let made = failing().saying(0, DENIED).knowing(BY_DENIAL);
    assert_eq!(made.judge().verdict, Verdict::KnownFailure);
    assert_eq!(made.judge().reason.as_deref(), Some("a bug (there)"));
    let made = failing().ending(errno(libc::EACCES)).knowing(BY_EFFECT);
    assert_eq!(made.judge().verdict, Verdict::KnownFailure);
}

#[rstest]
#[case::by_denial(BY_DENIAL)]
#[case::by_effect(BY_EFFECT)]
#[case::in_any_step("step: all, denial: {operation: create}")]
fn one_that_is_gone_is_red(#[case] known: &str) {
    assert_eq!(failing().knowing(known).judge().verdict, Verdict::UnexpectedPass);
}

#[rstest]
#[case::another_denial("step: 0, denial: {operation: create, family: inet}")]
#[case::another_step("step: 1, denial: {operation: create, family: packet}")]
#[case::another_effect("step: 0, effect: bind failed")]
fn another_failure_is_red(#[case] known: &str) {
    let made = failing()
        .ending(errno(libc::EACCES))
        .saying(0, DENIED)
        .knowing(known);
    assert_eq!(made.judge().verdict, Verdict::Fail);
}

#[test]
fn an_effect_is_known_by_its_text_and_is_no_denial() {
    let failed = || failing().ending(errno(libc::EACCES));
    assert_eq!(
        failed().knowing("step: 0, effect: bind failed").judge().verdict,
        Verdict::Fail
    );
    // The text occurs in the sentence about the denial.
    let denied = failing().saying(0, DENIED).knowing("step: 0, effect: was denied");
    assert_eq!(denied.judge().verdict, Verdict::Fail);
}

#[test]
fn one_more_failure_beside_it_is_red() {
    let more = DENIED.replace("packet", "inet");
    let made = failing().saying(0, DENIED).saying(1, &more).knowing(BY_DENIAL);
    assert_eq!(made.judge().verdict, Verdict::Fail);
    // The same denial in another step is another failure, unless it is known in each step.
    let twice = failing().saying(0, DENIED).saying(1, DENIED);
    assert_eq!(twice.knowing(BY_DENIAL).judge().verdict, Verdict::Fail);
    let twice = failing().saying(0, DENIED).saying(1, DENIED);
    let all = "step: all, denial: {operation: create}";
    assert_eq!(twice.knowing(all).judge().verdict, Verdict::KnownFailure);
}

#[test]
fn of_two_both_must_show() {
    let made = failing().saying(0, DENIED).knowing(BY_DENIAL).knowing(BY_EFFECT);
    assert_eq!(made.judge().verdict, Verdict::Fail);
    let made = failing()
        .ending(errno(libc::EACCES))
        .saying(0, DENIED)
        .knowing(BY_DENIAL)
        .knowing(BY_EFFECT);
    assert_eq!(made.judge().verdict, Verdict::KnownFailure);
}

#[test]
fn all_that_one_entry_says_must_occur() {
    let both = "step: 0, denial: {operation: create, family: packet}, effect: socket failed";
    let denied = || failing().saying(0, DENIED);
    let failed = || denied().ending(errno(libc::EACCES));
    assert_eq!(failed().knowing(both).judge().verdict, Verdict::KnownFailure);
    assert_eq!(denied().knowing(both).judge().verdict, Verdict::Fail);
    assert_eq!(failing().knowing(both).judge().verdict, Verdict::UnexpectedPass);
    let two = "step: 0, denial: {operation: create, family: packet}, effect: [socket failed, bind failed]";
    assert_eq!(failed().knowing(two).judge().verdict, Verdict::Fail);
    let two = two.replace("bind failed", "Permission denied");
    assert_eq!(failed().knowing(&two).judge().verdict, Verdict::KnownFailure);
}

#[test]
fn an_entry_that_names_nothing_excuses_nothing() {
    assert_eq!(
        failing().knowing("step: 0").judge().verdict,
        Verdict::UnexpectedPass
    );
    let denied = failing().saying(0, DENIED);
    assert_eq!(denied.knowing("step: 0").judge().verdict, Verdict::Fail);
}

#[test]
fn a_gap_outweighs_it() {
    let made = failing().saying(0, DENIED).knowing(BY_DENIAL);
    let judgement = made.judge_spoilt(|evidence| evidence.audit_after.lost += 1);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
}
