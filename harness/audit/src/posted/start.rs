//! Finds where records begin in a line, and text that only mentions them.

use memchr::memmem;

use super::Problem;
use super::clean::unquoted;
use super::extent::extent;
use crate::verdict::Verdict;

/// Where a record begins.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// Offset of its text, including its head.
    pub from: usize,
    /// Offset of its fields; `None` if they are on the next line.
    pub key: Option<usize>,
    /// The verdict of the record's type, if an old kernel wrote it without `apparmor=`.
    pub old: Option<Verdict>,
}

const KEY: &[u8] = b"apparmor=";
const STAMP: &[u8] = b"audit(";

/// The types of records before AppArmor came to Linux (2.6.36), by number and by name.
const OLD_TYPES: [(&str, &str, Verdict); 6] = [
    ("1501", "APPARMOR_AUDIT", Verdict::Audit),
    ("1502", "APPARMOR_ALLOWED", Verdict::Allowed),
    ("1503", "APPARMOR_DENIED", Verdict::Denied),
    ("1504", "APPARMOR_HINT", Verdict::Hint),
    ("1505", "APPARMOR_STATUS", Verdict::Status),
    ("1506", "APPARMOR_ERROR", Verdict::Error),
];

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Whether a line may hold or mention a record.
pub(super) fn mentions(line: &[u8]) -> bool {
    let holds = |needle: &[u8]| memmem::find(line, needle).is_some();
    holds(b"apparmor=") || holds(STAMP) || holds(b"APPARMOR") || holds(b"type=150") || printed_by_aa_log(line)
}

/// The starts of the records in the line, in order. Each record's text ends where the next one begins.
pub(super) fn starts(line: &[u8]) -> Vec<Start> {
    let mut found = Vec::new();
    let mut from = 0;
    while from < line.len() {
        let new = memmem::find_iter(&line[from..], KEY)
            .map(|at| from + at)
            .find(|&at| (at == 0 || !is_word(line[at - 1])) && line.get(at + KEY.len()) == Some(&b'"'));
        let limit = new.unwrap_or(line.len());
        if let Some(start) = old(line, from, limit) {
            from = extent(line, start.key.unwrap_or(limit))
                .end
                .max(start.key.unwrap_or(limit) + 1);
            found.push(start);
        } else if let Some(key) = new {
            found.push(Start {
                from,
                key: Some(key),
                old: None,
            });
            from = extent(line, key).end.max(key + KEY.len());
        } else {
            // A head whose record is on the next line.
            if let Some(at) = memmem::rfind(&line[from..], STAMP)
                && head_only(&line[from + at..])
            {
                found.push(Start {
                    from,
                    key: None,
                    old: None,
                });
            }
            break;
        }
    }
    found
}

/// Whether a text that begins with a stamp ends right after it, or within the key that follows.
fn head_only(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b"\\").unwrap_or(text).trim_ascii_end();
    let behind = memchr::memchr(b')', text).and_then(|close| text[close + 1..].strip_prefix(b":"));
    behind.is_some_and(|rest| KEY.starts_with(rest.trim_ascii_start()))
}

/// A record of an old kernel between two offsets.
fn old(line: &[u8], from: usize, to: usize) -> Option<Start> {
    let stamp = from + memmem::find(&line[from..to], STAMP)?;
    let key = stamp + memmem::find(&line[stamp..to], b"):")? + 2;
    let key = key + line[key..].iter().take_while(|byte| **byte == b' ').count();
    let head = std::str::from_utf8(&line[from..stamp]).unwrap_or_default();
    let kind = &head[head.rfind("type=")? + "type=".len()..];
    let kind = kind.split_whitespace().next()?;
    let (.., verdict) = OLD_TYPES
        .iter()
        .find(|(number, name, _)| *number == kind || *name == kind)?;
    line[key..].starts_with(b"operation=").then_some(Start {
        from,
        key: Some(key),
        old: Some(*verdict),
    })
}

/// The problem of a line that mentions a record and holds none.
pub(super) fn foreign(line: &[u8]) -> Option<Problem> {
    let holds = |needle: &[u8]| memmem::find(line, needle).is_some();
    if printed_by_aa_log(line) {
        return Some(Problem::PrintedBy("aa-log"));
    }
    let named = memmem::find_iter(line, KEY).any(|at| {
        let word = &line[at + KEY.len()..];
        let word = word.trim_ascii_start();
        let word = word
            .strip_prefix(b"\"")
            .or(word.strip_prefix(b"'"))
            .unwrap_or(word);
        Verdict::ALL
            .iter()
            .any(|verdict| word.starts_with(verdict.word().as_bytes()))
    });
    if named {
        let interpreted =
            memmem::find(line, STAMP).is_some_and(|at| line[at..].iter().take(18).any(|byte| *byte == b'/'));
        return Some(if interpreted {
            Problem::PrintedBy("ausearch -i")
        } else {
            Problem::Mention
        });
    }
    let typed = OLD_TYPES.iter().any(|(number, name, _)| {
        holds(format!("type={number} ").as_bytes()) || holds(format!("type={name} ").as_bytes())
    });
    (typed || holds(b"type=APPARMOR ") || holds(b"type=1500 ")).then_some(Problem::Mention)
}

/// `DENIED  PROFILE OPERATION NAME comm=… requested_mask=…`, maybe in colour.
fn printed_by_aa_log(line: &[u8]) -> bool {
    let mut text = unquoted(line);
    while let Some(rest) = text.strip_prefix(b"\x1b[") {
        let Some(end) = memchr::memchr(b'm', rest) else {
            return false;
        };
        text = &rest[end + 1..];
    }
    let verdict = Verdict::ALL.iter().any(|verdict| {
        let rest = text.strip_prefix(verdict.word().as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b" ") || rest.starts_with(b"\x1b["))
    });
    let field = |needle: &[u8]| memmem::find(text, needle).is_some();
    verdict && (field(b" comm=") || field(b" requested_mask=") || field(b"operation="))
}
