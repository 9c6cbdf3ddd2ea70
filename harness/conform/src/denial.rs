//! Records of the kernel in the words of policy: what was asked for, and whether a record is the one expected.

use aa_audit::{Kind, Record};
use aa_policy::{Access, Request};
use serde_json::Value;

use crate::case::model::{AccessSpec, RecordMatch, Scalar};

/// What a record's subject asked for; `None` where no rule of the classes that aa-policy knows could grant it.
pub fn request_of(record: &Record) -> Option<Request> {
    let mask = || {
        let mask = record.denied_mask.as_deref().or(record.requested_mask.as_deref());
        mask.unwrap_or_default().to_string()
    };
    let peer = || record.peer.clone().unwrap_or_default();
    Some(match record.kind() {
        Kind::File | Kind::Exec => Request::File {
            name: record.name.clone()?,
            mask: mask(),
            owner: record.fsuid.is_some() && record.fsuid == record.ouid,
        },
        Kind::Capability => Request::Capability {
            name: record.capname.clone()?,
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
        Kind::ChangeProfile => Request::ChangeProfile {
            target: record.target.clone().or_else(|| record.name.clone())?,
        },
        Kind::UserNamespace => Request::Userns,
        // Setting another process's limit is refused for want of this capability (info="cap_sys_resource").
        Kind::Rlimit if record.info.as_deref() == Some("cap_sys_resource") => Request::Capability {
            name: "sys_resource".into(),
        },
        _ => return None,
    })
}

/// Whether every key of `expected` stands in the record with that value; a text that ends in `*` matches by prefix.
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
mod tests {
    use super::*;
    use rstest::rstest;

    const RAW: &str = r#"audit(1.002:3): apparmor="DENIED" operation="create" class="net" profile="libvirtd" pid=12 comm="x" family="packet" sock_type="raw" protocol=768 requested_mask="create" denied_mask="create""#;

    #[rstest]
    #[case::all(&[("operation", "create".into()), ("protocol", 768.into())], true)]
    #[case::prefix(&[("profile", "libv*".into())], true)]
    #[case::other_value(&[("sock_type", "dgram".into())], false)]
    #[case::absent_key(&[("name", "x".into())], false)]
    #[case::number_as_text(&[("protocol", "768".into())], false)]
    fn a_record_is_matched_by_each_key(#[case] keys: &[(&str, Scalar)], #[case] wanted: bool) {
        let record = aa_audit::parse_record(RAW.as_bytes()).unwrap();
        let keys = keys
            .iter()
            .map(|(key, value)| ((*key).to_string(), value.clone()))
            .collect();
        assert_eq!(matches(&keys, &record), wanted);
    }

    #[test]
    fn a_socket_denial_is_a_request_for_that_socket() {
        let record = aa_audit::parse_record(RAW.as_bytes()).unwrap();
        let request = request_of(&record).unwrap();
        assert_eq!(aa_policy::rule_for(&request).unwrap(), "network packet raw,");
    }
}
