//! The part of a report about the run itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile_set::{Provenance, Unusable};

/// Where and on what the cases ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// `vm`, `host` or `container`.
    pub backend: String,
    /// How a VM is accelerated, `kvm` or `tcg`; `native` for a host and a container.
    pub accelerator: String,
    /// The container engine, `podman`, `docker` or `nspawn`; only for containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The recipe's name, `debian-13`; for a host, its distribution in the same form.
    pub recipe: String,
    /// Name and content key of the image.
    pub image: String,
    /// The output of `uname -r` on the system under test.
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
    /// The hash over all its files.
    pub hash: String,
    /// Where its files come from.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Folders that it is made for.
    pub dirs: BTreeMap<String, String>,
    /// Its files that cannot be loaded, and why. Their profiles were not tested.
    pub unusable: Vec<Unusable>,
    /// Every profile that was loaded.
    pub profiles: Vec<String>,
}
