//! The content of an image: versions and packages, as reported by its package manager.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The content of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The suite that it was built from.
    pub suite: String,
    /// The kernel's release, as `uname -r` reports it.
    pub kernel_release: String,
    /// The version of the package with `apparmor_parser`.
    pub parser_version: String,
    /// The version of the package with libvirt's daemons.
    pub libvirt_version: String,
    /// Every installed package and its version.
    pub packages: BTreeMap<String, String>,
    /// How long the build took, in seconds.
    pub build_seconds: u64,
}

/// Reads dpkg's status file: the installed packages and their versions.
pub fn installed_packages(status: &str) -> BTreeMap<String, String> {
    status.split("\n\n").filter_map(installed).collect()
}

fn installed(stanza: &str) -> Option<(String, String)> {
    let field = |name: &str| {
        stanza
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|v| v.trim().to_owned())
    };
    field("Status")?.ends_with(" installed").then_some(())?;
    Some((field("Package")?, field("Version")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let status = "\
Package: one
Status: install ok installed
Version: 1.0-1
Description: something
 Version: not this

Package: two
Status: deinstall ok config-files
Version: 2.0
";
        assert_eq!(
            installed_packages(status),
            BTreeMap::from([("one".to_owned(), "1.0-1".to_owned())])
        );
    }
}
