//! One record: its typed fields, and how they are filled.

use std::fmt;

use crate::decode::{decimal, number, to_text, user_id};
use crate::error::{ParseError, ParseErrorKind};
use crate::frame::{Frame, Stamp, find_key, frame};
use crate::scan::{Carrier, Field, Fields, Raw, is_separator};
use crate::verdict::Verdict;

/// The value of a key that has no field of its own in [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Whatever is not a [`Value::Number`].
    Text(String),
    /// A decimal number without quotes.
    Number(i64),
}

impl Value {
    fn unknown(raw: Raw<'_>, carrier: Carrier<'_>) -> Self {
        if !raw.quoted
            && let Some(value) = decimal(raw.bytes).and_then(|value| i64::try_from(value).ok())
            // `007` is kept as written.
            && value.to_string().as_bytes() == raw.bytes
        {
            return Self::Number(value);
        }
        Self::Text(carrier.trusted(raw))
    }
}

impl fmt::Display for Value {
    /// Writes the text, or the number in decimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// How the value of a key is read.
macro_rules! field_type {
    (trusted) => {
        String
    };
    (untrusted) => {
        String
    };
    (uid) => {
        u32
    };
    ($number:ident) => {
        $number
    };
}
macro_rules! read_field {
    (trusted, $raw:expr, $carrier:expr) => {
        $carrier.trusted($raw)
    };
    (untrusted, $raw:expr, $carrier:expr) => {
        $carrier.untrusted($raw)?
    };
    (uid, $raw:expr, $carrier:expr) => {
        user_id($raw)?
    };
    ($number:ident, $raw:expr, $carrier:expr) => {
        number::<$number>($raw)?
    };
}
macro_rules! is_a_number {
    (trusted) => {
        false
    };
    (untrusted) => {
        false
    };
    ($number:ident) => {
        true
    };
}
macro_rules! spare_value {
    (trusted, $value:expr) => {
        Value::Text($value)
    };
    (untrusted, $value:expr) => {
        Value::Text($value)
    };
    ($number:ident, $value:expr) => {
        i64::try_from($value).map_or_else(|_| Value::Text($value.to_string()), Value::Number)
    };
}

/// Declares the keys once: the struct, how each key is read, and the order of output. `trusted` is the kernel's own
/// text, `untrusted` is text that it may write in hexadecimal digits.
macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident: $kind:ident,)*) => {
        /// One AppArmor record. The fields have the kernel's names. A key that the record does not have is `None`.
        ///
        /// If a key comes twice, as in old kernels' records, the first value is here and the others are in `extra`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Record {
            /// Time and serial number; `None` if the record was quoted without its head.
            pub stamp: Option<Stamp>,
            /// The audit type as written before the stamp: `1400`, `AVC`, `1107`, `USER_AVC`. The audit socket's
            /// payload does not have it.
            pub audit_type: Option<String>,
            /// Whether a user-space program wrote the record and not the kernel, as the D-Bus daemon does. This is
            /// judged by the audit type, the `msg='…'` around it and the operation. A user-space program may write
            /// anything, so `false` proves nothing if the text comes from a log that such programs write to.
            pub user_space: bool,
            /// The word of the `apparmor=` key.
            pub verdict: Verdict,
            $($(#[$doc])* pub $key: Option<field_type!($kind)>,)*
            /// Every other key and every repeated one, in the order of the text. Those around a user-space message come
            /// last.
            pub extra: Vec<(String, Value)>,
        }

        /// The keys that have a field.
        pub(crate) const KEYS: &[&str] = &[$(stringify!($key),)*];

        /// Whether a key's value is a number.
        pub(crate) fn is_number(key: &[u8]) -> bool {
            $((is_a_number!($kind) && key == stringify!($key).as_bytes()) ||)*
                matches!(key, b"ppid" | b"auid" | b"uid" | b"ses" | b"sauid")
        }

        impl Record {
            /// A record of which only the verdict is known.
            #[must_use]
            pub const fn new(verdict: Verdict) -> Self {
                Self { stamp: None, audit_type: None, user_space: false, verdict, $($key: None,)* extra: Vec::new() }
            }

            /// Stores one field.
            fn take(&mut self, field: Field<'_>, carrier: Carrier<'_>) -> Result<(), ParseError> {
                let raw = field.value;
                // User space writes `?` for a value that it does not have.
                if !(raw.bytes == b"?" && !raw.quoted) {
                    $(if field.key == stringify!($key).as_bytes() {
                        let value = read_field!($kind, raw, carrier);
                        if self.$key.is_none() {
                            self.$key = Some(value);
                        } else {
                            self.extra.push((stringify!($key).to_owned(), spare_value!($kind, value)));
                        }
                        return Ok(());
                    })*
                }
                self.extra.push((to_text(field.key), Value::unknown(raw, carrier)));
                Ok(())
            }

            /// Visits each field that is present, in order, with its key.
            pub(crate) fn each_field<E>(&self, visit: &mut impl Visit<Error = E>) -> Result<(), E> {
                $(if let Some(value) = &self.$key {
                    visit.field(stringify!($key), value)?;
                })*
                Ok(())
            }
        }
    };
}

