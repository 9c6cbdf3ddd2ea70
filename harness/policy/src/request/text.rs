//! The rule that would allow a request, as text.

use super::{Request, words};
use crate::glob::escape;
use crate::rule::{MountOp, Perms};

/// The text of the rule that would allow only the request, including the closing comma; `None` if no single rule can
/// express it.
///
/// A program that inherits the profile is also mapped under it, so the rule for an exec has `m` and `r`.
pub fn rule_for(request: &Request) -> Option<String> {
    if !request.is_said_whole() {
        return None;
    }
    Some(match request {
        Request::File { name, mask, owner } => {
            path(name)?;
            file_rule(*owner, &escape(name), mask, "ix")?
        }
        Request::Link { name, target, owner } => {
            format!("{}link {} -> {},", owned(*owner), path(name)?, path(target)?)
        }
        Request::Capability { name } => format!("capability {name},"),
        Request::Network {
            family, sock_type, ..
        } => format!("network {family} {sock_type},"),
        Request::Unix {
            sock_type,
            mask,
            addr,
            peer,
            peer_addr,
        } => {
            let mut text = format!("unix ({})", words(mask).join(", "));
            text.push_str(&format!(" type={sock_type}"));
            if let Some(addr) = addr {
                text.push_str(&format!(" addr={}", address(addr)?));
            }
            let label = optional(peer.as_deref(), name)?;
            let addr = optional(peer_addr.as_deref(), address)?;
            text + &side(&[("label", label), ("addr", addr)]) + ","
        }
        Request::Signal { mask, signal, peer } => {
            format!("signal ({mask}) set=({signal}) peer={},", name(peer)?)
        }
        Request::Ptrace { mask, peer } => format!("ptrace ({mask}) peer={},", name(peer)?),
        Request::ChangeProfile { target } => format!("change_profile -> {},", name(target)?),
        Request::Userns => "userns create,".to_owned(),
        Request::IoUring { mask, peer } => {
            let label = optional(peer.as_deref(), name)?;
            let label = label.map(|label| format!(" label={label}")).unwrap_or_default();
            format!("io_uring {mask}{label},")
        }
        Request::Mqueue { kind, mask, name } => {
            format!("mqueue ({}) type={kind} {},", words(mask).join(", "), path(name)?)
        }
        Request::Dbus {
            mask,
            bus,
            path,
            interface,
            member,
            name: of,
            peer,
        } => {
            let mut text = format!("dbus ({mask}) bus={bus}");
            for (key, value) in [("path", path), ("interface", interface), ("member", member)] {
                if let Some(value) = value {
                    text.push_str(&format!(" {key}={}", name(value)?));
                }
            }
            let of = optional(of.as_deref(), name)?;
            let peer = optional(peer.as_deref(), name)?;
            if mask == "bind" {
                text.push_str(&of.map(|of| format!(" name={of}")).unwrap_or_default());
                return Some(text + ",");
            }
            text + &side(&[("name", of), ("label", peer)]) + ","
        }
        Request::Mount {
            op,
            flags,
            fstype,
            source,
            target,
        } => mount(*op, flags, fstype.as_deref(), source.as_deref(), target)?,
    })
}

/// The text of the file rule for a pattern, including the closing comma. `mask` is as in a record. `exec` is the exec
/// mode if the mask has `x`: `ix`, `Cx -> child`. Returns `None` if the mask is not understood.
///
/// A program that inherits the profile (`ix`) is also mapped under it, so its rule has `m` and `r`.
pub fn file_rule(owner: bool, pattern: &str, mask: &str, exec: &str) -> Option<String> {
    let mut perms = Perms::of_record(mask)?;
    let mode = exec.split(' ').next().unwrap_or(exec);
    if perms.contains(Perms::EXEC) && mode.contains('i') {
        perms = perms.and(Perms::READ).and(Perms::MMAP);
    }
    let letters = perms.letters().replace('x', exec);
    (!letters.is_empty()).then(|| format!("{}{} {letters},", owned(owner), quote(pattern)))
}

