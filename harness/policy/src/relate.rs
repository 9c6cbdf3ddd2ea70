//! Compares two rules, ignoring their qualifiers `audit` and `deny`.
//!
//! A rule is treated as permission bits and conditions. Two rules overlap if some request meets both. One lies within
//! the other if every request that meets it meets the other too.

use std::collections::BTreeMap;

use crate::glob::Glob;
use crate::rule::{
    Conditional, Mount, MountOp, MountOptions, Network, Owner, Pattern, Perms, Rule, RuleKind,
};

/// The names of all accesses, each with its own bit. Classes share accesses of the same name.
const ACCESS: [&str; 20] = [
    "create",
    "bind",
    "listen",
    "accept",
    "connect",
    "shutdown",
    "getattr",
    "setattr",
    "getopt",
    "setopt",
    "send",
    "receive",
    "read",
    "readby",
    "trace",
    "tracedby",
    "eavesdrop",
    "open",
    "delete",
    "write",
];

/// The bit for all accesses that are not in the table.
const OTHER: u32 = 1 << 20;

fn access_bits(names: &[String]) -> u32 {
    if names.is_empty() {
        return u32::MAX;
    }
    names.iter().fold(0, |bits, name| {
        bits | ACCESS
            .iter()
            .position(|known| known == name)
            .map_or(OTHER, |place| 1 << place)
    })
}

/// The permission bits of a rule, including implied ones; all bits for a class without permissions.
pub(crate) fn bits(rule: &Rule) -> u32 {
    match &rule.kind {
        RuleKind::File { perms, exec, .. } => {
            // A program that inherits the profile may also be mapped; the parser adds that permission itself.
            let inherits = exec.as_ref().is_some_and(|exec| exec.mode.contains(['i', 'I']));
            perms.0 | if inherits { Perms::MMAP.0 } else { 0 }
        }
        RuleKind::Network(network) => access_bits(&network.access),
        RuleKind::Signal(rule)
        | RuleKind::Ptrace(rule)
        | RuleKind::Unix(rule)
        | RuleKind::Dbus(rule)
        | RuleKind::Mqueue(rule)
        | RuleKind::Userns(rule)
        | RuleKind::IoUring(rule) => access_bits(&rule.access),
        RuleKind::Capability(_)
        | RuleKind::Mount(_)
        | RuleKind::ChangeProfile { .. }
        | RuleKind::Rlimit { .. }
        | RuleKind::All => u32::MAX,
    }
}

/// Whether some request meets both rules.
pub(crate) fn overlap(a: &Rule, b: &Rule) -> bool {
    bits(a) & bits(b) != 0 && conditions_overlap(a, b)
}

/// Whether every request that meets the first rule meets the second.
pub(crate) fn within(a: &Rule, b: &Rule) -> bool {
    // Only permissions as written count; implied ones go with them.
    let own = match &a.kind {
        RuleKind::File { perms, .. } => perms.0,
        _ => bits(a),
    };
    own & !bits(b) == 0 && conditions_within(a, b)
}

