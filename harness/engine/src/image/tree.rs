//! Root file systems that the user supplies: where they are, and what identifies their content.
//!
//! An image is named after what it is made of, so a changed tree is another image. A tar file is identified by the
//! hash of its bytes. A folder is identified by the names, kinds, owners, sizes and times of everything in it. Any
//! change in it affects one of these: at least the ctime, which the kernel sets and programs cannot choose.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ImageError;

/// Prefix of the notes' names. No recipe's name begins with it.
pub const NOTE_PREFIX: &str = ".tree-";

/// A given root file system. A relative path is in the folder of trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// A tar file, compressed or not.
    Tar(PathBuf),
    /// A folder.
    Dir(PathBuf),
}

/// The key `from` of a recipe's file. Exactly one of the fields is set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    tar: Option<PathBuf>,
    dir: Option<PathBuf>,
}

impl From {
    /// The one that is set.
    pub fn given(self) -> Result<Given, String> {
        match (self.tar, self.dir) {
            (Some(tar), None) => Ok(Given::Tar(tar)),
            (None, Some(dir)) => Ok(Given::Dir(dir)),
            _ => Err("exactly one of `tar`, `dir` must stand here".into()),
        }
    }
}

impl Given {
    /// The same tree, with a path relative to `trees` resolved.
    pub fn at(&self, trees: &Path) -> Given {
        match self {
            Given::Tar(path) => Given::Tar(trees.join(path)),
            Given::Dir(path) => Given::Dir(trees.join(path)),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        match self {
            Given::Tar(path) | Given::Dir(path) => path,
        }
    }

    /// What identifies its content. The folder `notes` caches the hash of a large file.
    pub fn identity(&self, image: &str, notes: &Path) -> Result<String, ImageError> {
        let path = self.path();
        let found = fs::metadata(path).map_err(|source| ImageError::NoTree {
            image: image.to_owned(),
            path: path.to_owned(),
            source,
        })?;
        match self {
            Given::Tar(_) if found.is_file() => of_file(path, &found, notes),
            Given::Dir(_) if found.is_dir() => of_folder(path),
            Given::Tar(_) => Err(ImageError::malformed(
                path,
                "not a file; a folder is given as `dir`",
            )),
            Given::Dir(_) => Err(ImageError::malformed(
                path,
                "not a folder; a tar file is given as `tar`",
            )),
        }
    }
}

/// `$VIRT_AA_CONFORM_TREES`, else `virt-aa-conform/trees` in `$XDG_DATA_HOME` or `~/.local/share`.
pub fn default_trees(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // An empty or relative value counts as unset.
    let absolute = |name: &str| var(name).filter(|path| path.is_absolute());
    absolute("VIRT_AA_CONFORM_TREES").or_else(|| {
        let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
        Some(data.join("virt-aa-conform/trees"))
    })
}

/// The hash of a file's bytes, from the notes if the file has not changed since.
fn of_file(path: &Path, found: &Metadata, notes: &Path) -> Result<String, ImageError> {
    let name = format!(
        "{NOTE_PREFIX}{}",
        &hex::encode(Sha256::digest(path.as_os_str().as_bytes()))[..16]
    );
    let note = notes.join(name);
    let state = state(found);
    if let Ok(text) = fs::read_to_string(&note)
        && let Some((noted, hash)) = text.trim_end().split_once(' ')
        && noted == state
    {
        return Ok(hash.to_owned());
    }
    let mut file = File::open(path).map_err(ImageError::file("read", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(ImageError::file("read", path))? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let hash = hex::encode(hash.finalize());
    // Without the note, the next call reads the file again.
    let _ = fs::create_dir_all(notes).and_then(|()| fs::write(&note, format!("{state} {hash}\n")));
    Ok(hash)
}

fn of_folder(root: &Path) -> Result<String, ImageError> {
    let mut hash = Sha256::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let found = fs::symlink_metadata(&path).map_err(ImageError::file("read", &path))?;
        let name = path.strip_prefix(root).unwrap_or(&path);
        hash.update(name.as_os_str().as_bytes());
        hash.update([0]);
        hash.update(state(&found));
        if found.is_dir() {
            let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let mut below: Vec<PathBuf> = entries
                .map_err(ImageError::file("read", &path))?
                .iter()
                .map(fs::DirEntry::path)
                .collect();
            below.sort();
            waiting.extend(below);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Everything that changes when a file does, in one word.
fn state(of: &Metadata) -> String {
    [
        of.dev().to_string(),
        of.ino().to_string(),
        of.mode().to_string(),
        of.uid().to_string(),
        of.gid().to_string(),
        of.size().to_string(),
        of.mtime().to_string(),
        of.mtime_nsec().to_string(),
        of.ctime().to_string(),
        of.ctime_nsec().to_string(),
    ]
    .join(":")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[("VIRT_AA_CONFORM_TREES", "/t"), ("HOME", "/h")], Some("/t"))]
    #[case(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")], Some("/x/virt-aa-conform/trees"))]
    #[case(&[("VIRT_AA_CONFORM_TREES", "t"), ("HOME", "/h")], Some("/h/.local/share/virt-aa-conform/trees"))]
    #[case(&[], None)]
    fn the_folder_of_trees_is_named_or_the_users(
        #[case] vars: &[(&str, &str)],
        #[case] expected: Option<&str>,
    ) {
        let var = |name: &str| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| PathBuf::from(value))
        };
        assert_eq!(default_trees(var), expected.map(PathBuf::from));
    }

    #[test]
    fn a_tar_is_what_its_bytes_are() {
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("notes");
        let identity = |name: &str| Given::Tar(dir.path().join(name)).identity("x", &notes);
        for (name, text) in [("a", "one"), ("b", "one"), ("c", "two")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(identity("a").unwrap(), identity("b").unwrap());
        assert_ne!(identity("a").unwrap(), identity("c").unwrap());
        // The hash comes from the note, and from the file once it changes.
        let first = identity("a").unwrap();
        assert_eq!(identity("a").unwrap(), first);
        fs::write(dir.path().join("a"), "another").unwrap();
        assert_ne!(identity("a").unwrap(), first);
    }

    #[test]
    fn a_folder_changes_with_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let given = Given::Dir(dir.path().join("root"));
        fs::create_dir_all(given.path().join("etc")).unwrap();
        fs::write(given.path().join("etc/passwd"), "one").unwrap();
        let identity = || given.identity("x", dir.path()).unwrap();
        let first = identity();
        assert_eq!(identity(), first);
        fs::write(given.path().join("etc/passwd"), "two").unwrap();
        let second = identity();
        assert_ne!(second, first);
        std::os::unix::fs::symlink("passwd", given.path().join("etc/link")).unwrap();
        assert_ne!(identity(), second);
    }

    #[test]
    fn what_is_not_there_or_of_the_other_kind_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Given::Tar("gone.tar".into()).at(dir.path());
        let error = gone.identity("suse", dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("image suse is made from") && error.contains("gone.tar"),
            "{error}"
        );
        let folder = Given::Tar(dir.path().to_owned()).identity("x", dir.path());
        assert!(folder.unwrap_err().to_string().contains("given as `dir`"));
        assert!(From::default().given().is_err());
    }
}
