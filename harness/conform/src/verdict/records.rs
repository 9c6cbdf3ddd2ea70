//! Records: whose are they, which step do they belong to, and are they clean?

use std::collections::BTreeMap;

use aa_audit::{Record, Verdict};
use aa_policy::{Location, deny_covers};
use virt_aa_probe::protocol::{CANARY_PROFILE, CaseEvidence, Outcome, RawRecord};

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
    /// Records of others on a host, whose policy is not the one under test.
    pub foreign: Vec<String>,
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
        // In that profile only the canary's own process may be.
        let by_another = raw.subject.as_deref().is_some_and(|subject| subject != CANARY);
        let ours = policy.is_of_namespace(&record);
        if ours && record.profile.as_deref() == Some(CANARY_PROFILE) && !by_another {
            continue;
        }
        let step = step_of(raw.serial, evidence);
        let owner = owner(raw, &record, evidence, &entered, ours)
            .or_else(|| is_a_failed_entry(&record, step, evidence).then(|| AGENT.to_string()));
        if owner.is_none() && !ours {
            attribution.foreign.push(raw.text.clone());
            continue;
        }
        if let (Some(owner), Some(target)) = (&owner, &record.target) {
            entered.insert(target.clone(), owner.clone());
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

/// By its process's cgroup, else by its process, else by its profile, which says something in its own namespace only.
fn owner(
    raw: &RawRecord,
    record: &Record,
    evidence: &CaseEvidence,
    entered: &BTreeMap<String, String>,
    ours: bool,
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
    let profile = record.profile.as_deref().filter(|_| ours)?;
    let by_profile = evidence
        .subjects
        .iter()
        .find(|(_, facts)| within(profile, &facts.label));
    by_profile
        .map(|(name, _)| name.clone())
        .or_else(|| entered.get(profile).cloned())
}

/// Whether the agent's process, still unconfined, could not enter the label of a step's subject. It ends at once, so
/// its record may come when nothing else is known of it any more.
fn is_a_failed_entry(record: &Record, step: Option<usize>, evidence: &CaseEvidence) -> bool {
    let outcome = step
        .and_then(|step| evidence.steps.get(step))
        .map(|step| &step.outcome);
    matches!(outcome, Some(Outcome::NoSubject { .. }))
        && record.operation.as_deref() == Some("change_profile")
        && record.profile.as_deref() == Some("unconfined")
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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::verdict::features::Features;

    const NOT_FOUND: &str = r#"apparmor="DENIED" operation="change_profile" info="label not found" error=-2 profile="unconfined" name="own" pid=9 comm="agent""#;
    const OTHER: &str = r#"apparmor="DENIED" operation="open" profile="unconfined" name="/x" pid=9 comm="agent" denied_mask="r""#;

    /// One step with that outcome, closed by the fence 10, and one record of nobody's.
    fn owner_of(record: &str, serial: u64, outcome: &Outcome) -> Option<String> {
        let policy = json!({"revision": 1, "profiles": []});
        let audit = json!({
            "lost": 0, "backlog_limit": 0, "rate_limit": 0, "pid": 1, "ours": true, "overruns": 0,
            "reading": true, "exclude_rules": 0, "mode": "noquiet",
        });
        let text = format!("audit(1.000:{serial}): {record}");
        let evidence = serde_json::from_value(json!({
            "policy_before": policy, "policy_after": policy, "audit_before": audit, "audit_after": audit,
            "canary_before": 1, "canary_after": 20, "serial_gaps": 0, "subjects": {},
            "steps": [{"outcome": outcome, "fence": 10, "ms": 0.0, "revision": 1}], "cleanup": [],
            "records": [{"kind": APPARMOR, "serial": serial, "text": text, "subject": null}],
            "strays": [], "guest_ms": 0.0, "steps_ms": 0.0,
        }))
        .unwrap();
        let policy = Policy {
            declared: BTreeMap::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            kernel: Features::default(),
            namespace: None,
        };
        attribute(&evidence, &policy).records.remove(0).owner
    }

    fn no_subject() -> Outcome {
        Outcome::NoSubject {
            reason: "no such label".into(),
        }
    }

    #[test]
    fn a_label_that_could_not_be_entered_is_the_agents_affair() {
        assert_eq!(owner_of(NOT_FOUND, 5, &no_subject()).as_deref(), Some(AGENT));
    }

    #[rstest]
    #[case::another_act(OTHER, 5, no_subject())]
    #[case::another_time(NOT_FOUND, 15, no_subject())]
    #[case::a_step_that_was_done(NOT_FOUND, 5, Outcome::TimedOut)]
    fn anything_else_of_an_unconfined_process_is_nobodys(
        #[case] record: &str,
        #[case] serial: u64,
        #[case] outcome: Outcome,
    ) {
        assert_eq!(owner_of(record, serial, &outcome), None);
    }
}
