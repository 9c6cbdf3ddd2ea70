//! Subjects that are not who they should be, or whose programs are not seen.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::evidence::{Made, POSITIVE, exited};
use crate::verdict::records::attribute;

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
    // The step already reports it.
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
#[case::dropped("000001ffffffbfff", 0)]
#[case::kept("000001ffffffffff", 1)]
#[case::one_more_dropped("000001ffffffbffe", 1)]
fn a_capability_that_is_dropped_is_lacking_and_no_other(#[case] cap_eff: &str, #[case] gaps: usize) {
    let found = wrong(|made, evidence, _| {
        made.expected.case.subjects.get_mut("d").unwrap().drops = vec!["ipc_lock".into()];
        subject(evidence).credentials.cap_eff = cap_eff.into();
    });
    assert_eq!(found.len(), gaps, "{found:?}");
}

/// A subject `h` that is a program which `d` runs.
fn with_helper(made: &mut Made) {
    let helper = serde_yaml::from_str("{role: helper, run-by: d}").unwrap();
    made.expected.case.subjects.insert("h".into(), helper);
    let chosen = crate::case::expand::SubjectProfile {
        name: "helper".into(),
        profile: "helper".into(),
        user: None,
    };
    made.expected.profiles.insert("h".into(), chosen);
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
    with_helper(&mut made);
    let mut evidence = made.evidence();
    let process = json!({"pid": 50, "label": label, "mode": mode, "exe": "/h"});
    subject(&mut evidence).started = vec![serde_json::from_value(process).unwrap()];
    let found = programs_entered_their_labels(&evidence, &made.expected, &Attribution::default());
    assert_eq!(found.len(), gaps, "{found:?}");
}

const EXEC: &str = r#"apparmor="AUDIT" operation="exec" class="file" profile="daemon" name="/x" pid=50 comm="x" requested_mask="x" fsuid=0 ouid=0 target="other""#;

/// The number of gaps of a step by `d` that runs a program, and of `h`, which `d` runs, if this record was written
/// during it.
fn outside(expect: &str, text: &str, owner: Option<&'static str>) -> usize {
    let step = format!("{{as: d, run: [/x], expect: {expect}}}");
    let mut made = Made::of(&[&step]).ending(exited(0)).saying_from(0, text, owner);
    with_helper(&mut made);
    let evidence = made.evidence();
    acts_outside_the_label(&evidence, &made.expected, &attribute(&evidence, &made.policy, 0)).len()
}

#[rstest]
#[case::another_label("other", 1)]
#[case::its_own("daemon", 0)]
#[case::that_of_a_subject_that_it_runs("helper", 0)]
fn a_program_stays_in_the_labels_that_the_case_knows(#[case] target: &str, #[case] gaps: usize) {
    let record = EXEC.replace("target=\"other\"", &format!("target=\"{target}\""));
    assert_eq!(outside("{}", &record, Some("d")), gaps);
}

#[rstest]
#[case::denied(EXEC.replace("AUDIT", "DENIED"), Some("d"))]
#[case::no_exec(EXEC.replace("exec", "change_profile"), Some("d"))]
#[case::of_another_subject(EXEC.to_string(), Some("e"))]
#[case::of_nobody(EXEC.to_string(), None)]
#[case::from_another_label(EXEC.replace("daemon", "daemon//child"), Some("d"))]
fn only_what_the_subject_itself_runs_leaves_its_label(
    #[case] record: String,
    #[case] owner: Option<&'static str>,
) {
    assert_eq!(outside("{}", &record, owner), 0);
}

/// The program of the step is process 41.
#[rstest]
#[case::a_program_of_its("{label: [other]}", 50, 0)]
#[case::a_program_of_its_elsewhere("{label: [third]}", 50, 1)]
#[case::itself("{label: [third]}", 41, 0)]
fn a_step_may_name_a_label(#[case] expect: &str, #[case] pid: u32, #[case] gaps: usize) {
    let record = EXEC.replace("pid=50", &format!("pid={pid}"));
    assert_eq!(outside(expect, &record, Some("d")), gaps);
}
