//! Everything that may happen to what an earlier case left.

use rstest::rstest;
use virt_aa_probe::protocol::{GuestPlan, LoadedProfile};

use super::*;
use crate::testing::evidence::{DENIED, Made, errno, ok};
use crate::verdict::judge::{FindingLocation, Judgement, Verdict, judge};

const LABEL: &str = "libvirt-u";

/// A case of three steps, of which an earlier case performed two. It had started the daemon `d` and the guest `vm`.
fn made() -> Made {
    let start = "{as: d, start: daemon}";
    let mut made = Made::of(&[start, "{as: agent, acct: off}", "{as: agent, acct: off}"]);
    let guest = serde_yaml::from_str(&format!("{{run-by: d, label: {LABEL}}}")).unwrap();
    made.expected.case.subjects.insert("vm".into(), guest);
    made.expected.held = 2;
    made.outcomes.truncate(1);
    made
}

fn process(label: &str, mode: &str) -> ProcessFacts {
    ProcessFacts {
        pid: 77,
        label: label.into(),
        mode: mode.into(),
        exe: "/usr/bin/qemu".into(),
    }
}

fn profile(mode: &str) -> LoadedProfile {
    LoadedProfile {
        name: LABEL.into(),
        mode: mode.into(),
        attach: String::new(),
        hash: None,
    }
}

fn evidence(made: &Made) -> CaseEvidence {
    let mut evidence = made.evidence();
    evidence.policy_before.profiles.push(profile("enforce"));
    let d = evidence.subjects.get_mut("d").unwrap();
    d.started_before = true;
    evidence.guests = vec![KeptGuest {
        label: LABEL.into(),
        loaded: true,
        left: vec![process(LABEL, "enforce")],
        found: vec![process(LABEL, "enforce")],
    }];
    evidence
}

fn judged(made: &Made, evidence: &CaseEvidence) -> Judgement {
    let mut plan = made.plan();
    plan.begins_from = Some("earlier".into());
    judge(&made.expected, &plan, evidence, &made.policy, &[])
}

#[test]
fn a_case_passes_if_it_finds_all_as_it_was_left_and_its_own_steps_pass() {
    let made = made();
    let judgement = judged(&made, &evidence(&made));
    assert_eq!(judgement.verdict, Verdict::Pass, "{:?}", judgement.reason);
}

#[rstest]
#[case::daemon_gone(|e: &mut CaseEvidence| drop(e.subjects.remove("d")), "subject d, which an earlier case started, was not up")]
#[case::daemon_exchanged(
    |e: &mut CaseEvidence| e.subjects.get_mut("d").unwrap().started_before = false,
    "subject d, which an earlier case started, was not up"
)]
#[case::guest_gone(|e: &mut CaseEvidence| e.guests[0].found.clear(), "had ended when the case began")]
#[case::guest_unconfined(
    |e: &mut CaseEvidence| e.guests[0].found = vec![process("unconfined", "")],
    "with the label `unconfined ()` when the case began, not `libvirt-u (enforce)`"
)]
#[case::guest_complains(
    |e: &mut CaseEvidence| e.guests[0].found = vec![process(LABEL, "complain")],
    "with the label `libvirt-u (complain)`"
)]
#[case::guest_is_another_program(
    |e: &mut CaseEvidence| e.guests[0].found[0].exe = "/bin/sh".into(),
    "was /bin/sh with the label"
)]
#[case::profile_gone(
    |e: &mut CaseEvidence| e.policy_before.profiles.retain(|profile| profile.name != LABEL),
    "profile libvirt-u, of a guest that an earlier case started, was not loaded"
)]
#[case::profile_complains(
    |e: &mut CaseEvidence| e.policy_before.profiles.last_mut().unwrap().mode = "complain".into(),
    "before the case profile libvirt-u is in complain mode"
)]
#[case::profile_stays(
    |e: &mut CaseEvidence| e.policy_after.profiles.push(profile("enforce")),
    "after the case profile libvirt-u is loaded, but the set does not declare it"
)]
#[case::another_guest(
    |e: &mut CaseEvidence| e.guests[0].label = "libvirt-v".into(),
    "libvirt-v was kept for the case, which has no such guest"
)]
#[case::profile_of_nobody(
    |e: &mut CaseEvidence| e.guests.clear(),
    "before the case profile libvirt-u is loaded, but the set does not declare it"
)]
#[case::step_not_reached(|e: &mut CaseEvidence| e.steps.clear(), "step 2 was not reached")]
#[case::a_step_twice(
    |e: &mut CaseEvidence| e.steps.push(e.steps[0].clone()),
    "the agent reported 2 steps, but the plan has 1"
)]
#[case::no_barrier(|e: &mut CaseEvidence| e.steps[0].barrier = None, "the barrier record after step 2")]
fn whatever_changed_meanwhile_is_a_gap(#[case] spoil: fn(&mut CaseEvidence), #[case] says: &str) {
    let made = made();
    let mut evidence = evidence(&made);
    spoil(&mut evidence);
    let judgement = judged(&made, &evidence);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let said: Vec<_> = judgement.gaps.iter().chain(&judgement.reason).collect();
    assert!(said.iter().any(|gap| gap.contains(says)), "{said:?}");
}

/// The step that fails has the number that it would have if all steps had been performed.
#[test]
fn steps_have_the_same_numbers_whether_they_are_held_or_performed() {
    let own = |held: usize| {
        let start = "{as: agent, acct: off}";
        let mut made = Made::of(&[start, start, "{as: d, socket: {family: packet, type: raw}}"]);
        made.expected.held = held;
        made.outcomes = vec![ok(); 2 - held];
        made.outcomes.push(errno(libc::EACCES));
        made.saying(2 - held, DENIED)
    };
    let all = own(0).judge();
    let held = own(2).judge();
    assert_eq!(all.verdict, Verdict::Fail);
    assert_eq!((&all.reason, &all.findings), (&held.reason, &held.findings));
    assert!(
        held.findings
            .iter()
            .all(|(place, _)| *place == FindingLocation::Step(2))
    );
    assert_eq!(held.records[0].step, Some(2));
    // A known failure names the step by the same number.
    for held in [0, 2] {
        let known = own(held).knowing("step: 2, denial: {operation: create}, effect: socket");
        assert_eq!(known.judge().verdict, Verdict::KnownFailure, "{held}");
    }
}

#[test]
fn a_denial_in_the_cleanup_is_not_in_a_step() {
    let mut made = made();
    made.expected.case.cleanup = serde_yaml::from_str("[{as: agent, acct: off}]").unwrap();
    made.cleanup = vec![ok()];
    let made = made.saying(1, DENIED);
    let judgement = judged(&made, &evidence(&made));
    assert_eq!(judgement.findings[0].0, FindingLocation::Cleanup(0));
}

#[test]
fn only_a_case_that_is_kept_leaves_its_guests_profile_and_that_in_enforce_mode() {
    let made = made();
    let mut evidence = evidence(&made);
    let mut plan = made.plan();
    plan.guests = vec![GuestPlan {
        run_by: "d".into(),
        label: LABEL.into(),
    }];
    plan.keep_as = Some("mine".into());
    evidence.policy_after.profiles.push(profile("enforce"));
    let verdict = |plan: &CasePlan, evidence: &CaseEvidence| {
        judge(&made.expected, plan, evidence, &made.policy, &[]).verdict
    };
    assert_eq!(verdict(&plan, &evidence), Verdict::Pass);
    evidence.policy_after.profiles.last_mut().unwrap().mode = "complain".into();
    assert_eq!(verdict(&plan, &evidence), Verdict::Inconclusive);
}
