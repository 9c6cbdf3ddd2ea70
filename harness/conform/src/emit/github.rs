//! GitHub: a workflow of a repository with libvirt's sources.

use super::facts::{Facts, packages_with_git};
use super::text::{Files, fill, list, plain};

/// The workflow.
pub fn files(facts: &Facts) -> Files {
    let workflow = fill(
        include_str!("texts/github/workflow.yml"),
        &[
            ("tried", include_str!("texts/github/tried")),
            ("install", include_str!("texts/github/install.yml")),
            ("checkout", include_str!("texts/github/checkout.yml")),
            ("images", &list(&facts.image_names())),
            ("packages", &packages_with_git().join(" ")),
        ],
    );
    Files::from([(".github/workflows/apparmor-conform.yml", plain(workflow))])
}
