//! What reports and errors say about a profile set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The policy directory in a machine.
pub const POLICY_DIR: &str = "/etc/apparmor.d";

/// A file of a given set that cannot be loaded. Its profiles are missing; the others are still tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unusable {
    /// The file, below `/etc/apparmor.d`.
    pub file: String,
    /// The reason. It is the parser's message if the parser rejects the file.
    pub message: String,
}

/// Where the files of a set come from, as reports show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The folder or repository; `None` for files that the image's packages installed.
    pub source: Option<String>,
    /// The folder below it that has the profiles.
    pub folder: Option<String>,
    /// The full commit id, if there is one.
    pub revision: Option<String>,
    /// Whether the files differ from those of the commit.
    pub modified: Option<bool>,
    /// The generation of AppArmor that the files were made for.
    pub apparmor: Option<u8>,
}
