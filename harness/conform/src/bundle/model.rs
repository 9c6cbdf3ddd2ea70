//! A bundle as values.

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

/// Raised when a bundle of an older program cannot be read any more.
pub const FORMAT: u32 = 1;

/// What is in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the archive.
    pub format: u32,
    /// The version of virt-aa-conform that made it.
    pub program_version: String,
    /// When, in seconds since the epoch.
    pub made: u64,
    /// Every other file with its SHA-256, in lower-case hexadecimal digits.
    pub files: BTreeMap<String, String>,
}

/// What the parser and the kernel said of the policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFacts {
    /// The folders of the set, the empty ones among them.
    pub set_dirs: Vec<String>,
    /// The files of the set, without what they include.
    pub set_files: Vec<String>,
    /// Every profile as it was compiled.
    pub declared: BTreeMap<String, Declared>,
    /// What the parser warned of.
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
    /// What the agent was told to do.
    pub plan: CasePlan,
    /// What it saw.
    pub evidence: CaseEvidence,
    /// The failures known of it, as far as they were judged by.
    pub known: Vec<KnownFailure>,
    /// What the log still held when the machine's last case had been judged.
    pub gaps_after: Vec<String>,
    /// The last lines of the machine's console when the case was over.
    pub console: Vec<String>,
}

/// A whole bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// When and by what it was made.
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
