//! Subjects that are not who they should be, or whose programs are not seen.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::verdict::tests::made::{Made, POSITIVE};

/// What is wrong with the subject `d` of a case of two steps.
fn wrong(change: impl FnOnce(&mut Made, &mut CaseEvidence, &mut CasePlan)) -> Vec<String> {
    let mut made = Made::of(&[POSITIVE, POSITIVE]);
    let (mut evidence, mut plan) = (made.evidence(), made.plan());
    change(&mut made, &mut evidence, &mut plan);
    subjects_were_confined(&evidence, &plan, &made.expected)
}

fn subject(evidence: &mut CaseEvidence) -> &mut SubjectFacts {
    evidence.subjects.get_mut("d").unwrap()
}

#[test]
fn a_subject_that_no_step_came_to_need_is_not_missed() {
    assert_eq!(wrong(|_, evidence, _| evidence.subjects.clear()).len(), 1);
    let ended_early = wrong(|_, evidence, _| {
        evidence.subjects.clear();
        evidence.steps.pop();
    });
    assert_eq!(ended_early, Vec::<String>::new());
    // The step says so already.
    let not_started = wrong(|_, evidence, _| {
        evidence.subjects.clear();
        evidence.steps[1].outcome = Outcome::NoSubject {
            reason: "it did not start".into(),
        };
    });
    assert_eq!(not_started, Vec::<String>::new());
}

#[rstest]
#[case::as_planned((Some(64), Some(64)), 0)]
#[case::another((Some(65), Some(64)), 1)]
#[case::none((None, None), 1)]
fn its_limit_of_locked_memory_is_the_planned_one(
    #[case] memlock: (Option<u64>, Option<u64>),
    #[case] gaps: usize,
) {
    let found = wrong(|_, evidence, plan| {
        plan.subjects.get_mut("d").unwrap().memlock = Some((64, 64));
        subject(evidence).credentials.memlock = memlock;
    });
    assert_eq!(found.len(), gaps, "{found:?}");
}

#[rstest]
#[case::a_plain_user(1000, "0000000000000000", 0)]
#[case::root_by_that_name(0, "0000000000000000", 1)]
#[case::with_capabilities(1000, "0000000000000400", 1)]
fn a_user_that_is_named_has_no_capabilities(#[case] uid: u32, #[case] cap_eff: &str, #[case] gaps: usize) {
    let found = wrong(|made, evidence, _| {
        made.expected.case.subjects.get_mut("d").unwrap().user = Some("somebody".into());
        let facts = subject(evidence);
        (facts.should_be.uid, facts.should_be.cap_eff) = (uid, cap_eff.into());
        (facts.credentials.uid, facts.credentials.cap_eff) = (uid, cap_eff.into());
    });
    assert_eq!(found.len(), gaps, "{found:?}");
}

#[rstest]
#[case::in_its_label("helper", "enforce", 0)]
#[case::in_another("daemon", "enforce", 1)]
#[case::not_enforced("helper", "complain", 1)]
fn a_program_that_was_seen_to_run_needs_no_record(
    #[case] label: &str,
    #[case] mode: &str,
    #[case] gaps: usize,
) {
    let mut made = Made::of(&[POSITIVE]);
    let helper = serde_yaml::from_str("{role: helper, run-by: d}").unwrap();
    made.expected.case.subjects.insert("h".into(), helper);
    let chosen = crate::case::expand::SubjectProfile {
        name: "helper".into(),
        profile: "helper".into(),
        user: None,
    };
    made.expected.profiles.insert("h".into(), chosen);
    let mut evidence = made.evidence();
    let process = json!({"pid": 50, "label": label, "mode": mode, "exe": "/h"});
    subject(&mut evidence).started = vec![serde_json::from_value(process).unwrap()];
    let found = programs_entered_their_labels(&evidence, &made.expected, &Attribution::default());
    assert_eq!(found.len(), gaps, "{found:?}");
}