impl Request {
    /// Whether the request has every part that a rule of this class needs. A rule without a peer or an access would
    /// cover all of them.
    fn is_said_whole(&self) -> bool {
        let one_word = |text: &str| !text.is_empty() && text.bytes().all(in_word);
        match self {
            Self::File { name, mask, .. } => !name.is_empty() && !mask.is_empty(),
            Self::Link { name, target, .. } => !name.is_empty() && !target.is_empty(),
            Self::Capability { name } => one_word(name),
            Self::Network {
                family, sock_type, ..
            } => one_word(family) && one_word(sock_type),
            Self::Unix { sock_type, mask, .. } => one_word(sock_type) && are_words(mask),
            Self::Signal { mask, signal, peer } => one_word(mask) && one_word(signal) && !peer.is_empty(),
            Self::Ptrace { mask, peer } => one_word(mask) && !peer.is_empty(),
            Self::ChangeProfile { target } => !target.is_empty(),
            Self::Userns => true,
            Self::IoUring { mask, .. } => one_word(mask),
            Self::Mqueue { kind, mask, name } => one_word(kind) && are_words(mask) && !name.is_empty(),
            Self::Dbus { mask, bus, .. } => one_word(mask) && one_word(bus),
            Self::Mount { flags, target, .. } => {
                words(flags).iter().all(|flag| one_word(flag)) && !target.is_empty()
            }
        }
    }
}

fn are_words(mask: &str) -> bool {
    let words = words(mask);
    !words.is_empty() && words.iter().all(|word| word.bytes().all(in_word))
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+')
}

const fn owned(owner: bool) -> &'static str {
    if owner { "owner " } else { "" }
}

fn mount(
    op: MountOp,
    flags: &str,
    fstype: Option<&str>,
    source: Option<&str>,
    target: &str,
) -> Option<String> {
    let keyword = match op {
        MountOp::Mount => "mount",
        MountOp::Remount => "remount",
        MountOp::Umount => return Some(format!("umount {},", path(target)?)),
        MountOp::PivotRoot => {
            let old = optional(source, path)?;
            let old = old.map(|old| format!(" oldroot={old}")).unwrap_or_default();
            return Some(format!("pivot_root{old} {},", path(target)?));
        }
    };
    let mut text = keyword.to_owned();
    if let Some(fstype) = fstype {
        text.push_str(&format!(" fstype={}", name(fstype)?));
    }
    let flags = words(flags);
    if !flags.is_empty() {
        text.push_str(&format!(" options=({})", flags.join(", ")));
    }
    if let Some(source) = source {
        text.push_str(&format!(" {}", name(source)?));
    }
    let arrow = if op == MountOp::Mount { "-> " } else { "" };
    Some(format!("{text} {arrow}{},", path(target)?))
}

/// Conditions on the other side.
fn side(pairs: &[(&str, Option<String>)]) -> String {
    let all: Vec<String> = pairs
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)))
        .collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(" peer=({})", all.join(" "))
    }
}

/// A path as a rule has it; `None` if it does not start with a slash, because no rule can name it.
fn path(text: &str) -> Option<String> {
    text.starts_with('/').then(|| name(text)).flatten()
}

/// A UNIX socket's address. Policy treats an address that is a path as a file, so no socket rule matches it.
fn address(text: &str) -> Option<String> {
    if text.starts_with('/') {
        return None;
    }
    name(text)
}

/// The glob that matches only this text, in quotes if it needs them. `None` if the text has a control character,
/// because parsers do not read these the same everywhere.
fn name(text: &str) -> Option<String> {
    let plain = !text.is_empty() && !text.contains(char::is_control);
    plain.then(|| quote(&escape(text)))
}

/// Writes the text if there is one. The outer `None` means that the text cannot be written.
fn optional(text: Option<&str>, write: fn(&str) -> Option<String>) -> Option<Option<String>> {
    match text {
        Some(text) => write(text).map(Some),
        None => Some(None),
    }
}

/// A path or name, in quotes if it would be read differently without them.
pub(crate) fn quote(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.starts_with(['#', '(', '=', '+'])
        && !text.contains(|character: char| {
            character.is_whitespace() || matches!(character, '"' | '!' | '(' | ')' | '=')
        })
        && !text.ends_with(',');
    if plain || text.starts_with('"') {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}
