//! A libvirt source tree's profile folder, read from a folder of this machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::source::{FOLDERS, is_wanted};

/// The largest file taken, in bytes: libvirt's have a few thousand.
pub const MAX_FILE: u64 = 1 << 20;
/// The most files taken.
pub const MAX_FILES: usize = 200;

/// Names, without folders, and texts.
pub type Texts = BTreeMap<String, String>;

/// Why a source tree's profiles cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No such folder.
    #[error("{}: {source}; give a libvirt source tree or a git repository with one", dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// Why it cannot be used.
        source: io::Error,
    },
    /// Nothing there.
    #[error("{place} has profiles neither in {} nor in {}; give the top folder of a libvirt source tree", FOLDERS[0], FOLDERS[1])]
    NoProfiles {
        /// The tree.
        place: String,
    },
    /// A file that cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A link, a folder or a device in a file's place.
    #[error("{file} is no plain file; libvirt's profiles are, and nothing else is read")]
    NoFile {
        /// The file.
        file: String,
    },
    /// Too large.
    #[error("{file} has {bytes} bytes, more than a profile ever has ({MAX_FILE})")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// Too many.
    #[error("{folder} holds more than {MAX_FILES} files; give the top folder of a libvirt source tree")]
    TooMany {
        /// The folder.
        folder: String,
    },
    /// Not text.
    #[error("{file} is not UTF-8 text, which policy must be")]
    NotText {
        /// The file.
        file: String,
    },
    /// What stands behind the `@` is no revision.
    #[error("`{revision}` is no revision of {}: {said}", dir.display())]
    NoRevision {
        /// As given.
        revision: String,
        /// The repository.
        dir: PathBuf,
        /// What git says.
        said: String,
    },
    /// git is not there.
    #[error("a revision is read by git: {0}")]
    NoGit(crate::tools::MissingTools),
    /// git could not be run.
    #[error("cannot run git: {0}")]
    Git(io::Error),
    /// git ended with an error.
    #[error("git {what} in {} failed: {said}", dir.display())]
    GitSaid {
        /// The command.
        what: &'static str,
        /// The repository.
        dir: PathBuf,
        /// What it said.
        said: String,
    },
    /// git took too long.
    #[error("git {what} in {} did not end within {seconds} s and was ended", dir.display())]
    GitHangs {
        /// The command.
        what: &'static str,
        /// The repository.
        dir: PathBuf,
        /// How long it had.
        seconds: u64,
    },
}

/// The profile folder of the tree at `dir`, and which it is.
pub fn read(dir: &Path) -> Result<(&'static str, Texts), SourceError> {
    let of_dir = |source| SourceError::Dir {
        dir: dir.to_owned(),
        source,
    };
    if !fs::metadata(dir).map_err(of_dir)?.is_dir() {
        return Err(of_dir(io::ErrorKind::NotADirectory.into()));
    }
    for folder in FOLDERS {
        let texts = read_folder(&dir.join(folder), folder)?;
        if has_profiles(&texts) {
            return Ok((folder, texts));
        }
    }
    let place = dir.display().to_string();
    Err(SourceError::NoProfiles { place })
}

/// Whether there is anything to install.
pub fn has_profiles(texts: &Texts) -> bool {
    texts.keys().any(|name| name.starts_with("usr."))
}

/// Every file of a folder; none where there is no such folder.
fn read_folder(path: &Path, folder: &str) -> Result<Texts, SourceError> {
    let of_folder = |source| SourceError::Read {
        file: folder.to_owned(),
        source,
    };
    let mut texts = Texts::new();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(texts),
        Err(error) => return Err(of_folder(error)),
    };
    for entry in entries {
        let entry = entry.map_err(of_folder)?;
        if texts.len() >= MAX_FILES {
            let folder = folder.to_owned();
            return Err(SourceError::TooMany { folder });
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_wanted(&name) {
            continue;
        }
        let text = read_file(&entry.path(), &format!("{folder}/{name}"))?;
        texts.insert(name, text);
    }
    Ok(texts)
}

