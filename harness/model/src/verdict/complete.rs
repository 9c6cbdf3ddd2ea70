//! Checks that the evidence is complete. Each gap makes a verdict inconclusive and gives the reason.

pub mod beginning;
pub mod subjects;

use std::collections::BTreeSet;

use aa_audit::Verdict;
use virt_aa_probe::protocol::{
    AuditState, CANARY_PROFILE, CaseEvidence, CasePlan, Outcome, PolicyState, RawRecord,
};

use self::beginning::{beginning_was_as_left, guests_after, guests_before, undeclared};
use self::subjects::{acts_outside_the_label, programs_entered_their_labels, subjects_were_confined};
use super::expected::Expected;
use super::once::texts_once;
use super::policy::Policy;
use super::records::{Attributed, Attribution, within};

/// netlink type of the audit system's own messages about its settings.
const AUDIT_CONFIG_CHANGE: u16 = 1305;

/// Every gap in the evidence of a case.
pub fn gaps(
    evidence: &CaseEvidence,
    plan: &CasePlan,
    expected: &Expected,
    policy: &Policy,
    attribution: &Attribution,
) -> Vec<String> {
    let mut gaps = policy_is_the_one_under_test(evidence, plan, expected, policy, attribution);
    gaps.extend(subjects_were_confined(evidence, plan, expected));
    gaps.extend(beginning_was_as_left(evidence, plan, expected));
    gaps.extend(steps_are_those_of_the_plan(evidence, plan));
    gaps.extend(output_was_whole(evidence, expected));
    gaps.extend(processes_were_followed(evidence, expected));
    gaps.extend(switches_were_left_alone(evidence));
    gaps.extend(log_path_was_whole(evidence, plan, policy));
    gaps.extend(records_belong_to_somebody(evidence, attribution, policy));
    gaps
}

/// Point 4: the output that a step has expectations for was kept completely.
fn output_was_whole(evidence: &CaseEvidence, expected: &Expected) -> Vec<String> {
    let steps = expected.reached(evidence).map(|(_, step, done)| (step, done));
    let cleanup = expected.case.cleanup.iter().zip(&evidence.cleanup);
    let mut gaps = Vec::new();
    for (step, done) in steps.chain(cleanup) {
        let (Outcome::Ran(ran), Some(expect)) = (&done.outcome, &step.expect) else {
            continue;
        };
        for (name, expect, kept, cut) in [
            ("standard output", &expect.stdout, &ran.stdout, ran.stdout_cut),
            ("standard error", &expect.stderr, &ran.stderr, ran.stderr_cut),
        ] {
            if expect.is_some() && cut {
                let kept = kept.len();
                gaps.push(format!(
                    "only the first {kept} bytes of {name} were kept, but a step has an expectation for it"
                ));
            }
        }
    }
    gaps
}

/// Evidence that only a passing case must show. A failing case may not have got that far.
pub fn gaps_of_a_pass(
    evidence: &CaseEvidence,
    expected: &Expected,
    attribution: &Attribution,
) -> Vec<String> {
    let mut gaps = programs_entered_their_labels(evidence, expected, attribution);
    gaps.extend(acts_outside_the_label(evidence, expected, attribution));
    let moves = Moves::of(evidence, expected, attribution);
    if moves.seen.is_none_or(|seen| seen < moves.declared) {
        gaps.push(moves.told(evidence));
    }
    gaps
}

