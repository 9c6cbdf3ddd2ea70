//! Audit text as people post it: wrapped over lines, quoted, inside HTML or JSON, or partly redacted.
//!
//! [`records`](crate::records) reads text as a kernel or a logger wrote it. This module is for text that went through a
//! mail, an issue tracker or a terminal. It never guesses in silence: a record that cannot be read whole is reported as
//! a [`Problem`].

mod clean;
mod extent;
mod start;

use std::borrow::Cow;
use std::fmt;

use crate::error::{ParseError, ParseErrorKind};
use crate::record::{Record, parse_at};
use crate::verdict::Verdict;
use clean::{clean, unquoted};
use extent::{End, begins_with_field, extent};
use start::{Start, foreign, mentions, starts};

/// A record has less than 9 KiB. A longer text is none.
const LONGEST_TEXT: usize = 16 << 10;
/// Over how many lines a record may be wrapped.
const MOST_LINES: usize = 32;

/// What is found in posted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// A whole record.
    Record(Box<Found>),
    /// Text that is meant as a record, or mentions one, but cannot be read whole.
    Unread {
        /// The line on which it begins, from 1.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// A record and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its text as it was read: on one line, without the text around it.
    pub text: Vec<u8>,
    /// The key of a value in which a line ended. Whether there was a space is a guess.
    pub joined_within: Option<String>,
}

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// One of its fields is broken, so it is no record.
    Broken(ParseError),
    /// It is cut short: it lacks fields that every record of its kind has.
    Cut {
        /// The record as far as it goes.
        record: Box<Record>,
        /// The missing keys; never empty.
        lacks: Vec<&'static str>,
    },
    /// It is cut short within a value.
    CutWithin {
        /// The value's key.
        key: String,
    },
    /// It has the key word of records, but no record.
    Mention,
    /// A tool printed records in its own form, which does not keep all of them; the tool's name.
    PrintedBy(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.kind.fmt(f),
            Self::Cut { lacks, .. } => write!(
                f,
                "the record is cut short: it lacks {}; give the whole record",
                lacks.join(", ")
            ),
            Self::CutWithin { key } => {
                write!(f, "the record is cut short within {key}; give the whole record")
            }
            Self::Mention => f.write_str(
                "this names an AppArmor record and is none that can be read; give the record itself, from operation= on",
            ),
            Self::PrintedBy("ausearch -i") => {
                f.write_str("this is printed by `ausearch -i`, which interprets values; give what `ausearch` prints without -i")
            }
            Self::PrintedBy(tool) => write!(
                f,
                "this is printed by `{tool}`, which leaves fields out; give the log itself, as `journalctl -k` or audit.log has it"
            ),
        }
    }
}

/// Reads audit text as people post it, line by line. It holds at most one unfinished record, so its memory is bounded.
///
/// ```
/// use aa_audit::{Posted, PostedReader};
///
/// let mut reader = PostedReader::new();
/// let mut met = Vec::new();
/// for line in ["> apparmor=\"DENIED\" operation=\"capable\" profile=\"libvirtd\"", "> pid=7 capname=\"ipc_lock\""] {
///     reader.line(line.as_bytes(), &mut |posted| met.push(posted));
/// }
/// reader.end(&mut |posted| met.push(posted));
/// assert!(matches!(&met[..], [Posted::Record(found)] if found.record.pid == Some(7)));
/// ```
#[derive(Debug, Default)]
pub struct PostedReader {
    number: u64,
    head: Option<Head>,
    pending: Option<Pending>,
}

/// The head of a record whose fields are on the next line.
#[derive(Debug)]
struct Head {
    line: u64,
    text: Vec<u8>,
}

/// A record that may continue on the next line.
#[derive(Debug)]
struct Pending {
    line: u64,
    lines: usize,
    text: Vec<u8>,
    /// Offset of its fields.
    key: usize,
    /// The verdict of its type, if it has no `apparmor=`.
    old: Option<Verdict>,
    joined_within: Option<String>,
    /// Whether the last line ended in white space, so that it was broken between words.
    spaced: bool,
}

