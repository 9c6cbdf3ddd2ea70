//! Is the evidence whole? Each gap makes a verdict inconclusive, and says why.

use std::collections::BTreeSet;

use aa_audit::{Kind, Record, Verdict};
use virt_aa_probe::protocol::{
    AuditState, CANARY_PROFILE, CaseEvidence, CasePlan, Outcome, PolicyState, RawRecord,
};

use super::expected::Expected;
use super::policy::Policy;
use super::records::{Attribution, within};

/// Every gap in the evidence of a case.
pub fn gaps(
    evidence: &CaseEvidence,
    plan: &CasePlan,
    expected: &Expected,
    policy: &Policy,
    attribution: &Attribution,
) -> Vec<String> {
    let mut gaps = policy_is_the_one_under_test(evidence, expected, policy, attribution);
    gaps.extend(subjects_were_confined(evidence, plan, expected));
    gaps.extend(steps_are_those_of_the_plan(evidence, plan));
    gaps.extend(log_path_was_whole(evidence, plan, policy));
    gaps.extend(records_belong_to_somebody(evidence, attribution, policy));
    gaps
}

/// What a case must show beside, if nothing is wrong with it. One that fails may well have been kept from it.
pub fn gaps_of_a_pass(
    evidence: &CaseEvidence,
    expected: &Expected,
    attribution: &Attribution,
) -> Vec<String> {
    let mut gaps = programs_entered_their_labels(expected, attribution);
    let moves = Moves::of(evidence, expected, attribution);
    if moves.seen.is_none_or(|seen| seen < moves.declared) {
        gaps.push(moves.told(evidence));
    }
    gaps
}

/// Point 1: what the kernel enforced is what was compiled, before and after, and changed only as the case declares.
pub fn policy_is_the_one_under_test(
    evidence: &CaseEvidence,
    expected: &Expected,
    policy: &Policy,
    attribution: &Attribution,
) -> Vec<String> {
    let mut gaps: Vec<String> = policy
        .warnings
        .iter()
        .map(|warning| format!("the parser warned: {warning}"))
        .collect();
    for (when, state) in [
        ("before", &evidence.policy_before),
        ("after", &evidence.policy_after),
    ] {
        gaps.extend(
            differences(state, policy)
                .into_iter()
                .map(|gap| format!("{when} the case {gap}")),
        );
    }
    let moves = Moves::of(evidence, expected, attribution);
    if moves.seen.is_none_or(|seen| seen > moves.declared) {
        gaps.push(moves.told(evidence));
    }
    for record in loads(attribution) {
        let name = record.name.as_deref().unwrap_or_default();
        let declared = &expected.case.policy_loads.profiles;
        if !declared.iter().any(|declared| within(name, declared)) {
            gaps.push(format!(
                "{} of {name} while the case ran, which the case does not declare",
                record.operation.as_deref().unwrap_or("a load")
            ));
        }
    }
    gaps
}

/// How often the policy's revision moved while a case ran, and how often it should have.
struct Moves {
    seen: Option<u64>,
    declared: u64,
}

impl Moves {
    /// A profile comes with its children, and the revision moves for each; which it has is the image's affair.
    fn of(evidence: &CaseEvidence, expected: &Expected, attribution: &Attribution) -> Moves {
        let (before, after) = (evidence.policy_before.revision, evidence.policy_after.revision);
        let children = loads(attribution).filter(|record| {
            // One that is as it was moves it too; one that the kernel refused does not.
            record.error.is_none() && record.name.as_ref().is_some_and(|name| name.contains("//"))
        });
        Moves {
            seen: after.checked_sub(before),
            declared: expected.case.policy_loads.count + children.count() as u64,
        }
    }

    fn told(&self, evidence: &CaseEvidence) -> String {
        format!(
            "the policy's revision moved from {} to {}, and the case's own loads, with children, move it by {}",
            evidence.policy_before.revision, evidence.policy_after.revision, self.declared
        )
    }
}

/// The kernel's own records of loads and removals.
fn loads(attribution: &Attribution) -> impl Iterator<Item = &Record> {
    attribution
        .records
        .iter()
        .map(|attributed| &attributed.record)
        .filter(|record| {
            record.verdict == Verdict::Status
                && record
                    .operation
                    .as_deref()
                    .is_some_and(|operation| operation.starts_with("profile_"))
        })
}

fn differences(state: &PolicyState, policy: &Policy) -> Vec<String> {
    let mut gaps = Vec::new();
    for (name, declared) in &policy.declared {
        let Some(loaded) = state.profiles.iter().find(|loaded| loaded.name == *name) else {
            gaps.push(format!("profile {name} is not loaded"));
            continue;
        };
        if loaded.mode != "enforce" || !declared.enforce {
            gaps.push(format!("profile {name} is in {} mode, not enforced", loaded.mode));
        }
        match &loaded.hash {
            Some((kind, digest)) if declared.hashes.get(kind) == Some(digest) => {}
            Some((kind, digest)) => {
                gaps.push(format!(
                    "the kernel's {kind} {digest} of profile {name} is not that of the compiled one"
                ));
            }
            None => gaps.push(format!("the kernel keeps no hash of profile {name}")),
        }
    }
    for loaded in &state.profiles {
        if !policy.declared.contains_key(&loaded.name) {
            gaps.push(format!(
                "profile {} is loaded, and the set does not declare it",
                loaded.name
            ));
        }
    }
    gaps
}

