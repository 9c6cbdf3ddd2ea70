//! Things that outlive a killed agent. They are written down before they are made, and removed when the agent ends or
//! by `repair`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{engine, loops, modules};
use crate::cgroup;
use crate::lock::lock_within;
use crate::subject_env;

/// Everything to undo lives in the kernel's memory, and so does this folder: a reboot removes both.
const DIR: &str = "/run/virt-aa-conform-local";
/// The lock file. Its holder owns the folder.
const LOCK: &str = "lock";
/// The journal: one line of JSON for each thing, in the order in which they are made.
const JOURNAL: &str = "undo";
/// The longest time that an agent needs to clean up after its harness has ended.
const PREDECESSOR: Duration = Duration::from_secs(30);

/// One thing to undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Control groups with their processes.
    Cgroups,
    /// A policy namespace.
    Namespace(String),
    /// Loop devices on these file systems.
    Loops(Vec<u64>),
    /// A kernel module.
    Module(String),
    /// What a container engine keeps outside the folder.
    Container(engine::Remains),
}

/// Why nothing could be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Another process holds the folder.
    #[error("a run on this host is under way; wait for its end, or end it: {0}")]
    Busy(io::Error),
    /// The folder or the journal cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Some things could not be undone. They stay in the journal.
    #[error("not undone: {}", .0.join("; "))]
    Left(Vec<String>),
}

/// What was repaired: one line for each thing.
pub type Repaired = Vec<String>;

/// The folder of a run, with its journal. A host may have one run at a time.
pub struct Journal {
    // Held while there may be something to undo.
    _lock: File,
    things: Vec<Undo>,
}

/// Whether a run has left traces on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traces {
    /// No traces, as far as this user can see.
    None,
    /// A run is under way.
    UnderWay,
    /// A killed run left something behind.
    Left,
}

/// Whether a run left something behind, or is under way.
pub fn traces() -> Traces {
    let dir = Path::new(DIR);
    let Ok(lock) = File::open(dir.join(LOCK)) else {
        return Traces::None;
    };
    if lock.try_lock().is_err() {
        return Traces::UnderWay;
    }
    if dir.join(JOURNAL).exists() {
        Traces::Left
    } else {
        Traces::None
    }
}

/// Why this machine cannot run subjects of a host or container run; `None` if it can. Does not check for root.
pub fn unfit() -> Option<&'static str> {
    if !Path::new(crate::policy::APPARMORFS)
        .join("policy/namespaces")
        .is_dir()
    {
        return Some("this kernel has no AppArmor, or securityfs is not mounted on /sys/kernel/security");
    }
    if !cgroup::available() {
        return Some(
            "there are no control groups of version 2 on /sys/fs/cgroup; boot with systemd.unified_cgroup_hierarchy=1",
        );
    }
    if is_too_old(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()) {
        return Some(
            "this kernel is older than Linux 5.14, which is the first to kill a control group as a whole",
        );
    }
    None
}

/// Whether a release, `5.10.0-46-amd64`, is too old to end confined processes without a signal, which their profiles
/// may deny. Text that is no release counts as a new one.
fn is_too_old(release: &str) -> bool {
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) < (5, 14))
}

/// Undo what a killed agent left. Does nothing if the agent cleaned up itself.
pub fn repair() -> Result<Repaired, RepairError> {
    if !Path::new(DIR).exists() {
        return Ok(Repaired::new());
    }
    let (mut journal, mut done) = Journal::open_with(PREDECESSOR)?;
    done.extend(journal.undo()?);
    Ok(done)
}

impl Journal {
    /// Take the folder once it is free. Undoes and reports what an earlier agent left.
    pub fn open() -> Result<(Journal, Repaired), RepairError> {
        Journal::open_with(PREDECESSOR)
    }

    fn open_with(limit: Duration) -> Result<(Journal, Repaired), RepairError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| RepairError::Io { path, source }
        };
        let dir = Path::new(DIR);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(at(dir))?;
        let lock = lock_within(&dir.join(LOCK), limit).map_err(RepairError::Busy)?;
        let path = dir.join(JOURNAL);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(at(&path))?,
        };
        let mut journal = Journal {
            _lock: lock,
            things: parse(&text),
        };
        let done = journal.undo()?;
        Ok((journal, done))
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        Path::new(DIR)
    }

    /// Write down a thing before it is made.
    pub fn note(&mut self, undo: Undo) -> io::Result<()> {
        let line = serde_json::to_string(&undo)? + "\n";
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir().join(JOURNAL))?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        self.things.push(undo);
        Ok(())
    }

    /// Undo everything in reverse order. Processes come first, since they use the rest.
    pub fn undo(&mut self) -> Result<Repaired, RepairError> {
        let mut done = Repaired::new();
        let mut failed = Vec::new();
        let (processes, rest): (Vec<Undo>, Vec<Undo>) = std::mem::take(&mut self.things)
            .into_iter()
            .partition(|thing| *thing == Undo::Cgroups);
        for thing in processes.into_iter().take(1).chain(rest.into_iter().rev()) {
            match thing.undo() {
                Ok(text) => done.extend(text),
                Err(error) => {
                    failed.push(format!("{thing}: {error}"));
                    self.things.insert(0, thing);
                }
            }
        }
        if !failed.is_empty() {
            return Err(RepairError::Left(failed));
        }
        // Everything is undone, so the journal is not needed. The lock file stays for processes that wait for it.
        let dir = Path::new(DIR);
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name() == LOCK {
                continue;
            }
            let path = entry.path();
            let removed = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(|source| RepairError::Io { path, source })?;
        }
        Ok(done)
    }
}

/// Ignores an incomplete line: what it names was not made yet.
fn parse(text: &str) -> Vec<Undo> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

impl Undo {
    /// Undo it and describe what was done; `None` if there was nothing to do.
    fn undo(&self) -> io::Result<Option<String>> {
        let there = match self {
            Undo::Cgroups => cgroup::remove_all()?,
            Undo::Namespace(name) => {
                let there = subject_env::namespace_dir(name).exists();
                subject_env::remove_namespace(name)?;
                there
            }
            Undo::Loops(devices) => loops::detach(devices)? > 0,
            Undo::Module(name) => {
                let there = Path::new("/sys/module").join(name).exists();
                modules::unload(name)?;
                there
            }
            Undo::Container(remains) => remains.remove()?,
        };
        Ok(there.then(|| format!("{self}: taken away")))
    }
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Undo::Cgroups => f.write_str("control groups and the processes in them"),
            Undo::Namespace(name) => write!(f, "policy namespace {name}"),
            Undo::Loops(_) => f.write_str("loop devices"),
            Undo::Module(name) => write!(f, "kernel module {name}"),
            Undo::Container(remains) => write!(f, "{remains}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_older_by_its_two_first_numbers() {
        assert!(is_too_old("5.10.0-46-amd64\n"));
        assert!(is_too_old("4.19.0"));
        assert!(!is_too_old("5.14.0"));
        assert!(!is_too_old("6.1.0-56-amd64\n"));
        assert!(!is_too_old("nonsense"));
    }

    #[test]
    fn what_was_written_whole_is_known_again() {
        let things = [
            Undo::Cgroups,
            Undo::Namespace("n".into()),
            Undo::Loops(vec![7]),
            Undo::Module("loop".into()),
        ];
        let mut text: String = things
            .iter()
            .map(|thing| serde_json::to_string(thing).unwrap() + "\n")
            .collect();
        text += "{\"namespace\":\"half";
        assert_eq!(parse(&text), things);
    }
}