/// Visits the fields of a record.
pub(crate) trait Visit {
    type Error;
    fn field<V: serde::Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &V,
    ) -> Result<(), Self::Error>;
}

keys! {
    /// What was done: `open`, `exec`, `capable`, `create`, `profile_load`, …
    operation: trusted,
    /// The mediation class (`file`, `cap`, `net`, …); kernels before 6.2 do not write it.
    class: trusted,
    /// A remark, such as `Failed name lookup - disconnected path`.
    info: trusted,
    /// A negative errno.
    error: i32,
    /// The policy namespace of the subject, if it is not the root one: `root//NAME`.
    namespace: untrusted,
    /// The subject's profile.
    profile: untrusted,
    /// The object: most often a path.
    name: untrusted,
    /// The subject's process.
    pid: u32,
    /// The name of the subject's process, at most 15 bytes.
    comm: untrusted,
    /// What was asked for: `rw`, `send receive`, …
    requested_mask: trusted,
    /// The refused part of the request.
    denied_mask: trusted,
    /// Like `requested_mask`, in records of io_uring, user namespaces and message queues.
    requested: trusted,
    /// Like `denied_mask`, in records of io_uring, user namespaces and message queues.
    denied: trusted,
    /// The subject's user id for files.
    fsuid: uid,
    /// The user id of the object's owner.
    ouid: uid,
    /// The capability's number.
    capability: u32,
    /// The capability's name, without `CAP_`: `ipc_lock`.
    capname: trusted,
    /// The address family: `packet`, `inet`, `unix`, …
    family: trusted,
    /// The socket's type: `raw`, `stream`, …
    sock_type: trusted,
    /// The socket's protocol as given to `socket(2)`. It is unchecked and may be negative; 768 is `htons(ETH_P_ALL)`.
    protocol: i32,
    /// The UNIX socket's own address: a path, `@NAME`, or `none`.
    addr: untrusted,
    /// The other UNIX socket's address.
    peer_addr: untrusted,
    /// Local address of an internet socket.
    laddr: trusted,
    /// Local port.
    lport: u32,
    /// Foreign address of an internet socket.
    faddr: trusted,
    /// Foreign port.
    fport: u32,
    /// Source address of an access that has its own addresses, such as `sendmsg`.
    saddr: trusted,
    /// Source port.
    src: u32,
    /// Destination address of an access that has its own addresses.
    daddr: trusted,
    /// Destination port.
    dest: u32,
    /// The other side's label.
    peer: untrusted,
    /// The signal's name without `SIG`: `term`, `rtmin+3`; `exists` for signal 0.
    signal: trusted,
    /// The label to be entered.
    target: untrusted,
    /// The parent process; only old kernels write it.
    parent: u32,
    /// The subject's label, if it is not a single profile.
    label: untrusted,
    /// The other process.
    opid: u32,
    /// The name of the other process.
    ocomm: untrusted,
    /// The resource limit's name: `memlock`.
    rlimit: trusted,
    /// The resource limit asked for.
    value: u64,
    /// The file system type of a mount.
    fstype: untrusted,
    /// The source of a mount, or the old root of a pivot.
    srcname: untrusted,
    /// The flags of a mount: `rw, nosuid`.
    flags: trusted,
    /// The options of a mount.
    options: untrusted,
    /// The bus of a D-Bus message: `system`, `session`.
    bus: trusted,
    /// The object path of a D-Bus message, or the path of a UNIX socket.
    path: untrusted,
    /// The interface of a D-Bus message.
    interface: trusted,
    /// The member of a D-Bus message.
    member: trusted,
    /// What was asked for of D-Bus: `send`, `receive`, `bind`.
    mask: trusted,
    /// The other process of a D-Bus message.
    peer_pid: u32,
    /// The label of the other process of a D-Bus message.
    peer_label: untrusted,
    /// The program that wrote a user-space record.
    exe: untrusted,
}

