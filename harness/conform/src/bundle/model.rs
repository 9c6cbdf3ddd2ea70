//! The content of a bundle.

use std::collections::BTreeMap;

use aa_policy::Tree;
use serde::{Deserialize, Serialize};
use virt_aa_probe::protocol::{CaseEvidence, CasePlan};

use virt_aa_model::case::expand::SubjectProfile;
use virt_aa_model::case::model::Case;
use virt_aa_model::known::KnownFailure;
use virt_aa_model::report::model::Report;
use virt_aa_model::verdict::features::Features;
use virt_aa_model::verdict::policy::Declared;

/// Raised when bundles of older programs can no longer be read.
pub const FORMAT: u32 = 1;

/// The manifest of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the archive.
    pub format: u32,
    /// The version of virt-aa-conform that made it.
    pub program_version: String,
    /// When it was made, in seconds since the epoch.
    pub made: u64,
    /// Every other file with its SHA-256, in lower-case hexadecimal digits.
    pub files: BTreeMap<String, String>,
}

/// What the parser and the kernel reported about the policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFacts {
    /// The folders of the set, including empty ones.
    pub set_dirs: Vec<String>,
    /// The files of the set, without included files.
    pub set_files: Vec<String>,
    /// Every compiled profile.
    pub declared: BTreeMap<String, Declared>,
    /// The parser's warnings.
    pub warnings: Vec<String>,
    /// What the kernel mediates.
    pub kernel: Features,
    /// The policy namespace of a run on a host.
    pub namespace: Option<String>,
}

/// One case that was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The variant's id.
    pub id: String,
    /// The case with its templates filled in.
    pub case: Case,
    /// The profile of each subject.
    pub profiles: BTreeMap<String, SubjectProfile>,
    /// The agent's plan.
    pub plan: CasePlan,
    /// The agent's evidence.
    pub evidence: CaseEvidence,
    /// The known failures that it was judged by.
    pub known: Vec<KnownFailure>,
    /// Gaps that were found in the log after the machine's last case.
    pub gaps_after: Vec<String>,
    /// The last lines of the machine's console at the end of the case.
    pub console: Vec<String>,
}

/// A whole bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// When the bundle was made, and by which program.
    pub manifest: Manifest,
    /// The report of the run.
    pub report: Report,
    /// The policy under test.
    pub policy: PolicyFacts,
    /// The set's files.
    pub set: Tree,
    /// The cases that were run.
    pub cases: Vec<CaseFile>,
}
