//! Checks that a case which begins where another one ends found the daemons and the guests as that one left them.

use virt_aa_probe::protocol::{CaseEvidence, CasePlan, KeptGuest, PolicyState, ProcessFacts};

use crate::verdict::expected::Expected;
use crate::verdict::records::within;

/// Points 1 and 2, for what an earlier case started: each daemon was up, and each guest ran in its label, in enforce mode,
/// and under its profile.
pub fn beginning_was_as_left(evidence: &CaseEvidence, plan: &CasePlan, expected: &Expected) -> Vec<String> {
    let held = plan.subjects.keys().filter(|name| expected.is_held(name));
    let not_up = held.filter(|name| {
        let facts = evidence.subjects.get(*name);
        !facts.is_some_and(|facts| facts.started_before)
    });
    let mut gaps: Vec<String> = not_up
        .map(|name| format!("subject {name}, which an earlier case started, was not up when the case began"))
        .collect();
    for guest in &evidence.guests {
        let label = &guest.label;
        if !expected.guests().any(|own| own.label == label) {
            gaps.push(format!("{label} was kept for the case, which has no such guest"));
        }
        if guest.loaded && !is_loaded(&evidence.policy_before, label) {
            gaps.push(format!(
                "profile {label}, of a guest that an earlier case started, was not loaded when the case began"
            ));
        }
        gaps.extend(guest.left.iter().filter_map(|process| changed(process, guest)));
    }
    gaps
}

/// What has become of a guest's process since the earlier case.
fn changed(left: &ProcessFacts, guest: &KeptGuest) -> Option<String> {
    let (pid, label) = (left.pid, &guest.label);
    let process = format!("process {pid} ({}) of the guest {label}", left.exe);
    let Some(found) = guest.found.iter().find(|found| found.pid == pid) else {
        return Some(format!(
            "{process}, which an earlier case started, had ended when the case began"
        ));
    };
    let as_left = found.label == *label && found.mode == "enforce" && found.exe == left.exe;
    (!as_left).then(|| {
        format!(
            "{process}, which an earlier case started, was {} with the label `{} ({})` when the case began, not `{label} \
             (enforce)`",
            found.exe, found.label, found.mode
        )
    })
}

fn is_loaded(state: &PolicyState, label: &str) -> bool {
    state.profiles.iter().any(|loaded| loaded.name == *label)
}

/// The guests' labels whose profiles may be loaded before the case.
pub(super) fn guests_before(evidence: &CaseEvidence) -> Vec<&str> {
    let guests = evidence.guests.iter();
    guests.map(|guest| guest.label.as_str()).collect()
}

/// The guests' labels whose profiles may be loaded after the case: those of guests that go on for the next case.
pub(super) fn guests_after(plan: &CasePlan) -> Vec<&str> {
    let guests = plan.guests.iter().filter(|_| plan.keep_as.is_some());
    guests.map(|guest| guest.label.as_str()).collect()
}

/// What is wrong with a loaded profile that the set does not declare. One of a guest that is kept must be in enforce mode.
pub(super) fn undeclared(name: &str, mode: &str, guests: &[&str]) -> Option<String> {
    if !guests.iter().any(|label| within(name, label)) {
        return Some(format!(
            "profile {name} is loaded, but the set does not declare it"
        ));
    }
    (mode != "enforce").then(|| format!("profile {name} is in {mode} mode, not enforced"))
}

#[cfg(test)]
mod tests;
