//! On a host the set has a policy namespace, and others use the log too.

use rstest::rstest;
use virt_aa_probe::protocol::{AuditState, CaseEvidence, RawRecord};

use crate::testing::evidence::{DENIED, Made, POSITIVE};
use crate::verdict::complete::gaps_after_the_last;
use crate::verdict::judge::{Judgement, Verdict};

/// Judges as on a host that keeps its own audit settings, with the canaries in that namespace.
fn on_a_host(mut made: Made, canaries_in: &str, spoil: impl FnOnce(&mut CaseEvidence)) -> Judgement {
    made.policy.namespace = Some("own".into());
    made.judge_spoilt(|evidence| {
        for record in &mut evidence.records {
            let canary = "profile=\"virt-aa-conform-canary\"";
            record.text = record.text.replace(canary, &format!("{canaries_in} {canary}"));
        }
        for state in [&mut evidence.audit_before, &mut evidence.audit_after] {
            *state = AuditState {
                enabled: false,
                ours: false,
                backlog_limit: 64,
                rate_limit: 100,
                mode: "normal".into(),
                ..state.clone()
            };
        }
        spoil(evidence);
    })
}

const OWN: &str = "namespace=\"root//own\"";

/// A denial by a process that is in none of our control groups.
fn denied_in(namespace: &str) -> Made {
    let text = DENIED
        .replace("pid=40", "pid=77")
        .replace("profile=", &format!("{namespace} profile="));
    Made::of(&[POSITIVE]).saying_from(0, &text, None)
}

#[test]
fn the_hosts_settings_are_no_gap() {
    let judgement = on_a_host(Made::of(&[POSITIVE]), OWN, |_| {});
    assert_eq!(
        (judgement.verdict, judgement.gaps.as_slice()),
        (Verdict::Pass, &[][..])
    );
}

#[rstest]
#[case::canaries_elsewhere("", |_: &mut CaseEvidence| {}, "canary did not arrive")]
#[case::canaries_of_another("namespace=\"root//own2\"", |_: &mut CaseEvidence| {}, "canary did not arrive")]
#[case::silent(OWN, |e: &mut CaseEvidence| e.audit_after.mode = "quiet".into(), "is silent")]
#[case::silent_on_denials(OWN, |e: &mut CaseEvidence| e.audit_before.mode = "quiet_denied".into(), "is silent")]
#[case::excluding(OWN, |e: &mut CaseEvidence| e.audit_before.exclude_rules = 1, "exclude records")]
#[case::not_reading(OWN, |e: &mut CaseEvidence| e.audit_after.reading = false, "the agent was not reading")]
#[case::lost(OWN, |e: &mut CaseEvidence| e.audit_after.lost += 1, "lost 1")]
#[case::overrun(OWN, |e: &mut CaseEvidence| e.audit_after.overruns = 1, "ENOBUFS")]
fn what_hides_records_is_a_gap(
    #[case] canaries_in: &str,
    #[case] spoil: fn(&mut CaseEvidence),
    #[case] reason: &str,
) {
    let judgement = on_a_host(Made::of(&[POSITIVE]), canaries_in, spoil);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let told = judgement.gaps.join("; ");
    assert!(told.contains(reason), "{told}");
}

#[rstest]
#[case::the_hosts_own("")]
#[case::of_another_namespace("namespace=\"root//lxd\"")]
fn records_of_others_are_told_and_not_counted(#[case] namespace: &str) {
    let judgement = on_a_host(denied_in(namespace), OWN, |_| {});
    assert_eq!(judgement.verdict, Verdict::Pass, "{:?}", judgement.gaps);
    assert_eq!(judgement.foreign.len(), 1);
}

#[rstest]
#[case::in_a_subjects_profile("daemon")]
#[case::in_another("elsewhere")]
fn a_denial_in_the_namespace_by_a_process_of_nobody_is_a_gap(#[case] profile: &str) {
    let text = DENIED
        .replace("pid=40", "pid=77")
        .replace("profile=\"daemon\"", &format!("{OWN} profile=\"{profile}\""));
    let judgement = on_a_host(Made::of(&[POSITIVE]).saying_from(0, &text, None), OWN, |_| {});
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert_eq!(judgement.records[0].owner, None);
}

#[test]
fn a_process_of_ours_is_ours_in_whatever_namespace() {
    let judgement = on_a_host(Made::of(&[POSITIVE]).saying(0, DENIED), OWN, |_| {});
    assert_eq!(judgement.verdict, Verdict::Fail);
}

#[rstest]
#[case::of_the_host("", None, 0)]
#[case::of_the_set(OWN, None, 1)]
#[case::of_a_subject("", Some("d"), 1)]
fn between_cases_only_what_is_of_the_set_or_of_a_subject_counts(
    #[case] namespace: &str,
    #[case] subject: Option<&str>,
    #[case] gaps: usize,
) {
    let mut made = Made::of(&[POSITIVE]);
    made.policy.namespace = Some("own".into());
    let record = RawRecord {
        kind: 1400,
        serial: 900,
        text: format!(
            "audit(1.000:900): {}",
            DENIED.replace("profile=", &format!("{namespace} profile="))
        ),
        subject: subject.map(str::to_string),
    };
    assert_eq!(gaps_after_the_last(&[record], &made.policy).len(), gaps);
}
