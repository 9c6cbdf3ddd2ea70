//! What is known about the policy under test when a case is judged.

use std::collections::{BTreeMap, BTreeSet};

use aa_audit::Record;
use aa_policy::PolicyFile;
use serde::{Deserialize, Serialize};

use super::features::Features;

/// A profile of the set, as compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Digests that the kernel may show for it, by the algorithm's name.
    pub hashes: BTreeMap<String, String>,
    /// Whether it was compiled to enforce.
    pub enforce: bool,
    /// The classes that its automaton covers.
    pub classes: BTreeSet<aa_policy::Class>,
}

/// The policy under test.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The profiles that the kernel must list, without any other.
    pub declared: BTreeMap<String, Declared>,
    /// Everything that the parser printed while it compiled.
    pub warnings: Vec<String>,
    /// The files of the base set, used to find what their `deny` rules cover.
    pub files: Vec<PolicyFile>,
    /// The files as they were run: those of the base set, or of its edited copy. A `deny` rule of an edit excuses no
    /// denial, and a report names it.
    pub files_run: Vec<PolicyFile>,
    /// What the kernel mediates.
    pub kernel: Features,
    /// The policy namespace that the set is loaded into, on a host with its own policy; `None` if the set has the whole
    /// kernel.
    pub namespace: Option<String>,
}

impl Policy {
    /// Whether a record is from the namespace that the set is loaded into. Without a namespace, every record is.
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

    /// Like `file_of`, but in the files as they were run.
    pub fn file_run_of(&self, profile: &str) -> Option<&PolicyFile> {
        declaring(&self.files_run, profile)
    }
}

fn declaring<'f>(files: &'f [PolicyFile], profile: &str) -> Option<&'f PolicyFile> {
    files
        .iter()
        .find(|file| file.declared_names().iter().any(|name| name == profile))
}
