//! The evidence of a case as the JSON report shows it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use virt_aa_probe::protocol::{CaseEvidence, Credentials, Outcome, SubjectFacts};

use super::expected::Expected;
use super::judge::Judgement;
use super::once::{self, once, texts_once};
use super::records::{Attributed, Class};
use super::steps::label_by_exec;
use crate::case::expand::SubjectProfile;
use crate::case::guard::{applies, label};
use crate::case::model::{Case, Guard};
use crate::case::names::errno_name;

/// The evidence of a case. Keys without a value are null.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The label of the subject that acts first, as read from outside.
    pub label: Option<String>,
    /// The mode of that label, as read from outside.
    pub mode: Option<String>,
    /// The kernel's digests of the profiles that the subjects were in, `sha256:…` by profile.
    pub policy_hash: Option<BTreeMap<String, Option<String>>>,
    /// The credentials of the subject that acts first.
    pub credentials: Option<Credentials>,
    /// Serial numbers of the canaries' records.
    pub canaries: Canaries,
    /// The kernel's count of lost audit messages.
    pub lost_before: Option<u32>,
    /// The same count afterwards.
    pub lost_after: Option<u32>,
    /// Audit messages whose serial numbers are missing.
    pub serial_gaps: Option<u64>,
    /// Records, without those of granted accesses other than exec. Equal records are listed once, with their `count`.
    pub records: Vec<Value>,
    /// Denials that an explicit `deny` rule covers.
    pub quieted: Vec<Value>,
    /// Guards that are proven to turn the case red on this image and set, and those that are not proven yet.
    pub guards: Guards,
    /// Every subject, by name.
    pub subjects: BTreeMap<String, SubjectFacts>,
    /// How many of the first steps an earlier case has performed. Their outcomes are not here.
    #[serde(default)]
    pub held: usize,
    /// Each other step's outcome in a few words, setup first.
    pub steps: Vec<StepSummary>,
    /// On a host: records that the kernel wrote meanwhile about others, whose policy is not under test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
    /// Gaps in the evidence; empty for a green verdict.
    pub gaps: Vec<String>,
    /// Milliseconds that the harness itself took in the machine, without the steps' own acts.
    pub overhead_ms: Option<f64>,
}

/// Serial numbers of the canaries' records.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct Canaries {
    /// Before the first step.
    pub before: Option<u64>,
    /// After the last.
    pub after: Option<u64>,
}

/// Guards, each named by what it takes away or adds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Guards {
    /// Proven to turn the case red.
    pub proven: Vec<String>,
    /// Not proven yet.
    pub unproven: Vec<String>,
    /// About profiles that this run of the case does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_applicable: Vec<String>,
}

impl Guards {
    /// Sorts the guards of a filled-in case into proven, not proven, and not applicable to these profiles.
    pub fn of(
        case: &Case,
        profiles: &BTreeMap<String, SubjectProfile>,
        is_proven: impl Fn(&Guard) -> bool,
    ) -> Guards {
        let mut guards = Guards::default();
        for guard in &case.guards {
            let list = if !applies(case, guard, profiles) {
                &mut guards.not_applicable
            } else if is_proven(guard) {
                &mut guards.proven
            } else {
                &mut guards.unproven
            };
            list.push(label(guard));
        }
        guards
    }
}

/// A step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepSummary {
    /// Subject, or `agent`.
    pub by: String,
    /// `ok`, `errno EACCES`, `exit 0`…
    pub outcome: String,
    /// The label that the program of a `run` step got.
    pub label: Option<String>,
    /// Milliseconds of the act.
    pub ms: f64,
}

impl Evidence {
    /// The evidence of a case that did not run.
    pub fn none(guards: Guards) -> Evidence {
        Evidence {
            label: None,
            mode: None,
            policy_hash: None,
            credentials: None,
            canaries: Canaries {
                before: None,
                after: None,
            },
            lost_before: None,
            lost_after: None,
            serial_gaps: None,
            records: Vec::new(),
            quieted: Vec::new(),
            guards,
            subjects: BTreeMap::new(),
            held: 0,
            steps: Vec::new(),
            foreign: Vec::new(),
            gaps: Vec::new(),
            overhead_ms: None,
        }
    }

