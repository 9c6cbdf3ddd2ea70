//! Finds records among many lines.

use std::fmt;

use memchr::{memchr, memmem};

use crate::error::ParseError;
use crate::frame::find_key;
use crate::record::{Record, parse_at};

/// A value and the line that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The line's number, from 1.
    pub line: usize,
    /// Where the line starts, in bytes from the start of the input.
    pub offset: usize,
    /// What was read.
    pub value: T,
}

impl fmt::Display for Located<ParseError> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.value)
    }
}

impl std::error::Error for Located<ParseError> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.value.source()
    }
}

/// Whether a line is meant as an AppArmor record, well-formed or not.
///
/// A line without the head of an audit record, as in some program's log, must continue with `operation=`, as far as it
/// goes. So a shell command that searches a log for `apparmor="DENIED"` does not count.
#[must_use]
pub fn looks_like(text: &[u8]) -> bool {
    key_of_record(text).is_some()
}

/// The offset of the `apparmor=` key in a text that [`looks_like`] a record.
fn key_of_record(text: &[u8]) -> Option<usize> {
    find_key(text).filter(|&key| has_head(&text[..key]) || goes_on(&text[key..]))
}

fn has_head(head: &[u8]) -> bool {
    // The form of the audit socket, by far the most frequent one.
    head.starts_with(b"audit(")
        || memmem::find(head, b"audit(").is_some()
        || memmem::find(head, b"AVC ").is_some()
}

/// Whether the operation follows the key, as far as the text goes.
fn goes_on(text: &[u8]) -> bool {
    let Some(rest) = text.splitn(3, |&byte| byte == b'"').nth(2) else {
        // The verdict itself is cut short.
        return true;
    };
    let rest = rest.trim_ascii_start();
    rest.starts_with(b"operation=") || b"operation=".starts_with(rest)
}

/// The records among the lines of `input`, in any of the forms in which they are logged, each with its line number and
/// offset. Other lines are skipped, see [`looks_like`].
pub fn records(input: &[u8]) -> impl Iterator<Item = Result<Located<Record>, Located<ParseError>>> {
    lines(input).filter_map(
        |Located {
             line,
             offset,
             value: text,
         }| {
            let key = key_of_record(text)?;
            Some(match parse_at(text, key) {
                Ok(value) => Ok(Located { line, offset, value }),
                Err(value) => Err(Located { line, offset, value }),
            })
        },
    )
}

fn lines(input: &[u8]) -> impl Iterator<Item = Located<&[u8]>> {
    let mut offset = 0;
    let mut line = 0;
    std::iter::from_fn(move || {
        if offset >= input.len() {
            return None;
        }
        let rest = &input[offset..];
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        line += 1;
        let located = Located {
            line,
            offset,
            value: &rest[..length],
        };
        offset += length + 1;
        Some(located)
    })
}
