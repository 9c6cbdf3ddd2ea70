//! Finds a record in the text around it: the stamp before it, and a user-space message that holds it.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use memchr::{memchr, memrchr_iter};

use crate::decode::unsigned;
use crate::error::{ParseError, ParseErrorKind};
use crate::scan::{Carrier, is_separator};

/// The `audit(SECONDS.MILLIS:SERIAL)` of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// Seconds since the epoch.
    pub seconds: u64,
    /// Milliseconds of that second, below 1000.
    pub millis: u16,
    /// The event's serial number. It rises by one for each event of a boot. The records of an event share it.
    pub serial: u64,
}

impl fmt::Display for Stamp {
    /// Writes `SECONDS.MILLIS:SERIAL`, as between the kernel's parentheses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}:{}", self.seconds, self.millis, self.serial)
    }
}

/// The parts of the text around a record.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub stamp: Option<Stamp>,
    /// The audit type, as written: `1400`, `AVC`, …
    pub audit_type: Option<Range<usize>>,
    /// Fields that the kernel puts before a user-space message.
    pub before: Range<usize>,
    /// How the record itself is carried.
    pub carrier: Carrier<'a>,
}

const KEY: &[u8] = b"apparmor=";
const STAMP: &[u8] = b"audit(";
const MESSAGE: &[u8] = b"msg='";

static KEY_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));

/// The offset of the `apparmor=` key.
///
/// `apparmor=1` on a kernel command line does not count, nor does the key's name within a longer word. After a stamp
/// any value counts as a record's, so that a damaged record is noticed.
pub(crate) fn find_key(text: &[u8]) -> Option<usize> {
    let mut stamped = None;
    KEY_FINDER.find_iter(text).find(|&at| {
        let starts_word = at == 0 || is_separator(text[at - 1]) || text[..at].ends_with(MESSAGE);
        starts_word
            && (text.get(at + KEY.len()) == Some(&b'"')
                || *stamped.get_or_insert_with(|| memmem::find(&text[..at], STAMP).is_some()))
    })
}

/// Splits a text into its parts; `key` is what [`find_key`] found.
pub(crate) fn frame(text: &[u8], key: usize) -> Result<Frame<'_>, ParseError> {
    let head = &text[..key];
    let (before_stamp, stamp, mut start) = if head.starts_with(STAMP) {
        // The form of the audit socket, by far the most frequent one.
        let (stamp, end) = read_stamp(text, 0)?;
        (0, Some(stamp), end)
    } else if let Some(at) = rfind(head, STAMP) {
        let (stamp, end) = read_stamp(text, at)?;
        (at, Some(stamp), end)
    } else {
        (key, None, key)
    };
    let message = head.ends_with(MESSAGE);
    let mut audit_type = typed_before(text, before_stamp);
    if stamp.is_none() {
        // journald writes `audit[PID]: AVC apparmor=…`, with the name alone and no stamp.
        for name in [&b"USER_AVC"[..], b"AVC"] {
            if let Some(at) = rfind(head, name)
                && (at == 0 || is_separator(text[at - 1]))
                && text.get(at + name.len()).is_some_and(|&byte| is_separator(byte))
            {
                audit_type = Some(at..at + name.len());
                start = at + name.len();
                break;
            }
        }
    }
    let before_end = if message { key - MESSAGE.len() } else { key };
    Ok(Frame {
        stamp,
        audit_type,
        before: start.min(before_end)..before_end,
        carrier: Carrier {
            kmsg: is_kmsg(text),
            message,
            plain: str::from_utf8(text)
                .ok()
                .filter(|_| memchr(b'\\', text).is_none()),
        },
    })
}

/// The last offset of `needle`. Heads are short and the needle's last byte is rare, so this is faster than a search
/// with a prepared needle.
fn rfind(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (&last, start) = needle.split_last()?;
    memrchr_iter(last, text)
        .find(|&at| text[..at].ends_with(start))
        .map(|at| at - start.len())
}

/// The word after the last `type=` before `end`.
fn typed_before(text: &[u8], end: usize) -> Option<Range<usize>> {
    const TYPE: &[u8] = b"type=";
    let at = rfind(&text[..end], TYPE)?;
    // In `/dev/kmsg` the text begins right after a semicolon.
    if at > 0 && !is_separator(text[at - 1]) && text[at - 1] != b';' {
        return None;
    }
    let start = at + TYPE.len();
    let length = text[start..end].iter().position(|&byte| is_separator(byte))?;
    (length > 0).then_some(start..start + length)
}

/// Whether a line comes from `/dev/kmsg`: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;…`
fn is_kmsg(text: &[u8]) -> bool {
    let mut commas = 0;
    for &byte in text {
        match byte {
            b';' => return commas >= 3,
            b',' => commas += 1,
            b'0'..=b'9' => {}
            _ if commas < 3 || is_separator(byte) => return false,
            _ => {}
        }
    }
    false
}

/// The stamp at `at`, and the offset after its colon.
fn read_stamp(text: &[u8], at: usize) -> Result<(Stamp, usize), ParseError> {
    let bad = |offset| ParseError::new(offset, ParseErrorKind::BadStamp);
    let digits = |from: usize, end: u8| {
        let length = text[from..]
            .iter()
            .take(21)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let value = unsigned(&text[from..from + length]).ok_or(bad(from))?;
        if text.get(from + length) != Some(&end) {
            return Err(bad(from));
        }
        Ok((value, from + length + 1))
    };
    let (seconds, millis_at) = digits(at + STAMP.len(), b'.')?;
    let (millis, serial_at) = digits(millis_at, b':')?;
    if serial_at - millis_at != 4 {
        return Err(bad(millis_at));
    }
    let (serial, mut end) = digits(serial_at, b')')?;
    if text.get(end) == Some(&b':') {
        end += 1;
    }
    let millis = u16::try_from(millis).map_err(|_| bad(millis_at))?;
    Ok((
        Stamp {
            seconds,
            millis,
            serial,
        },
        end,
    ))
}
