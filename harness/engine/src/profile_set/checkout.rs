//! Reads the profile folder of a libvirt source tree from a folder of this machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::source::{FOLDERS, is_wanted};

/// The size limit of a file, in bytes. libvirt's have a few thousand.
pub const MAX_FILE: u64 = 1 << 20;
/// The limit of the number of files.
pub const MAX_FILES: usize = 200;

/// File texts by name, without folders.
pub type Texts = BTreeMap<String, String>;

/// Why a source tree's profiles cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder cannot be used.
    #[error("{}: {source}; give a libvirt source tree or a git repository with one", dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// Why it cannot be used.
        source: io::Error,
    },
    /// The tree has no profiles.
    #[error("{place} has profiles neither in {} nor in {}; give the top folder of a libvirt source tree", FOLDERS[0], FOLDERS[1])]
    NoProfiles {
        /// The tree.
        place: String,
    },
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A link, a folder or a device takes a file's place.
    #[error("{file} is not a regular file; only regular files are read")]
    NoFile {
        /// The file.
        file: String,
    },
    /// A file is too large.
    #[error("{file} has {bytes} bytes, more than a profile ever has ({MAX_FILE})")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// The folder has too many files.
    #[error("{folder} holds more than {MAX_FILES} files; give the top folder of a libvirt source tree")]
    TooMany {
        /// The folder.
        folder: String,
    },
    /// A file is not text.
    #[error("{file} is not UTF-8 text, which policy must be")]
    NotText {
        /// The file.
        file: String,
    },
    /// The text after the `@` is not a revision.
    #[error("`{revision}` is not a revision of {}: {said}", dir.display())]
    NoRevision {
        /// The text after the `@`.
        revision: String,
        /// The repository.
        dir: PathBuf,
        /// git's message.
        said: String,
    },
    /// git is not installed.
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
        /// git's message.
        said: String,
    },
    /// git took too long.
    #[error("git {what} in {} did not end within {seconds} s and was ended", dir.display())]
    GitHangs {
        /// The command.
        what: &'static str,
        /// The repository.
        dir: PathBuf,
        /// The time limit.
        seconds: u64,
    },
}

/// The name of the profile folder of the tree at `dir`, and its files.
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

/// Every file of a folder; empty if there is no folder.
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
    // Links are not followed and pipes are not waited for, whatever changes meanwhile.
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

/// A file's bytes as text, if they are within the limits. `size` is the reported size.
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
        // A folder without a profile is not the profile folder.
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
        assert!(error(dir.path()).starts_with("src/security/apparmor/libvirt-qemu is not a regular file"));
        fs::remove_file(path.join("libvirt-qemu")).unwrap();
        // A careless open of a pipe waits for a writer.
        nix::unistd::mkfifo(&path.join("libvirt-qemu"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(error(dir.path()).contains("is not a regular file"));
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