impl PostedReader {
    /// A reader at the first line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next line, without its newline, and reports what is complete.
    pub fn line(&mut self, line: &[u8], on: &mut dyn FnMut(Posted)) {
        self.number += 1;
        if self.pending.is_none() && self.head.is_none() && !mentions(line) {
            return;
        }
        let mut text = clean(line);
        let mut number = self.number;
        if let Some(head) = self.head.take() {
            match head.and(unquoted(&text)) {
                Some(joined) => {
                    number = head.line;
                    text = Cow::Owned(joined);
                }
                None => head.tell(on),
            }
        }
        let found = starts(&text);
        if found.is_empty() {
            self.go_on(&text, on);
            return;
        }
        self.end_pending(on);
        for (index, start) in found.iter().enumerate() {
            let end = found.get(index + 1).map_or(text.len(), |next| next.from);
            self.begin(number, &text[start.from..end], start, on);
        }
    }

    /// Reports the last record or problem.
    pub fn end(&mut self, on: &mut dyn FnMut(Posted)) {
        if let Some(head) = self.head.take() {
            head.tell(on);
        }
        self.end_pending(on);
    }

    fn end_pending(&mut self, on: &mut dyn FnMut(Posted)) {
        if let Some(pending) = self.pending.take() {
            pending.tell(on);
        }
    }

    /// Handles a line in which no record begins.
    fn go_on(&mut self, line: &[u8], on: &mut dyn FnMut(Posted)) {
        if let Some(pending) = &mut self.pending
            && pending.take(unquoted(line), line.ends_with(b" "))
        {
            if pending.is_done() {
                self.end_pending(on);
            }
            return;
        }
        self.end_pending(on);
        if let Some(problem) = foreign(line) {
            on(Posted::Unread {
                line: self.number,
                problem,
            });
        }
    }

    /// Handles a record that begins with `text`.
    fn begin(&mut self, line: u64, text: &[u8], start: &Start, on: &mut dyn FnMut(Posted)) {
        self.end_pending(on);
        let spaced = text.ends_with(b" ");
        let mut text = text.to_vec();
        trim_end(&mut text);
        let Some(key) = start.key else {
            self.head = Some(Head { line, text });
            return;
        };
        let pending = Pending {
            line,
            lines: 1,
            text,
            key: key - start.from,
            old: start.old,
            joined_within: None,
            spaced,
        };
        if pending.is_done() {
            pending.tell(on);
        } else {
            self.pending = Some(pending);
        }
    }
}

impl Head {
    /// Joins the head and the next line, if a record begins right there.
    fn and(&self, line: &[u8]) -> Option<Vec<u8>> {
        if self.text.len() > LONGEST_TEXT {
            return None;
        }
        let separator: &[u8] = if self.text.ends_with(b":") { b" " } else { b"" };
        let joined = [&self.text, separator, line].concat();
        let begins = starts(&joined)
            .first()
            .and_then(|start| start.key)
            .is_some_and(|key| key <= self.text.len() + 1);
        begins.then_some(joined)
    }

    /// Reports a head alone only if it belongs to an AppArmor record.
    fn tell(self, on: &mut dyn FnMut(Posted)) {
        let broken_off = !self.text.ends_with(b":");
        if let Some(problem) = foreign(&self.text).or(broken_off.then_some(Problem::Mention)) {
            on(Posted::Unread {
                line: self.line,
                problem,
            });
        }
    }
}

/// Removes white space, and the backslash that continues a line in a shell or an editor.
fn trim_end(text: &mut Vec<u8>) {
    let mut end = text.trim_ascii_end().len();
    if text[..end].ends_with(b" \\") || text[..end].ends_with(b"\"\\") {
        end = text[..end - 1].trim_ascii_end().len();
    }
    text.truncate(end);
}

/// Whether a line that ends in `text`, within the value of this key, most likely ends between two words. Names mostly
/// have no spaces, and are broken at a terminal's edge.
fn is_between_words(key: &[u8], text: &[u8]) -> bool {
    let value = text.rsplit(|byte| *byte == b'"').next().unwrap_or_default();
    let last = value.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    match key {
        b"info" => !value.is_empty(),
        b"flags" | b"options" => value.ends_with(b","),
        // A mask of a file has single letters, that of a socket has words.
        b"requested_mask" | b"denied_mask" => last.len() > 3,
        _ => false,
    }
}

