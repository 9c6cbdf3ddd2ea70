//! A single request of a process, as an audit record reports it, and how policy treats it.

use std::collections::BTreeMap;
use std::ops::Range;

mod text;

pub(crate) use text::quote;
pub use text::{file_rule, rule_for};

use crate::relate;
use crate::rule::{
    Conditional, Mount, MountOp, MountOptions, Network, Owner, Pattern, Perms, PolicyFile, Qualifiers, Rule,
    RuleKind,
};
use crate::source::Location;

/// What a process asked for. Texts are decoded from the audit record; a mask holds what was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A file access, including exec (mask `x`).
    File {
        /// The path.
        name: String,
        /// Letters, as in `denied_mask`: `r`, `wc`, `x`…
        mask: String,
        /// Whether the process's user owns the file (`fsuid` equals `ouid`).
        owner: bool,
    },
    /// A hard link.
    Link {
        /// The link's path.
        name: String,
        /// The path that it points to.
        target: String,
        /// Whether the process's user owns the file.
        owner: bool,
    },
    /// A capability.
    Capability {
        /// Its name, as in `capname`.
        name: String,
    },
    /// A socket.
    Network {
        /// As in `family`.
        family: String,
        /// As in `sock_type`.
        sock_type: String,
        /// The access: `create`, `send`…; empty for any.
        mask: String,
    },
    /// A UNIX socket.
    Unix {
        /// As in `sock_type`.
        sock_type: String,
        /// Accesses, separated by spaces: `send receive`.
        mask: String,
        /// The socket's own address, as in `addr`.
        addr: Option<String>,
        /// The other side's label, as in `peer`.
        peer: Option<String>,
        /// The other side's address, as in `peer_addr`.
        peer_addr: Option<String>,
    },
    /// A signal.
    Signal {
        /// `send` or `receive`.
        mask: String,
        /// As in `signal`: `term`, `kill`, `exists`…
        signal: String,
        /// As in `peer`.
        peer: String,
    },
    /// Tracing.
    Ptrace {
        /// `read`, `trace`, `readby` or `tracedby`.
        mask: String,
        /// As in `peer`.
        peer: String,
    },
    /// A change of the process's own profile.
    ChangeProfile {
        /// The profile asked for.
        target: String,
    },
    /// A new user namespace.
    Userns,
    /// An io_uring operation.
    IoUring {
        /// `sqpoll` or `override_creds`.
        mask: String,
        /// The label whose credentials are taken, as in `peer`.
        peer: Option<String>,
    },
    /// A message queue.
    Mqueue {
        /// `posix` or `sysv`.
        kind: String,
        /// Accesses, separated by spaces: `create`, `read`…
        mask: String,
        /// The queue's name, `/…`, or its number.
        name: String,
    },
    /// A D-Bus message or a name on a bus. A field that the record lacks is not part of the request.
    Dbus {
        /// `send`, `receive`, `bind` or `eavesdrop`.
        mask: String,
        /// As in `bus`: `system`, `session`.
        bus: String,
        /// The object's path.
        path: Option<String>,
        /// The interface.
        interface: Option<String>,
        /// The member.
        member: Option<String>,
        /// The well-known name: the requested one, or the other side's.
        name: Option<String>,
        /// The other side's label, as in `peer_label`.
        peer: Option<String>,
    },
    /// A mount, a remount, an unmount or a change of the root.
    Mount {
        /// Which operation.
        op: MountOp,
        /// As in `flags`, separated by commas: `rw, nosuid`.
        flags: String,
        /// As in `fstype`.
        fstype: Option<String>,
        /// As in `srcname`.
        source: Option<String>,
        /// As in `name`.
        target: String,
    },
}

