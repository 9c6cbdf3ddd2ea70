//! Single rules, from their keyword or path up to and with the closing comma.

use std::collections::BTreeMap;

use crate::error::{PolicyError, PolicyErrorKind};
use crate::parse::Reader;
use crate::rule::{Conditional, Exec, Mount, MountOp, MountOptions, Network, Pattern, Perms, RuleKind};
use crate::scan::{Ends, Scanner, Word};

type Read<T> = Result<T, PolicyError>;

/// Socket types; `packet` is one too, but a first word `packet` is the family.
const SOCKET_TYPES: [&str; 5] = ["stream", "dgram", "seqpacket", "rdm", "raw"];

/// Protocols, each with the socket type it stands for.
const PROTOCOLS: [(&str, &str); 3] = [("tcp", "stream"), ("udp", "dgram"), ("icmp", "raw")];

/// Accesses of socket rules: each word that rules use, with the one name it has here.
const SOCKET: &[(&str, &[&str])] = &[
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
const SIGNAL: &[(&str, &[&str])] = &[
    ("send", &["send"]),
    ("receive", &["receive"]),
    ("write", &["send"]),
    ("read", &["receive"]),
    ("w", &["send"]),
    ("r", &["receive"]),
    ("rw", &["receive", "send"]),
    ("wr", &["receive", "send"]),
];
const PTRACE: &[(&str, &[&str])] = &[
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
const DBUS: &[(&str, &[&str])] = &[
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
const MQUEUE: &[(&str, &[&str])] = &[
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
const USERNS: &[(&str, &[&str])] = &[("create", &["create"])];
const IO_URING: &[(&str, &[&str])] = &[("override_creds", &["override_creds"]), ("sqpoll", &["sqpoll"])];

/// Reads what comes after a rule's qualifiers.
pub(crate) fn kind(reader: &Reader, scanner: &mut Scanner) -> Read<RuleKind> {
    scanner.skip();
    let start = scanner.at;
    let keyword = scanner.keyword();
    scanner.at += keyword.len();
    let mut parts = |access| Parts::read(reader, scanner, access);
    let kind = match keyword {
        "capability" => return capability(scanner),
        "set" => return rlimit(scanner),
        "change_profile" => return change_profile(reader, scanner),
        "network" => network(parts(SOCKET)?, scanner)?,
        "signal" => RuleKind::Signal(parts(SIGNAL)?.plain(scanner)?),
        "ptrace" => RuleKind::Ptrace(parts(PTRACE)?.plain(scanner)?),
        "unix" => RuleKind::Unix(parts(SOCKET)?.plain(scanner)?),
        "dbus" => RuleKind::Dbus(parts(DBUS)?.plain(scanner)?),
        "userns" => RuleKind::Userns(parts(USERNS)?.plain(scanner)?),
        "io_uring" => RuleKind::IoUring(parts(IO_URING)?.plain(scanner)?),
        "mqueue" => {
            let mut parts = parts(MQUEUE)?;
            if let Some(word) = parts.words.pop() {
                parts
                    .conditional
                    .own
                    .insert("name".to_owned(), vec![reader.pattern(scanner, &word, true)?]);
            }
            RuleKind::Mqueue(parts.plain(scanner)?)
        }
        "mount" => mount(reader, scanner, MountOp::Mount)?,
        "remount" => mount(reader, scanner, MountOp::Remount)?,
        "umount" => mount(reader, scanner, MountOp::Umount)?,
        "pivot_root" => mount(reader, scanner, MountOp::PivotRoot)?,
        "all" => RuleKind::All,
        _ => {
            scanner.at = start;
            return file(reader, scanner);
        }
    };
    scanner.end_of_rule()?;
    Ok(kind)
}

fn capability(scanner: &mut Scanner) -> Read<RuleKind> {
    let mut names = Vec::new();
    loop {
        scanner.skip();
        if scanner.take(b',') {
            names.sort();
            names.dedup();
            return Ok(RuleKind::Capability(names));
        }
        match scanner.word(Ends::Plain)? {
            Some(word) => {
                if !word
                    .text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                {
                    return Err(scanner.error(
                        word.at,
                        PolicyErrorKind::Unknown {
                            word: word.text,
                            what: "a capability",
                        },
                    ));
                }
                names.push(word.text.to_ascii_lowercase());
            }
            None => return Err(scanner.expected("a capability or a comma")),
        }
    }
}

fn rlimit(scanner: &mut Scanner) -> Read<RuleKind> {
    scanner.skip();
    if !scanner.take_keyword("rlimit") {
        return Err(scanner.expected("`rlimit` after `set`"));
    }
    scanner.skip();
    let name = scanner
        .word(Ends::Plain)?
        .ok_or_else(|| scanner.expected("a limit's name"))?;
    let name = name.text.trim_end_matches("<").to_owned();
    scanner.skip();
    if !scanner.take_text("<=") {
        return Err(scanner.expected("`<=` after the limit's name"));
    }
    let mut value = String::new();
    loop {
        scanner.skip();
        match scanner.word(Ends::Plain)? {
            Some(word) => value.push_str(&word.text),
            None if value.is_empty() => return Err(scanner.expected("the limit's value")),
            None => break,
        }
    }
    scanner.end_of_rule()?;
    Ok(RuleKind::Rlimit { name, value })
}

/// Words up to the closing comma, as of file and change_profile rules.
fn words(scanner: &mut Scanner) -> Read<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    loop {
        scanner.skip();
        if scanner.take(b',') {
            return Ok(words);
        }
        let after_arrow = words.last().is_some_and(|word| word.is("->"));
        let path = after_arrow || matches!(scanner.peek(), Some(b'/' | b'@' | b':' | b'&' | b'"'));
        // Where a path starts with none of these it is not one, and any comma ends the rule.
        let at = scanner.at;
        if scanner.take_text("->") || scanner.take_text("<=") {
            words.push(Word {
                text: scanner.source.text[at..scanner.at].to_owned(),
                at,
                quoted: false,
            });
            continue;
        }
        match scanner.word(if path { Ends::Path } else { Ends::Plain })? {
            Some(word) => words.push(word),
            None => return Err(scanner.expected("a comma at the end of the rule")),
        }
    }
}

fn change_profile(reader: &Reader, scanner: &mut Scanner) -> Read<RuleKind> {
    let words = words(scanner)?;
    let mut words = words.as_slice();
    if let [first, rest @ ..] = words
        && (first.is("safe") || first.is("unsafe"))
    {
        words = rest;
    }
    let (exec, words) = match words {
        [first, rest @ ..] if !first.is("->") => (Some(reader.pattern(scanner, first, true)?), rest),
        _ => (None, words),
    };
    let target = match words {
        [] => None,
        [arrow, target] if arrow.is("->") => Some(reader.pattern(scanner, target, false)?),
        [word, ..] => {
            return Err(scanner.error(word.at, PolicyErrorKind::Expected("`-> PROFILE` or a comma")));
        }
    };
    Ok(RuleKind::ChangeProfile { exec, target })
}

/// `PATH PERMS`, `PERMS PATH`, each perhaps with `-> TARGET`; `link [subset] PATH -> PATH`; `file`.
fn file(reader: &Reader, scanner: &mut Scanner) -> Read<RuleKind> {
    let start = scanner.at;
    let all = words(scanner)?;
    let unknown = |word: &Word| {
        scanner.error(
            word.at,
            PolicyErrorKind::Unknown {
                word: word.text.clone(),
                what: "the beginning of a rule",
            },
        )
    };
    let mut words = all.as_slice();
    if let [word] = words
        && word.is("file")
    {
        let everything = Word {
            text: "/{**,}".to_owned(),
            at: start,
            quoted: false,
        };
        return Ok(RuleKind::File {
            path: reader.pattern(scanner, &everything, true)?,
            perms: Perms(0x7f),
            exec: Some(Exec {
                mode: "ix".to_owned(),
                target: None,
                scrub: false,
            }),
            link_target: None,
        });
    }
    let mut safe = None;
    let mut link = false;
    while let [word, rest @ ..] = words {
        match word.text.as_str() {
            "file" => {}
            "safe" => safe = Some(true),
            "unsafe" => safe = Some(false),
            "link" => link = true,
            "subset" | "<=" => {}
            _ => break,
        }
        words = rest;
    }
    let target = match words {
        [.., arrow, target] if arrow.is("->") => {
            words = &words[..words.len() - 2];
            Some(target)
        }
        _ => None,
    };
    let (path, perms) = match words {
        [path] if link => (path, (Perms::LINK, None)),
        [perms, path] if perms_of(perms).is_some() && !is_path(perms) => {
            (path, perms_of(perms).unwrap_or_default())
        }
        [perms, subset, path] if subset.is("subset") || subset.is("<=") => {
            (path, perms_of(perms).ok_or_else(|| unknown(perms))?)
        }
        [path, perms] if is_path(path) => {
            let error = PolicyErrorKind::Unknown {
                word: perms.text.clone(),
                what: "permissions",
            };
            (
                path,
                perms_of(perms).ok_or_else(|| scanner.error(perms.at, error))?,
            )
        }
        [path, _, more, ..] if is_path(path) => {
            return Err(scanner.error(
                more.at,
                PolicyErrorKind::Expected("a comma at the end of the rule before"),
            ));
        }
        [word, ..] => return Err(unknown(word)),
        [] => return Err(scanner.error(start, PolicyErrorKind::Expected("a rule"))),
    };
    if !is_path(path) {
        return Err(scanner.error(
            path.at,
            PolicyErrorKind::Expected("a path, beginning with a slash or a variable"),
        ));
    }
    let (perms, mode) = perms;
    let is_link = mode.is_none() && perms.contains(Perms::LINK) && target.is_some();
    let link_target = match target {
        Some(target) if is_link => Some(reader.pattern(scanner, target, true)?),
        _ => None,
    };
    let exec = mode.map(|mode| Exec {
        scrub: safe.unwrap_or(mode.contains(['P', 'C', 'U'])),
        mode,
        target: target.map(|word| word.text.clone()),
    });
    Ok(RuleKind::File {
        path: reader.pattern(scanner, path, true)?,
        perms,
        exec,
        link_target,
    })
}

fn is_path(word: &Word) -> bool {
    word.text.starts_with('/') || word.text.starts_with("@{")
}

/// Permission letters, and the exec form among them.
fn perms_of(word: &Word) -> Option<(Perms, Option<String>)> {
    if word.quoted || word.text.is_empty() {
        return None;
    }
    let mut exec = String::new();
    for letter in word.text.chars() {
        if matches!(letter, 'p' | 'P' | 'c' | 'C' | 'i' | 'I' | 'u' | 'U' | 'x' | 'X') {
            exec.push(letter);
        } else if !matches!(letter.to_ascii_lowercase(), 'r' | 'w' | 'a' | 'l' | 'm' | 'k') {
            return None;
        }
    }
    // Forms end with their x; the same may stand twice.
    if !exec.is_empty() && !exec.ends_with(['x', 'X']) {
        return None;
    }
    Some((Perms::of_rule(&word.text)?, (!exec.is_empty()).then_some(exec)))
}

/// The parts of a rule written as accesses, words and conditions.
#[derive(Default)]
struct Parts {
    conditional: Conditional,
    /// Words that are no access.
    words: Vec<Word>,
}

impl Parts {
    fn read(reader: &Reader, scanner: &mut Scanner, access: &[(&str, &[&str])]) -> Read<Self> {
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
                        // A whole peer is a label.
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

    /// The rule, if there was no word that is neither access nor condition.
    fn plain(self, scanner: &Scanner) -> Read<Conditional> {
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
fn values(scanner: &mut Scanner) -> Read<Vec<Word>> {
    if scanner.take(b'(') {
        return scanner.list();
    }
    match scanner.word(Ends::Path)? {
        Some(word) => Ok(vec![word]),
        None => Err(scanner.expected("a value after `=`")),
    }
}

/// The conditions of `peer=(…)` after its opening parenthesis.
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

fn network(parts: Parts, scanner: &Scanner) -> Read<RuleKind> {
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

/// What a mount rule is made of.
#[derive(Default)]
struct MountParts {
    options: Vec<MountOptions>,
    conditions: BTreeMap<String, Vec<Word>>,
    before: Vec<Word>,
    after: Vec<Word>,
}

fn mount_parts(scanner: &mut Scanner) -> Read<MountParts> {
    let mut parts = MountParts::default();
    let mut arrow = false;
    loop {
        scanner.skip();
        if matches!(scanner.peek(), None | Some(b',')) {
            return Ok(parts);
        }
        if scanner.take_text("->") {
            arrow = true;
            continue;
        }
        let key = scanner.keyword().to_owned();
        let after_key = scanner.rest()[key.len()..].trim_start();
        let some_of = !key.is_empty()
            && after_key
                .strip_prefix("in")
                .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with('('));
        if some_of || scanner.at_key() {
            scanner.at += key.len();
            scanner.skip();
            scanner.at += if some_of { 2 } else { 1 };
            scanner.skip();
            let values = values(scanner)?;
            if matches!(key.as_str(), "options" | "option") {
                let mut names: Vec<String> = values
                    .iter()
                    .flat_map(|word| word.text.split(','))
                    .map(|name| name.trim().to_owned())
                    .collect();
                names.sort();
                names.dedup();
                parts.options.push(MountOptions {
                    exact: !some_of,
                    names,
                });
            } else {
                parts.conditions.entry(key).or_default().extend(values);
            }
            continue;
        }
        match scanner.word(Ends::Path)? {
            Some(word) if arrow => parts.after.push(word),
            Some(word) => parts.before.push(word),
            None => return Err(scanner.expected("a comma at the end of the rule")),
        }
    }
}

fn mount(reader: &Reader, scanner: &mut Scanner, op: MountOp) -> Read<RuleKind> {
    let parts = mount_parts(scanner)?;
    if let Some(extra) = parts.before.get(1).or(parts.after.get(1)) {
        return Err(scanner.error(
            extra.at,
            PolicyErrorKind::Expected("a comma at the end of the rule"),
        ));
    }
    let pattern = |word: Option<&Word>| word.map(|word| reader.pattern(scanner, word, true)).transpose();
    let before = pattern(parts.before.first())?;
    let (source, target) = match op {
        MountOp::Mount => (before, pattern(parts.after.first())?),
        MountOp::Remount | MountOp::Umount => (None, before),
        // What follows the arrow is the profile to change to.
        MountOp::PivotRoot => (
            pattern(parts.conditions.get("oldroot").and_then(|words| words.first()))?,
            before,
        ),
    };
    let mut fstype: Vec<Pattern> = Vec::new();
    for (key, words) in &parts.conditions {
        match key.as_str() {
            "fstype" | "vfstype" => {
                for word in words {
                    fstype.push(reader.pattern(scanner, word, false)?);
                }
            }
            "oldroot" if op == MountOp::PivotRoot => {}
            _ => {
                let at = words.first().map_or(scanner.at, |word| word.at);
                let error = PolicyErrorKind::Unknown {
                    word: key.clone(),
                    what: "a condition of a mount",
                };
                return Err(scanner.error(at, error));
            }
        }
    }
    Ok(RuleKind::Mount(Mount {
        op,
        options: parts.options,
        fstype,
        source,
        target,
    }))
}
