//! The part of a root file system that the host needs: the packaged profiles, the parser with its loader and
//! libraries, and the accounts. Paths in it are those of the image, so the parser can be run from it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::elf::Elf;
use super::error::ImageError;

/// Files and folders that are copied unchanged.
const TAKEN: &[&str] = &["etc/apparmor.d", "etc/passwd", "etc/group"];
/// Likewise, if they exist.
const TAKEN_IF_THERE: &[&str] = &[
    "etc/apparmor",
    // Debian pins the policy to these features. parser.conf names the file.
    "usr/share/apparmor-features",
    "var/lib/dpkg/status",
];
/// Programs that are copied with their loader and libraries.
const PROGRAMS: &[&str] = &["usr/sbin/apparmor_parser"];
/// Links in a distribution with a merged /usr. The paths of programs go through them.
const LINKS: &[&str] = &["bin", "sbin", "lib", "lib64", "usr/lib64"];
const LIBRARY_DIRS: &[&str] = &["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"];

/// A path through more symbolic links than this is taken for a loop.
const MOST_LINKS: usize = 40;

/// Copies the host's part of `root` to `target`, which does not exist yet.
pub fn copy(root: &Path, target: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(target).map_err(ImageError::file("create", target))?;
    for link in LINKS {
        copy_link(root, target, Path::new(link))?;
    }
    for path in TAKEN {
        without_links(root, Path::new(path))?;
        copy_any(root, target, Path::new(path))?;
    }
    for path in TAKEN_IF_THERE {
        without_links(root, Path::new(path))?;
        if fs::symlink_metadata(root.join(path)).is_ok() {
            copy_any(root, target, Path::new(path))?;
        }
    }
    for program in PROGRAMS {
        copy_program(root, target, Path::new(program))?;
    }
    Ok(())
}

/// Refuses a link in a folder's place: it could lead out of the tree, to files of this machine.
fn without_links(root: &Path, path: &Path) -> Result<(), ImageError> {
    let is_link = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let parts = path.ancestors().filter(|part| !part.as_os_str().is_empty());
    match parts.map(|part| root.join(part)).find(is_link) {
        Some(link) => Err(ImageError::malformed(
            &link,
            "a link; put what it leads to in its place",
        )),
        None => Ok(()),
    }
}

/// Where a path leads inside a tree.
#[derive(Debug, PartialEq, Eq)]
struct Resolved {
    /// The file itself.
    file: PathBuf,
    /// The links on the way.
    links: Vec<PathBuf>,
}

/// Follows a path. Every link on the way is resolved *inside the tree*, even an absolute one.
fn resolve(root: &Path, path: &Path) -> Option<Resolved> {
    let mut pending: Vec<String> = parts(path)?;
    pending.reverse();
    let mut file = PathBuf::new();
    let mut links = Vec::new();
    while let Some(part) = pending.pop() {
        if part == ".." {
            file.pop();
            continue;
        }
        let next = file.join(&part);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links.push(next);
                if links.len() > MOST_LINKS {
                    return None;
                }
                if target.is_absolute() {
                    file = PathBuf::new();
                }
                pending.extend(parts(&target)?.into_iter().rev());
            }
            Err(_) => file = next,
        }
    }
    root.join(&file).exists().then_some(Resolved { file, links })
}

fn parts(path: &Path) -> Option<Vec<String>> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_str().map(str::to_owned)),
            Component::ParentDir => Some(Some("..".to_owned())),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn copy_program(root: &Path, target: &Path, program: &Path) -> Result<(), ImageError> {
    let mut waiting = vec![program.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let lacking = || {
            ImageError::malformed(
                &root.join(&path),
                "needed to run the image's parser, but not there",
            )
        };
        let Resolved { file: real, links } = resolve(root, &path).ok_or_else(lacking)?;
        for link in &links {
            copy_link(root, target, link)?;
        }
        copy_file(&root.join(&real), &target.join(&real))?;
        let bytes = fs::read(root.join(&real)).map_err(ImageError::file("read", &root.join(&real)))?;
        let malformed = |e: super::elf::ElfError| ImageError::malformed(&root.join(&real), e);
        let elf = Elf::parse(&bytes).map_err(malformed)?;
        if let Some(loader) = elf.interpreter().map_err(malformed)? {
            waiting.push(PathBuf::from(loader.trim_start_matches('/')));
        }
        for library in elf.needed().map_err(malformed)? {
            let found = LIBRARY_DIRS
                .iter()
                .map(|dir| Path::new(dir).join(&library))
                .find(|p| resolve(root, p).is_some());
            waiting.push(found.ok_or_else(|| {
                ImageError::malformed(
                    &root.join(&real),
                    format!("needs {library}, which is not in the tree"),
                )
            })?);
        }
    }
    Ok(())
}

