//! Records: whose are they, which step do they belong to, and are they clean?

use std::collections::BTreeMap;

use aa_audit::{Record, Verdict};
use aa_policy::{Location, deny_covers};
use virt_aa_probe::protocol::{CANARY_PROFILE, CaseEvidence, RawRecord};

use super::policy::Policy;
use crate::denial::request_of;

/// netlink type of AppArmor's records; user-space programs cannot send it.
const APPARMOR: u16 = 1400;
/// The cgroup of unconfined steps, and the profile's name in records of unconfined processes.
const AGENT: &str = "agent";
const CANARY: &str = "canary";

/// Whether a record speaks against a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// STATUS, AUDIT, HINT.
    Clean,
    /// A denial that an explicit `deny` of the same profile covers; without `noquiet` nobody would have seen it.
    Quieted(Location),
    /// DENIED, ALLOWED, KILLED, ERROR.
    Red,
}

/// A record with what is known of it.
#[derive(Debug, Clone)]
pub struct Attributed {
    /// Its serial number.
    pub serial: u64,
    /// Index of the step in whose time it was written, cleanup counted on; `None` after the last.
    pub step: Option<usize>,
    /// The subject it is charged to.
    pub owner: Option<String>,
    /// Whether it speaks against a pass.
    pub class: Class,
    /// The record.
    pub record: Record,
    /// The record as the kernel wrote it.
    pub text: String,
}

/// Everything that the audit socket gave in a case's time, sorted.
#[derive(Debug, Clone, Default)]
pub struct Attribution {
    /// Records that are not the canary's.
    pub records: Vec<Attributed>,
    /// AppArmor messages that could not be read, with the reason.
    pub unreadable: Vec<String>,
}

/// Charge each record of the window to its subject and its step.
pub fn attribute(evidence: &CaseEvidence, policy: &Policy) -> Attribution {
    let mut attribution = Attribution::default();
    // Profiles that a subject was seen to enter by an exec.
    let mut entered: BTreeMap<String, String> = BTreeMap::new();
    for raw in evidence.records.iter().filter(|raw| raw.kind == APPARMOR) {
        let record = match aa_audit::parse_record(raw.text.as_bytes()) {
            Ok(record) => record,
            Err(error) => {
                attribution.unreadable.push(format!("{error}: {}", raw.text));
                continue;
            }
        };
        if record.profile.as_deref() == Some(CANARY_PROFILE) {
            continue;
        }
        let owner = owner(raw, &record, evidence, &entered);
        if let (Some(owner), Some(target)) = (&owner, &record.target) {
            entered.insert(target.clone(), owner.clone());
        }
        attribution.records.push(Attributed {
            serial: raw.serial,
            step: step_of(raw.serial, evidence),
            owner,
            class: classify(&record, policy),
            text: raw.text.clone(),
            record,
        });
    }
    attribution
}

/// By its process's cgroup, else by its process, else by its profile.
fn owner(
    raw: &RawRecord,
    record: &Record,
    evidence: &CaseEvidence,
    entered: &BTreeMap<String, String>,
) -> Option<String> {
    if let Some(subject) = raw.subject.as_deref().filter(|subject| *subject != CANARY) {
        return Some(subject.to_string());
    }
    let pid = record.pid.and_then(|pid| i32::try_from(pid).ok());
    let by_pid = evidence
        .subjects
        .iter()
        .find(|(_, facts)| pid.is_some_and(|pid| facts.pids.contains(&pid)));
    if let Some((name, _)) = by_pid {
        return Some(name.clone());
    }
    let profile = record.profile.as_deref()?;
    let by_profile = evidence
        .subjects
        .iter()
        .find(|(_, facts)| within(profile, &facts.label));
    by_profile
        .map(|(name, _)| name.clone())
        .or_else(|| entered.get(profile).cloned())
}

/// Whether `profile` is `label` or a child of it.
pub fn within(profile: &str, label: &str) -> bool {
    profile
        .strip_prefix(label)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("//"))
}

fn step_of(serial: u64, evidence: &CaseEvidence) -> Option<usize> {
    let fences = evidence
        .steps
        .iter()
        .chain(&evidence.cleanup)
        .map(|step| step.fence);
    fences
        .enumerate()
        .find(|(_, fence)| fence.is_some_and(|fence| serial <= fence))
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
    /// Whether nobody is known who made it. What the unconfined agent does is its own.
    pub fn is_ownerless(&self) -> bool {
        self.owner.is_none()
    }

    /// Whether it is of an unconfined step.
    pub fn is_the_agents(&self) -> bool {
        self.owner.as_deref() == Some(AGENT)
    }
}
