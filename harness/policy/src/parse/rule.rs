//! Parses single rules, from their keyword or path to the closing comma.

mod conditional;
mod mount;

use conditional::{DBUS, IO_URING, MQUEUE, PTRACE, Parts, SIGNAL, SOCKET, USERNS, network};
use mount::mount;

use super::Reader;
use crate::error::{PolicyError, PolicyErrorKind};
use crate::rule::{Exec, MountOp, Perms, RuleKind};
use crate::scan::{Ends, Scanner, Word};

type Read<T> = Result<T, PolicyError>;

/// Parses a rule after its qualifiers.
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

/// Reads words up to the closing comma, as in file and change_profile rules.
fn words(scanner: &mut Scanner) -> Read<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    loop {
        scanner.skip();
        if scanner.take(b',') {
            return Ok(words);
        }
        let after_arrow = words.last().is_some_and(|word| word.is("->"));
        let path = after_arrow || matches!(scanner.peek(), Some(b'/' | b'@' | b':' | b'&' | b'"'));
        // A word that starts with none of these is not a path, so any comma ends the rule.
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
            perms: Perms::ALL,
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

/// Reads permission letters, and the exec mode among them.
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
    // An exec mode ends with its `x`; the same mode may occur twice.
    if !exec.is_empty() && !exec.ends_with(['x', 'X']) {
        return None;
    }
    Some((Perms::of_rule(&word.text)?, (!exec.is_empty()).then_some(exec)))
}