/// Whether some request meets the conditions of both rules, ignoring permissions.
pub(crate) fn conditions_overlap(a: &Rule, b: &Rule) -> bool {
    use RuleKind as K;
    match (&a.kind, &b.kind) {
        (K::Rlimit { .. }, _) | (_, K::Rlimit { .. }) => false,
        (K::All, _) | (_, K::All) => true,
        (K::File { path, .. }, K::File { path: other, .. }) => {
            owners_meet(a.qualifiers.owner, b.qualifiers.owner) && path.overlaps(other)
        }
        (K::Capability(names), K::Capability(others)) => {
            names.is_empty() || others.is_empty() || names.iter().any(|name| others.contains(name))
        }
        (K::Network(one), K::Network(other)) => {
            sets_overlap(&domains(one), &domains(other))
                && options_overlap(one.sock_type.as_deref(), other.sock_type.as_deref())
                && conditional_overlap(&one.conditions, &other.conditions)
        }
        // A network rule for UNIX sockets grants what unix rules grant.
        (K::Network(network), K::Unix(unix)) | (K::Unix(unix), K::Network(network)) => {
            network_has_unix(network, unix)
        }
        (K::Signal(one), K::Signal(other))
        | (K::Ptrace(one), K::Ptrace(other))
        | (K::Unix(one), K::Unix(other))
        | (K::Dbus(one), K::Dbus(other))
        | (K::Mqueue(one), K::Mqueue(other))
        | (K::Userns(one), K::Userns(other))
        | (K::IoUring(one), K::IoUring(other)) => conditional_overlap(one, other),
        (K::Mount(one), K::Mount(other)) => mounts_overlap(one, other),
        (
            K::ChangeProfile { exec, target },
            K::ChangeProfile {
                exec: other_exec,
                target: other,
            },
        ) => {
            maybe_overlap(exec.as_ref(), other_exec.as_ref())
                && maybe_overlap(target.as_ref(), other.as_ref())
        }
        _ => false,
    }
}

/// Whether every request that meets the conditions of the first rule meets those of the second, ignoring permissions.
pub(crate) fn conditions_within(a: &Rule, b: &Rule) -> bool {
    use RuleKind as K;
    match (&a.kind, &b.kind) {
        (K::Rlimit { .. }, _) | (_, K::Rlimit { .. }) => false,
        (_, K::All) => true,
        (
            K::File {
                path, link_target, ..
            },
            K::File {
                path: other,
                link_target: other_target,
                ..
            },
        ) => {
            (b.qualifiers.owner == Owner::Any || a.qualifiers.owner == b.qualifiers.owner)
                && path.within(other)
                && maybe_within(link_target.as_ref(), other_target.as_ref())
        }
        (K::Capability(names), K::Capability(others)) => {
            others.is_empty() || (!names.is_empty() && names.iter().all(|name| others.contains(name)))
        }
        (K::Network(one), K::Network(other)) => {
            set_within(&domains(one), &domains(other))
                && (other.sock_type.is_none() || one.sock_type == other.sock_type)
                && conditional_within(&one.conditions, &other.conditions)
        }
        (K::Unix(unix), K::Network(network)) => {
            network_has_unix(network, unix)
                && conditional_within(unix, &network.conditions)
                && network.sock_type.as_ref().is_none_or(|sock_type| {
                    unix.own
                        .get("type")
                        .is_some_and(|types| types.iter().all(|value| value.expanded() == sock_type))
                })
        }
        (K::Signal(one), K::Signal(other))
        | (K::Ptrace(one), K::Ptrace(other))
        | (K::Unix(one), K::Unix(other))
        | (K::Dbus(one), K::Dbus(other))
        | (K::Mqueue(one), K::Mqueue(other))
        | (K::Userns(one), K::Userns(other))
        | (K::IoUring(one), K::IoUring(other)) => conditional_within(one, other),
        (K::Mount(one), K::Mount(other)) => mount_within(one, other),
        (
            K::ChangeProfile { exec, target },
            K::ChangeProfile {
                exec: other_exec,
                target: other,
            },
        ) => {
            maybe_within(exec.as_ref(), other_exec.as_ref()) && maybe_within(target.as_ref(), other.as_ref())
        }
        _ => false,
    }
}

fn owners_meet(a: Owner, b: Owner) -> bool {
    a == Owner::Any || b == Owner::Any || a == b
}

fn maybe_overlap(a: Option<&Pattern>, b: Option<&Pattern>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.overlaps(b),
        _ => true,
    }
}

fn maybe_within(a: Option<&Pattern>, b: Option<&Pattern>) -> bool {
    match (a, b) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(a), Some(b)) => a.within(b),
    }
}

fn options_overlap(a: Option<&str>, b: Option<&str>) -> bool {
    a.is_none() || b.is_none() || a == b
}

