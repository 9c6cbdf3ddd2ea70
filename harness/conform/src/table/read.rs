//! The parts of a report that a table needs. The rest of the report may be of any version.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::TableError;
use virt_aa_model::verdict::judge::Verdict;

/// One report.
#[derive(Debug, Clone)]
pub struct NamedReport {
    /// The report's file, for messages.
    pub file: String,
    /// Where the run took place, and on what.
    pub place: Where,
    /// From `run`: a verdict for each case.
    pub cases: Vec<Case>,
    /// From `prove`: an outcome for each guard.
    pub proofs: Vec<Proof>,
}

/// Where the run took place, and on what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Where {
    /// `vm`, `host`, `container`.
    pub backend: String,
    /// The container engine, if the backend has one.
    #[serde(default)]
    pub engine: Option<String>,
    /// The image's name.
    pub recipe: String,
    /// `uname -r`.
    pub kernel: String,
    /// The parser's version.
    pub parser: String,
    /// libvirt's version.
    pub libvirt: String,
    /// The set.
    pub profile_set: Set,
}

/// The profile set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The known-bad edit of the set.
    #[serde(default)]
    pub known_bad: Option<String>,
}

/// How one case ended.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// The case's full id.
    pub id: String,
    /// Where the case is written.
    pub source: Source,
    /// How it ended.
    pub verdict: Verdict,
    /// The reason, for every verdict except a pass.
    pub reason: Option<String>,
}

/// Where a case is written.
#[derive(Debug, Clone, Deserialize)]
pub struct Source {
    /// Its folder below `cases/`.
    pub folder: String,
}

/// How one guard ended.
#[derive(Debug, Clone, Deserialize)]
pub struct Proof {
    /// The case's full id.
    pub case: String,
    /// The guard in a few words.
    pub guard: String,
    /// The outcome, such as `no-such-rule`.
    pub outcome: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Run { cases: Vec<Case> },
    Prove { proofs: Vec<Proof> },
}

#[derive(Deserialize)]
struct File {
    run: Where,
    #[serde(flatten)]
    body: Body,
}

impl Where {
    /// `vm`, `container podman`.
    pub fn backend(&self) -> String {
        match &self.engine {
            Some(engine) => format!("{} {engine}", self.backend),
            None => self.backend.clone(),
        }
    }

    /// The set with its edit.
    pub fn set(&self) -> String {
        match &self.profile_set.known_bad {
            Some(bad) => format!("{} with {bad}", self.profile_set.name),
            None => self.profile_set.name.clone(),
        }
    }
}

/// Read a JSON report of `run` or `prove`.
pub fn read(path: &Path) -> Result<NamedReport, TableError> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| TableError::Io {
        file: file.clone(),
        source,
    })?;
    parse(file, &text)
}

pub(super) fn parse(file: String, text: &str) -> Result<NamedReport, TableError> {
    let read: File = serde_json::from_str(text).map_err(|source| TableError::NoReport {
        file: file.clone(),
        source,
    })?;
    let (cases, proofs) = match read.body {
        Body::Run { cases } => (cases, Vec::new()),
        Body::Prove { proofs } => (Vec::new(), proofs),
    };
    Ok(NamedReport {
        file,
        place: read.run,
        cases,
        proofs,
    })
}
