//! Attributes records to their owner and step, and classifies them.

use aa_audit::{Record, Verdict};
use aa_policy::{Location, deny_covers};
use virt_aa_probe::protocol::{CANARY, CANARY_PROFILE, CaseEvidence};

use super::policy::Policy;
use crate::denial::request_of;

/// netlink type of AppArmor's records; user-space programs cannot send it.
const APPARMOR: u16 = 1400;

/// Whether a record speaks against a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// STATUS, AUDIT, HINT.
    Clean,
    /// A denial that an explicit `deny` of the same profile covers; without `noquiet` it would not be logged.
    Quieted(Location),
    /// DENIED, ALLOWED, KILLED, ERROR.
    Red,
}

/// A record with its owner, step and class.
#[derive(Debug, Clone)]
pub struct Attributed {
    /// Its serial number.
    pub serial: u64,
    /// Number of the step during which it was written, cleanup after the steps; `None` after the last.
    pub step: Option<usize>,
    /// The subject that owns it: the one that started the process, directly or through other processes.
    pub owner: Option<String>,
    /// Whether it speaks against a pass.
    pub class: Class,
    /// The record.
    pub record: Record,
    /// The record as the kernel wrote it.
    pub text: String,
}

/// Everything that the audit socket delivered during a case, sorted out.
#[derive(Debug, Clone, Default)]
pub struct Attribution {
    /// Records except those of the canary.
    pub records: Vec<Attributed>,
    /// AppArmor messages that could not be read, with the reason.
    pub unreadable: Vec<String>,
    /// Records of others on a host, whose policy is not the one under test.
    pub foreign: Vec<String>,
}

/// Attributes each record of the case to its subject and its step. An earlier case has performed the first `held` steps.
pub fn attribute(evidence: &CaseEvidence, policy: &Policy, held: usize) -> Attribution {
    let mut attribution = Attribution::default();
    for raw in evidence.records.iter().filter(|raw| raw.kind == APPARMOR) {
        let record = match aa_audit::parse_record(raw.text.as_bytes()) {
            Ok(record) => record,
            Err(error) => {
                attribution.unreadable.push(format!("{error}: {}", raw.text));
                continue;
            }
        };
        // Only the canary's own process may be in that profile.
        let by_another = raw.subject.as_deref().is_some_and(|subject| subject != CANARY);
        let ours = policy.is_of_namespace(&record);
        if ours && record.profile.as_deref() == Some(CANARY_PROFILE) && !by_another {
            continue;
        }
        let step = step_of(raw.serial, evidence).map(|index| held + index);
        let owner = raw.subject.clone().filter(|subject| subject != CANARY);
        if owner.is_none() && !ours {
            attribution.foreign.push(raw.text.clone());
            continue;
        }
        attribution.records.push(Attributed {
            serial: raw.serial,
            step,
            owner,
            class: classify(&record, policy),
            text: raw.text.clone(),
            record,
        });
    }
    attribution
}

/// Whether `profile` is `label` or a child of it.
pub fn within(profile: &str, label: &str) -> bool {
    profile
        .strip_prefix(label)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("//"))
}

fn step_of(serial: u64, evidence: &CaseEvidence) -> Option<usize> {
    let barriers = evidence
        .steps
        .iter()
        .chain(&evidence.cleanup)
        .map(|step| step.barrier);
    barriers
        .enumerate()
        .find(|(_, barrier)| barrier.is_some_and(|barrier| serial <= barrier))
        .map(|(index, _)| index)
}

fn classify(record: &Record, policy: &Policy) -> Class {
    if record.verdict.is_clean() {
        return Class::Clean;
    }
    let covered = || {
        let profile = record.profile.as_deref()?;
        deny_covers(policy.file_of(profile)?, profile, &request_of(record)?)
    };
    match record.verdict {
        Verdict::Denied => covered().map_or(Class::Red, Class::Quieted),
        _ => Class::Red,
    }
}

impl Attributed {
    /// Whether its owner is unknown. The unconfined agent owns what it does.
    pub fn is_ownerless(&self) -> bool {
        self.owner.is_none()
    }
}
