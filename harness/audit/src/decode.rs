//! Decodes written values to what they mean.

use std::borrow::Cow;

use memchr::memchr;

use crate::error::{ParseError, ParseErrorKind};
use crate::scan::{Carrier, Raw};

/// The original bytes of a string field of a [`Record`](crate::Record). Each `\xNN` with `NN` from `80` to `FF`, or `5C`,
/// in upper-case digits, is one byte. All other bytes stand for themselves.
///
/// ```
/// let record = aa_audit::parse_record(br#"apparmor="DENIED" operation="open" name=2F746D702FFF"#)?;
/// let name = record.name.as_deref().unwrap_or_default();
/// assert_eq!(name, r"/tmp/\xFF");
/// assert_eq!(*aa_audit::to_bytes(name), *b"/tmp/\xFF");
/// # Ok::<(), aa_audit::ParseError>(())
/// ```
#[must_use]
pub fn to_bytes(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if memchr(b'\\', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(byte) = escape_at(&bytes[at..]) {
            out.push(byte);
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Cow::Owned(out)
}

/// The byte that an escape at the start of `bytes` stands for.
fn escape_at(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = *bytes else {
        return None;
    };
    let byte = upper_hex(high)? << 4 | upper_hex(low)?;
    (byte >= 0x80 || byte == b'\\').then_some(byte)
}

/// Encodes bytes as the text that [`to_bytes`] reverses.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    if memchr(b'\\', bytes).is_none()
        && let Ok(text) = str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, _) in valid.match_indices('\\') {
            if escape_at(&valid.as_bytes()[at..]).is_some() {
                out.push_str(&valid[copied..at]);
                out.push_str(r"\x5C");
                copied = at + 1;
            }
        }
        out.push_str(&valid[copied..]);
        for &byte in chunk.invalid() {
            out.push_str(r"\x");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

const fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Undoes the escapes of `/dev/kmsg` for unprintable bytes and the backslash: `\xNN` in lower-case digits.
fn undo_kmsg(bytes: &[u8]) -> Vec<u8> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if let [b'\\', b'x', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

impl Carrier<'_> {
    /// The value of a key that the kernel writes itself.
    pub(crate) fn trusted(self, raw: Raw<'_>) -> String {
        if let Some(text) = raw.plain(self) {
            return text.to_owned();
        }
        if self.kmsg && memchr(b'\\', raw.bytes).is_some() {
            return to_text(&undo_kmsg(raw.bytes));
        }
        to_text(raw.bytes)
    }

    /// The value of a key that processes control, which may therefore be in hexadecimal digits.
    pub(crate) fn untrusted(self, raw: Raw<'_>) -> Result<String, ParseError> {
        if raw.quoted || !raw.bytes.iter().all(|&digit| upper_hex(digit).is_some()) {
            return Ok(self.trusted(raw));
        }
        let (pairs, odd) = raw.bytes.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(ParseError::new(raw.at, ParseErrorKind::OddHex));
        }
        let bytes: Vec<u8> = pairs
            .iter()
            .filter_map(|&[high, low]| Some(upper_hex(high)? << 4 | upper_hex(low)?))
            .collect();
        Ok(to_text(&bytes))
    }
}

/// A type that a number key may have.
pub(crate) trait Number: Copy {
    fn narrow(wide: i128) -> Option<Self>;
}

impl Number for i32 {
    fn narrow(wide: i128) -> Option<Self> {
        wide.try_into().ok()
    }
}

impl Number for u64 {
    fn narrow(wide: i128) -> Option<Self> {
        wide.try_into().ok()
    }
}

impl Number for u32 {
    fn narrow(wide: i128) -> Option<Self> {
        wide.try_into().ok()
    }
}

/// The value of a user id key. The kernel writes user ids with `%d`: those above `i32::MAX` come out negative with the
/// same 32 bits.
pub(crate) fn user_id(raw: Raw<'_>) -> Result<u32, ParseError> {
    match number::<i32>(raw) {
        Ok(id) => Ok(id.cast_unsigned()),
        Err(_) => number(raw),
    }
}

/// The value of a number key.
pub(crate) fn number<T: Number>(raw: Raw<'_>) -> Result<T, ParseError> {
    let bad = ParseError::new(raw.at, ParseErrorKind::BadNumber);
    if raw.quoted {
        return Err(bad);
    }
    decimal(raw.bytes).and_then(T::narrow).ok_or(bad)
}

/// Reads decimal digits with an optional minus, of a value of at most 64 bits.
pub(crate) fn decimal(bytes: &[u8]) -> Option<i128> {
    match bytes {
        [b'-', digits @ ..] => unsigned(digits).map(|value| -i128::from(value)),
        digits => unsigned(digits).map(i128::from),
    }
}

/// Reads decimal digits.
pub(crate) fn unsigned(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let mut value = 0_u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(value)
}
