//! The files of a profile set as one value, so that an edit of a set is a new value.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use sha2::{Digest, Sha256};

/// The set's directory on a running system; links and quoted includes may name it by this path.
const SYSTEM_BASE: &str = "/etc/apparmor.d";

/// The largest file read into a tree, in bytes. Policy is text and far smaller.
const MAX_FILE: u64 = 16 << 20;

/// The maximum number of files and directories in one tree.
const MAX_ENTRIES: usize = 100_000;

/// The files of a directory laid out like `/etc/apparmor.d`: relative path to contents.
///
/// Cloning is cheap: contents are shared. Reading a tree follows symbolic links within it. A dangling link is left out
/// (the parser does not see it either), and `/dev/null` reads as an empty file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeMap<String, Arc<[u8]>>,
    dirs: BTreeSet<String>,
}

/// Why a tree could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A link leads out of the tree, so its contents are not part of the set.
    #[error("the link {path} leads out of the tree, to {target}: copy the file in its place")]
    OutsideLink {
        /// The link, relative to the tree's base.
        path: String,
        /// Where it leads, as written in the link.
        target: String,
    },
    /// A name that is not UTF-8; profiles can not name it.
    #[error("the file name {0} is not UTF-8: rename it or leave it out")]
    Name(String),
    /// A file too large to be policy.
    #[error("{path} has {bytes} bytes, more than policy ever has ({MAX_FILE}): leave it out of the tree")]
    TooLarge {
        /// The file, relative to the tree's base.
        path: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Too many files to be a profile set.
    #[error("{0} holds more than {MAX_ENTRIES} files: is it really a profile directory?")]
    TooMany(String),
    /// A path that can not stand in a tree: empty, absolute or with `..`.
    #[error("{0:?} is not a path inside a tree: give it relative to the base, without `..`")]
    Path(String),
}

