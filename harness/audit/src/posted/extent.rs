//! Finds the end of a record in text that continues after it.

use crate::record::{KEYS, is_number};
use crate::scan::is_separator;

/// Keys of records that are no keys of [`crate::Record`].
const OTHER_KEYS: [&[u8]; 8] = [
    b"ppid",
    b"auid",
    b"uid",
    b"ses",
    b"subj",
    b"sauid",
    b"hostname",
    b"terminal",
];

/// What follows the last field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End<'a> {
    /// Nothing, or text that is no field.
    Closed,
    /// A value whose quote does not close; its key.
    OpenQuote(&'a [u8]),
    /// A word at the very end that may be the first part of a field or of a value.
    OpenWord,
}

/// The fields of a record from `from` on.
pub(super) struct Extent<'a> {
    /// The fields' ranges, without fields whose number was redacted.
    pub fields: Vec<std::ops::Range<usize>>,
    /// The end of the last field.
    pub end: usize,
    pub how: End<'a>,
}

/// A key and where its value starts.
fn key_at(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = text[at..]
        .iter()
        .take(32)
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    (length > 0 && text.get(at + length) == Some(&b'=')).then(|| (&text[at..at + length], at + length + 1))
}

/// Whether the text begins with a field that records have.
pub(super) fn begins_with_field(text: &[u8]) -> bool {
    key_at(text, 0).is_some_and(|(key, _)| is_known(key))
}

fn is_known(key: &[u8]) -> bool {
    KEYS.iter().any(|known| known.as_bytes() == key)
        || OTHER_KEYS.contains(&key)
        || key.iter().all(u8::is_ascii_uppercase)
}

/// Bytes of a value without quotes: numbers, hexadecimal digits, names of signals, addresses.
const fn in_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'.' | b':' | b'@' | b'+' | b'-' | b'/' | b'%' | b'?' | b'*'
        )
}

pub(super) fn extent(text: &[u8], from: usize) -> Extent<'_> {
    let mut fields = Vec::new();
    let (mut at, mut end) = (from, from);
    let how = loop {
        while at < text.len() && is_separator(text[at]) {
            at += 1;
        }
        if at == text.len() {
            // A value without quotes at the end of the text may continue elsewhere.
            let open = end == text.len() && end > from && text[end - 1] != b'"';
            break if open { End::OpenWord } else { End::Closed };
        }
        // No key of a record follows `msg='` and the like.
        let Some((key, value)) = key_at(text, at) else {
            let word_ends_text = !text[at..].iter().any(|byte| is_separator(*byte));
            let like_a_key = text[at..]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            break if word_ends_text && like_a_key {
                End::OpenWord
            } else {
                End::Closed
            };
        };
        let start = at;
        if text.get(value) == Some(&b'"') {
            match memchr::memchr(b'"', &text[value + 1..]) {
                Some(length) => at = value + 1 + length + 1,
                None => break End::OpenQuote(key),
            }
            fields.push(start..at);
        } else {
            let digits = number_at(&text[value..]);
            let bare = text[value..].iter().take_while(|byte| in_bare(**byte)).count();
            let number = is_number(key);
            let length = if number && digits > 0 { digits } else { bare };
            if length == 0 && !number {
                break if value == text.len() {
                    End::OpenWord
                } else {
                    End::Closed
                };
            }
            at = value + length;
            if number && digits == 0 {
                // `pid=xxxx`, `pid=<pid>`: the number was redacted.
                at = value
                    + text[value..]
                        .iter()
                        .take_while(|byte| !is_separator(**byte))
                        .count();
                if at == value {
                    break End::OpenWord;
                }
            } else {
                fields.push(start..at);
            }
        }
        end = at;
    };
    Extent { fields, end, how }
}

/// Length of the number at the start of the text.
fn number_at(text: &[u8]) -> usize {
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = text[sign..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 { 0 } else { sign + digits }
}