fn read_file(path: &Path, shown: &str) -> Result<String, SourceError> {
    let file = || shown.to_owned();
    let of_file = |source| SourceError::Read { file: file(), source };
    // A link is not followed and a pipe not waited for, whatever changes meanwhile.
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let opened = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(SourceError::NoFile { file: file() });
        }
        other => other.map_err(of_file)?,
    };
    let meta = opened.metadata().map_err(of_file)?;
    if !meta.is_file() {
        return Err(SourceError::NoFile { file: file() });
    }
    let mut bytes = Vec::new();
    opened
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(of_file)?;
    text(shown, bytes, meta.len())
}

/// A file's bytes as text, within bounds; `size` is what it is said to have.
pub fn text(shown: &str, bytes: Vec<u8>, size: u64) -> Result<String, SourceError> {
    let file = shown.to_owned();
    let bytes_read = bytes.len() as u64;
    if bytes_read.max(size) > MAX_FILE {
        let bytes = bytes_read.max(size);
        return Err(SourceError::TooLarge { file, bytes });
    }
    String::from_utf8(bytes).map_err(|_| SourceError::NotText { file })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(folder: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(folder);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("usr.sbin.d"), "profile d {}\n").unwrap();
        (dir, path)
    }

    fn error(dir: &Path) -> String {
        read(dir).unwrap_err().to_string()
    }

    #[test]
    fn either_layout_is_found_and_the_newer_one_first() {
        let (dir, _) = tree(FOLDERS[1]);
        assert_eq!(read(dir.path()).unwrap().0, FOLDERS[1]);
        // A folder that has no profile is not it.
        fs::create_dir_all(dir.path().join(FOLDERS[0])).unwrap();
        assert_eq!(read(dir.path()).unwrap().0, FOLDERS[1]);
        fs::write(dir.path().join(FOLDERS[0]).join("usr.sbin.d.in"), "new").unwrap();
        let (folder, texts) = read(dir.path()).unwrap();
        assert_eq!((folder, texts["usr.sbin.d.in"].as_str()), (FOLDERS[0], "new"));
    }

    #[test]
    fn no_folder_and_no_profiles() {
        let dir = tempfile::tempdir().unwrap();
        assert!(error(dir.path()).contains("has profiles neither in src/security/apparmor nor in"));
        let none = dir.path().join("none");
        assert!(error(&none).contains("No such file"), "{}", error(&none));
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(error(&file).contains("not a directory"), "{}", error(&file));
    }

    #[test]
    fn only_plain_files_are_read() {
        let (dir, path) = tree(FOLDERS[0]);
        symlink("/etc/shadow", path.join("libvirt-qemu")).unwrap();
        assert!(error(dir.path()).starts_with("src/security/apparmor/libvirt-qemu is no plain file"));
        fs::remove_file(path.join("libvirt-qemu")).unwrap();
        // Opening a pipe to read waits for a writer, if one is not careful.
        nix::unistd::mkfifo(&path.join("libvirt-qemu"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(error(dir.path()).contains("is no plain file"));
        fs::remove_file(path.join("libvirt-qemu")).unwrap();
        assert!(read(dir.path()).is_ok());
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let (dir, path) = tree(FOLDERS[0]);
        let file = File::create(path.join("libvirt-qemu")).unwrap();
        file.set_len(MAX_FILE + 1).unwrap();
        assert!(
            error(dir.path()).contains("has 1048577 bytes"),
            "{}",
            error(dir.path())
        );
        file.set_len(0).unwrap();
        fs::write(path.join("libvirt-lxc"), b"\xff").unwrap();
        assert!(error(dir.path()).contains("is not UTF-8"));
        fs::write(path.join("libvirt-lxc"), b"").unwrap();
        assert!(read(dir.path()).is_ok());
        for number in 0..MAX_FILES {
            fs::write(path.join(format!("usr.{number}")), "").unwrap();
        }
        assert!(error(dir.path()).contains("more than 200 files"));
    }
}