/// Point 1: the kernel enforced the compiled policy before and after the case, and the profiles of guests that are kept. It
/// changed only as the case declares.
pub fn policy_is_the_one_under_test(
    evidence: &CaseEvidence,
    plan: &CasePlan,
    expected: &Expected,
    policy: &Policy,
    attribution: &Attribution,
) -> Vec<String> {
    let mut gaps: Vec<String> = policy
        .warnings
        .iter()
        .map(|warning| format!("the parser warned: {warning}"))
        .collect();
    for (when, state, guests) in [
        ("before", &evidence.policy_before, guests_before(evidence)),
        ("after", &evidence.policy_after, guests_after(plan)),
    ] {
        gaps.extend(
            differences(state, policy, &guests)
                .into_iter()
                .map(|gap| format!("{when} the case {gap}")),
        );
    }
    let moves = Moves::of(evidence, expected, attribution);
    if moves.seen.is_none_or(|seen| seen > moves.declared) {
        gaps.push(moves.told(evidence));
    }
    for load in loads(attribution).filter(|load| !is_for_own_guest(load, expected)) {
        let record = &load.record;
        let name = record.name.as_deref().unwrap_or_default();
        let declared = &expected.case.policy_loads.profiles;
        if !declared.iter().any(|declared| within(name, declared)) {
            gaps.push(format!(
                "{} of {name} while the case ran; the case does not declare it",
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
    /// The revision moves for a profile and for each of its children. Which children exist depends on the image.
    fn of(evidence: &CaseEvidence, expected: &Expected, attribution: &Attribution) -> Moves {
        let (before, after) = (evidence.policy_before.revision, evidence.policy_after.revision);
        // Loading an unchanged profile moves the revision too; a load that the kernel refused does not.
        let counted = loads(attribution).filter(|load| load.record.error.is_none());
        let recognised = counted.filter(|load| {
            let is_child = load.record.name.as_ref().is_some_and(|name| name.contains("//"));
            is_child || is_for_own_guest(load, expected)
        });
        Moves {
            seen: after.checked_sub(before),
            declared: expected.case.policy_loads.count + recognised.count() as u64,
        }
    }

    fn told(&self, evidence: &CaseEvidence) -> String {
        format!(
            "the policy revision moved from {} to {}, but the loads that the case declares, including children, account for {}",
            evidence.policy_before.revision, evidence.policy_after.revision, self.declared
        )
    }
}

/// The kernel's own records of loads and removals.
fn loads(attribution: &Attribution) -> impl Iterator<Item = &Attributed> {
    attribution.records.iter().filter(|Attributed { record, .. }| {
        record.verdict == Verdict::Status
            && record
                .operation
                .as_deref()
                .is_some_and(|operation| operation.starts_with("profile_"))
    })
}

/// Whether a subject or a process that it started loads or removes the profile of the subject's own guest.
fn is_for_own_guest(load: &Attributed, expected: &Expected) -> bool {
    let name = load.record.name.as_deref().unwrap_or_default();
    expected
        .guests()
        .any(|guest| load.owner.as_deref() == Some(guest.run_by) && within(name, guest.label))
}

fn differences(state: &PolicyState, policy: &Policy, guests: &[&str]) -> Vec<String> {
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
                    "the kernel's {kind} {digest} of profile {name} differs from that of the compiled profile"
                ));
            }
            None => gaps.push(format!("the kernel keeps no hash of profile {name}")),
        }
    }
    let others = state.profiles.iter();
    let others = others.filter(|loaded| !policy.declared.contains_key(&loaded.name));
    gaps.extend(others.filter_map(|loaded| undeclared(&loaded.name, &loaded.mode, guests)));
    gaps
}

/// Point 6: the kernel reported every process that the case started, and none left its subject's control group.
fn processes_were_followed(evidence: &CaseEvidence, expected: &Expected) -> Vec<String> {
    let mut gaps = Vec::new();
    if let Some(why) = &evidence.processes.unavailable {
        gaps.push(format!(
            "the kernel does not report processes ({why}), so records cannot be attributed; it needs \
             CONFIG_PROC_EVENTS, and the agent must be root in the initial user and pid namespaces"
        ));
    }
    if evidence.processes.overruns != 0 {
        gaps.push("the kernel's process messages overran (ENOBUFS), so some are missing".into());
    }
    for escaped in &evidence.escaped {
        let process = &escaped.process;
        // A daemon may move its guest to another control group. The guest's label distinguishes it from all other
        // processes.
        let is_guest = expected
            .guests()
            .any(|guest| guest.run_by == escaped.subject && guest.label == process.label);
        if escaped.brought_back && is_guest {
            continue;
        }
        gaps.push(format!(
            "process {} ({}, label `{}`), which {} started, left its control group and was still running when the case \
             ended",
            process.pid, process.exe, process.label, escaped.subject
        ));
    }
    gaps
}

/// Point 5: only the agent set what AppArmor logs, whether it enforces, and what the audit system drops. A switch that
/// was put back in time is a gap too, because what it hid is unknown.
fn switches_were_left_alone(evidence: &CaseEvidence) -> Vec<String> {
    let seen = &evidence.switches;
    let mut gaps = Vec::new();
    if let Some(why) = &seen.unavailable {
        gaps.push(format!(
            "writes to AppArmor's switches could not be watched: {why}"
        ));
    }
    for pid in &seen.writers {
        gaps.push(format!(
            "process {pid} changed AppArmor's logging or enforcement in /sys/module/apparmor/parameters"
        ));
    }
    for value in &seen.other_values {
        gaps.push(format!(
            "AppArmor's audit mode was changed to `{value}` during a step"
        ));
    }
    for (when, state) in [
        ("before", &evidence.audit_before),
        ("after", &evidence.audit_after),
    ] {
        if state.enforcement != "enforce" {
            gaps.push(format!(
                "{when} the case AppArmor's mode was `{}`, not `enforce`",
                state.enforcement
            ));
        }
    }
    let changes = evidence
        .records
        .iter()
        .filter(|raw| raw.kind == AUDIT_CONFIG_CHANGE);
    gaps.extend(
        changes.map(|raw| format!("the audit configuration changed while the case ran: {}", raw.text)),
    );
    gaps
}

