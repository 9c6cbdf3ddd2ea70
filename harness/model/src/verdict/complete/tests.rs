//! Policy that a case loads itself, and programs that enter labels by attachment.

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::case::expand::SubjectProfile;
use crate::testing::evidence::Made;
use crate::verdict::features::Features;
use crate::verdict::records::{Attributed, Class};

/// A guest that the daemon starts itself may be loaded any number of times, without a count.
#[rstest]
#[case::by_its_own_daemon("d", 2, 0)]
#[case::by_another("other", 2, 3)]
#[case::a_move_that_no_record_tells_of("d", 3, 1)]
fn loads_for_an_own_guest_are_recognised(#[case] owner: &str, #[case] moved: u64, #[case] gaps: usize) {
    let mut expected = expected();
    expected.case.policy_loads = Default::default();
    let guest = serde_yaml::from_str("{role: helper, run-by: d, label: own}").unwrap();
    expected.case.subjects.insert("vm".into(), guest);
    let mut records = attribution(&[LOAD, REMOVE]);
    records
        .records
        .iter_mut()
        .for_each(|record| record.owner = Some(owner.into()));
    let found =
        policy_is_the_one_under_test(&evidence(5, 5 + moved), &plan(), &expected, &policy(), &records);
    assert_eq!(found.len(), gaps, "{found:?}");
}

/// A case that loads `own` and removes it again, with a program that enters `helper`.
fn expected() -> Expected {
    let case = "
name: c
summary: s
origin: []
subjects: {d: {role: daemon}, h: {role: helper, run-by: d}}
policy-loads: {count: 2, profiles: [own]}
steps: []
guards: []
";
    let profile = |name: &str| SubjectProfile {
        name: name.into(),
        profile: name.into(),
        user: None,
    };
    Expected {
        case: serde_yaml::from_str(case).unwrap(),
        profiles: BTreeMap::from([("d".into(), profile("daemon")), ("h".into(), profile("helper"))]),
        held: 0,
    }
}

fn plan() -> CasePlan {
    Made::of(&[]).plan()
}

fn evidence(before: u64, after: u64) -> CaseEvidence {
    let policy = |revision: u64| json!({"revision": revision, "profiles": []});
    let audit = json!({
        "lost": 0, "backlog_limit": 0, "rate_limit": 0, "pid": 1, "ours": true, "overruns": 0, "reading": true,
        "enabled": true, "exclude_rules": 0, "mode": "noquiet", "enforcement": "enforce",
    });
    serde_json::from_value(json!({
        "policy_before": policy(before), "policy_after": policy(after), "audit_before": audit, "audit_after": audit,
        "canary_before": 1, "canary_after": 2, "serial_gaps": 0, "subjects": {}, "steps": [], "cleanup": [],
        "records": [], "unattributed": [], "processes": {"unavailable": null, "overruns": 0}, "escaped": [],
        "switches": {"unavailable": null, "writers": [], "other_values": []}, "guest_ms": 0.0, "steps_ms": 0.0,
    }))
    .unwrap()
}

fn attribution(records: &[&str]) -> Attribution {
    let attributed = |text: &&str| Attributed {
        serial: 1,
        step: Some(0),
        owner: Some("d".into()),
        class: Class::Clean,
        record: aa_audit::parse_record(format!("audit(1.000:1): apparmor={text}").as_bytes()).unwrap(),
        text: (*text).into(),
    };
    Attribution {
        records: records.iter().map(attributed).collect(),
        unreadable: Vec::new(),
        foreign: Vec::new(),
    }
}

fn policy() -> Policy {
    Policy {
        declared: BTreeMap::new(),
        warnings: Vec::new(),
        files: Vec::new(),
        kernel: Features::default(),
        files_run: Vec::new(),
        namespace: None,
    }
}

const LOAD: &str = r#""STATUS" operation="profile_load" profile="unconfined" name="own" pid=9 comm="p""#;
const CHILD: &str =
    r#""STATUS" operation="profile_load" profile="unconfined" name="own//child" pid=9 comm="p""#;
const REMOVE: &str = r#""STATUS" operation="profile_remove" profile="unconfined" name="own" pid=9 comm="p""#;
const OTHER: &str =
    r#""STATUS" operation="profile_load" profile="unconfined" name="ownership" pid=9 comm="p""#;
const EXEC: &str = r#""AUDIT" operation="exec" class="file" profile="daemon" name="/h" pid=9 comm="d" requested_mask="x" target="helper""#;
const ELSEWHERE: &str = r#""AUDIT" operation="exec" class="file" profile="daemon" name="/h" pid=9 comm="d" requested_mask="x" target="unconfined""#;
const DENIED: &str = r#""DENIED" operation="exec" class="file" profile="daemon" name="/h" pid=9 comm="d" requested_mask="x" denied_mask="x" target="helper""#;

#[rstest]
#[case::as_declared(2, &[LOAD, REMOVE], 0)]
#[case::with_a_child(3, &[LOAD, CHILD, REMOVE], 0)]
#[case::a_move_that_no_record_tells_of(3, &[LOAD, REMOVE], 1)]
#[case::of_another_profile(2, &[OTHER, REMOVE], 1)]
#[case::fewer_may_be_why_it_fails(0, &[], 0)]
fn policy_moves_as_the_case_declares(#[case] moved: u64, #[case] records: &[&str], #[case] gaps: usize) {
    let found = policy_is_the_one_under_test(
        &evidence(5, 5 + moved),
        &plan(),
        &expected(),
        &policy(),
        &attribution(records),
    );
    assert_eq!(found.len(), gaps, "{found:?}");
}

#[test]
fn a_revision_that_went_back_is_a_gap() {
    let found = policy_is_the_one_under_test(
        &evidence(5, 4),
        &plan(),
        &expected(),
        &policy(),
        &attribution(&[]),
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[rstest]
#[case::whole(2, &[EXEC, LOAD, REMOVE], &[])]
#[case::not_loaded(0, &[EXEC], &["revision moved from 5 to 5"])]
#[case::never_ran(2, &[LOAD, REMOVE], &["entered the label of subject h"])]
#[case::ran_elsewhere(2, &[ELSEWHERE, LOAD, REMOVE], &["entered the label of subject h"])]
#[case::was_denied(2, &[DENIED, LOAD, REMOVE], &["entered the label of subject h"])]
fn a_pass_needs_every_load_and_every_label(
    #[case] moved: u64,
    #[case] records: &[&str],
    #[case] gaps: &[&str],
) {
    let found = gaps_of_a_pass(&evidence(5, 5 + moved), &expected(), &attribution(records));
    assert_eq!(found.len(), gaps.len(), "{found:?}");
    for (gap, wanted) in found.iter().zip(gaps) {
        assert!(gap.contains(wanted), "{gap}");
    }
}

#[test]
fn a_program_of_another_subject_is_not_the_one() {
    let mut records = attribution(&[EXEC]);
    records.records[0].owner = Some("agent".into());
    assert_eq!(
        programs_entered_their_labels(&evidence(5, 5), &expected(), &records).len(),
        1
    );
}
