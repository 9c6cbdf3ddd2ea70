//! What is wrong with a record, and where.

use thiserror::Error;

/// More fields than any record of the kernel has, so that other text cannot use up memory.
pub(crate) const MAX_FIELDS: usize = 1024;

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} (at byte {offset})")]
pub struct ParseError {
    /// Offset in bytes from the start of the given text; at most its length.
    pub offset: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

impl ParseError {
    pub(crate) const fn new(offset: usize, kind: ParseErrorKind) -> Self {
        Self { offset, kind }
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// There is no `apparmor=` key.
    #[error("no apparmor= key; give the text of one AppArmor record")]
    NotARecord,
    /// The `apparmor=` key has a word that AppArmor does not use.
    #[error("unknown verdict; expected DENIED, ALLOWED, AUDIT, STATUS, KILLED, ERROR or HINT")]
    UnknownVerdict,
    /// The `audit(…)` stamp is not `audit(SECONDS.MILLIS:SERIAL)`.
    #[error("bad audit stamp; expected audit(SECONDS.MILLIS:SERIAL), as the kernel writes it")]
    BadStamp,
    /// A word stands where `key=value` is expected.
    #[error("missing `=` after a key; the record is cut short or mixed with other text")]
    MissingEquals,
    /// A value has no key before its `=`.
    #[error("missing key before `=`; the record is mixed with other text")]
    MissingKey,
    /// A key has nothing after its `=`.
    #[error("missing value after `=`; the record is cut short")]
    MissingValue,
    /// A quoted value does not end.
    #[error("missing closing quote; the record is cut short")]
    UnclosedQuote,
    /// Text follows a closing quote with no space between.
    #[error("text right after a closing quote; the record is mixed with other text")]
    TextAfterQuote,
    /// A number key has something else, or a number out of range.
    #[error("bad number; expected decimal digits within the range of this key")]
    BadNumber,
    /// A hexadecimal string has an odd number of digits.
    #[error("hexadecimal string with an odd number of digits; the record is cut short")]
    OddHex,
    /// There are more fields than any real record has.
    #[error("more than {} fields; this is no record of the kernel", MAX_FIELDS)]
    TooManyFields,
}
