//! Reads kernel audit text into typed AppArmor records.
//!
//! AppArmor reports through the kernel's audit system, in one line of `key=value` pairs for each event. This crate
//! reads such a line in any of its usual forms (the audit socket's payload, `/dev/kmsg`, `dmesg`, the journal,
//! `audit.log`) and returns a [`Record`] with typed fields. A malformed record is an error value with its byte offset,
//! never a panic. Reading is linear in the input.
//!
//! ```
//! use aa_audit::{Verdict, parse_record};
//!
//! let record = parse_record(
//!     br#"audit(1700000000.123:45): apparmor="DENIED" operation="capable" class="cap" profile="libvirtd" pid=12 comm="libvirtd" capability=14  capname="ipc_lock""#,
//! )?;
//! assert_eq!(record.verdict, Verdict::Denied);
//! assert_eq!(record.capability, Some(14));
//! assert_eq!(
//!     record.sentence(),
//!     r#"libvirtd (pid 12, profile "libvirtd") was denied the capability ipc_lock"#,
//! );
//! # Ok::<(), aa_audit::ParseError>(())
//! ```
//!
//! # Strings
//! The kernel writes an untrusted string (a path, a process or profile name) in quotes if every byte is printable ASCII
//! other than the quote, and as unquoted upper-case hexadecimal digits otherwise. Both forms are decoded to the
//! original bytes. Neither a quoted value nor a numeric field is ever taken for hexadecimal.
//!
//! Paths are bytes and need not be UTF-8, but fields here are [`String`]s. A byte that is not part of valid UTF-8 is
//! written `\xNN` with two upper-case digits. If the original already contains such a sequence (`\x80` to `\xFF`, or
//! `\x5C`), its backslash is written `\x5C`: the text `\xFF` becomes `\x5CxFF`. Other backslashes stay as they are. So
//! nothing is lost, ordinary text stays as it is, and [`to_bytes`] restores the bytes.

mod decode;
mod error;
mod frame;
mod kind;
mod label;
mod lacks;
mod posted;
mod record;
mod scan;
mod sentence;
mod serialize;
mod stream;
mod verdict;

pub use decode::to_bytes;
pub use error::{ParseError, ParseErrorKind};
pub use frame::Stamp;
pub use kind::Kind;
pub use label::{Component, components};
pub use posted::{Found, Posted, PostedReader, Problem};
pub use record::{Record, Value, parse_record};
pub use stream::{Located, looks_like, records};
pub use verdict::Verdict;