/// Whether a path may stand in a tree.
fn check(path: &str) -> Result<(), TreeError> {
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.ends_with('/') || path.contains("//") || path.contains('\0') {
        return Err(TreeError::Path(path.to_owned()));
    }
    Ok(())
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads all files below `base`.
    pub fn read(base: &Path) -> Result<Self, TreeError> {
        let mut tree = Self::new();
        let real = fs::canonicalize(base)?;
        tree.read_dir(&real, &real, "")?;
        Ok(tree)
    }

    fn read_dir(&mut self, base: &Path, dir: &Path, prefix: &str) -> Result<(), TreeError> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| TreeError::Name(format!("{prefix}{}", name.to_string_lossy())))?;
            let relative = format!("{prefix}{name}");
            if self.files.len() + self.dirs.len() >= MAX_ENTRIES {
                return Err(TreeError::TooMany(base.display().to_string()));
            }
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                let Some(target) = follow(base, &relative, &entry.path())? else {
                    continue;
                };
                let meta = fs::metadata(&target)?;
                if meta.is_file() {
                    self.read_file(&target, &relative)?;
                } else if target == Path::new("/dev/null") {
                    self.files.insert(relative, Arc::from([]));
                }
                // A link to a directory is skipped: it would be read twice or without end, and its files are in the
                // tree by their own names.
            } else if kind.is_dir() {
                self.dirs.insert(relative.clone());
                self.read_dir(base, &entry.path(), &format!("{relative}/"))?;
            } else if kind.is_file() {
                self.read_file(&entry.path(), &relative)?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path, relative: &str) -> Result<(), TreeError> {
        let bytes = fs::metadata(path)?.len();
        if bytes > MAX_FILE {
            return Err(TreeError::TooLarge {
                path: relative.to_owned(),
                bytes,
            });
        }
        self.files.insert(relative.to_owned(), fs::read(path)?.into());
        Ok(())
    }

    /// The text of a file by its path relative to the base; `None` if there is no such file or it is not UTF-8.
    pub fn get(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }

    /// The contents of a file, text or not.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(AsRef::as_ref)
    }

    /// Whether the tree has a file of this path, text or not.
    pub fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether the tree has a directory of this path.
    pub fn is_dir(&self, path: &str) -> bool {
        self.dirs.contains(path)
    }

    /// The paths of all directories, sorted.
    pub fn dirs(&self) -> impl Iterator<Item = &str> {
        self.dirs.iter().map(String::as_str)
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The files directly in a directory, as paths relative to the base, sorted.
    pub fn files_in(&self, dir: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{dir}/");
        self.files
            .range(prefix.clone()..)
            .map(|(path, _)| path.as_str())
            .take_while({
                let prefix = prefix.clone();
                move |path| path.starts_with(&prefix)
            })
            .filter(move |path| !path[prefix.len()..].contains('/'))
    }

    /// Adds a file, or replaces its contents. The path is relative to the base.
    pub fn insert(&mut self, path: &str, contents: impl Into<Vec<u8>>) -> Result<(), TreeError> {
        check(path)?;
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            at += slash;
            self.dirs.insert(path[..at].to_owned());
            at += 1;
        }
        self.files.insert(path.to_owned(), contents.into().into());
        Ok(())
    }

    /// Adds a directory.
    pub fn insert_dir(&mut self, path: &str) -> Result<(), TreeError> {
        check(path)?;
        self.dirs.insert(path.to_owned());
        Ok(())
    }

    /// Replaces the text of a file whose path is known to be valid.
    pub(crate) fn replace(&mut self, path: &str, text: String) {
        self.files.insert(path.to_owned(), text.into_bytes().into());
    }

    /// Removes a file; returns whether it existed.
    pub fn remove(&mut self, path: &str) -> bool {
        self.files.remove(path).is_some()
    }

    /// Writes all files and directories below `dir`, which is created if it does not exist.
    pub fn write_to(&self, dir: &Path) -> Result<(), TreeError> {
        fs::create_dir_all(dir)?;
        for sub in &self.dirs {
            fs::create_dir_all(dir.join(sub))?;
        }
        for (path, bytes) in &self.files {
            fs::write(dir.join(path), bytes)?;
        }
        Ok(())
    }

    /// The paths whose contents differ between the two trees, or that only one of them has; sorted.
    pub fn changed_files(&self, other: &Self) -> Vec<String> {
        let paths: BTreeSet<&String> = self.files.keys().chain(other.files.keys()).collect();
        paths
            .into_iter()
            .filter(|path| self.files.get(*path) != other.files.get(*path))
            .cloned()
            .collect()
    }

    /// SHA-256 in hex over all paths and contents, the same on every machine.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        for dir in &self.dirs {
            digest.update([b'd']);
            digest.update((dir.len() as u64).to_le_bytes());
            digest.update(dir);
        }
        for (path, bytes) in &self.files {
            digest.update([b'f']);
            digest.update((path.len() as u64).to_le_bytes());
            digest.update(path);
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
        hex::encode(digest.finalize())
    }
}

/// The real path that a link of the tree leads to; `None` if it dangles.
fn follow(base: &Path, relative: &str, link: &Path) -> Result<Option<PathBuf>, TreeError> {
    let outside = |target: &Path| TreeError::OutsideLink {
        path: relative.to_owned(),
        target: target.display().to_string(),
    };
    let mut at = link.to_owned();
    // Like the kernel, this follows at most 40 links in a row. More of them are a loop, which dangles.
    for _ in 0..40 {
        let target = match fs::read_link(&at) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(Some(at)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if target == Path::new("/dev/null") {
            return Ok(Some(target));
        }
        let next = if let Ok(inner) = target.strip_prefix(SYSTEM_BASE) {
            base.join(inner)
        } else if target.is_absolute() {
            target.clone()
        } else {
            at.parent().unwrap_or(base).join(&target)
        };
        let next = normal(&next);
        if !next.starts_with(base) {
            return Err(outside(&target));
        }
        at = next;
    }
    Ok(None)
}

/// Removes `.` and `..` from the path without looking at the file system.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
