//! Rules written as accesses and conditions, including network rules.

use super::super::Reader;
use super::Read;
use crate::error::PolicyErrorKind;
use crate::rule::{Conditional, Network, RuleKind};
use crate::scan::{Ends, Scanner, Word};

/// Socket types; `packet` is one too, but a first word `packet` is the family.
const SOCKET_TYPES: [&str; 5] = ["stream", "dgram", "seqpacket", "rdm", "raw"];

/// Protocols, each with the socket type it stands for.
const PROTOCOLS: [(&str, &str); 3] = [("tcp", "stream"), ("udp", "dgram"), ("icmp", "raw")];

/// Accesses of socket rules: each word that rules use, with its canonical names.
pub(super) const SOCKET: &[(&str, &[&str])] = &[
    ("create", &["create"]),
    ("bind", &["bind"]),
    ("listen", &["listen"]),
    ("accept", &["accept"]),
    ("connect", &["connect"]),
    ("shutdown", &["shutdown"]),
    ("getattr", &["getattr"]),
    ("setattr", &["setattr"]),
    ("getopt", &["getopt"]),
    ("setopt", &["setopt"]),
    ("send", &["send"]),
    ("receive", &["receive"]),
    ("write", &["send"]),
    ("read", &["receive"]),
    ("w", &["send"]),
    ("r", &["receive"]),
    ("rw", &["receive", "send"]),
    ("wr", &["receive", "send"]),
];
pub(super) const SIGNAL: &[(&str, &[&str])] = &[
    ("send", &["send"]),
    ("receive", &["receive"]),
    ("write", &["send"]),
    ("read", &["receive"]),
    ("w", &["send"]),
    ("r", &["receive"]),
    ("rw", &["receive", "send"]),
    ("wr", &["receive", "send"]),
];
pub(super) const PTRACE: &[(&str, &[&str])] = &[
    ("read", &["read"]),
    ("readby", &["readby"]),
    ("trace", &["trace"]),
    ("tracedby", &["tracedby"]),
    ("write", &["trace"]),
    ("r", &["read"]),
    ("w", &["trace"]),
    ("rw", &["read", "trace"]),
    ("wr", &["read", "trace"]),
];
pub(super) const DBUS: &[(&str, &[&str])] = &[
    ("send", &["send"]),
    ("receive", &["receive"]),
    ("bind", &["bind"]),
    ("eavesdrop", &["eavesdrop"]),
    ("write", &["send"]),
    ("read", &["receive"]),
    ("w", &["send"]),
    ("r", &["receive"]),
    ("rw", &["receive", "send"]),
    ("wr", &["receive", "send"]),
];
pub(super) const MQUEUE: &[(&str, &[&str])] = &[
    ("create", &["create"]),
    ("open", &["open"]),
    ("delete", &["delete"]),
    ("getattr", &["getattr"]),
    ("setattr", &["setattr"]),
    ("read", &["read"]),
    ("write", &["write"]),
    ("r", &["read"]),
    ("w", &["write"]),
    ("rw", &["read", "write"]),
    ("wr", &["read", "write"]),
];
pub(super) const USERNS: &[(&str, &[&str])] = &[("create", &["create"])];
pub(super) const IO_URING: &[(&str, &[&str])] =
    &[("override_creds", &["override_creds"]), ("sqpoll", &["sqpoll"])];

/// The parts of a rule written as accesses, words and conditions.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) conditional: Conditional,
    /// Words that are no access.
    pub(super) words: Vec<Word>,
}

