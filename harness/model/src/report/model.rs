//! The report of a run as values: `json` writes it, `merge` reads it, and every other format is made from it. A key
//! that has no value is null, never absent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_info::RunInfo;
use crate::shard::Split;
use crate::verdict::judge::Verdict;
use crate::verdict::once::times;
use crate::verdict::summary::Evidence;

/// The version of the schema. It is raised when a key changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// The program's version.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The report of a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// 1. It is raised when a key changes its meaning or is removed; a new key does not raise it.
    pub schema_version: u32,
    /// The version of virt-aa-conform.
    pub program_version: String,
    /// Where and on what the cases ran.
    pub run: RunInfo,
    /// Whether `vacuous` and `skip` count as failures.
    pub strict: bool,
    /// Which part of a run this is; null for a whole one.
    pub shard: Option<Split>,
    /// Milliseconds from the start of the command; of merged shards, their sum.
    pub duration_ms: f64,
    /// The report of each variant.
    pub cases: Vec<CaseReport>,
    /// Number of cases for each verdict.
    pub summary: BTreeMap<String, usize>,
}

/// One variant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CaseReport {
    /// `NAME@PROFILE` or `NAME:VARIANT@PROFILE`; only the name if the set has no profile for the case.
    pub id: String,
    /// Name and variant.
    pub name: String,
    /// Profile.
    pub profile: Option<String>,
    /// Where the case is written.
    pub source: CaseSource,
    /// Verdict.
    pub verdict: Verdict,
    /// Why, for everything but a pass.
    pub reason: Option<String>,
    /// Profiles of its subjects that were entered by change_profile, because they attach to no program of the image.
    pub entered_by_change_profile: Vec<String>,
    /// Milliseconds from plan to verdict.
    pub duration_ms: f64,
    /// What is wrong, in order. The reason names the first finding that counts.
    pub findings: Vec<FindingReport>,
    /// Denials that an explicit `deny` rule covers.
    pub denied_on_purpose: Vec<OnPurpose>,
    /// The command that runs it again.
    pub again: String,
    /// What the verdict rests on.
    pub evidence: Evidence,
}

/// A case's place and summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseSource {
    /// Its file, relative to the data's root.
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Its folder below `cases/`.
    pub folder: String,
    /// What libvirt does, in one sentence.
    pub summary: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingReport {
    /// The kind of finding.
    pub kind: FindingKind,
    /// The step that it belongs to, from 0, setup first; null if it belongs to none.
    pub step: Option<usize>,
    /// Whether `step` counts cleanup steps.
    pub cleanup: bool,
    /// One sentence.
    pub text: String,
    /// How often it occurred; `record` is that of the first.
    #[serde(default = "one")]
    pub count: u64,
    /// The denial as the kernel wrote it.
    pub record: Option<String>,
    /// The rule that would allow what was denied.
    pub rule: Option<String>,
    /// The place in the policy that it is about.
    pub place: Option<PolicyPlace>,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A denial that was not expected.
    Denial,
    /// The step did not have its effect.
    Effect,
    /// The step was to be denied and was not.
    NotDenied,
    /// It was denied, but not by the denial that the case names.
    OtherDenial,
    /// The program of a step that was to be denied died by a signal.
    Crash,
    /// The cause is unknown: the harness could not do its part, or the time limit passed without a denial.
    Broken,
}

/// A place in the policy under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyPlace {
    /// What is there.
    pub what: PlaceKind,
    /// The profile.
    pub profile: String,
    /// The file, as the image has it: `/etc/apparmor.d/usr.sbin.libvirtd`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceKind {
    /// The place for a rule that would allow it.
    Insertion,
    /// The rule that grants what should be denied.
    Grant,
    /// The rule that denies it.
    Deny,
    /// The profile's beginning.
    Profile,
}

/// A denial that an explicit `deny` rule covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnPurpose {
    /// The step that it belongs to, setup first, cleanup after the steps; null after the last.
    pub step: Option<usize>,
    /// How often it occurred; `record` is that of the first.
    #[serde(default = "one")]
    pub count: u64,
    /// The rule's place.
    pub rule: PolicyPlace,
    /// The denial as the kernel wrote it.
    pub record: String,
}

/// The default for reports of a program version that did not count.
fn one() -> u64 {
    1
}

impl Report {
    /// Builds a report.
    pub fn new(
        run: RunInfo,
        strict: bool,
        shard: Option<Split>,
        duration_ms: f64,
        cases: Vec<CaseReport>,
    ) -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            program_version: PROGRAM_VERSION.into(),
            run,
            strict,
            shard,
            duration_ms,
            summary: count(&cases),
            cases,
        }
    }
}

/// Number of cases for each verdict, including verdicts without cases.
pub fn count(cases: &[CaseReport]) -> BTreeMap<String, usize> {
    let mut summary: BTreeMap<String, usize> = Verdict::ALL
        .iter()
        .map(|verdict| (verdict.name().to_string(), 0))
        .collect();
    for case in cases {
        *summary.entry(case.verdict.name().to_string()).or_default() += 1;
    }
    summary
}

impl FindingReport {
    /// The sentence, with its step and how often it occurred.
    pub fn line(&self) -> String {
        let place = match (self.step, self.cleanup) {
            (Some(step), false) => format!("step {step}: "),
            (Some(step), true) => format!("cleanup step {step}: "),
            (None, _) => String::new(),
        };
        format!("{place}{}{}", self.text, times(self.count))
    }
}

impl CaseReport {
    /// The most relevant place in the policy: where the rule for the first denial would go, else the place of the first
    /// finding that has one.
    pub fn place(&self) -> Option<&PolicyPlace> {
        let places = || self.findings.iter().filter(|finding| finding.place.is_some());
        places()
            .find(|finding| finding.kind == FindingKind::Denial)
            .or_else(|| places().next())
            .and_then(|finding| finding.place.as_ref())
    }
}

impl std::fmt::Display for PolicyPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