    /// The evidence of a case that ran.
    pub fn of(
        expected: &Expected,
        evidence: &CaseEvidence,
        judgement: &Judgement,
        guards: Guards,
    ) -> Evidence {
        let steps = expected.steps();
        let first = steps.iter().find_map(|step| evidence.subjects.get(&step.by));
        let hash_of = |label: &str| {
            let loaded = evidence
                .policy_after
                .profiles
                .iter()
                .find(|loaded| loaded.name == label)?;
            loaded
                .hash
                .as_ref()
                .map(|(kind, digest)| format!("{kind}:{digest}"))
        };
        let hashes = evidence
            .subjects
            .values()
            .map(|facts| (facts.label.clone(), hash_of(&facts.label)));
        let told = |class: fn(&Class) -> bool| {
            let records = judgement.records.iter();
            let records = records.filter(|record| class(&record.class) && is_told(record));
            once(records, |record| once::key(record)).into_iter().map(record)
        };
        Evidence {
            label: first.map(|facts| facts.label.clone()),
            mode: first.map(|facts| facts.mode.clone()),
            policy_hash: Some(hashes.collect()),
            credentials: first.map(|facts| facts.credentials.clone()),
            canaries: Canaries {
                before: evidence.canary_before,
                after: evidence.canary_after,
            },
            lost_before: Some(evidence.audit_before.lost),
            lost_after: Some(evidence.audit_after.lost),
            serial_gaps: Some(evidence.serial_gaps),
            records: told(|class| !matches!(class, Class::Quieted(_))).collect(),
            quieted: told(|class| matches!(class, Class::Quieted(_))).collect(),
            guards,
            subjects: evidence.subjects.clone(),
            held: expected.held,
            steps: step_summaries(expected, evidence, judgement),
            foreign: texts_once(judgement.foreign.iter().cloned()),
            gaps: judgement.gaps.clone(),
            overhead_ms: Some(evidence.guest_ms - evidence.steps_ms),
        }
    }
}

/// Whether the report shows a record. A `run` step logs hundreds of grants, of which only the execs matter.
fn is_told(record: &Attributed) -> bool {
    record.record.verdict != aa_audit::Verdict::Audit || record.record.operation.as_deref() == Some("exec")
}

fn record((of, count): (&Attributed, u64)) -> Value {
    let mut value = serde_json::to_value(&of.record).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.insert("serial".into(), of.serial.into());
        fields.insert("subject".into(), of.owner.clone().into());
        fields.insert("step".into(), of.step.into());
        fields.insert("count".into(), count.into());
    }
    value
}

fn step_summaries(expected: &Expected, evidence: &CaseEvidence, judgement: &Judgement) -> Vec<StepSummary> {
    let all = expected.reached(evidence);
    all.map(|(index, step, done)| {
        let own: Vec<usize> = (0..judgement.records.len())
            .filter(|at| judgement.records[*at].step == Some(index))
            .collect();
        let label = expected.label_of(&step.by).unwrap_or("unconfined");
        StepSummary {
            by: step.by.clone(),
            outcome: outcome(&done.outcome),
            label: match &done.outcome {
                Outcome::Ran(ran) => label_by_exec(ran, &own, &judgement.records, label),
                _ => None,
            },
            ms: done.ms,
        }
    })
    .collect()
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok(_) => "ok".into(),
        Outcome::Errno { call, errno } => format!("{call}: {}", errno_name(*errno)),
        Outcome::Ran(ran) => match (ran.exit, ran.signal) {
            (Some(exit), _) => format!("exit {exit}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        },
        Outcome::TimedOut => "timed out".into(),
        Outcome::NoSubject { reason } | Outcome::NoAnswer { reason } | Outcome::Broken { reason } => {
            reason.clone()
        }
    }
}
