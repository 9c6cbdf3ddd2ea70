//! Finds what a root file system boots: the newest kernel and hypervisor whose names in `/boot` match a pattern.

use std::cmp::Ordering;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aa_policy::resolve_inside;

use super::error::ImageError;

/// The folder of the kernels' modules. It also works if `/lib` is a link.
const MODULES: &str = "lib/modules";
/// A kernel beside its modules, in distributions that leave `/boot` to the boot loader.
const BESIDE_MODULES: &str = "vmlinuz";

/// The newest kernel whose name matches: its release and its unchanged file.
pub fn kernel(name: &str, pattern: &str, root: &Path) -> Result<(String, Vec<u8>), ImageError> {
    let mut found = in_boot(root)?;
    if !found.iter().any(|(file, _)| matches(pattern, file)) {
        found = beside_modules(root)?;
    }
    let (file, path) = newest(name, "kernel", pattern, found)?;
    let release = file.split_once('-').map(|(_, release)| release.to_owned());
    let release = release.ok_or_else(|| ImageError::Lacking {
        image: name.to_owned(),
        what: format!("release in the name of its kernel, {file}"),
    })?;
    Ok((release, read(root, &path)?))
}

/// The newest hypervisor whose name matches, decompressed.
pub fn hypervisor(name: &str, pattern: &str, root: &Path) -> Result<Vec<u8>, ImageError> {
    let (_, path) = newest(name, "hypervisor", pattern, in_boot(root)?)?;
    let packed = read(root, &path)?;
    let mut plain = Vec::new();
    // QEMU enters it by its multiboot header, which it finds only in the decompressed file.
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut plain)
        .map_err(ImageError::file("unpack", &root.join(&path)))?;
    Ok(plain)
}

/// The folder with the modules of a release.
pub fn modules_dir(root: &Path, release: &str) -> Result<PathBuf, ImageError> {
    let path = Path::new(MODULES).join(release);
    let found = resolve_inside(root, &path).map_err(ImageError::file("read", &root.join(&path)))?;
    Ok(root.join(found))
}

/// File names, each with its path from the root.
type Files = Vec<(String, PathBuf)>;

fn in_boot(root: &Path) -> Result<Files, ImageError> {
    let names = listing(root, Path::new("boot"))?;
    Ok(names
        .into_iter()
        .map(|file| (file.clone(), Path::new("boot").join(file)))
        .collect())
}

fn beside_modules(root: &Path) -> Result<Files, ImageError> {
    let releases = listing(root, Path::new(MODULES))?;
    let path = |release: &String| Path::new(MODULES).join(release).join(BESIDE_MODULES);
    Ok(releases
        .iter()
        .filter(|release| resolve_inside(root, &path(release)).is_ok())
        .map(|release| (format!("{BESIDE_MODULES}-{release}"), path(release)))
        .collect())
}

