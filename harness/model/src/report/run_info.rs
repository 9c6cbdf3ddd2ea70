//! What a report says of the run itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile_set::{Provenance, Unusable};

/// Where and on what the cases ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// `vm`, `host` or `container`.
    pub backend: String,
    /// What runs a VM, `kvm` or `tcg`; `native` of a host and a container.
    pub accelerator: String,
    /// What makes the container, `podman`, `docker` or `nspawn`; there for containers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The recipe's name, `debian-13`; of a host its distribution, in the same form.
    pub recipe: String,
    /// Name and content key of the image.
    pub image: String,
    /// `uname -r` there.
    pub kernel: String,
    /// Version of apparmor_parser's package.
    pub parser: String,
    /// Version of libvirt's package.
    pub libvirt: String,
    /// The profile set.
    pub profile_set: ProfileSetInfo,
}

/// The set under test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileSetInfo {
    /// Its name.
    pub name: String,
    /// The known-bad edit made to it.
    pub known_bad: Option<String>,
    /// Over all its files.
    pub hash: String,
    /// Where its files come from.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Folders that it was made for.
    pub dirs: BTreeMap<String, String>,
    /// Files of it that cannot be loaded, and why; their profiles were not tested.
    pub unusable: Vec<Unusable>,
    /// Every profile that was loaded.
    pub profiles: Vec<String>,
}