/// Reads ONE record: the audit socket's payload (`audit(…): apparmor=…`) or a line in any of the forms in which it is
/// logged. The fields may be on several lines.
///
/// # Errors
/// If the text is not one whole record: what is wrong, and at which byte.
pub fn parse_record(text: &[u8]) -> Result<Record, ParseError> {
    let key = find_key(text).ok_or(ParseError::new(0, ParseErrorKind::NotARecord))?;
    parse_at(text, key)
}

/// Like [`parse_record`], with the offset of the `apparmor=` key.
pub(crate) fn parse_at(text: &[u8], key: usize) -> Result<Record, ParseError> {
    let Frame {
        stamp,
        audit_type,
        before,
        carrier,
    } = frame(text, key)?;
    let mut fields = Fields::new(text, key, carrier);
    let verdict = match fields.next()? {
        Some(field) => Verdict::from_word(field.value.bytes)
            .ok_or(ParseError::new(field.value.at, ParseErrorKind::UnknownVerdict))?,
        None => return Err(ParseError::new(key, ParseErrorKind::NotARecord)),
    };
    let mut record = Record::new(verdict);
    record.stamp = stamp;
    record.audit_type = audit_type.map(|range| to_text(&text[range]));
    while let Some(field) = fields.next()? {
        record.take(field, carrier)?;
    }
    record.user_space = carrier.message
        || matches!(record.audit_type.as_deref(), Some("USER_AVC" | "1107"))
        || record
            .operation
            .as_deref()
            .is_some_and(|operation| operation.starts_with("dbus_"));
    surroundings(&mut record, &text[before], carrier);
    let mut added = Fields::new(
        text,
        fields.position(),
        Carrier {
            message: false,
            ..carrier
        },
    );
    while let Some(field) = added.next()? {
        record
            .extra
            .push((to_text(field.key), Value::unknown(field.value, carrier)));
    }
    Ok(record)
}

/// Keeps the kernel's facts about the process that sent a user-space message. A label with its mode has a space in it:
/// `subj=dbus-daemon (enforce)`. So a word without `=` belongs to the value before.
fn surroundings(record: &mut Record, text: &[u8], carrier: Carrier<'_>) {
    // Offsets of words are relative to a part of the text.
    let carrier = Carrier {
        plain: None,
        ..carrier
    };
    let first = record.extra.len();
    for word in text
        .split(|&byte| is_separator(byte))
        .filter(|word| !word.is_empty())
        .take(crate::error::MAX_FIELDS)
    {
        if let Some(equals) = memchr::memchr(b'=', word)
            && equals > 0
        {
            let raw = Raw {
                bytes: &word[equals + 1..],
                quoted: false,
                at: 0,
            };
            record
                .extra
                .push((to_text(&word[..equals]), Value::unknown(raw, carrier)));
        } else if let Some((_, value)) = record.extra[first..].last_mut() {
            *value = Value::Text(format!("{value} {}", to_text(word)));
        }
    }
}
