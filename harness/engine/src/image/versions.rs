//! Which versions a root file system has. dpkg reports them, or without dpkg the parser and the library.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use aa_policy::{Parser, resolve_inside};

use super::error::ImageError;
use super::facts::installed_packages;

const STATUS: &str = "var/lib/dpkg/status";
/// Folders that may contain libvirt's library.
const LIBRARIES: &[&str] = &["usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib"];
/// Prefix of its name. The version follows.
const LIBVIRT: &str = "libvirt.so.0.";

/// Versions of what verdicts are about.
pub struct Versions {
    /// `apparmor_parser`.
    pub parser: String,
    /// libvirt.
    pub libvirt: String,
    /// Every package, if there is a dpkg list.
    pub packages: BTreeMap<String, String>,
}

/// Reads the versions. `tree` is the part of the root file system from which its parser runs here.
pub fn read(name: &str, root: &Path, tree: &Path) -> Result<Versions, ImageError> {
    let path = root.join(STATUS);
    match resolve_inside(root, Path::new(STATUS)).and_then(|found| fs::read_to_string(root.join(found))) {
        Ok(status) => of_packages(name, installed_packages(&status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => of_files(name, root, tree),
        Err(error) => Err(ImageError::file("read", &path)(error)),
    }
}

fn of_packages(name: &str, packages: BTreeMap<String, String>) -> Result<Versions, ImageError> {
    let version = |package: &str| {
        packages
            .get(package)
            .cloned()
            .ok_or_else(|| lacking(name, &format!("package {package}")))
    };
    Ok(Versions {
        parser: version("apparmor")?,
        libvirt: version("libvirt-daemon-system")?,
        packages,
    })
}

fn of_files(name: &str, root: &Path, tree: &Path) -> Result<Versions, ImageError> {
    let said = Parser::from_tree(tree).and_then(|parser| parser.version());
    let said = said.map_err(|error| ImageError::malformed(tree, error))?;
    let libvirt = LIBRARIES
        .iter()
        .filter_map(|dir| fs::read_dir(root.join(resolve_inside(root, Path::new(dir)).ok()?)).ok())
        .flatten()
        .flatten()
        .find_map(|entry| of_library(entry.file_name().to_str()?));
    Ok(Versions {
        parser: of_parser(&said).to_owned(),
        libvirt: libvirt.ok_or_else(|| lacking(name, "libvirt.so.0"))?,
        packages: BTreeMap::new(),
    })
}

fn lacking(image: &str, what: &str) -> ImageError {
    ImageError::Lacking {
        image: image.to_owned(),
        what: what.to_owned(),
    }
}

/// `AppArmor parser version 4.1.0` is 4.1.0.
fn of_parser(said: &str) -> &str {
    said.split_ascii_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(said)
}

/// `libvirt.so.0.11003.0` is 11.3.0.
fn of_library(file: &str) -> Option<String> {
    let (number, micro) = file.strip_prefix(LIBVIRT)?.split_once('.')?;
    let (number, micro): (u32, u32) = (number.parse().ok()?, micro.parse().ok()?);
    Some(format!("{}.{}.{micro}", number / 1000, number % 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_names_and_words() {
        assert_eq!(of_library("libvirt.so.0.11003.2").as_deref(), Some("11.3.2"));
        assert_eq!(of_library("libvirt.so.0"), None);
        assert_eq!(of_library("libvirt-qemu.so.0.11003.2"), None);
        assert_eq!(of_parser("AppArmor parser version 4.1.0~beta5"), "4.1.0~beta5");
    }

    #[test]
    fn what_is_not_installed_is_told() {
        let packages = BTreeMap::from([("apparmor".to_owned(), "4".to_owned())]);
        let error = of_packages("x", packages).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("package libvirt-daemon-system"), "{error}");
    }
}
