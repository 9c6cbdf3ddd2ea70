//! Kernel records in terms of policy: what was requested, and whether a record is the expected one.

use std::borrow::Cow;

use aa_audit::{Kind, Record};
use aa_policy::{Access, MountOp, Request, rule_for};
use serde_json::Value;

use crate::case::model::{AccessSpec, RecordMatch, Scalar};

/// The request of a record's subject; `None` if no rule of the classes that aa-policy knows could grant it, or none can
/// name it.
pub fn request_of(record: &Record) -> Option<Request> {
    let mask = || {
        let masks = [
            &record.denied_mask,
            &record.denied,
            &record.requested_mask,
            &record.requested,
        ];
        let mask = masks.into_iter().find_map(Option::as_ref);
        mask.cloned().unwrap_or_default()
    };
    let peer = || record.peer.clone().unwrap_or_default();
    let owner = record.fsuid.is_some() && record.fsuid == record.ouid;
    if [&record.name, &record.target, &record.peer, &record.srcname]
        .into_iter()
        .flatten()
        .any(|name| matches!(aa_audit::to_bytes(name), Cow::Owned(_)))
    {
        return None;
    }
    Some(match record.kind() {
        Kind::File if mask() == "l" && record.target.is_some() => Request::Link {
            name: record.name.clone()?,
            target: record.target.clone()?,
            owner,
        },
        Kind::File | Kind::Exec => Request::File {
            name: record.name.clone()?,
            mask: mask(),
            owner,
        },
        Kind::Capability => Request::Capability {
            name: record.capname.clone().or_else(|| record.name.clone())?,
        },
        Kind::Network => Request::Network {
            family: record.family.clone()?,
            sock_type: record.sock_type.clone()?,
            mask: mask(),
        },
        Kind::Unix => Request::Unix {
            sock_type: record.sock_type.clone()?,
            mask: mask(),
            addr: record.addr.clone(),
            peer: record.peer.clone(),
            peer_addr: record.peer_addr.clone(),
        },
        Kind::Signal => Request::Signal {
            mask: mask(),
            signal: record.signal.clone()?,
            peer: peer(),
        },
        Kind::Ptrace => Request::Ptrace {
            mask: mask(),
            peer: peer(),
        },
        // Profiles declare hats, and no rule lets a process change to one.
        Kind::ChangeProfile if record.operation.as_deref() == Some("change_hat") => return None,
        Kind::ChangeProfile => Request::ChangeProfile {
            target: record.target.clone().or_else(|| record.name.clone())?,
        },
        Kind::UserNamespace => Request::Userns,
        Kind::IoUring => Request::IoUring {
            mask: mask(),
            peer: None,
        },
        Kind::MessageQueue => Request::Mqueue {
            kind: if record.class.as_deref() == Some("sysv_mqueue")
                || record.operation.as_deref() == Some("sysv_mqueue")
            {
                "sysv".into()
            } else {
                "posix".into()
            },
            mask: mask(),
            name: record.name.clone()?,
        },
        Kind::Dbus => Request::Dbus {
            mask: record.mask.clone()?,
            bus: record.bus.clone()?,
            path: record.path.clone(),
            interface: record.interface.clone(),
            member: record.member.clone(),
            // A connection's number is different each time.
            name: record.name.clone().filter(|name| !name.starts_with(':')),
            peer: record.peer_label.clone().or_else(|| record.peer.clone()),
        },
        Kind::Mount => {
            let flags = record.flags.clone().unwrap_or_default();
            let remounts = flags.split([',', ' ']).any(|flag| flag == "remount");
            Request::Mount {
                op: if remounts {
                    MountOp::Remount
                } else {
                    MountOp::Mount
                },
                flags,
                fstype: record.fstype.clone().filter(|_| !remounts),
                source: record.srcname.clone().filter(|_| !remounts),
                target: record.name.clone()?,
            }
        }
        Kind::Umount => Request::Mount {
            op: MountOp::Umount,
            flags: String::new(),
            fstype: None,
            source: None,
            target: record.name.clone()?,
        },
        Kind::PivotRoot => Request::Mount {
            op: MountOp::PivotRoot,
            flags: String::new(),
            fstype: None,
            source: record.srcname.clone(),
            target: record.name.clone()?,
        },
        // Setting another process's limit is refused if this capability is missing (info="cap_sys_resource").
        Kind::Rlimit if record.info.as_deref() == Some("cap_sys_resource") => Request::Capability {
            name: "sys_resource".into(),
        },
        _ => return None,
    })
}

/// The rule that would allow what a complete record denies; `None` for a record that was cut short.
pub fn rule_of(record: &Record) -> Option<String> {
    if !record.lacks().is_empty() {
        return None;
    }
    rule_for(&request_of(record)?)
}

/// Whether the record has every key of `expected` with that value. A text that ends in `*` matches by prefix.
pub fn matches(expected: &RecordMatch, record: &Record) -> bool {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else {
        return false;
    };
    expected
        .iter()
        .all(|(key, wanted)| match (fields.get(key), wanted) {
            (Some(Value::String(text)), Scalar::Text(wanted)) => match wanted.strip_suffix('*') {
                Some(start) => text.starts_with(start),
                None => text == wanted,
            },
            (Some(Value::Number(number)), Scalar::Int(wanted)) => number.as_i64() == Some(*wanted),
            _ => false,
        })
}

/// The access that a guard takes away, in aa-policy's words; the case was checked to name exactly one.
pub fn access_of(spec: &AccessSpec) -> Option<Access> {
    let all = |words: &str, index: usize| words.split_whitespace().nth(index).map(str::to_string);
    Some(if let Some(path) = &spec.exec {
        Access::Exec(path.clone())
    } else if let Some(name) = &spec.capability {
        Access::Capability(name.clone())
    } else if let Some(kind) = &spec.network {
        Access::Network(kind.clone())
    } else if let Some(path) = &spec.file {
        Access::File {
            path: path.clone(),
            mask: spec.mask.clone().unwrap_or_default(),
        }
    } else if let Some(target) = &spec.change_profile {
        Access::ChangeProfile(target.clone())
    } else if let Some(signal) = &spec.signal {
        Access::Signal {
            mask: all(signal, 0),
            signal: all(signal, 1),
            peer: all(signal, 2),
        }
    } else if !spec.rules.is_empty() {
        Access::Rules(spec.rules.clone())
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests;
