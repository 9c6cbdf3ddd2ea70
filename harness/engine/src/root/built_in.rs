//! The data files that are part of the program. They are unpacked into the cache, in a folder named after their
//! content, and read like any others. Each use checks that they are unchanged.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use sha2::{Digest, Sha256};

use virt_aa_model::data::{CASES, PROFILES};

use super::RECIPES;

static TREES: [(&str, Dir<'static>); 3] = [
    (CASES, include_dir!("$CARGO_MANIFEST_DIR/../../cases")),
    (PROFILES, include_dir!("$CARGO_MANIFEST_DIR/../../profiles")),
    (RECIPES, include_dir!("$CARGO_MANIFEST_DIR/../../vm-images")),
];

/// The folder in the cache.
const DATA: &str = "data";

/// Why the built-in data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuiltInError {
    /// There is no cache folder.
    #[error(
        "neither XDG_CACHE_HOME nor HOME names a folder into which the built-in data can be unpacked; set one, or name \
         a folder with the data with --root"
    )]
    NoCache,
    /// The data cannot be written.
    #[error("cannot unpack the built-in data to {}: {source}; let XDG_CACHE_HOME name another folder", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Files by their path below a root.
type Files<T> = BTreeMap<PathBuf, T>;

/// The built-in files.
fn files() -> Files<&'static [u8]> {
    fn add(below: &Path, dir: &'static Dir<'_>, files: &mut Files<&'static [u8]>) {
        for file in dir.files() {
            files.insert(below.join(file.path()), file.contents());
        }
        for dir in dir.dirs() {
            add(below, dir, files);
        }
    }
    let mut files = Files::new();
    for (name, dir) in &TREES {
        add(Path::new(name), dir, &mut files);
    }
    files
}

/// A hash of the paths and contents of all files.
fn hash(files: &Files<&[u8]>) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    hex::encode(&hash.finalize()[..8])
}

/// The folder with the built-in data, below the folder `cache`. It is made if it is missing or was changed.
pub fn unpack(cache: Option<PathBuf>) -> Result<PathBuf, BuiltInError> {
    unpack_files(&files(), &cache.ok_or(BuiltInError::NoCache)?)
}

fn unpack_files(files: &Files<&[u8]>, cache: &Path) -> Result<PathBuf, BuiltInError> {
    let parent = cache.join(DATA);
    let dir = parent.join(hash(files));
    if !is_whole(files, &dir) {
        place(files, &parent, &dir).map_err(|(path, source)| BuiltInError::Io { path, source })?;
    }
    Ok(dir)
}

/// Writes everything to a temporary folder, and renames the complete folder to `dir`. Another process may do the
/// same; a complete folder is never missing.
fn place(files: &Files<&[u8]>, parent: &Path, dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| (path, source)
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    // What is left in it is removed when it is dropped.
    let work = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(parent)
        .map_err(at(parent))?;
    let new = work.path().join("new");
    for (path, bytes) in files {
        let path = new.join(path);
        let folder = path.parent().unwrap_or(&new);
        fs::create_dir_all(folder).map_err(at(folder))?;
        fs::write(&path, bytes).map_err(at(&path))?;
    }
    match fs::rename(&new, dir) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            if is_whole(files, dir) {
                return Ok(());
            }
            let exchanged = renameat2(AT_FDCWD, &new, AT_FDCWD, dir, RenameFlags::RENAME_EXCHANGE);
            exchanged.map_err(|errno| at(dir)(errno.into()))
        }
        placed => placed.map_err(at(dir)),
    }
}

/// Whether a folder has exactly these files. Content that cannot be read counts as different.
fn is_whole(files: &Files<&[u8]>, dir: &Path) -> bool {
    let Ok(there) = read(dir) else { return false };
    there.len() == files.len() && there.iter().zip(files).all(|(a, b)| a.0 == b.0 && a.1 == b.1)
}

/// Every file below a folder; anything but a file or folder is an error.
fn read(root: &Path) -> io::Result<Files<Vec<u8>>> {
    let mut found = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.insert(path, fs::read(entry.path())?);
            } else {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn made_up() -> Files<&'static [u8]> {
        let file = |path: &str, text: &'static str| (PathBuf::from(path), text.as_bytes());
        Files::from([file("cases/a/one.yaml", "1"), file("profiles/p.yaml", "")])
    }

    #[test]
    fn what_is_built_in_is_what_lies_in_the_checkout() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut expected = Files::new();
        for mark in super::super::MARKS {
            let below = read(&checkout.join(mark)).unwrap();
            expected.extend(
                below
                    .into_iter()
                    .map(|(path, bytes)| (Path::new(mark).join(path), bytes)),
            );
        }
        let built_in: Files<Vec<u8>> = files()
            .into_iter()
            .map(|(path, bytes)| (path, bytes.to_vec()))
            .collect();
        assert!(built_in.len() > 50);
        assert_eq!(built_in, expected);
    }

    #[test]
    fn the_name_of_the_folder_changes_with_a_path_and_a_byte() {
        let base = hash(&made_up());
        let mut other = made_up();
        other.insert("profiles/p.yaml".into(), b"x");
        assert_ne!(hash(&other), base);
        let mut moved = made_up();
        moved.remove(Path::new("profiles/p.yaml"));
        moved.insert("profiles/q.yaml".into(), b"");
        assert_ne!(hash(&moved), base);
        assert_eq!(hash(&made_up()), base);
    }

    #[test]
    fn what_was_changed_is_put_right_and_nothing_is_left_behind() {
        let cache = tempfile::tempdir().unwrap();
        let files = made_up();
        let dir = unpack_files(&files, cache.path()).unwrap();
        let inode = |dir: &Path| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(dir).unwrap().ino()
        };
        let first = inode(&dir);
        assert_eq!(unpack_files(&files, cache.path()).unwrap(), dir);
        assert_eq!(inode(&dir), first, "what is whole stays");
        let damages: [fn(&Path); 4] = [
            |dir| fs::write(dir.join("cases/a/one.yaml"), "2").unwrap(),
            |dir| fs::write(dir.join("cases/two.yaml"), "").unwrap(),
            |dir| fs::remove_file(dir.join("profiles/p.yaml")).unwrap(),
            |dir| symlink("/", dir.join("cases/link")).unwrap(),
        ];
        for damage in damages {
            damage(&dir);
            assert!(!is_whole(&files, &dir));
            unpack_files(&files, cache.path()).unwrap();
            assert!(is_whole(&files, &dir));
        }
        assert_eq!(fs::read_dir(cache.path().join(DATA)).unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_all_find_it_whole() {
        let cache = tempfile::tempdir().unwrap();
        let files = made_up();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| unpack_files(&files, cache.path()).map(|dir| is_whole(&files, &dir))))
                .collect();
            for one in all {
                assert!(one.join().unwrap().unwrap());
            }
        });
        assert_eq!(fs::read_dir(cache.path().join(DATA)).unwrap().count(), 1);
    }

    #[test]
    fn a_cache_that_cannot_be_written_says_what_to_do() {
        let cache = tempfile::tempdir().unwrap();
        fs::write(cache.path().join(DATA), "in the way").unwrap();
        let error = unpack_files(&made_up(), cache.path()).unwrap_err().to_string();
        assert!(error.contains("XDG_CACHE_HOME"), "{error}");
        assert!(matches!(unpack(None), Err(BuiltInError::NoCache)));
    }
}