fn copy_any(root: &Path, target: &Path, path: &Path) -> Result<(), ImageError> {
    let from = root.join(path);
    let kind = fs::symlink_metadata(&from)
        .map_err(ImageError::file("read", &from))?
        .file_type();
    if kind.is_symlink() {
        return copy_link(root, target, path);
    }
    if kind.is_file() {
        return copy_file(&from, &target.join(path));
    }
    if kind.is_dir() {
        let to = target.join(path);
        fs::create_dir_all(&to).map_err(ImageError::file("create", &to))?;
        for entry in fs::read_dir(&from).map_err(ImageError::file("read", &from))? {
            let entry = entry.map_err(ImageError::file("read", &from))?;
            copy_any(root, target, &path.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Copies a link as it is. Skips anything that is not a link.
fn copy_link(root: &Path, target: &Path, path: &Path) -> Result<(), ImageError> {
    let Ok(leads_to) = fs::read_link(root.join(path)) else {
        return Ok(());
    };
    let to = target.join(path);
    create_parent(&to)?;
    match symlink(leads_to, &to) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(ImageError::file("link", &to)(e)),
        _ => Ok(()),
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), ImageError> {
    let found = fs::symlink_metadata(from).map_err(ImageError::file("read", from))?;
    if !found.is_file() {
        return Err(ImageError::malformed(from, "not a file"));
    }
    create_parent(to)?;
    fs::copy(from, to).map_err(ImageError::file("copy", from))?;
    Ok(())
}

fn create_parent(path: &Path) -> Result<(), ImageError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(ImageError::file("create", parent)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This machine's own shell stands in for the image's parser.
    #[test]
    fn a_copied_program_runs_from_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path();
        copy_program(Path::new("/"), target, Path::new("bin/sh")).unwrap();
        let output = std::process::Command::new(target.join("lib64/ld-linux-x86-64.so.2"))
            .args([
                "--library-path".as_ref(),
                target.join("lib/x86_64-linux-gnu").as_os_str(),
            ])
            .arg(target.join("bin/sh"))
            .args(["-c", "echo runs"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "runs\n", "{output:?}");
    }

    #[test]
    fn what_leads_out_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(outside.join("apparmor.d")).unwrap();
        fs::create_dir_all(&root).unwrap();
        symlink(&outside, root.join("etc")).unwrap();
        let error = copy(&root, &dir.path().join("target")).unwrap_err().to_string();
        assert!(error.contains("etc: a link;"), "{error}");
        fs::remove_file(root.join("etc")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        symlink(outside.join("apparmor.d"), root.join("etc/apparmor.d")).unwrap();
        let error = copy(&root, &dir.path().join("other")).unwrap_err().to_string();
        assert!(error.contains("etc/apparmor.d: a link;"), "{error}");
        // A device or a folder in a program's place.
        let error = copy_file(Path::new("/dev/zero"), &dir.path().join("zero")).unwrap_err();
        assert!(error.to_string().contains("not a file"));
    }

    #[test]
    fn links_are_followed_inside_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("usr/lib/real.so.1"), "").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/lib/real.so.1", root.join("usr/lib/link.so")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let resolved = resolve(root, Path::new("/lib/link.so"));
        let links = vec![
            PathBuf::from("lib"),
            PathBuf::from("usr/lib/link.so"),
            PathBuf::from("lib"),
        ];
        assert_eq!(
            resolved,
            Some(Resolved {
                file: PathBuf::from("usr/lib/real.so.1"),
                links
            })
        );
        assert_eq!(resolve(root, Path::new("loop")), None);
        assert_eq!(
            resolve(root, Path::new("etc/passwd")),
            None,
            "the host's own file is not found"
        );
    }
}
