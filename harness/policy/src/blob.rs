//! Reads compiled policy as far as needed to compute the kernel's own hash of it.
//!
//! A compiled file is a sequence of profiles. Each starts with a header (the interface version, perhaps a namespace),
//! followed by one structure named `profile`. The kernel hashes the version as 32 little-endian bits, then that
//! structure's bytes.

use std::collections::BTreeSet;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::classes::{self, Class};

/// One profile of a compiled file. Hats and children are serialised as profiles of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobProfile {
    /// The name as the kernel lists it, children as `parent//child`.
    pub name: String,
    /// The namespace that it is loaded into, if the file names one.
    pub namespace: Option<String>,
    /// The header's version word, including flags, exactly as hashed.
    pub version: u32,
    /// What the profile does with a violation.
    pub mode: BlobMode,
    /// The classes that its general policy covers. Files and capabilities are stored elsewhere.
    pub classes: BTreeSet<Class>,
    /// The hex digest that kernels up to about Linux 6.7 show as `sha1`.
    pub sha1: String,
    /// The hex digest that later kernels show as `sha256`.
    pub sha256: String,
}

/// A profile's mode as compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobMode {
    /// Violations are denied.
    Enforce,
    /// Violations are logged and let through.
    Complain,
    /// Violations end the process.
    Kill,
    /// The profile confines nothing.
    Unconfined,
    /// Violations are passed to a user-space program, which decides.
    Prompt,
}

/// Why bytes are not compiled policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not compiled policy: at byte {offset}: {what}")]
pub struct BlobError {
    /// Byte offset into the compiled file.
    pub offset: usize,
    /// What was wrong there.
    pub what: &'static str,
}

/// The header flag that puts the profile in complain mode, whatever its own mode is.
const FORCE_COMPLAIN: u32 = 0x800;

const U8: u8 = 0;
const U16: u8 = 1;
const U32: u8 = 2;
const U64: u8 = 3;
const NAME: u8 = 4;
const STRING: u8 = 5;
const BLOB: u8 = 6;
const STRUCT: u8 = 7;
const STRUCT_END: u8 = 8;
const LIST: u8 = 9;
const LIST_END: u8 = 10;
const ARRAY: u8 = 11;
const ARRAY_END: u8 = 12;

/// The profiles of a compiled file, in file order.
pub fn profiles(bytes: &[u8]) -> Result<Vec<BlobProfile>, BlobError> {
    let mut reader = Reader { bytes, at: 0 };
    let mut found = Vec::new();
    let mut version = None;
    let mut namespace = None;
    while reader.at < bytes.len() {
        // As in the kernel, a header without a version keeps the previous one.
        if reader.name_is("version") {
            reader.name()?;
            version = Some(reader.u32()?);
        }
        let Some(version) = version else {
            return Err(reader.error("the header has no version"));
        };
        if reader.name_is("namespace") {
            reader.name()?;
            namespace = Some(reader.string()?);
        }
        let start = reader.at;
        let (name, mode, classes) = reader.profile()?;
        let body = &bytes[start..reader.at];
        let (own, name) = split_namespace(&name);
        found.push(BlobProfile {
            name,
            namespace: own.or_else(|| namespace.clone()),
            version,
            mode: if version & FORCE_COMPLAIN != 0 {
                BlobMode::Complain
            } else {
                mode
            },
            classes,
            sha1: hex::encode(
                Sha1::new()
                    .chain_update(version.to_le_bytes())
                    .chain_update(body)
                    .finalize(),
            ),
            sha256: hex::encode(
                Sha256::new()
                    .chain_update(version.to_le_bytes())
                    .chain_update(body)
                    .finalize(),
            ),
        });
    }
    Ok(found)
}

