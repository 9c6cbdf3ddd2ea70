//! Checks that each subject was who it should be, and that it acted in its label.

use aa_audit::{Kind, Verdict};
use virt_aa_probe::protocol::{CaseEvidence, CasePlan, Identity, Outcome, SubjectFacts};

use crate::case::names;
use crate::verdict::expected::Expected;
use crate::verdict::records::Attribution;

/// Points 2 and 3: each subject waited at the barrier in its label, in enforce mode, as the user it should be, and was
/// at rest before the closing canary.
pub fn subjects_were_confined(evidence: &CaseEvidence, plan: &CasePlan, expected: &Expected) -> Vec<String> {
    let mut gaps = Vec::new();
    // If a case ended early, the step that ended it explains that. Subjects of later steps were not needed.
    let whole = evidence.steps.len() == plan.own_steps().len();
    for (name, subject) in &plan.subjects {
        let Some(facts) = evidence.subjects.get(name) else {
            if whole
                && !evidence
                    .steps
                    .iter()
                    .any(|step| matches!(step.outcome, Outcome::NoSubject { .. }))
            {
                gaps.push(format!("the agent reported nothing about subject {name}"));
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
        gaps.extend(another_identity(name, expected, facts));
        if who.no_new_privs || who.seccomp != 0 {
            gaps.push(format!(
                "subject {name} was restricted by something other than AppArmor: no_new_privs or seccomp"
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
        if facts.started_before && !expected.is_held(name) {
            gaps.push(format!("subject {name} was started before the case"));
        }
        if !facts.quiesced {
            gaps.push(format!(
                "subject {name} was still running when the final canary was sent"
            ));
        }
    }
    gaps
}

/// Reports a subject that was not the user that the case names (root if it names none), with that user's groups and
/// capabilities. Capabilities that the case drops must be missing.
fn another_identity(name: &str, expected: &Expected, facts: &SubjectFacts) -> Option<String> {
    let user = expected.user_of(name);
    let was = facts.credentials.identity();
    let should_be = &without(expected.drops_of(name), &facts.should_be);
    let of_the_kind = match user {
        Some(_) => should_be.uid != 0 && should_be.cap_eff.trim_start_matches('0').is_empty(),
        None => should_be.uid == 0,
    };
    let told = |is: &Identity| {
        format!(
            "user {}, group {}, groups {:?}, capabilities {}",
            is.uid, is.gid, is.groups, is.cap_eff
        )
    };
    let user = user.unwrap_or("root");
    (was != *should_be || !of_the_kind).then(|| {
        format!(
            "subject {name} should be {user} ({}), and was {}",
            told(should_be),
            told(&was)
        )
    })
}

/// The identity without these capabilities.
fn without(drops: &[String], identity: &Identity) -> Identity {
    let mut identity = identity.clone();
    // Text that is not a number stays as it is.
    if let Ok(all) = u64::from_str_radix(&identity.cap_eff, 16) {
        let dropped = drops.iter().filter_map(|name| names::capability(name));
        let left = dropped.fold(all, |left, number| left & !(1 << number));
        identity.cap_eff = format!("{left:016x}");
    }
    identity
}

/// Point 2, for a subject that is a program run by another one: the kernel's record of an exec names its label, or its
/// process was seen running with that label in enforce mode.
pub fn programs_entered_their_labels(
    evidence: &CaseEvidence,
    expected: &Expected,
    attribution: &Attribution,
) -> Vec<String> {
    let ran_by = expected
        .case
        .subjects
        .iter()
        .filter_map(|(name, subject)| Some((name, subject.run_by.as_ref()?)));
    let not_seen = ran_by.filter(|(name, by)| {
        let label = expected.label_of(name);
        let runner = evidence.subjects.get(by.as_str());
        let was_running = runner.is_some_and(|facts| {
            facts
                .started
                .iter()
                .any(|process| Some(process.label.as_str()) == label && process.mode == "enforce")
        });
        // The earlier case, which passed, has shown that its own guest entered the label.
        let is_kept = evidence
            .guests
            .iter()
            .any(|guest| Some(guest.label.as_str()) == label);
        !was_running
            && !is_kept
            && !attribution.records.iter().any(|attributed| {
                let record = &attributed.record;
                attributed.owner.as_ref() == Some(by)
                    && record.kind() == Kind::Exec
                    && record.verdict == Verdict::Audit
                    && record.target.as_deref() == label
            })
    });
    not_seen
        .map(|(name, by)| format!("no program of {by} entered the label of subject {name}"))
        .collect()
}

/// Point 3: a program that leaves its subject's label does not do the subject's act, unless the case names its new
/// label.
pub fn acts_outside_the_label(
    evidence: &CaseEvidence,
    expected: &Expected,
    attribution: &Attribution,
) -> Vec<String> {
    let steps = expected.steps();
    let mut gaps = Vec::new();
    for attributed in &attribution.records {
        let (record, Some(index)) = (&attributed.record, attributed.step) else {
            continue;
        };
        let (Some(step), Some(done)) = (steps.get(index), expected.done(index, evidence)) else {
            continue;
        };
        let (Some(target), Some(label)) = (record.target.as_deref(), expected.label_of(&step.by)) else {
            continue;
        };
        let is_exec = record.verdict == Verdict::Audit && record.kind() == Kind::Exec;
        let by_subject =
            attributed.owner.as_deref() == Some(step.by.as_str()) && record.profile.as_deref() == Some(label);
        if !is_exec || !by_subject || target == label {
            continue;
        }
        let is_the_program =
            matches!(&done.outcome, Outcome::Ran(ran) if u32::try_from(ran.pid).ok() == record.pid);
        let wanted = step
            .expect
            .as_ref()
            .map(|expect| expect.label.as_slice())
            .unwrap_or_default();
        // An expected label of the program itself is judged as the step's effect.
        let is_named = (is_the_program && !wanted.is_empty())
            || wanted.iter().any(|wanted| wanted == target)
            || expected.labels_of_run_by(&step.by).any(|known| known == target);
        if !is_named {
            gaps.push(format!(
                "{} ran with the label {target}, outside the label of subject {}; if that is intended, add to the step \
                 `expect: {{label: [{target}]}}`",
                record.name.as_deref().unwrap_or("a program"),
                step.by
            ));
        }
    }
    gaps
}

#[cfg(test)]
mod tests;
