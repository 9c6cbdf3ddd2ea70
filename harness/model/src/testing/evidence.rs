//! Made-up evidence, complete and clean unless a test spoils it.

use std::collections::BTreeMap;

use aa_policy::{Tree, parse};
use serde_json::json;
use virt_aa_probe::protocol::{
    Act, CANARY_PROFILE, CaseEvidence, CasePlan, Effect, Outcome, Ran, RawRecord, StepEvidence, StepPlan,
    SubjectPlan,
};

use crate::case::expand::SubjectProfile;
use crate::known::KnownFailure;
use crate::verdict::expected::Expected;
use crate::verdict::features::Features;
use crate::verdict::judge::{Judgement, judge};
use crate::verdict::policy::{Declared, Policy};

/// The profile of the subject `d`.
pub const PROFILE: &str = "daemon";
/// The process of the subject `d`.
pub const PID: i32 = 40;
/// The denial of a raw packet socket in that process.
pub const DENIED: &str = r#"apparmor="DENIED" operation="create" class="net" profile="daemon" pid=40 comm="x" family="packet" sock_type="raw" protocol=768 requested_mask="create" denied_mask="create""#;
/// One step by `d` that must succeed.
pub const POSITIVE: &str = "{as: d, socket: {family: packet, type: raw}}";
/// One step by `d` that must be denied.
pub const NEGATIVE: &str =
    "{as: d, socket: {family: packet, type: raw}, denied: {records: [{operation: create, family: packet}]}}";

const TOKEN: &str = "token";
const POLICY: &str = "profile daemon {\n  deny /quiet/** rw,\n  profile child {\n    deny /quiet/** rw,\n  }\n}\nprofile other {\n}\n";
const FEATURES: &str = "caps {mask {net_raw\n}\n}\nnetwork_v8 {af_mask {packet\n}\n}\nfile {mask {r\n}\n}\n";

/// A record: its text after the serial number, and the subject that started its process.
#[derive(Debug, Clone)]
pub struct MadeRecord {
    pub text: String,
    pub subject: Option<&'static str>,
}

/// A case and its outcome.
pub struct Made {
    pub expected: Expected,
    pub policy: Policy,
    pub known: Vec<KnownFailure>,
    /// The outcomes of the steps that were reached.
    pub outcomes: Vec<Outcome>,
    pub cleanup: Vec<Outcome>,
    /// Records by step, cleanup after the steps; those after the last one are late.
    pub said: BTreeMap<usize, Vec<MadeRecord>>,
}

impl Made {
    /// A case of these steps, each of which succeeded without a record.
    pub fn of(steps: &[&str]) -> Made {
        let text = format!(
            "name: c\nsummary: s\norigin: []\nsubjects: {{d: {{role: daemon}}}}\nsteps: [{}]\nguards: [{{without: {{network: packet raw}}}}]\n",
            steps.join(", ")
        );
        let chosen = SubjectProfile {
            name: PROFILE.into(),
            profile: PROFILE.into(),
            user: None,
        };
        Made {
            expected: Expected {
                case: serde_yaml::from_str(&text).unwrap(),
                profiles: BTreeMap::from([("d".to_string(), chosen)]),
                held: 0,
            },
            policy: policy(),
            known: Vec::new(),
            outcomes: vec![ok(); steps.len()],
            cleanup: Vec::new(),
            said: BTreeMap::new(),
        }
    }

    /// Sets the outcome of the first step.
    pub fn ending(mut self, outcome: Outcome) -> Made {
        self.outcomes[0] = outcome;
        self
    }

    /// Adds a record by a process of `d` during a step.
    pub fn saying(self, step: usize, text: &str) -> Made {
        self.saying_from(step, text, Some("d"))
    }

    /// Adds a record during a step by a process of that subject, or of nobody.
    pub fn saying_from(mut self, step: usize, text: &str, subject: Option<&'static str>) -> Made {
        self.said.entry(step).or_default().push(MadeRecord {
            text: text.into(),
            subject,
        });
        self
    }

    /// Adds a known failure with these keys, as in a data file.
    pub fn knowing(mut self, keys: &str) -> Made {
        let text = format!("{{case: c, sets: [s], images: [i], reason: a bug, link: there, {keys}}}");
        self.known.push(serde_yaml::from_str(&text).unwrap());
        self
    }

    pub fn judge(&self) -> Judgement {
        self.judge_spoilt(|_| {})
    }

    /// Judges the evidence after `spoil` has changed it.
    pub fn judge_spoilt(&self, spoil: impl FnOnce(&mut CaseEvidence)) -> Judgement {
        let mut evidence = self.evidence();
        spoil(&mut evidence);
        self.judge_evidence(&evidence)
    }

    pub fn judge_evidence(&self, evidence: &CaseEvidence) -> Judgement {
        let known: Vec<&KnownFailure> = self.known.iter().collect();
        judge(&self.expected, &self.plan(), evidence, &self.policy, &known)
    }

