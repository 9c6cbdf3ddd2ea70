//! What can go wrong with images.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::recipe::RecipeError;
use crate::children::RunError;
use crate::tools::MissingTools;

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The recipe is unknown or wrong.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Tools that the build needs are not installed.
    #[error(transparent)]
    MissingTools(#[from] MissingTools),
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// The action that failed.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// There is no folder for the images: neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no place for images: set XDG_CACHE_HOME or HOME to an absolute path")]
    NoCacheDir,
    /// The disk is too full.
    #[error(
        "not enough space for image {image}: {needed_mib} MiB are needed in {}, {free_mib} MiB are free; \
         make room, or set XDG_CACHE_HOME to a folder on a larger disk", .dir.display()
    )]
    NoSpace {
        /// The image.
        image: String,
        /// Where the images are.
        dir: PathBuf,
        /// The space that a build needs.
        needed_mib: u64,
        /// The free space.
        free_mib: u64,
    },
    /// The disk got full during the build.
    #[error(
        "the disk got full while image {image} was built in {}; make room, or set XDG_CACHE_HOME to a folder \
         on a larger disk", .dir.display()
    )]
    DiskFull {
        /// The image.
        image: String,
        /// Where the images are.
        dir: PathBuf,
    },
    /// The root file system is larger than the recipe allows.
    #[error(
        "the root file system does not fit on a disk of {size_mib} MiB; raise filesystem.size_mib in the recipe"
    )]
    DiskTooSmall {
        /// The recipe's size.
        size_mib: u64,
    },
    /// Another process's build of the same image did not end.
    #[error(
        "image {image} has been under construction by another process for {} s; \
         end that process (it holds {}) or wait longer", .waited.as_secs(), .lock.display()
    )]
    Locked {
        /// The image.
        image: String,
        /// The file that the other process has locked.
        lock: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// A tool could not be run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A tool failed.
    #[error("{tool} ended with {status}; the whole log is {}; its last lines:\n{}", .log.display(), .last_lines.join("\n"))]
    Tool {
        /// The tool.
        tool: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The file with its whole output.
        log: PathBuf,
        /// The last lines of its output.
        last_lines: Vec<String>,
    },
    /// The index of the suite is past its valid-until date.
    #[error(
        "the mirror's index of {suite} is past its valid-until date: a stale or held-back mirror. \
         To build from it nevertheless, say --allow-expired-index"
    )]
    ExpiredIndex {
        /// The suite.
        suite: String,
    },
    /// The mirrors of the distribution do not answer.
    #[error(
        "the mirrors of the packages cannot be reached: {said}; an image is made of its distribution's packages, so \
         see to the network, or set http_proxy, and try again; the whole log is {}", .log.display()
    )]
    Unreachable {
        /// apt's message.
        said: String,
        /// The file with the tool's whole output.
        log: PathBuf,
    },
    /// The user has no subordinate user ids for the files of a root file system.
    #[error(
        "user {user} has no subordinate ids in {file}; give it some: \
         sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
    )]
    NoSubordinateIds {
        /// The user.
        user: String,
        /// The file without an entry.
        file: &'static str,
    },
    /// The root file system that an image is made from cannot be read.
    #[error(
        "image {image} is made from {}, which cannot be read: {source}; the head of its recipe says how to make it, and \
         a path that is not absolute lies in $VIRT_AA_CONFORM_TREES", .path.display()
    )]
    NoTree {
        /// The image.
        image: String,
        /// The tar file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The root file system lacks something that the recipe or the program needs.
    #[error("the root file system of {image} has no {what}; change the recipe")]
    Lacking {
        /// The image.
        image: String,
        /// What it lacks.
        what: String,
    },
    /// A file of the root file system is malformed.
    #[error("{}: {problem}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl ImageError {
    /// For `map_err` on a file operation.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn malformed(path: &Path, problem: impl ToString) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}