impl Request {
    /// The request as a rule that matches only this request; `None` if its mask is not understood.
    pub(crate) fn rule(&self) -> Option<Rule> {
        let mut qualifiers = Qualifiers::default();
        let kind = match self {
            Self::File { name, mask, owner } => {
                qualifiers.owner = if *owner { Owner::Own } else { Owner::Other };
                let perms = Perms::of_record(mask)?;
                RuleKind::File {
                    path: Pattern::literal(name),
                    perms,
                    exec: None,
                    link_target: None,
                }
            }
            Self::Link { name, target, owner } => {
                qualifiers.owner = if *owner { Owner::Own } else { Owner::Other };
                RuleKind::File {
                    path: Pattern::literal(name),
                    perms: Perms::LINK,
                    exec: None,
                    link_target: Some(Pattern::literal(target)),
                }
            }
            Self::Capability { name } => RuleKind::Capability(vec![name.clone()]),
            Self::Network {
                family,
                sock_type,
                mask,
            } => RuleKind::Network(Network {
                access: words(mask),
                domain: Some(family.clone()),
                sock_type: Some(sock_type.clone()),
                ..Network::default()
            }),
            Self::Unix {
                sock_type,
                mask,
                addr,
                peer,
                peer_addr,
            } => RuleKind::Unix(Conditional {
                access: words(mask),
                own: side([("type", Some(sock_type)), ("addr", addr.as_ref())]),
                peer: side([("label", peer.as_ref()), ("addr", peer_addr.as_ref())]),
            }),
            Self::Signal { mask, signal, peer } => RuleKind::Signal(Conditional {
                access: words(mask),
                own: BTreeMap::from([("set".to_owned(), vec![Pattern::literal(signal)])]),
                peer: BTreeMap::from([("label".to_owned(), vec![Pattern::literal(peer)])]),
            }),
            Self::Ptrace { mask, peer } => RuleKind::Ptrace(Conditional {
                access: words(mask),
                own: BTreeMap::new(),
                peer: BTreeMap::from([("label".to_owned(), vec![Pattern::literal(peer)])]),
            }),
            Self::ChangeProfile { target } => RuleKind::ChangeProfile {
                exec: None,
                target: Some(Pattern::literal(target)),
            },
            Self::Userns => RuleKind::Userns(Conditional {
                access: vec!["create".to_owned()],
                ..Conditional::default()
            }),
            Self::IoUring { mask, peer } => RuleKind::IoUring(Conditional {
                access: words(mask),
                own: side([("label", peer.as_ref())]),
                peer: BTreeMap::new(),
            }),
            Self::Mqueue { kind, mask, name } => RuleKind::Mqueue(Conditional {
                access: words(mask),
                own: side([("type", Some(kind)), ("name", Some(name))]),
                peer: BTreeMap::new(),
            }),
            Self::Dbus {
                mask,
                bus,
                path,
                interface,
                member,
                name,
                peer,
            } => {
                let [own_name, peer_name] = if mask == "bind" {
                    [name.as_ref(), None]
                } else {
                    [None, name.as_ref()]
                };
                RuleKind::Dbus(Conditional {
                    access: words(mask),
                    own: side([
                        ("bus", Some(bus)),
                        ("path", path.as_ref()),
                        ("interface", interface.as_ref()),
                        ("member", member.as_ref()),
                        ("name", own_name),
                    ]),
                    peer: side([("name", peer_name), ("label", peer.as_ref())]),
                })
            }
            Self::Mount {
                op,
                flags,
                fstype,
                source,
                target,
            } => {
                let mut names = words(flags);
                names.sort();
                RuleKind::Mount(Mount {
                    op: *op,
                    options: (!names.is_empty())
                        .then_some(MountOptions { exact: true, names })
                        .into_iter()
                        .collect(),
                    fstype: fstype.iter().map(|fstype| Pattern::literal(fstype)).collect(),
                    source: source.as_deref().map(Pattern::literal),
                    target: Some(Pattern::literal(target)),
                })
            }
        };
        Some(Rule {
            kind,
            qualifiers,
            text: String::new(),
            location: Location {
                file: "(request)".into(),
                line: 1,
                column: 1,
            },
            includes: Vec::new(),
            span: Range::default(),
        })
    }
}

/// Conditions for the keys that have a value.
fn side<const N: usize>(pairs: [(&str, Option<&String>); N]) -> BTreeMap<String, Vec<Pattern>> {
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), vec![Pattern::literal(value?)])))
        .collect()
}

fn words(mask: &str) -> Vec<String> {
    mask.split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The rules of the profile that grant at least part of the request, ignoring deny rules.
pub fn grants<'p>(policy: &'p PolicyFile, profile: &str, request: &Request) -> Vec<&'p Rule> {
    let (Some(profile), Some(request)) = (policy.profile(profile), request.rule()) else {
        return Vec::new();
    };
    let gives = |rule: &&Rule| {
        rule.allows()
            && relate::bits(&request) & relate::bits(rule) != 0
            && relate::conditions_within(&request, rule)
    };
    profile.all_rules().filter(gives).collect()
}

/// The location of the explicit `deny` rule that covers the whole denied request; that of the first if several cover it
/// together.
///
/// Only then does the kernel not log the denial.
pub fn deny_covers(policy: &PolicyFile, profile: &str, request: &Request) -> Option<Location> {
    let request = request.rule()?;
    covering(
        policy
            .profile(profile)?
            .all_rules()
            .filter(|rule| rule.qualifiers.deny),
        &request,
    )
    .map(|rule| rule.location.clone())
}

/// The first of the rules that together cover all of one request or access.
pub(crate) fn covering<'p>(rules: impl Iterator<Item = &'p Rule>, asked: &Rule) -> Option<&'p Rule> {
    let mut left = relate::bits(asked);
    let mut first = None;
    for rule in rules {
        let given = left & relate::bits(rule);
        if given != 0 && relate::conditions_within(asked, rule) {
            first.get_or_insert(rule);
            left &= !given;
            if left == 0 {
                return first;
            }
        }
    }
    None
}

/// The location where a rule would be added to the profile: its closing brace.
pub fn insertion_point(policy: &PolicyFile, profile: &str) -> Option<Location> {
    policy.profile(profile).map(|profile| profile.end.clone())
}