/// The families of a network rule; empty means all. A protocol alone means the two internet families.
fn domains(network: &Network) -> Vec<&str> {
    match (&network.domain, &network.protocol) {
        (Some(domain), _) => vec![domain.as_str()],
        (None, Some(_)) => vec!["inet", "inet6"],
        (None, None) => Vec::new(),
    }
}

fn sets_overlap(a: &[&str], b: &[&str]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|name| b.contains(name))
}

fn set_within(a: &[&str], b: &[&str]) -> bool {
    b.is_empty() || (!a.is_empty() && a.iter().all(|name| b.contains(name)))
}

fn network_has_unix(network: &Network, unix: &Conditional) -> bool {
    let types = unix.own.get("type");
    sets_overlap(&domains(network), &["unix"])
        && match (&network.sock_type, types) {
            (Some(sock_type), Some(types)) => types.iter().any(|value| value.matches(sock_type)),
            _ => true,
        }
}

type Conditions = BTreeMap<String, Vec<Pattern>>;

fn conditional_overlap(a: &Conditional, b: &Conditional) -> bool {
    let side = |a: &Conditions, b: &Conditions| {
        a.iter()
            .all(|(key, values)| b.get(key).is_none_or(|others| any_overlap(values, others)))
    };
    side(&a.own, &b.own) && side(&a.peer, &b.peer)
}

fn conditional_within(a: &Conditional, b: &Conditional) -> bool {
    let side = |a: &Conditions, b: &Conditions| {
        b.iter()
            .all(|(key, others)| a.get(key).is_some_and(|values| all_within(values, others)))
    };
    side(&a.own, &b.own) && side(&a.peer, &b.peer)
}

fn any_overlap(a: &[Pattern], b: &[Pattern]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.overlaps(other)))
}

fn all_within(a: &[Pattern], b: &[Pattern]) -> bool {
    a.iter().all(|one| match b {
        [other] => one.within(other),
        _ => {
            b.iter().any(|other| one.within(other))
                || one
                    .compiled()
                    .within(&Glob::any_of(b.iter().map(Pattern::compiled)))
        }
    })
}

fn mounts_overlap(a: &Mount, b: &Mount) -> bool {
    let exact = |mount: &Mount| mount.options.iter().all(|options| options.exact);
    let options = a.options.is_empty()
        || b.options.is_empty()
        || !exact(a)
        || !exact(b)
        || a.options.iter().any(|options| b.options.contains(options));
    let same_op = a.op == b.op
        || (a.op == MountOp::Remount && may_remount(b))
        || (b.op == MountOp::Remount && may_remount(a));
    same_op
        && options
        && (a.fstype.is_empty() || b.fstype.is_empty() || any_overlap(&a.fstype, &b.fstype))
        && maybe_overlap(a.source.as_ref(), b.source.as_ref())
        && maybe_overlap(a.target.as_ref(), b.target.as_ref())
}

/// Whether a `mount` rule also covers `remount`: a remount has neither source nor type.
fn may_remount(mount: &Mount) -> bool {
    let names = |options: &MountOptions| options.names.iter().any(|name| name == "remount");
    mount.op == MountOp::Mount
        && mount.source.is_none()
        && mount.fstype.is_empty()
        && (mount.options.is_empty() || mount.options.iter().any(names))
}

fn mount_within(a: &Mount, b: &Mount) -> bool {
    (a.op == b.op || (a.op == MountOp::Remount && b.options.is_empty() && may_remount(b)))
        && (b.options.is_empty()
            || (!a.options.is_empty() && a.options.iter().all(|options| b.options.contains(options))))
        && (b.fstype.is_empty() || (!a.fstype.is_empty() && all_within(&a.fstype, &b.fstype)))
        && maybe_within(a.source.as_ref(), b.source.as_ref())
        && maybe_within(a.target.as_ref(), b.target.as_ref())
}
