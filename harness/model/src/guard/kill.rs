//! Decides whether a guard's mutant turned its case red, by what the guard is about. Pure.

use std::collections::BTreeSet;

use crate::case::model::{Guard, Step};
use crate::denial::matches;
use crate::verdict::expected::Expected;
use crate::verdict::identity;
use crate::verdict::judge::{FindingLocation, Judgement};
use crate::verdict::records::{Attributed, within};
use crate::verdict::steps::Finding;

/// The findings of a case, without details that differ from run to run.
pub type Findings = BTreeSet<(FindingLocation, String)>;

/// The findings of a run.
pub fn findings_of(judgement: &Judgement) -> Findings {
    let findings = judgement.findings.iter();
    findings
        .map(|(place, finding)| (*place, identity::of(finding, &judgement.records)))
        .collect()
}

/// The finding that kills the mutant. It is new against the base run, belongs to the guard's own subject, and is what
/// the guard names. `None` if the case is red by something else.
pub fn killer(
    guard: &Guard,
    subject: &str,
    base: &Findings,
    expected: &Expected,
    seen: &Judgement,
) -> Option<String> {
    let records = &seen.records;
    let steps = expected.steps();
    seen.findings.iter().find_map(|(place, finding)| {
        if base.contains(&(*place, identity::of(finding, records))) {
            return None;
        }
        match (&guard.denial, finding) {
            (Some(denial), Finding::Denial(index)) => {
                let record = &records[*index];
                let is_it = matches(denial, &record.record) && belongs(record, subject, expected);
                is_it.then(|| record.text.clone())
            }
            (None, Finding::NotDenied(text)) => {
                let FindingLocation::Step(index) = place else {
                    return None;
                };
                acts_for(steps.get(*index)?, guard, subject, expected).then(|| text.clone())
            }
            _ => None,
        }
    })
}

/// Whether a record is about the subject's own profile, from a process of the subject or of the one that runs it.
fn belongs(record: &Attributed, subject: &str, expected: &Expected) -> bool {
    let (Some(label), Some(profile)) = (expected.label_of(subject), record.record.profile.as_deref()) else {
        return false;
    };
    let Some(owner) = record.owner.as_deref() else {
        return false;
    };
    // A signal's record comes from the sender's process, but names the profile that refuses the signal.
    let of_another =
        owner != subject && !runs(owner, subject, expected) && expected.label_of(owner) == Some(label);
    within(profile, label) && !of_another
}

/// Whether a step is done by the subject, to it, or under its label.
fn acts_for(step: &Step, guard: &Guard, subject: &str, expected: &Expected) -> bool {
    let target = step.signal.as_ref().map(|signal| signal.to.as_str());
    let target = target.or_else(|| step.ptrace.as_ref().map(|ptrace| ptrace.of.as_str()));
    // A process that changed its profile is denied under the name of the new one.
    let label = expected.label_of(subject);
    let mut denials = step.denied.iter().flat_map(|denied| &denied.records);
    let in_its_name = denials.any(|denial| {
        let profile = denial.get("profile").map(ToString::to_string);
        profile.is_some() && profile.as_deref() == label
    });
    in_its_name
        || step.by == subject
        || runs(&step.by, subject, expected)
        || target == Some(subject)
        || guard.also.iter().any(|also| also.of == step.by)
}

fn runs(runner: &str, subject: &str, expected: &Expected) -> bool {
    let subject = expected.case.subjects.get(subject);
    subject.is_some_and(|subject| subject.run_by.as_deref() == Some(runner))
}

#[cfg(test)]
#[path = "kill/tests.rs"]
mod tests;
