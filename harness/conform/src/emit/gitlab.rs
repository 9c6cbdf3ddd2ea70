//! GitLab: a file that libvirt's pipeline includes, and what each job of the child pipeline needs.

use super::facts::{Facts, packages_with_git};
use super::text::{Files, fill, list, plain};

/// The files of a repository with libvirt's sources.
pub fn files(facts: &Facts) -> Files {
    let packages = packages_with_git().join(" ");
    let setup = include_str!("texts/gitlab/setup.yml");
    let pipeline = fill(
        include_str!("texts/gitlab/pipeline.yml"),
        &[
            ("tried", include_str!("texts/gitlab/tried")),
            ("setup", setup),
            ("images", &list(&facts.image_names())),
            ("packages", &packages),
        ],
    );
    let default = fill(
        include_str!("texts/gitlab/default.yml"),
        &[("setup", setup), ("packages", &packages)],
    );
    Files::from([
        ("ci/apparmor-conform.yml", plain(pipeline)),
        ("ci/apparmor-conform-default.yml", plain(default)),
    ])
}