    pub fn plan(&self) -> CasePlan {
        let step = || StepPlan {
            by: None,
            act: Act::Acct { file: None },
            timeout_ms: None,
            exit_or_end: None,
        };
        let case = &self.expected.case;
        let subject = SubjectPlan {
            label: Some(PROFILE.into()),
            user: None,
            memlock: None,
            program: None,
        };
        CasePlan {
            id: "c".into(),
            token: TOKEN.into(),
            step_timeout_ms: 1,
            subjects: BTreeMap::from([("d".to_string(), subject)]),
            steps: (0..case.setup.len() + case.steps.len()).map(|_| step()).collect(),
            cleanup: case.cleanup.iter().map(|_| step()).collect(),
            held: self.expected.held,
            begins_from: None,
            keep_as: None,
            guests: Vec::new(),
        }
    }

    /// Serial numbers without a gap: the opening canary, each step's records and its canary, the late records, the
    /// closing canary.
    pub fn evidence(&self) -> CaseEvidence {
        let mut records = Vec::new();
        let mut serial = 100;
        let mut push = |said: &MadeRecord| {
            serial += 1;
            records.push(RawRecord {
                kind: 1400,
                serial,
                text: format!("audit(1.000:{serial}): {}", said.text),
                subject: said.subject.map(str::to_string),
            });
            serial
        };
        let canary_before = Some(push(&canary("open")));
        let all = self.outcomes.iter().chain(&self.cleanup).enumerate();
        let mut steps: Vec<StepEvidence> = all
            .map(|(index, outcome)| {
                self.said.get(&index).into_iter().flatten().for_each(|said| {
                    push(said);
                });
                StepEvidence {
                    outcome: outcome.clone(),
                    barrier: Some(push(&canary(&(index + 1).to_string()))),
                    ms: 0.0,
                    revision: 1,
                }
            })
            .collect();
        let late = self.said.get(&steps.len()).into_iter().flatten();
        late.for_each(|said| {
            push(said);
        });
        let canary_after = Some(push(&canary("close")));
        let cleanup = steps.split_off(self.outcomes.len());
        let policy = json!({"revision": 1, "profiles": self.policy.declared.iter().map(|(name, declared)| json!({
            "name": name, "mode": "enforce", "attach": "", "hash": ["sha256", declared.hashes["sha256"]],
        })).collect::<Vec<_>>()});
        let audit = json!({
            "lost": 5, "backlog_limit": 0, "rate_limit": 0, "pid": 1, "ours": true, "overruns": 0,
            "reading": true, "enabled": true, "exclude_rules": 0, "mode": "noquiet", "enforcement": "enforce",
        });
        let subject = json!({
            "pid": PID, "pids": [PID], "started": [], "label": PROFILE, "mode": "enforce", "exe": "/x", "quiesced": true,
            "should_be": {"uid": 0, "gid": 0, "groups": [], "cap_eff": "000001ffffffffff"},
            "credentials": {
                "uid": 0, "gid": 0, "groups": [], "cap_eff": "000001ffffffffff", "no_new_privs": false,
                "seccomp": 0, "memlock": [null, null],
            },
        });
        let mut evidence: CaseEvidence = serde_json::from_value(json!({
            "policy_before": policy, "policy_after": policy, "audit_before": audit, "audit_after": audit,
            "canary_before": canary_before, "canary_after": canary_after, "serial_gaps": 0,
            "subjects": {"d": subject}, "steps": [], "cleanup": [], "records": [], "unattributed": [],
            "processes": {"unavailable": null, "overruns": 0}, "escaped": [],
            "switches": {"unavailable": null, "writers": [], "other_values": []},
            "guest_ms": 0.0, "steps_ms": 0.0,
        }))
        .unwrap();
        evidence.steps = steps;
        evidence.cleanup = cleanup;
        evidence.records = records;
        evidence
    }
}

/// A denial of the canary.
pub fn canary(which: &str) -> MadeRecord {
    MadeRecord {
        text: format!(
            r#"apparmor="DENIED" operation="mkdir" class="file" profile="{CANARY_PROFILE}" name="/run/{TOKEN}-{which}" pid=9 comm="c" requested_mask="c" denied_mask="c" fsuid=0 ouid=0"#
        ),
        subject: Some("canary"),
    }
}

fn policy() -> Policy {
    let mut tree = Tree::new();
    tree.insert("p", POLICY).unwrap();
    let declared = |name: &str| {
        let hashes = BTreeMap::from([("sha256".to_string(), format!("hash of {name}"))]);
        (
            name.to_string(),
            Declared {
                hashes,
                enforce: true,
                classes: (0..=u8::MAX).collect(),
            },
        )
    };
    Policy {
        declared: [PROFILE, "daemon//child", "other", CANARY_PROFILE]
            .map(declared)
            .into(),
        warnings: Vec::new(),
        files: vec![parse(&tree, "p").unwrap()],
        files_run: vec![parse(&tree, "p").unwrap()],
        kernel: Features::parse(FEATURES),
        namespace: None,
    }
}

pub fn ok() -> Outcome {
    Outcome::Ok(Effect::default())
}

pub fn errno(errno: i32) -> Outcome {
    Outcome::Errno {
        call: "socket".into(),
        errno,
    }
}

/// A program that exited with this status as process 41.
pub fn exited(exit: i32) -> Outcome {
    Outcome::Ran(Ran {
        pid: 41,
        exit: Some(exit),
        signal: None,
        stdout: b"out".to_vec(),
        stderr: Vec::new(),
        stdout_cut: false,
        stderr_cut: false,
    })
}