/// The names in a folder; empty if there is no folder.
fn listing(root: &Path, dir: &Path) -> Result<Vec<String>, ImageError> {
    let shown = root.join(dir);
    let failed = || ImageError::file("read", &shown);
    let found = match resolve_inside(root, dir) {
        Ok(found) => root.join(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(found).map_err(failed())? {
        if let Ok(name) = entry.map_err(failed())?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn newest(name: &str, what: &str, pattern: &str, found: Files) -> Result<(String, PathBuf), ImageError> {
    found
        .into_iter()
        .filter(|(file, _)| matches(pattern, file))
        .max_by(|a, b| compare_versions(&a.0, &b.0))
        .ok_or_else(|| ImageError::Lacking {
            image: name.to_owned(),
            what: format!("{what} {pattern} in /boot"),
        })
}

/// Reads a file of the tree. Every link on the way is resolved inside the tree.
fn read(root: &Path, path: &Path) -> Result<Vec<u8>, ImageError> {
    let shown = root.join(path);
    let real = root.join(resolve_inside(root, path).map_err(ImageError::file("read", &shown))?);
    let found = fs::symlink_metadata(&real).map_err(ImageError::file("read", &real))?;
    if !found.is_file() {
        return Err(ImageError::malformed(&shown, "not a file"));
    }
    fs::read(&real).map_err(ImageError::file("read", &real))
}

/// Whether a name matches a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(head) else {
        return false;
    };
    (0..=name.len()).any(|at| name.is_char_boundary(at) && matches(rest, &name[at..]))
}

/// Compares numbers in names as numbers: `6.1.0-9` is older than `6.1.0-10`.
fn compare_versions(a: &str, b: &str) -> Ordering {
    fn pieces(text: &str) -> Vec<(u64, &str)> {
        let cut = |w: &[char]| w[0].is_ascii_digit() != w[1].is_ascii_digit();
        let mut rest = text;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let chars: Vec<char> = rest.chars().collect();
            let len = chars.windows(2).position(cut).map_or(chars.len(), |at| at + 1);
            let bytes = chars[..len].iter().map(|c| c.len_utf8()).sum();
            let (piece, after) = rest.split_at(bytes);
            pieces.push((piece.parse().unwrap_or(0), piece));
            rest = after;
        }
        pieces
    }
    pieces(a).cmp(&pieces(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("vmlinuz-*-amd64", "vmlinuz-6.1.0-56-amd64", true)]
    #[case("vmlinuz-*-amd64", "vmlinuz-6.1.0-56-cloud-amd64.old", false)]
    #[case("vmlinuz-*-amd64", "System.map-6.1.0-56-amd64", false)]
    #[case("exact", "exact", true)]
    #[case("exact", "exactly", false)]
    #[case("*", "", true)]
    fn a_pattern_fits(#[case] pattern: &str, #[case] name: &str, #[case] fits: bool) {
        assert_eq!(matches(pattern, name), fits);
    }

    #[rstest]
    #[case("vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64")]
    #[case("vmlinuz-6.12.9+deb13-amd64", "vmlinuz-6.12.117+deb13-amd64")]
    #[case("vmlinuz-5.10.0-amd64", "vmlinuz-6.1.0-amd64")]
    fn the_newer_kernel_is_greater(#[case] older: &str, #[case] newer: &str) {
        assert_eq!(compare_versions(older, newer), Ordering::Less);
        assert_eq!(compare_versions(newer, newer), Ordering::Equal);
    }

    fn tree(files: &[&str], links: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        for (link, target) in links {
            let path = dir.path().join(link);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        }
        dir
    }

    fn found(dir: &tempfile::TempDir) -> Result<(String, String), String> {
        kernel("x", "vmlinuz-*", dir.path())
            .map(|(release, content)| (release, String::from_utf8(content).unwrap()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_kernel_is_in_boot_or_beside_its_modules() {
        let boot = tree(
            &["boot/vmlinuz-6.1", "usr/lib/modules/6.12/vmlinuz"],
            &[("lib", "usr/lib")],
        );
        assert_eq!(found(&boot), Ok(("6.1".into(), "boot/vmlinuz-6.1".into())));
        let modules = tree(
            &[
                "usr/lib/modules/6.9/vmlinuz",
                "usr/lib/modules/6.12/vmlinuz",
                "usr/lib/modules/7/x",
            ],
            &[("lib", "/usr/lib")],
        );
        let there = "usr/lib/modules/6.12/vmlinuz";
        assert_eq!(found(&modules), Ok(("6.12".into(), there.into())));
        let link = tree(
            &[there],
            &[("boot/vmlinuz-6.12", "/usr/lib/modules/6.12/vmlinuz")],
        );
        assert_eq!(found(&link), Ok(("6.12".into(), there.into())));
    }

    /// A file of that name on this machine is not the tree's.
    #[test]
    fn a_link_that_leads_out_finds_nothing() {
        let out = tree(&[], &[("boot/vmlinuz-1", "/../../../../../etc/passwd")]);
        assert!(found(&out).unwrap_err().contains("vmlinuz-1"));
        let folder = tree(&["boot/vmlinuz-1/x"], &[]);
        assert!(found(&folder).unwrap_err().contains("not a file"));
        assert!(found(&tree(&[], &[])).unwrap_err().contains("has no kernel"));
    }
}