/// Point 5: no record was lost between the opening and the closing canary.
pub fn log_path_was_whole(evidence: &CaseEvidence, plan: &CasePlan, policy: &Policy) -> Vec<String> {
    let mut gaps = Vec::new();
    for (which, serial) in [("open", evidence.canary_before), ("close", evidence.canary_after)] {
        let token = format!("{}-{which}", plan.token);
        if !serial.is_some_and(|serial| canary_arrived(evidence, serial, &token, policy)) {
            gaps.push(format!("the record of the {which} canary did not arrive"));
        }
    }
    for (index, step) in evidence.steps.iter().chain(&evidence.cleanup).enumerate() {
        let token = format!("{}-{}", plan.token, index + 1);
        if !step
            .barrier
            .is_some_and(|serial| canary_arrived(evidence, serial, &token, policy))
        {
            let number = plan.held + index;
            gaps.push(format!("the barrier record after step {number} did not arrive"));
        }
    }
    if !barriers_are_in_order(evidence) {
        gaps.push("the barrier records are not in the order of the steps".into());
    }
    // The machine also counts missing messages, but the verdict does not rely on its count alone.
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

/// Whether the canaries' serial numbers rise from the opening canary through that of each step to the closing one.
fn barriers_are_in_order(evidence: &CaseEvidence) -> bool {
    let steps = evidence.steps.iter().chain(&evidence.cleanup);
    let serials: Vec<u64> = std::iter::once(evidence.canary_before)
        .chain(steps.map(|step| step.barrier))
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

/// Checks that each step of the plan was reported at most once, and each cleanup step exactly once.
fn steps_are_those_of_the_plan(evidence: &CaseEvidence, plan: &CasePlan) -> Vec<String> {
    let mut gaps = Vec::new();
    let planned = plan.own_steps().len();
    if evidence.steps.len() > planned {
        gaps.push(format!(
            "the agent reported {} steps, but the plan has {planned}",
            evidence.steps.len()
        ));
    }
    if evidence.cleanup.len() != plan.cleanup.len() {
        gaps.push(format!(
            "the agent performed {} cleanup steps, but the plan has {}",
            evidence.cleanup.len(),
            plan.cleanup.len()
        ));
    }
    gaps
}

fn canary_arrived(evidence: &CaseEvidence, serial: u64, token: &str, policy: &Policy) -> bool {
    let path = format!("/run/{token}");
    // Some kernels write a folder with a trailing slash.
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

/// In a machine of ours the log has no limits, and only the agent reads it. A host keeps its settings: records lost
/// through them are counted, and the set itself logs what a `deny` would hide, unless the host logs nothing at all.
fn unfit(state: &AuditState, policy: &Policy) -> Vec<String> {
    let mut gaps = Vec::new();
    if state.exclude_rules != 0 {
        gaps.push(format!("{} audit rules exclude records", state.exclude_rules));
    }
    if policy.namespace.is_some() {
        if !state.reading {
            gaps.push("the agent was not reading the audit records".into());
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
        gaps.push("the agent was not reading the audit socket".into());
    }
    if !state.enabled {
        gaps.push("auditing was off, so the kernel did not record changes of the audit system".into());
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

/// Point 6: every AppArmor record has an owner, and none arrived between two cases.
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
    let ownerless = attribution.records.iter().filter(|record| record.is_ownerless());
    gaps.extend(
        ownerless.map(|record| format!("cannot attribute this record to any subject: {}", record.text)),
    );
    let unattributed = unattributed(&evidence.unattributed, policy);
    gaps.extend(unattributed.map(|text| format!("an unattributed record arrived before the case: {text}")));
    texts_once(gaps)
}

/// A gap for each unattributed record that arrived after the last case.
pub fn gaps_after_the_last(records: &[RawRecord], policy: &Policy) -> Vec<String> {
    let unattributed = unattributed(records, policy);
    texts_once(unattributed.map(|text| format!("an unattributed record arrived after the case: {text}")))
}

/// The texts of the AppArmor records outside of cases that are unattributed and of interest.
fn unattributed<'a>(records: &'a [RawRecord], policy: &'a Policy) -> impl Iterator<Item = &'a str> {
    let of_apparmor = records.iter().filter(|record| record.kind == 1400);
    of_apparmor
        .filter(|record| !is_of_no_interest(record, policy))
        .map(|record| record.text.as_str())
}

/// Whether a record is clean, the canary's, or that of others on a host.
fn is_of_no_interest(raw: &RawRecord, policy: &Policy) -> bool {
    aa_audit::parse_record(raw.text.as_bytes()).is_ok_and(|record| {
        record.verdict.is_clean()
            || record.profile.as_deref() == Some(CANARY_PROFILE)
            || (raw.subject.is_none() && !policy.is_of_namespace(&record))
    })
}

#[cfg(test)]
mod tests;
