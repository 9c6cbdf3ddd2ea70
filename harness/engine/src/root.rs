//! The folder with the data files (cases, profile sets and recipes of images), and where it is searched for.

pub mod built_in;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use self::built_in::BuiltInError;
use virt_aa_model::data::{CASES, PROFILES};

use crate::xdg;

/// The recipes of images.
pub const RECIPES: &str = "vm-images";
/// Folders that a root has.
pub const MARKS: [&str; 3] = [CASES, PROFILES, RECIPES];

/// The environment variable that names a root.
pub const VARIABLE: &str = "VIRT_AA_CONFORM_ROOT";

/// The data files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder that has all of [`MARKS`].
    pub dir: PathBuf,
    /// A folder that replaces its cases.
    pub cases: Option<PathBuf>,
    /// How the folder was found.
    pub origin: Origin,
}

/// Where a root was found, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line or the environment names it.
    Given,
    /// The current folder or one above it.
    Here,
    /// A data folder of the XDG base directory specification.
    Xdg,
    /// In the program itself.
    BuiltIn,
}

/// Why there are no data files.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A folder that should be a root is not one.
    #[error(
        "{} has no {}; the folder with the data has {}/ (--root or {VARIABLE} names another one)",
        dir.display(), lacking.join("/, no ") .to_string() + "/", MARKS.join("/, ")
    )]
    Lacks {
        /// The folder.
        dir: PathBuf,
        /// What is missing in it.
        lacking: Vec<&'static str>,
    },
    /// What should replace the cases is not a folder.
    #[error("{} is not a folder; --cases takes a folder with cases, like {CASES}/", .0.display())]
    NoCases(PathBuf),
    /// The current folder is unknown.
    #[error("cannot tell the current folder: {0}; name the one with the data with --root")]
    NoHere(io::Error),
    /// The built-in data cannot be unpacked.
    #[error(transparent)]
    BuiltIn(#[from] BuiltInError),
}

impl Root {
    /// Exactly that folder.
    pub fn at(dir: &Path) -> Root {
        Root {
            dir: dir.to_path_buf(),
            cases: None,
            origin: Origin::Given,
        }
    }

    /// The recipes of images.
    pub fn recipes(&self) -> PathBuf {
        self.dir.join(RECIPES)
    }

    /// Finds the root: the given one; else this folder or its nearest parent that is a root, so that a checkout
    /// precedes installed data; else a data folder of XDG; else the built-in data. `cases` replaces its cases.
    pub fn find(given: Option<&Path>, cases: Option<&Path>) -> Result<Root, RootError> {
        if let Some(cases) = cases.filter(|dir| !dir.is_dir()) {
            return Err(RootError::NoCases(cases.to_path_buf()));
        }
        let var = |name: &str| std::env::var_os(name);
        let found = match given {
            Some(dir) => Some((whole(dir)?, Origin::Given)),
            None => {
                let here = std::env::current_dir().map_err(RootError::NoHere)?;
                on_disk(&here, var)?
            }
        };
        let (dir, origin) = match found {
            Some(found) => found,
            None => (built_in::unpack(xdg::cache(var))?, Origin::BuiltIn),
        };
        Ok(Root {
            dir,
            cases: cases.map(Path::to_path_buf),
            origin,
        })
    }
}

/// Finds a root on disk that nobody named.
fn on_disk(
    here: &Path,
    var: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(PathBuf, Origin)>, RootError> {
    if let Some(dir) = here.ancestors().find(|dir| lacking(dir).is_empty()) {
        return Ok(Some((dir.to_path_buf(), Origin::Here)));
    }
    // An incomplete folder is reported, because whoever made it wants it used.
    let some = |dir: &PathBuf| lacking(dir).len() < MARKS.len();
    match xdg::data(var).into_iter().find(some) {
        Some(dir) => Ok(Some((whole(&dir)?, Origin::Xdg))),
        None => Ok(None),
    }
}

fn whole(dir: &Path) -> Result<PathBuf, RootError> {
    let dir = dir.to_path_buf();
    match lacking(&dir) {
        lacking if lacking.is_empty() => Ok(dir),
        lacking => Err(RootError::Lacks { dir, lacking }),
    }
}

fn lacking(dir: &Path) -> Vec<&'static str> {
    let there = |mark: &&str| dir.join(mark).is_dir();
    MARKS.into_iter().filter(|mark| !there(mark)).collect()
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        match self.origin {
            Origin::Given => write!(f, "{dir}, as --root or {VARIABLE} says")?,
            Origin::Here => write!(f, "{dir}, the nearest folder that has them")?,
            Origin::Xdg => write!(f, "{dir}, by XDG_DATA_HOME or XDG_DATA_DIRS")?,
            Origin::BuiltIn => write!(f, "built in, unpacked to {dir}")?,
        }
        match &self.cases {
            Some(cases) => write!(f, "; cases from {}", cases.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn make(dir: &Path, marks: &[&str]) {
        for mark in marks {
            fs::create_dir_all(dir.join(mark)).unwrap();
        }
    }

    #[test]
    fn a_checkout_comes_before_what_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let (checkout, data) = (dir.path().join("checkout"), dir.path().join("data"));
        let below = checkout.join("a/b");
        make(&checkout, &["a/b"]);
        let installed = data.join("virt-aa-conform");
        let var =
            |name: &str| (name == "XDG_DATA_HOME" || name == "XDG_DATA_DIRS").then(|| data.clone().into());
        assert_eq!(on_disk(&below, var).unwrap(), None);
        make(&installed, &MARKS);
        assert_eq!(on_disk(&below, var).unwrap(), Some((installed, Origin::Xdg)));
        make(&checkout, &MARKS[..2]);
        assert_eq!(on_disk(&below, var).unwrap().unwrap().1, Origin::Xdg);
        make(&checkout, &MARKS);
        assert_eq!(on_disk(&below, var).unwrap(), Some((checkout, Origin::Here)));
    }

    #[test]
    fn half_of_the_data_is_told_and_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["virt-aa-conform/cases"]);
        let var = |name: &str| (name == "XDG_DATA_DIRS").then(|| dir.path().into());
        let error = on_disk(Path::new("/"), var).unwrap_err().to_string();
        assert!(
            error.contains("virt-aa-conform has no profiles/, no vm-images/; "),
            "{error}"
        );
    }

    #[test]
    fn what_is_named_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Root::find(Some(dir.path()), None),
            Err(RootError::Lacks { lacking, .. }) if lacking == MARKS
        ));
        make(dir.path(), &MARKS);
        let root = Root::find(Some(dir.path()), None).unwrap();
        assert_eq!(root, Root::at(dir.path()));
        let none = dir.path().join("none");
        assert!(matches!(
            Root::find(Some(dir.path()), Some(&none)),
            Err(RootError::NoCases(_))
        ));
    }
}
