//! Debian's autopkgtest: `debian/tests`.

use super::facts::Facts;
use super::text::{Files, fill, plain, program};
use virt_aa_engine::tools;

/// The tests of a source package.
pub fn files(facts: &Facts) -> Files {
    let suites: Vec<String> = facts
        .images
        .iter()
        .filter(|image| image.plain)
        .filter_map(|image| Some(format!("{}) image={} ;;", image.suite.as_ref()?, image.name)))
        .collect();
    let control = fill(
        include_str!("texts/autopkgtest/control"),
        &[
            ("tried", include_str!("texts/autopkgtest/tried")),
            ("packages", &tools::packages(tools::ALL).join(", ")),
        ],
    );
    let vm = fill(
        include_str!("texts/autopkgtest/vm"),
        &[("suites", &suites.join("\n"))],
    );
    let host = include_str!("texts/autopkgtest/host").to_owned();
    Files::from([
        ("debian/tests/control", plain(control)),
        ("debian/tests/apparmor-conform-vm", program(vm)),
        ("debian/tests/apparmor-conform-host", program(host)),
    ])
}
