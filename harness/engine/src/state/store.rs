//! The folder of an image's saved states: one folder for each, which appears whole, and never more than fits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use virt_aa_model::fixture::Fixture;
use virt_aa_probe::lock::lock_within;
use virt_aa_probe::protocol::FixtureOutcome;

use super::key::StateKey;
use super::{CaseToKeep, LoadedSet};
use crate::backend::VmConfig;
use crate::backend::saved::{DEVICES, DISK, MEMORY, SavedMachine};
use crate::file_identity::FileIdentity;
use crate::image::Image;
use crate::sparse;

/// The folder of the states, in an image's folder.
pub const DIR: &str = "states";
/// What the saved states of all images may take on disk, in bytes.
pub const SPACE: u64 = 8 << 30;

const MANIFEST: &str = "state.json";
const PARTIAL_PREFIX: &str = ".partial-";
const LOCK_SUFFIX: &str = ".lock";

/// The files of a state, which it must have all.
const FILES: [&str; 3] = [MEMORY, DEVICES, DISK];

/// What a state's folder says of itself. It is written last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    key: String,
    files: BTreeMap<String, FileSum>,
    fixtures: BTreeMap<String, FixtureOutcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FileSum {
    bytes: u64,
    crc32: u32,
}

/// Why a state is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file of it cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Its manifest cannot be read.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is the state of something else.
    #[error("{}: this state was made from something else", .0.display())]
    Other(PathBuf),
    /// A file was changed or cut.
    #[error("{}: this file is not as it was saved", .0.display())]
    Damaged(PathBuf),
}

impl StateError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> StateError {
        move |source| StateError::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// A state whose files are as they were saved.
#[derive(Debug)]
pub struct Found {
    /// The machine.
    pub machine: SavedMachine,
    /// The fixtures that are up in it.
    pub fixtures: BTreeMap<String, FixtureOutcome>,
}

/// The saved states of one image.
#[derive(Debug, Clone)]
pub struct States {
    dir: PathBuf,
}

/// A state that is being made. Dropping it removes it, unless it was committed.
#[derive(Debug)]
pub struct Partial {
    dir: PathBuf,
    place: PathBuf,
    key: String,
    _lock: File,
}

impl States {
    /// The states in an image's folder.
    pub fn of(image_dir: &Path) -> States {
        States {
            dir: image_dir.join(DIR),
        }
    }

    /// The state, if there is one and all its files are as they were saved. That is checked once in each process.
    pub fn find(&self, key: &StateKey) -> Result<Option<Found>, StateError> {
        let dir = self.dir.join(key.name());
        let path = dir.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => return Ok(None),
            Err(error) => return Err(StateError::io(&path)(error)),
        };
        let manifest: Manifest = serde_json::from_str(&text).map_err(|error| StateError::Manifest {
            path: path.clone(),
            problem: error.to_string(),
        })?;
        if manifest.key != key.text() {
            return Err(StateError::Other(dir));
        }
        let machine = SavedMachine::open(&dir).map_err(StateError::io(&dir))?;
        let files = [&machine.memory, &machine.devices, &machine.disk];
        for (name, file) in FILES.into_iter().zip(files) {
            let path = dir.join(name);
            let sum = manifest.files.get(name);
            if !is_whole(file, sum).map_err(StateError::io(&path))? {
                return Err(StateError::Damaged(path));
            }
        }
        // The least recently used state is the first to be removed. Without the right to write, the order is that of making.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(Found {
            machine,
            fixtures: manifest.fixtures,
        }))
    }

    /// Waits until nobody else makes this state, and begins to make it. Whoever made it meanwhile may have
    /// finished, so call [`States::find`] again.
    pub fn begin(&self, key: &StateKey, limit: Duration) -> Result<Partial, StateError> {
        fs::create_dir_all(&self.dir).map_err(StateError::io(&self.dir))?;
        let name = key.name();
        let lock = self.dir.join(format!("{name}{LOCK_SUFFIX}"));
        let lock = lock_within(&lock, limit).map_err(StateError::io(&lock))?;
        let dir = self.dir.join(format!("{PARTIAL_PREFIX}{name}"));
        // Whoever made it before did not live to finish it.
        remove(&dir)?;
        fs::create_dir(&dir).map_err(StateError::io(&dir))?;
        Ok(Partial {
            dir,
            place: self.dir.join(name),
            key: key.text(),
            _lock: lock,
        })
    }

    /// Removes a state. Machines that were restored from it go on.
    pub fn remove(&self, key: &StateKey) -> Result<(), StateError> {
        remove(&self.dir.join(key.name()))
    }
}