/// Splits `:ns:name` and `:ns://name` into the two parts.
fn split_namespace(name: &str) -> (Option<String>, String) {
    if let Some((namespace, rest)) = name.strip_prefix(':').and_then(|rest| rest.split_once(':')) {
        return (
            Some(namespace.to_owned()),
            rest.strip_prefix("//").unwrap_or(rest).to_owned(),
        );
    }
    (None, name.to_owned())
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn error(&self, what: &'static str) -> BlobError {
        BlobError {
            offset: self.at,
            what,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], BlobError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(self.error("it ends in the middle of a value"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn tag(&mut self) -> Result<u8, BlobError> {
        Ok(self.take(1)?[0])
    }

    fn expect(&mut self, tag: u8, what: &'static str) -> Result<(), BlobError> {
        if self.bytes.get(self.at) != Some(&tag) {
            return Err(self.error(what));
        }
        self.at += 1;
        Ok(())
    }

    fn le16(&mut self) -> Result<usize, BlobError> {
        let bytes = self.take(2)?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn le32(&mut self) -> Result<u32, BlobError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u32(&mut self) -> Result<u32, BlobError> {
        self.expect(U32, "a 32-bit number was expected")?;
        self.le32()
    }

    /// Reads a size and that many bytes, the last of them zero.
    fn text(&mut self) -> Result<&'b [u8], BlobError> {
        let size = self.le16()?;
        let before = self.error("a text does not end with a zero byte");
        self.take(size)?.strip_suffix(&[0]).ok_or(before)
    }

    fn name(&mut self) -> Result<&'b [u8], BlobError> {
        self.expect(NAME, "a name was expected")?;
        self.text()
    }

    /// Whether a name tag with exactly this name comes next; does not advance.
    fn name_is(&self, name: &str) -> bool {
        let mut ahead = Reader {
            bytes: self.bytes,
            at: self.at,
        };
        ahead.name().is_ok_and(|found| found == name.as_bytes())
    }

    fn string(&mut self) -> Result<String, BlobError> {
        self.expect(STRING, "a string was expected")?;
        let before = self.error("a name is not UTF-8");
        String::from_utf8(self.text()?.to_vec()).map_err(|_| before)
    }

    /// Reads a whole `profile` structure: its name, its mode, and the classes of its general policy.
    fn profile(&mut self) -> Result<(String, BlobMode, BTreeSet<Class>), BlobError> {
        let before = self.error("a structure named profile was expected");
        if self.name().ok() != Some(b"profile") {
            return Err(before);
        }
        self.expect(STRUCT, "a structure named profile was expected")?;
        let name = self.string()?;
        let mut mode = None;
        let mut automaton = None;
        let mut start = classes::BEGIN;
        let mut open = vec![STRUCT_END];
        // Whether the structure that is open inside the profile is the general policy.
        let mut general = false;
        while let Some(end) = open.last().copied() {
            if open.len() == 1 && mode.is_none() && self.name_is("flags") {
                self.name()?;
                mode = Some(self.flags()?);
                continue;
            }
            if open.len() == 1 && self.bytes.get(self.at) == Some(&NAME) {
                general = self.name_is("policydb");
            } else if general && open.len() == 2 && self.name_is("start") {
                self.name()?;
                start = self.u32()?;
                continue;
            }
            let at = self.error("an unknown tag");
            match self.tag()? {
                tag if tag == end => {
                    open.pop();
                }
                U8 => drop(self.take(1)?),
                U16 => drop(self.take(2)?),
                U32 => drop(self.take(4)?),
                U64 => drop(self.take(8)?),
                NAME | STRING => drop(self.text()?),
                BLOB => {
                    let size = self.le32()? as usize;
                    let blob = self.take(size)?;
                    if general && automaton.is_none() {
                        automaton = Some(blob);
                    }
                }
                STRUCT => open.push(STRUCT_END),
                LIST => open.push(LIST_END),
                ARRAY => {
                    self.le16()?;
                    open.push(ARRAY_END);
                }
                STRUCT_END | LIST_END | ARRAY_END => {
                    return Err(BlobError {
                        what: "an end tag that ends nothing",
                        ..at
                    });
                }
                _ => return Err(at),
            }
        }
        let mode = mode.ok_or(self.error("the profile has no flags"))?;
        let at = self.error("the general policy is no automaton");
        let classes = match automaton {
            Some(automaton) => classes::of(automaton, start).ok_or(at)?,
            None => BTreeSet::new(),
        };
        Ok((name, mode, classes))
    }

    /// Reads the `flags` structure after its name: flags, mode, audit.
    fn flags(&mut self) -> Result<BlobMode, BlobError> {
        self.expect(STRUCT, "the flags are no structure")?;
        self.u32()?;
        let at = self.error("an unknown profile mode");
        let mode = match self.u32()? {
            0 => BlobMode::Enforce,
            1 => BlobMode::Complain,
            2 => BlobMode::Kill,
            3 => BlobMode::Unconfined,
            4 => BlobMode::Prompt,
            _ => return Err(at),
        };
        self.u32()?;
        // Later parsers may add numbers to the structure.
        while self.bytes.get(self.at) == Some(&U32) {
            self.u32()?;
        }
        self.expect(STRUCT_END, "the flags do not end")?;
        Ok(mode)
    }
}

/// A profile's automata and capabilities, as they are in the file.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Raw<'b> {
    pub(crate) file: Option<&'b [u8]>,
    /// The automaton with its start state.
    pub(crate) general: Option<(&'b [u8], u32)>,
    pub(crate) capabilities: u64,
}

/// The automata of each profile, with its name.
#[cfg(test)]
pub(crate) fn automata(bytes: &[u8]) -> Result<Vec<(String, Raw<'_>)>, BlobError> {
    let mut reader = Reader { bytes, at: 0 };
    let mut all = Vec::new();
    while reader.at < bytes.len() {
        for name in ["version", "namespace"] {
            if reader.name_is(name) {
                reader.name()?;
                match name {
                    "version" => drop(reader.u32()?),
                    _ => drop(reader.string()?),
                }
            }
        }
        let start = reader.at;
        let (name, ..) = reader.profile()?;
        let end = reader.at;
        reader.at = start;
        all.push((split_namespace(&name).1, reader.raw(end)?));
    }
    Ok(all)
}

#[cfg(test)]
impl<'b> Reader<'b> {
    /// Reads a whole profile, which ends at `end`.
    fn raw(&mut self, end: usize) -> Result<Raw<'b>, BlobError> {
        let mut raw = Raw::default();
        let mut start = classes::BEGIN;
        let mut last: &[u8] = b"";
        let mut within: Vec<&[u8]> = Vec::new();
        let mut numbers = 0;
        while self.at < end {
            match self.tag()? {
                NAME => last = self.text()?,
                STRING => drop(self.text()?),
                U8 => drop(self.take(1)?),
                U16 => drop(self.take(2)?),
                U64 => drop(self.take(8)?),
                U32 => {
                    let number = self.le32()?;
                    match within.as_slice() {
                        // The first number after the flags holds the capabilities.
                        [b"profile"] if last == b"flags" => {
                            if numbers == 0 {
                                raw.capabilities |= u64::from(number);
                            }
                            numbers += 1;
                        }
                        [b"profile", b"caps64"] if last == b"caps64" => {
                            raw.capabilities |= u64::from(number) << 32;
                            last = b"";
                        }
                        [b"profile", b"policydb"] if last == b"start" => start = number,
                        _ => {}
                    }
                }
                BLOB => {
                    let size = self.le32()? as usize;
                    let blob = self.take(size)?;
                    match within.as_slice() {
                        [b"profile"] if last == b"aadfa" => raw.file = Some(blob),
                        [b"profile", b"policydb"] => raw.general = Some((blob, start)),
                        _ => {}
                    }
                }
                STRUCT => within.push(last),
                ARRAY => {
                    self.le16()?;
                    within.push(b"");
                }
                LIST => within.push(b""),
                _ => {
                    // Numbers without a name follow the flags' structure.
                    within.pop();
                }
            }
        }
        Ok(raw)
    }
}
