//! Splits bytes into `key=value` pairs, borrowed and not yet decoded.

use memchr::memchr;

use crate::error::{MAX_FIELDS, ParseError, ParseErrorKind};

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
    /// Offset of the value in the whole text, including its quote.
    pub at: usize,
}

/// Whether a byte separates fields: white space, the NUL that ends some payloads, and the group separator before
/// auditd's interpreted values.
pub(crate) const fn is_separator(byte: u8) -> bool {
    CLASS[byte as usize] == SEPARATOR
}

/// The class of each byte. The scanner looks at every byte of a record.
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

/// How the text was carried. This decides where a value ends and what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carrier<'a> {
    /// The text is a line of `/dev/kmsg`, which writes control characters and the backslash as `\xNN`.
    pub kmsg: bool,
    /// The fields are in a user-space program's `msg='…'`.
    pub message: bool,
    /// The whole text if it is UTF-8 without a backslash, so that each part of it is its own text form. Checked once
    /// for all values.
    pub plain: Option<&'a str>,
}

/// A line break as `/dev/kmsg` writes it. The D-Bus daemon's message has one inside.
const KMSG_NEWLINE: &[u8] = br"\x0a";

/// Reads fields from `text`; offsets are those of `text`.
pub(crate) struct Fields<'a> {
    text: &'a [u8],
    at: usize,
    count: usize,
    carrier: Carrier<'a>,
}

impl<'a> Raw<'a> {
    /// The value as text, if the whole text is plain.
    pub(crate) fn plain(&self, carrier: Carrier<'a>) -> Option<&'a str> {
        let start = self.at + usize::from(self.quoted);
        carrier.plain?.get(start..start + self.bytes.len())
    }
}

impl<'a> Fields<'a> {
    pub(crate) fn new(text: &'a [u8], from: usize, carrier: Carrier<'a>) -> Self {
        Self {
            text,
            at: from,
            count: 0,
            carrier,
        }
    }

    /// How far the text is read. After a message's last field, this is the end of the message.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next field, or `None` at the end of the text or of the message.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, ParseError> {
        let text = self.text;
        let mut at = self.at;
        loop {
            if at < text.len() && is_separator(text[at]) {
                at += 1;
            } else if self.carrier.kmsg && text[at..].starts_with(KMSG_NEWLINE) {
                at += KMSG_NEWLINE.len();
            } else {
                break;
            }
        }
        if self.carrier.message && text.get(at) == Some(&b'\'') {
            self.at = at + 1;
            return Ok(None);
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
        let value = if text.get(at + 1) == Some(&b'"') {
            self.quoted(at + 1)?
        } else {
            self.bare(at + 1)?
        };
        Ok(Some(Field {
            key: &text[key_at..at],
            value,
        }))
    }

    /// Reads the value whose opening quote is at `at`, and moves past it.
    fn quoted(&mut self, at: usize) -> Result<Raw<'a>, ParseError> {
        let start = at + 1;
        let Some(length) = memchr(b'"', &self.text[start..]) else {
            return Err(ParseError::new(at, ParseErrorKind::UnclosedQuote));
        };
        let end = start + length;
        if !self.may_follow(&self.text[end + 1..]) {
            return Err(ParseError::new(end + 1, ParseErrorKind::TextAfterQuote));
        }
        self.at = end + 1;
        Ok(Raw {
            bytes: &self.text[start..end],
            quoted: true,
            at,
        })
    }

    /// Reads the value without quotes at `at`, and moves past it.
    fn bare(&mut self, at: usize) -> Result<Raw<'a>, ParseError> {
        let rest = &self.text[at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = if digits > 0 && is_enriched(&rest[digits..]) {
            // `ouid=0FSUID="root"`: auditd's separator was lost.
            digits
        } else {
            // Stops at the first possible end. The rest is read again, and searching all of it each time would add up.
            let mut length = digits;
            while length < rest.len() && !self.ends_bare(&rest[length..]) {
                length += 1;
            }
            length
        };
        if length == 0 {
            return Err(ParseError::new(at, ParseErrorKind::MissingValue));
        }
        self.at = at + length;
        Ok(Raw {
            bytes: &rest[..length],
            quoted: false,
            at,
        })
    }

    /// Whether a value without quotes ends where the nonempty `rest` begins.
    fn ends_bare(&self, rest: &[u8]) -> bool {
        match rest[0] {
            b'\'' => self.carrier.message && self.may_follow(&rest[1..]),
            b'\\' => self.carrier.kmsg && rest.starts_with(KMSG_NEWLINE),
            byte => is_separator(byte),
        }
    }

    /// Whether a field may end where `rest` begins.
    fn may_follow(&self, rest: &[u8]) -> bool {
        match rest {
            [] => true,
            [byte, ..] if is_separator(*byte) => true,
            [b'\'', ..] => self.carrier.message,
            [b'\\', ..] => self.carrier.kmsg && rest.starts_with(KMSG_NEWLINE),
            _ => is_enriched(rest),
        }
    }
}

/// Whether a text begins with a key of auditd's own, such as `FSUID=`. The invisible separator before the first of them
/// is easily lost when a record is copied.
fn is_enriched(text: &[u8]) -> bool {
    let length = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    length > 0 && text.get(length) == Some(&b'=')
}