impl Parts {
    pub(super) fn read(reader: &Reader, scanner: &mut Scanner, access: &[(&str, &[&str])]) -> Read<Self> {
        let mut parts = Self::default();
        let mut add = |word: &Word| {
            let found = access.iter().find(|(name, _)| word.is(name));
            if let Some((_, names)) = found {
                parts
                    .conditional
                    .access
                    .extend(names.iter().map(|name| (*name).to_owned()));
            }
            found.is_some()
        };
        let mut conditions: Vec<(bool, String, Vec<Word>)> = Vec::new();
        let mut words = Vec::new();
        loop {
            scanner.skip();
            match scanner.peek() {
                None | Some(b',') => break,
                Some(b'(') => {
                    scanner.at += 1;
                    for word in scanner.list()? {
                        if !add(&word) {
                            let what = "an access of this class";
                            return Err(scanner.error(
                                word.at,
                                PolicyErrorKind::Unknown {
                                    word: word.text,
                                    what,
                                },
                            ));
                        }
                    }
                }
                Some(_) if scanner.at_key() => {
                    let key = scanner.keyword().to_owned();
                    scanner.at += key.len();
                    scanner.skip_blanks();
                    scanner.at += 1;
                    scanner.skip();
                    if key == "peer" && scanner.take(b'(') {
                        peer(scanner, &mut conditions)?;
                    } else {
                        let values = values(scanner)?;
                        // A `peer` that has no parentheses is a label.
                        let key = if key == "peer" { "label".to_owned() } else { key };
                        conditions.push((key == "label", key, values));
                    }
                }
                Some(_) => match scanner.word(Ends::Conditional)? {
                    Some(word) if add(&word) => {}
                    Some(word) => words.push(word),
                    None => return Err(scanner.expected("a comma at the end of the rule")),
                },
            }
        }
        parts.words = words;
        for (is_peer, key, values) in conditions {
            let side = if is_peer {
                &mut parts.conditional.peer
            } else {
                &mut parts.conditional.own
            };
            let into = side.entry(key).or_default();
            for value in values {
                into.push(reader.pattern(scanner, &value, false)?);
            }
        }
        parts.conditional.access.sort();
        parts.conditional.access.dedup();
        Ok(parts)
    }

    /// The rule; an error if some word is neither access nor condition.
    pub(super) fn plain(self, scanner: &Scanner) -> Read<Conditional> {
        match self.words.into_iter().next() {
            None => Ok(self.conditional),
            Some(word) => {
                let what = "an access or condition of this class";
                Err(scanner.error(
                    word.at,
                    PolicyErrorKind::Unknown {
                        word: word.text,
                        what,
                    },
                ))
            }
        }
    }
}

/// One value, or a list in parentheses.
pub(super) fn values(scanner: &mut Scanner) -> Read<Vec<Word>> {
    if scanner.take(b'(') {
        return scanner.list();
    }
    match scanner.word(Ends::Path)? {
        Some(word) => Ok(vec![word]),
        None => Err(scanner.expected("a value after `=`")),
    }
}

/// Reads the conditions of `peer=(…)` after its opening parenthesis.
fn peer(scanner: &mut Scanner, conditions: &mut Vec<(bool, String, Vec<Word>)>) -> Read<()> {
    loop {
        scanner.skip();
        if scanner.take(b')') {
            return Ok(());
        }
        if scanner.take(b',') {
            continue;
        }
        if !scanner.at_key() {
            return Err(scanner.expected("a condition of the peer, or a closing parenthesis"));
        }
        let key = scanner.keyword().to_owned();
        scanner.at += key.len();
        scanner.skip_blanks();
        scanner.at += 1;
        scanner.skip();
        let values = if scanner.take(b'(') {
            scanner.list()?
        } else {
            vec![
                scanner
                    .word(Ends::List)?
                    .ok_or_else(|| scanner.expected("a value after `=`"))?,
            ]
        };
        conditions.push((true, key, values));
    }
}

pub(super) fn network(parts: Parts, scanner: &Scanner) -> Read<RuleKind> {
    let mut network = Network {
        access: parts.conditional.access.clone(),
        ..Network::default()
    };
    for (place, word) in parts.words.iter().enumerate() {
        let text = word.text.as_str();
        let protocol = PROTOCOLS.iter().find(|(name, _)| *name == text);
        if let Some((name, sock_type)) = protocol {
            network.protocol = Some((*name).to_owned());
            network.sock_type.get_or_insert((*sock_type).to_owned());
        } else if (SOCKET_TYPES.contains(&text) || (text == "packet" && place > 0))
            && network.sock_type.is_none()
        {
            network.sock_type = Some(text.to_owned());
        } else if place == 0
            && !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            network.domain = Some(text.to_owned());
        } else {
            let what = "a socket's family, type or protocol";
            return Err(scanner.error(
                word.at,
                PolicyErrorKind::Unknown {
                    word: text.to_owned(),
                    what,
                },
            ));
        }
    }
    network.conditions = Conditional {
        access: Vec::new(),
        ..parts.conditional
    };
    Ok(RuleKind::Network(network))
}
