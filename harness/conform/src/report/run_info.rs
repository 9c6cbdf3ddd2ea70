//! What a report says of the run itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::prepare::{Candidate, Prepared};
use crate::profile_set::assemble::Unusable;
use crate::profile_set::open::Provenance;

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

impl RunInfo {
    /// Of a prepared run.
    pub fn of(prepared: &Prepared, backend: &Backend, known_bad: Option<&str>) -> RunInfo {
        RunInfo::of_candidate(prepared, &prepared.base, backend, known_bad)
    }

    /// Of a set on a prepared image.
    pub fn of_candidate(
        prepared: &Prepared,
        candidate: &Candidate,
        backend: &Backend,
        known_bad: Option<&str>,
    ) -> RunInfo {
        let set = &candidate.set;
        let facts = &prepared.image.facts;
        let name = prepared
            .image
            .dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        RunInfo {
            backend: backend.name().into(),
            accelerator: backend.accelerator().into(),
            engine: backend.engine().map(str::to_string),
            recipe: prepared.image.name.clone(),
            image: name.unwrap_or_else(|| prepared.image.name.clone()),
            kernel: prepared.kernel_release.clone(),
            parser: facts.parser_version.clone(),
            libvirt: facts.libvirt_version.clone(),
            profile_set: ProfileSetInfo {
                name: set.manifest.name.clone(),
                known_bad: known_bad.map(str::to_string),
                hash: set.tree.hash(),
                provenance: set.provenance.clone(),
                dirs: set.dirs.by_key(),
                unusable: set.unusable.clone(),
                profiles: candidate.policy.declared.keys().cloned().collect(),
            },
        }
    }
}
