//! Locations in policy text.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// A location in a file of a tree. Displays as `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, relative to the tree's base.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One file's text with its line starts.
pub(crate) struct Source<'t> {
    pub(crate) file: Arc<str>,
    pub(crate) text: &'t str,
    lines: Vec<usize>,
    /// The last location asked for: its line's start, its offset and the characters between. Counting goes on from
    /// there, which makes columns of one very long line cheap.
    last: Cell<(usize, usize, usize)>,
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Self {
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: file.into(),
            text,
            lines,
            last: Cell::new((0, 0, 0)),
        }
    }

    /// The location of a byte offset.
    pub(crate) fn location(&self, offset: usize) -> Location {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        let (from, counted) = match self.last.get() {
            (line, at, count) if line == start && at <= offset => (at, count),
            _ => (start, 0),
        };
        let count = counted + self.text.get(from..offset).unwrap_or_default().chars().count();
        self.last.set((start, offset, count));
        Location {
            file: self.file.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(count + 1).unwrap_or(u32::MAX),
        }
    }
}
