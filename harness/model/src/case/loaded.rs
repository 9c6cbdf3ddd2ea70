//! A case as it was read from its file.

use std::path::PathBuf;
use std::sync::Arc;

use super::model::Case;

/// A case and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The case, with templates not filled in. The steps of the cases that it begins with come first in `setup`.
    pub case: Arc<Case>,
    /// How many steps of other cases come first.
    pub held: usize,
    /// Its file, relative to the data's root.
    pub file: PathBuf,
    /// The line on which it begins.
    pub line: usize,
    /// Its folder below `cases/`: `network`; empty if it is directly in `cases/`.
    pub group: String,
}
