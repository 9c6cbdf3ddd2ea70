//! Where the keeper of a target is found. The name contains a hash of the program and of everything that it reads, so
//! a keeper of an older state is never asked. It ends by itself.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::work::Target;
use crate::image::{ImageError, Store};
use crate::profile_set::spec::{SetSpec, state_of};
use crate::root::{MARKS, RECIPES};
use crate::target::{self, BackendName};
use virt_aa_model::profile_set::POLICY_DIR;

/// A keeper's socket, locks and log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperPaths {
    dir: PathBuf,
    /// Hash of the target's program, names and data files.
    pub key: String,
}

/// Why a keeper's paths cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum KeeperPathsError {
    /// A file that goes into the key, or the folder itself, cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// There is no cache folder.
    #[error(transparent)]
    Store(#[from] ImageError),
}

impl KeeperPaths {
    /// The paths for a target as it is now. Creates the folder if it does not exist.
    pub fn of(target: &Target) -> Result<KeeperPaths, KeeperPathsError> {
        let dir = match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if Path::new(&dir).is_dir() => PathBuf::from(dir).join("virt-aa-conform"),
            _ => {
                let images = Store::open(&target.root.join(RECIPES), None)?
                    .images_dir()
                    .to_path_buf();
                images.with_file_name("keepers")
            }
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(at(&dir))?;
        Ok(KeeperPaths {
            key: key(target)?,
            dir,
        })
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.key)
    }

    /// Held by whoever starts a keeper of any target, so that only one starts at a time.
    pub fn start_lock(&self) -> PathBuf {
        self.dir.join("start.lock")
    }

    /// Held by a keeper for its whole life.
    pub fn life_lock(&self) -> PathBuf {
        self.dir.join(self.name(".lock"))
    }

    /// The keeper's standard error.
    pub fn log(&self) -> PathBuf {
        self.dir.join(self.name(".log"))
    }

    /// Connects to the keeper.
    pub fn connect(&self) -> io::Result<UnixStream> {
        self.by_short_name(|name| UnixStream::connect(name))
    }

    /// Listens as the keeper, and replaces a dead keeper's socket. Only the holder of the life lock may do this.
    pub fn listen(&self) -> io::Result<UnixListener> {
        self.unlink();
        self.by_short_name(|name| UnixListener::bind(name))
    }

    /// Removes the socket.
    pub fn unlink(&self) {
        // The file may not exist.
        let _ = fs::remove_file(self.dir.join(self.name(".sock")));
    }

    /// Removes the files of a keeper that ends and still holds its life lock. They stay while somebody starts a
    /// keeper, who may be waiting for that lock.
    pub fn clear(&self) {
        let Ok(starting) = File::options().create(true).append(true).open(self.start_lock()) else {
            return;
        };
        if starting.try_lock().is_ok() {
            for file in [self.life_lock(), self.log()] {
                // A file that stays is small, and the next keeper reuses it.
                let _ = fs::remove_file(file);
            }
        }
    }

    /// A socket's path may have only 107 bytes, and a cache folder's path may be longer.
    fn by_short_name<T>(&self, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let dir = File::open(&self.dir)?;
        let name = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), self.name(".sock"));
        act(Path::new(&name))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeeperPathsError {
    let path = path.to_path_buf();
    move |source| KeeperPathsError::Io { path, source }
}

fn key(target: &Target) -> Result<String, KeeperPathsError> {
    let mut hash = Sha256::new();
    // The program is large, so its metadata stand for it. A new one has another time or place.
    let program = fs::metadata(&target.program).map_err(at(&target.program))?;
    let program = format!(
        "{} {} {} {}.{}",
        target.program.display(),
        program.ino(),
        program.len(),
        program.mtime(),
        program.mtime_nsec()
    );
    let root = target.root.to_string_lossy();
    let words = target.target.words().join("\0");
    for part in [program.as_str(), &root, &words] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for mark in MARKS {
        add_files(&target.root.join(mark), &mut hash)?;
    }
    hash.update(profiles(&target.target, Path::new(POLICY_DIR)));
    Ok(hex::encode(&hash.finalize()[..8]))
}

/// A text that changes whenever the profiles under test change. An image's profiles change only with its recipe,
/// which is among the data files. The host's (in `of_host`) and a given folder's change when somebody edits them.
fn profiles(target: &target::Target, of_host: &Path) -> String {
    if let Some(given) = SetSpec::parse(&target.profiles).given {
        return given.state();
    }
    match target.backend {
        BackendName::Host => state_of(of_host),
        BackendName::Vm | BackendName::Container => String::new(),
    }
}

fn add_files(dir: &Path, hash: &mut Sha256) -> Result<(), KeeperPathsError> {
    let entries = fs::read_dir(dir).map_err(at(dir))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(at(dir))?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add_files(&path, hash)?;
            continue;
        }
        let text = fs::read(&path).map_err(at(&path))?;
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(root: &Path) -> Target {
        for mark in MARKS {
            fs::create_dir_all(root.join(mark)).unwrap();
        }
        fs::write(root.join("program"), "1").unwrap();
        fs::write(root.join("cases/a.yaml"), "a").unwrap();
        Target {
            root: root.into(),
            target: target::Target::new(BackendName::Vm, None, "i"),
            program: root.join("program"),
        }
    }

    #[test]
    fn the_key_changes_with_the_program_the_data_and_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let target = target(dir.path());
        let first = key(&target).unwrap();
        assert_eq!(key(&target).unwrap(), first);
        let other_image = Target {
            target: target::Target::new(BackendName::Vm, None, "j"),
            ..target.clone()
        };
        assert_ne!(key(&other_image).unwrap(), first);
        fs::write(dir.path().join("program"), "another").unwrap();
        let second = key(&target).unwrap();
        assert_ne!(second, first);
        fs::write(dir.path().join("cases/a.yaml"), "b").unwrap();
        assert_ne!(key(&target).unwrap(), second);
    }

    #[test]
    fn the_key_changes_with_the_profiles_under_test() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("usr.sbin.libvirtd");
        let on_host = target::Target::new(BackendName::Host, None, "i");
        let mut given = target::Target::new(BackendName::Vm, None, "i");
        given.profiles = format!("dir:{}", dir.path().display());
        for target in [on_host, given.clone()] {
            fs::write(&file, "profile libvirtd {}").unwrap();
            let first = profiles(&target, dir.path());
            assert_eq!(profiles(&target, dir.path()), first);
            fs::write(&file, "profile libvirtd { capability, }").unwrap();
            assert_ne!(profiles(&target, dir.path()), first);
        }
        let mut target = target(dir.path());
        target.target = given;
        let first = key(&target).unwrap();
        fs::write(&file, "profile libvirtd { network, }").unwrap();
        assert_ne!(key(&target).unwrap(), first);
    }

    #[test]
    fn a_socket_is_reached_below_a_folder_with_a_long_name() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120));
        fs::create_dir(&long).unwrap();
        let place = KeeperPaths {
            dir: long,
            key: "k".into(),
        };
        assert!(place.connect().is_err());
        let _listener = place.listen().unwrap();
        place.connect().unwrap();
        place.unlink();
        assert!(place.connect().is_err());
    }
}