/// Points 2 and 3: each subject stood at the barrier in its label, in enforce mode, as the user it should be, and
/// was at rest before the closing canary.
pub fn subjects_were_confined(evidence: &CaseEvidence, plan: &CasePlan, expected: &Expected) -> Vec<String> {
    let mut gaps = Vec::new();
    // Where a case ended early the step that ended it is what speaks; subjects of later steps were not needed.
    let whole = evidence.steps.len() == plan.steps.len();
    for (name, subject) in &plan.subjects {
        let Some(facts) = evidence.subjects.get(name) else {
            if whole
                && !evidence
                    .steps
                    .iter()
                    .any(|step| matches!(step.outcome, Outcome::NoSubject { .. }))
            {
                gaps.push(format!("subject {name} was never seen"));
            }
            continue;
        };
        let label = expected.label_of(name).unwrap_or_default();
        if facts.label != label || facts.mode != "enforce" {
            gaps.push(format!(
                "subject {name} had the label `{} ({})`, not `{label} (enforce)`",
                facts.label, facts.mode
            ));
        }
        let who = &facts.credentials;
        match expected.user_of(name) {
            Some(user) if who.uid == 0 || !who.cap_eff.trim_start_matches('0').is_empty() => {
                gaps.push(format!(
                    "subject {name} should be {user} without capabilities, and was user {} with {}",
                    who.uid, who.cap_eff
                ));
            }
            None if who.uid != 0 => {
                gaps.push(format!("subject {name} should be root, and was user {}", who.uid))
            }
            _ => {}
        }
        if who.no_new_privs || who.seccomp != 0 {
            gaps.push(format!(
                "subject {name} was held back by something else: no_new_privs or seccomp"
            ));
        }
        if let Some((soft, hard)) = subject.memlock
            && who.memlock != (Some(soft), Some(hard))
        {
            gaps.push(format!(
                "subject {name} had a locked-memory limit of {:?}",
                who.memlock
            ));
        }
        if !facts.quiesced {
            gaps.push(format!(
                "subject {name} could not be brought to rest before the closing canary"
            ));
        }
    }
    gaps
}

/// Point 2, for a subject that is a program which another one runs: the kernel's record of an exec names its label.
pub fn programs_entered_their_labels(expected: &Expected, attribution: &Attribution) -> Vec<String> {
    let ran_by = expected
        .case
        .subjects
        .iter()
        .filter_map(|(name, subject)| Some((name, subject.run_by.as_ref()?)));
    let not_seen = ran_by.filter(|(name, by)| {
        let label = expected.label_of(name);
        !attribution.records.iter().any(|attributed| {
            let record = &attributed.record;
            attributed.owner.as_ref() == Some(by)
                && record.kind() == Kind::Exec
                && record.verdict == Verdict::Audit
                && record.target.as_deref() == label
        })
    });
    not_seen
        .map(|(name, by)| format!("no program of {by} was seen to enter the label of subject {name}"))
        .collect()
}

/// Point 5: from the opening canary to the closing one nothing was lost on the way to us.
pub fn log_path_was_whole(evidence: &CaseEvidence, plan: &CasePlan, policy: &Policy) -> Vec<String> {
    let mut gaps = Vec::new();
    for (which, serial) in [("open", evidence.canary_before), ("close", evidence.canary_after)] {
        let token = format!("{}-{which}", plan.token);
        if !serial.is_some_and(|serial| canary_arrived(evidence, serial, &token, policy)) {
            gaps.push(format!("the {which} canary's denial did not arrive"));
        }
    }
    for (index, step) in evidence.steps.iter().chain(&evidence.cleanup).enumerate() {
        let token = format!("{}-{}", plan.token, index + 1);
        if !step
            .fence
            .is_some_and(|serial| canary_arrived(evidence, serial, &token, policy))
        {
            gaps.push(format!("the canary's denial behind step {index} did not arrive"));
        }
    }
    if !fences_are_in_order(evidence) {
        gaps.push("the canaries' denials are not in the order of the steps".into());
    }
    // The machine counts too, but it is not the one to judge itself.
    let missing = evidence.serial_gaps.max(missing_serials(evidence));
    if missing != 0 {
        gaps.push(format!(
            "{missing} audit messages never arrived (gaps in their serial numbers)"
        ));
    }
    let (before, after) = (&evidence.audit_before, &evidence.audit_after);
    if before.lost != after.lost {
        gaps.push(format!(
            "the kernel lost {} audit messages",
            after.lost.wrapping_sub(before.lost)
        ));
    }
    if before.overruns != after.overruns {
        gaps.push("the audit socket overran (ENOBUFS)".into());
    }
    for (when, state) in [("before", before), ("after", after)] {
        gaps.extend(
            unfit(state, policy)
                .into_iter()
                .map(|gap| format!("{when} the case {gap}")),
        );
    }
    gaps
}

