//! Errors in policy text.

use crate::glob::GlobError;
use crate::source::Location;

/// Why a policy file could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {kind}")]
pub struct PolicyError {
    /// The location; for a missing file, that of the directive that names it.
    pub location: Location,
    /// What is wrong.
    pub kind: PolicyErrorKind,
}

/// What is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyErrorKind {
    /// A file that is not in the tree.
    #[error("no file {:?} in the tree: add it, or write `include if exists`", clip(.0))]
    NoFile(String),
    /// An include by an absolute path: compiling on another machine would read that machine's file.
    #[error("the include of {0:?} is by absolute path: write it as <…> below the policy's base")]
    Absolute(String),
    /// A file that is not UTF-8.
    #[error("{0:?} is not UTF-8 text: policy must be")]
    NotText(String),
    /// Something else stood where this was expected.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A word that is not allowed at this place.
    #[error("{:?} is not known as {what}", clip(.word))]
    Unknown {
        /// The word.
        word: String,
        /// What it was taken for.
        what: &'static str,
    },
    /// A variable that is not set.
    #[error("the variable @{{{0}}} is not set: set it before the profile, or include <tunables/global>")]
    NoVariable(String),
    /// A variable set twice with `=`.
    #[error("the variable @{{{0}}} is already set: use += to add values")]
    SetTwice(String),
    /// A condition that this crate cannot evaluate.
    #[error("the condition {:?} is not understood", clip(.0))]
    Condition(String),
    /// A bad glob.
    #[error("in {:?}: {error}", clip(.text))]
    Glob {
        /// The glob.
        text: String,
        /// What is wrong with it.
        error: GlobError,
    },
    /// A limit that no real policy comes near is exceeded.
    #[error("{0}: is this really policy?")]
    TooMuch(&'static str),
}

/// The beginning of a text, for a message.
fn clip(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
