//! This host in place of an image: its own policy, parser and packages, and a folder of the cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ImageError;
use super::facts::{ImageFacts, installed_packages};
use super::store::{Image, Store};

/// dpkg's list of packages, if there is one.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";
/// Packages that have libvirt's version, in order of preference.
const LIBVIRT: [&str; 3] = ["libvirt-daemon-system", "libvirt-daemon", "libvirt0"];
const UNKNOWN: &str = "unknown";

/// This host as it is. Nothing is booted from it, so it has no kernel and no disk for a machine.
pub fn this_host(store: &Store) -> Result<Image, ImageError> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let name = name_of(&read("/etc/os-release"));
    let dir = store.images_dir().with_file_name("hosts").join(&name);
    fs::create_dir_all(&dir).map_err(ImageError::file("create", &dir))?;
    let packages = installed_packages(&read(DPKG_STATUS));
    let version = |names: &[&str]| {
        let found = names.iter().find_map(|name| packages.get(*name));
        found.cloned().unwrap_or_else(|| UNKNOWN.into())
    };
    let facts = ImageFacts {
        suite: name.clone(),
        kernel_release: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        parser_version: version(&["apparmor"]),
        libvirt_version: version(&LIBVIRT),
        packages,
        build_seconds: 0,
    };
    Ok(Image {
        name,
        dir,
        kernel: PathBuf::new(),
        hypervisor: None,
        initrd: PathBuf::new(),
        disk: PathBuf::new(),
        tree: Path::new("/").to_owned(),
        facts,
    })
}

/// A name like that of a recipe: `debian-13`, or `debian-sid` if the distribution has no number yet.
fn name_of(os_release: &str) -> String {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']).to_owned())
            .filter(|value| !value.is_empty())
    };
    let id = value("ID").unwrap_or_else(|| "linux".into());
    match value("VERSION_ID") {
        Some(version) => format!("{id}-{version}"),
        None if id == "debian" => "debian-sid".into(),
        None => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("ID=debian\nVERSION_ID=\"13\"\n", "debian-13")]
    #[case("ID=debian\nVERSION_CODENAME=forky\n", "debian-sid")]
    #[case(
        "ID=\"opensuse-tumbleweed\"\nVERSION_ID=\"20260101\"\n",
        "opensuse-tumbleweed-20260101"
    )]
    #[case("", "linux")]
    fn a_host_is_called_as_a_recipe_is(#[case] text: &str, #[case] name: &str) {
        assert_eq!(name_of(text), name);
    }
}
