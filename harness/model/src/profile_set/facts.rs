//! What reports and errors say of a profile set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where policy lies in a machine.
pub const POLICY_DIR: &str = "/etc/apparmor.d";

/// A file of a given set that cannot be loaded. Its profiles are not there; the others are still run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unusable {
    /// The file, below `/etc/apparmor.d`.
    pub file: String,
    /// Why: the parser's own words, where it is the parser that does not take it.
    pub message: String,
}

/// Where the files of a set come from, as reports tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The folder or repository; none for what the image's packages installed.
    pub source: Option<String>,
    /// Below it, the folder that the profiles are in.
    pub folder: Option<String>,
    /// The full name of the commit, where there is one.
    pub revision: Option<String>,
    /// Whether the files differ from those of the commit.
    pub modified: Option<bool>,
    /// The generation of AppArmor that the files were made for.
    pub apparmor: Option<u8>,
}