impl Pending {
    fn extent(&self) -> extent::Extent<'_> {
        extent(&self.text, self.key)
    }

    /// Takes the next line if the record continues with it.
    fn take(&mut self, line: &[u8], spaced: bool) -> bool {
        let too_long = self.lines >= MOST_LINES || self.text.len() + line.len() > LONGEST_TEXT;
        if line.is_empty() || too_long {
            return false;
        }
        let extent = self.extent();
        let (separator, within) = match extent.how {
            End::OpenQuote(key) => {
                if !line.contains(&b'"') {
                    return false;
                }
                let space = self.spaced || is_between_words(key, &self.text[extent.end..]);
                (
                    space,
                    (!self.spaced).then(|| String::from_utf8_lossy(key).into_owned()),
                )
            }
            _ if begins_with_field(line) && extent.end == self.text.len() => (true, None),
            End::OpenWord => {
                let mut joined = self.text[extent.end..].to_vec();
                if joined.is_empty() {
                    // A number or a bare word was split at the end of the line.
                    let rest = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let after = line[rest..].trim_ascii_start();
                    let goes_on = rest > 0 && (after.is_empty() || begins_with_field(after));
                    if !goes_on || line.get(rest).is_some_and(|byte| *byte != b' ') {
                        return false;
                    }
                } else {
                    joined.extend_from_slice(line);
                    if !begins_with_field(joined.trim_ascii_start()) {
                        return false;
                    }
                }
                (false, None)
            }
            _ => return false,
        };
        if separator {
            self.text.push(b' ');
        }
        self.joined_within = self.joined_within.take().or(within);
        self.text.extend_from_slice(line);
        trim_end(&mut self.text);
        self.lines += 1;
        self.spaced = spaced;
        true
    }

    /// Whether the record is complete.
    fn is_done(&self) -> bool {
        let extent = self.extent();
        match extent.how {
            End::OpenQuote(_) | End::OpenWord if extent.end < self.text.len() => false,
            // The text that follows is no field.
            _ if extent.end < self.text.len() => true,
            _ => self
                .read()
                .is_ok_and(|record| record.lacks().is_empty() && record.ends_well()),
        }
    }

    /// The record's text with its head, without the text after it.
    fn own_text(&self) -> Vec<u8> {
        let mut text = self.text[..self.key].to_vec();
        if let Some(verdict) = self.old {
            text.extend_from_slice(format!("apparmor=\"{verdict}\" ").as_bytes());
        }
        for (index, field) in self.extent().fields.iter().enumerate() {
            if index > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(&self.text[field.clone()]);
        }
        text
    }

    fn read(&self) -> Result<Record, ParseError> {
        // If nothing is wrong, the text around the record is read as well.
        if self.old.is_none()
            && let Ok(record) = parse_at(&self.text, self.key)
        {
            return Ok(record);
        }
        let text = self.own_text();
        parse_at(&text, self.key).or_else(|error| {
            // A redacted stamp is left out.
            if error.kind == ParseErrorKind::BadStamp {
                parse_at(&text[self.key..], 0)
            } else {
                Err(error)
            }
        })
    }

    fn tell(self, on: &mut dyn FnMut(Posted)) {
        let line = self.line;
        let extent = self.extent();
        let open = match extent.how {
            End::OpenQuote(key) => Some(String::from_utf8_lossy(key).into_owned()),
            _ => None,
        };
        if extent.fields.len() <= 1 && open.is_none() {
            let problem = foreign(&self.text).unwrap_or(Problem::Mention);
            on(Posted::Unread { line, problem });
            return;
        }
        on(match (self.read(), open) {
            (_, Some(key)) => Posted::Unread {
                line,
                problem: Problem::CutWithin { key },
            },
            (Err(error), None) => Posted::Unread {
                line,
                problem: Problem::Broken(error),
            },
            (Ok(record), None) => match record.lacks() {
                lacks if lacks.is_empty() => Posted::Record(Box::new(Found {
                    record,
                    line,
                    text: self.text,
                    joined_within: self.joined_within,
                })),
                lacks => Posted::Unread {
                    line,
                    problem: Problem::Cut {
                        record: Box::new(record),
                        lacks,
                    },
                },
            },
        });
    }
}
