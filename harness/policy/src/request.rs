//! A single thing a process asks for, as an audit record tells it, and what policy says of it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::glob::escape;
use crate::relate;
use crate::rule::{Conditional, Network, Owner, Pattern, Perms, PolicyFile, Qualifiers, Rule, RuleKind};
use crate::source::Location;

/// What a process asked for. Texts are the audit record's own, decoded; a mask is what was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A file, an exec among them (mask `x`).
    File {
        /// The path.
        name: String,
        /// Letters, as in `denied_mask`: `r`, `wc`, `x`…
        mask: String,
        /// Whether the process's user owns the file (`fsuid` equals `ouid`).
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
        /// Accesses, parted by spaces: `send receive`.
        mask: String,
        /// The own address, as in `addr`.
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
    /// A change of the own profile.
    ChangeProfile {
        /// The profile asked for.
        target: String,
    },
    /// A new user namespace.
    Userns,
}

impl Request {
    /// The request as a rule that nothing else meets; none where its mask is not understood.
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
            } => {
                let side = |pairs: [(&str, Option<&String>); 2]| -> BTreeMap<String, Vec<Pattern>> {
                    pairs
                        .into_iter()
                        .filter_map(|(key, value)| Some((key.to_owned(), vec![Pattern::literal(value?)])))
                        .collect()
                };
                RuleKind::Unix(Conditional {
                    access: words(mask),
                    own: side([("type", Some(sock_type)), ("addr", addr.as_ref())]),
                    peer: side([("label", peer.as_ref()), ("addr", peer_addr.as_ref())]),
                })
            }
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

fn words(mask: &str) -> Vec<String> {
    mask.split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The rules of the profile that give at least a part of what is asked for, deny rules not looked at.
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

/// Where an explicit `deny` of the profile covers the whole denied request; the first rule's place if several share it.
///
/// Only then does the kernel keep quiet about the denial.
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

/// The first of the rules that, taken together, cover all of one request or access.
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

/// The text of the rule that would allow the request, closing comma included; none where no single rule can say it.
pub fn rule_for(request: &Request) -> Option<String> {
    Some(match request {
        Request::File { name, mask, owner } => {
            let perms = Perms::of_record(mask)?;
            let owner = if *owner { "owner " } else { "" };
            let letters = perms.letters().replace('x', "ix");
            format!("{owner}{} {letters},", quote(&escape(name)))
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
                text.push_str(&format!(" addr={}", quote(&escape(addr))));
            }
            let sides: Vec<String> = [("label", peer), ("addr", peer_addr)]
                .into_iter()
                .filter_map(|(key, value)| Some(format!("{key}={}", quote(&escape(value.as_deref()?)))))
                .collect();
            if !sides.is_empty() {
                text.push_str(&format!(" peer=({})", sides.join(" ")));
            }
            text + ","
        }
        Request::Signal { mask, signal, peer } => {
            format!("signal ({mask}) set=({signal}) peer={},", quote(&escape(peer)))
        }
        Request::Ptrace { mask, peer } => format!("ptrace ({mask}) peer={},", quote(&escape(peer))),
        Request::ChangeProfile { target } => format!("change_profile -> {},", quote(&escape(target))),
        Request::Userns => "userns create,".to_owned(),
    })
}

/// A path or name in quotes, where a bare one would be read otherwise.
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

/// Where a rule added to the profile would go: the place of its closing brace.
pub fn insertion_point(policy: &PolicyFile, profile: &str) -> Option<Location> {
    policy.profile(profile).map(|profile| profile.end.clone())
}
