//! What a report says about the run itself, taken from a prepared run.

use virt_aa_model::report::run_info::{ProfileSetInfo, RunInfo};

use crate::backend::Backend;
use crate::prepare::{Candidate, Prepared};

/// Describes a prepared run.
pub fn of_base(prepared: &Prepared, backend: &Backend, known_bad: Option<&str>) -> RunInfo {
    of_candidate(prepared, &prepared.base, backend, known_bad)
}

/// Describes a set on a prepared image.
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