impl Partial {
    /// The folder to save into.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes an empty file for a memory of that size.
    pub fn memory(&self, mib: u32) -> Result<File, StateError> {
        let path = self.dir.join(MEMORY);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let file = file.map_err(StateError::io(&path))?;
        file.set_len(u64::from(mib) << 20)
            .map_err(StateError::io(&path))?;
        Ok(file)
    }

    /// Notes what was saved, with the fixtures that are up in it, and puts the state in its place.
    pub fn commit(self, fixtures: BTreeMap<String, FixtureOutcome>) -> Result<(), StateError> {
        let mut files = BTreeMap::new();
        for name in FILES {
            let path = self.dir.join(name);
            let (bytes, crc32) = File::open(&path)
                .and_then(|file| sparse::sum(&file))
                .map_err(StateError::io(&path))?;
            files.insert(name.to_owned(), FileSum { bytes, crc32 });
        }
        let manifest = Manifest {
            key: self.key.clone(),
            files,
            fixtures,
        };
        let path = self.dir.join(MANIFEST);
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        fs::write(&path, text).map_err(StateError::io(&path))?;
        remove(&self.place)?;
        fs::rename(&self.dir, &self.place).map_err(StateError::io(&self.place))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Nothing is there after a commit.
        let _ = remove(&self.dir);
    }
}

fn remove(dir: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::io(dir)(error)),
        _ => Ok(()),
    }
}

/// Whether a file has that size and checksum.
fn is_whole(file: &File, wanted: Option<&FileSum>) -> io::Result<bool> {
    static SEEN: Mutex<BTreeSet<FileIdentity>> = Mutex::new(BTreeSet::new());
    let found = file.metadata()?;
    let Some(wanted) = wanted.filter(|wanted| wanted.bytes == found.size()) else {
        return Ok(false);
    };
    let identity = FileIdentity::of(&found);
    if SEEN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains(&identity)
    {
        return Ok(true);
    }
    let whole = sparse::sum(file)?.1 == wanted.crc32;
    if whole {
        SEEN.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(identity);
    }
    Ok(whole)
}

/// Removes the states that were not used for longest, in all images' folders beside this one, until the rest fit into
/// `space` bytes. The newest one stays in any case. Returns the folders that it removed.
pub fn make_room(images: &Path, space: u64) -> Vec<PathBuf> {
    let mut states = all(images);
    states.sort_by_key(|state| std::cmp::Reverse(state.used));
    let mut taken = 0u64;
    let mut removed = Vec::new();
    for (index, state) in states.iter().enumerate() {
        taken = taken.saturating_add(state.bytes);
        if index > 0 && taken > space && remove(&state.dir).is_ok() {
            taken = taken.saturating_sub(state.bytes);
            removed.push(state.dir.clone());
        }
    }
    removed
}

/// Removes the states of all images that another version of this program or of QEMU made. Returns them.
pub fn prune(images: &Path) -> Vec<StateOnDisk> {
    let may_return = |state: &StateOnDisk| {
        let text = fs::read_to_string(state.dir.join(MANIFEST)).unwrap_or_default();
        serde_json::from_str::<Manifest>(&text).is_ok_and(|manifest| StateKey::may_return(&manifest.key))
    };
    let mut gone = all(images);
    gone.retain(|state| !may_return(state) && remove(&state.dir).is_ok());
    gone
}

/// The folder of the state of a machine that has booted, or in which fixtures are up with a set and cases have run, whether
/// or not there is one; `None` if its key cannot be made.
pub fn dir_of(
    image: &Image,
    config: &VmConfig,
    with: Option<(&LoadedSet, &[&Fixture], &[CaseToKeep<'_>])>,
) -> Option<PathBuf> {
    let booted = StateKey::of(image, config)?;
    let key = match with {
        None => booted,
        Some((set, fixtures, cases)) => {
            let set = booted.with(set, fixtures);
            cases.iter().fold(set, |key, case| key.then(case))
        }
    };
    Some(States::of(&image.dir).dir.join(key.name()))
}

/// A state on disk.
#[derive(Debug, Clone)]
pub struct StateOnDisk {
    /// Its folder.
    pub dir: PathBuf,
    /// What it takes, in bytes.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
}

/// The states of all images.
pub fn all(images: &Path) -> Vec<StateOnDisk> {
    let entries = |dir: &Path| {
        let listing = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        listing.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let states = entries(images)
        .into_iter()
        .flat_map(|image| entries(&image.join(DIR)));
    states
        .filter_map(|dir| {
            let used = fs::metadata(dir.join(MANIFEST)).ok()?.modified().ok()?;
            let bytes = entries(&dir)
                .iter()
                .filter_map(|file| Some(fs::metadata(file).ok()?.blocks() * 512))
                .sum();
            Some(StateOnDisk { dir, bytes, used })
        })
        .collect()
}

#[cfg(test)]
mod tests;
