//! From bytes to `key=value` pairs, borrowed and not yet understood.

use memchr::memchr;

use crate::error::{ParseError, ParseErrorKind};

/// More fields than the kernel ever writes in a record, so that what is not a record costs no memory.
pub(crate) const MAX_FIELDS: usize = 1024;

/// One `key=value`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub key: &'a [u8],
    pub value: Raw<'a>,
}

/// A value as written, without its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    pub bytes: &'a [u8],
    pub quoted: bool,
    /// Offset of the value in the whole text, its quote included.
    pub at: usize,
}

/// Whether a byte stands between fields: white space, the NUL that ends some payloads, and the group separator after
/// which auditd adds its own reading of the numbers.
pub(crate) const fn is_separator(byte: u8) -> bool {
    CLASS[byte as usize] == SEPARATOR
}

/// What each byte is to the scanner, which looks at every byte of a record.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let separators = b" \n\t\r\0\x1d";
    let mut at = 0;
    while at < separators.len() {
        class[separators[at] as usize] = SEPARATOR;
        at += 1;
    }
    class[b'=' as usize] = EQUALS;
    class
};
const SEPARATOR: u8 = 1;
const EQUALS: u8 = 2;

/// Reads fields from `text[from..to]`; offsets are those of `text`.
pub(crate) struct Fields<'a> {
    text: &'a [u8],
    at: usize,
    count: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(text: &'a [u8], from: usize, to: usize) -> Self {
        Self {
            text: &text[..to],
            at: from,
            count: 0,
        }
    }

    /// The next field, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, ParseError> {
        let text = self.text;
        let mut at = self.at;
        while at < text.len() && is_separator(text[at]) {
            at += 1;
        }
        if at == text.len() {
            self.at = at;
            return Ok(None);
        }
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(ParseError::new(at, ParseErrorKind::TooManyFields));
        }
        let key_at = at;
        while at < text.len() && CLASS[usize::from(text[at])] == 0 {
            at += 1;
        }
        if at == text.len() || text[at] != b'=' {
            return Err(ParseError::new(key_at, ParseErrorKind::MissingEquals));
        }
        if at == key_at {
            return Err(ParseError::new(key_at, ParseErrorKind::MissingKey));
        }
        let value = self.value(at + 1)?;
        Ok(Some(Field {
            key: &text[key_at..at],
            value,
        }))
    }

    /// The value at `at`; moves past it.
    fn value(&mut self, at: usize) -> Result<Raw<'a>, ParseError> {
        let text = self.text;
        if text.get(at) == Some(&b'"') {
            let start = at + 1;
            let Some(length) = memchr(b'"', &text[start..]) else {
                return Err(ParseError::new(at, ParseErrorKind::UnclosedQuote));
            };
            let end = start + length;
            if text.get(end + 1).is_some_and(|&byte| !is_separator(byte)) {
                return Err(ParseError::new(end + 1, ParseErrorKind::TextAfterQuote));
            }
            self.at = end + 1;
            return Ok(Raw {
                bytes: &text[start..end],
                quoted: true,
                at,
            });
        }
        let mut end = at;
        while end < text.len() && !is_separator(text[end]) {
            end += 1;
        }
        if end == at {
            return Err(ParseError::new(at, ParseErrorKind::MissingValue));
        }
        self.at = end;
        Ok(Raw {
            bytes: &text[at..end],
            quoted: false,
            at,
        })
    }
}
