//! What is known of the policy under test when a case is judged.

use std::collections::{BTreeMap, BTreeSet};

use aa_audit::Record;
use aa_policy::PolicyFile;
use serde::{Deserialize, Serialize};

use super::features::Features;

/// A profile of the set, as compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Digests that the kernel may show of it, by the algorithm's name.
    pub hashes: BTreeMap<String, String>,
    /// Whether it was compiled to enforce.
    pub enforce: bool,
    /// The classes that its automaton says anything of.
    pub classes: BTreeSet<aa_policy::Class>,
}

/// The policy under test.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Every profile that the kernel must list, and no other.
    pub declared: BTreeMap<String, Declared>,
    /// Anything that the parser said while it compiled.
    pub warnings: Vec<String>,
    /// The files of the base set, for what their `deny` rules cover.
    pub files: Vec<PolicyFile>,
    /// The files as they were run: those of the base set, or of that set edited. What an edit denies excuses nothing, and
    /// a report names its rule.
    pub files_run: Vec<PolicyFile>,
    /// What the kernel mediates.
    pub kernel: Features,
    /// The policy namespace that the set is loaded into, on a host with policy of its own; none where the whole kernel is
    /// the set's.
    pub namespace: Option<String>,
}

impl Policy {
    /// Whether a record is of the namespace that the set is loaded into; where the whole kernel is the set's, each is.
    pub fn is_of_namespace(&self, record: &Record) -> bool {
        match (&self.namespace, record.namespace.as_deref()) {
            (None, _) => true,
            (Some(own), Some(namespace)) => namespace.strip_prefix("root//") == Some(own),
            (Some(_), None) => false,
        }
    }

    /// The file of the base set in which a profile is declared.
    pub fn file_of(&self, profile: &str) -> Option<&PolicyFile> {
        declaring(&self.files, profile)
    }

    /// The same, as it was run.
    pub fn file_run_of(&self, profile: &str) -> Option<&PolicyFile> {
        declaring(&self.files_run, profile)
    }
}

fn declaring<'f>(files: &'f [PolicyFile], profile: &str) -> Option<&'f PolicyFile> {
    files
        .iter()
        .find(|file| file.declared_names().iter().any(|name| name == profile))
}