/// Whether the serials of the canaries rise from the opening one over each step's to the closing one.
fn fences_are_in_order(evidence: &CaseEvidence) -> bool {
    let steps = evidence.steps.iter().chain(&evidence.cleanup);
    let serials: Vec<u64> = std::iter::once(evidence.canary_before)
        .chain(steps.map(|step| step.fence))
        .chain([evidence.canary_after])
        .flatten()
        .collect();
    serials.is_sorted_by(|one, next| one < next)
}

/// How many serial numbers between the opening and the closing canary never arrived.
fn missing_serials(evidence: &CaseEvidence) -> u64 {
    let (Some(first), Some(last)) = (evidence.canary_before, evidence.canary_after) else {
        return 0;
    };
    let arrived: BTreeSet<u64> = evidence
        .records
        .iter()
        .map(|raw| raw.serial)
        .filter(|serial| (first..=last).contains(serial))
        .collect();
    last.saturating_add(1)
        .saturating_sub(first)
        .saturating_sub(arrived.len() as u64)
}

/// Each step of the plan was told of at most once, and each of the cleanup exactly once.
fn steps_are_those_of_the_plan(evidence: &CaseEvidence, plan: &CasePlan) -> Vec<String> {
    let mut gaps = Vec::new();
    if evidence.steps.len() > plan.steps.len() {
        gaps.push(format!(
            "{} steps were told of, and the case has {}",
            evidence.steps.len(),
            plan.steps.len()
        ));
    }
    if evidence.cleanup.len() != plan.cleanup.len() {
        gaps.push(format!(
            "{} cleanup steps were done, and the case has {}",
            evidence.cleanup.len(),
            plan.cleanup.len()
        ));
    }
    gaps
}

fn canary_arrived(evidence: &CaseEvidence, serial: u64, token: &str, policy: &Policy) -> bool {
    let path = format!("/run/{token}");
    // Some kernels name a folder with a slash behind it.
    evidence
        .records
        .iter()
        .filter(|raw| raw.serial == serial)
        .any(|raw| {
            aa_audit::parse_record(raw.text.as_bytes()).is_ok_and(|record| {
                record.verdict == Verdict::Denied
                    && policy.is_of_namespace(&record)
                    && record.profile.as_deref() == Some(CANARY_PROFILE)
                    && record.name.as_deref().map(|name| name.trim_end_matches('/')) == Some(path.as_str())
            })
        })
}

/// In a machine of ours the log has no limits and a reader of ours alone. On a host its settings stay as they are: what
/// is lost by them is counted, and the set itself tells what a `deny` would hide, unless nothing at all is told.
fn unfit(state: &AuditState, policy: &Policy) -> Vec<String> {
    let mut gaps = Vec::new();
    if state.exclude_rules != 0 {
        gaps.push(format!("{} audit rules exclude records", state.exclude_rules));
    }
    if policy.namespace.is_some() {
        if !state.reading {
            gaps.push("nobody of ours read the audit records".into());
        }
        if !["normal", "noquiet", "all"].contains(&state.mode.as_str()) {
            gaps.push(format!(
                "AppArmor's audit mode was `{}`, in which the host's kernel is silent",
                state.mode
            ));
        }
        return gaps;
    }
    if !state.ours || !state.reading {
        gaps.push("nobody of ours read the audit socket".into());
    }
    if state.backlog_limit != 0 || state.rate_limit != 0 {
        gaps.push(format!(
            "the audit backlog limit was {} and the rate limit {}, not 0",
            state.backlog_limit, state.rate_limit
        ));
    }
    if state.mode != "noquiet" {
        gaps.push(format!(
            "AppArmor's audit mode was `{}`, not `noquiet`",
            state.mode
        ));
    }
    gaps
}

/// Point 6: every AppArmor record is somebody's, and none came between two cases.
pub fn records_belong_to_somebody(
    evidence: &CaseEvidence,
    attribution: &Attribution,
    policy: &Policy,
) -> Vec<String> {
    let mut gaps: Vec<String> = attribution
        .unreadable
        .iter()
        .map(|text| format!("a record could not be read: {text}"))
        .collect();
    for record in attribution.records.iter().filter(|record| record.is_ownerless()) {
        gaps.push(format!("nobody is known who made this record: {}", record.text));
    }
    for stray in evidence
        .strays
        .iter()
        .filter(|stray| stray.kind == 1400 && !is_of_no_interest(stray, policy))
    {
        gaps.push(format!(
            "a record came before the case that nobody had waited for: {}",
            stray.text
        ));
    }
    gaps
}

/// The canary's, clean, or of others on a host.
fn is_of_no_interest(stray: &RawRecord, policy: &Policy) -> bool {
    aa_audit::parse_record(stray.text.as_bytes()).is_ok_and(|record| {
        record.verdict.is_clean()
            || record.profile.as_deref() == Some(CANARY_PROFILE)
            || (stray.subject.is_none() && !policy.is_of_namespace(&record))
    })
}

#[cfg(test)]
mod tests;
