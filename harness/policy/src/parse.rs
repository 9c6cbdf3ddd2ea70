//! Parses policy files into profiles: the preamble, blocks, includes and conditions. `rule` parses single rules.

mod implied;
mod preamble;
mod profile;
mod rule;

use std::collections::{BTreeSet, HashSet};

use crate::condition;
use crate::error::{PolicyError, PolicyErrorKind};
use crate::rule::{Owner, Pattern, PolicyFile, Profile, Qualifiers, Rule, RuleKind};
use crate::scan::{Ends, Scanner, Word, normal};
use crate::source::{Location, Source};
use crate::tree::Tree;
use crate::vars::Scope;

/// The maximum nesting of includes, blocks and child profiles together.
const MAX_DEPTH: usize = 128;

/// The most text read for one policy file, in bytes. An included file counts each time it is read.
const MAX_BYTES: usize = 32 << 20;

/// What each file counts in addition to its bytes, so that empty files are not free.
const FILE_COST: usize = 64;

/// The maximum number of rules in one policy file.
const MAX_RULES: usize = 200_000;

/// Reads one policy file of a tree and everything it includes.
pub fn parse(tree: &Tree, file: &str) -> Result<PolicyFile, PolicyError> {
    let mut reader = Reader {
        tree,
        scope: Scope::default(),
        dead: false,
        bytes: 0,
        rules: 0,
        files: BTreeSet::new(),
        abi: None,
        aliases: Vec::new(),
    };
    let here = Location {
        file: file.into(),
        line: 1,
        column: 1,
    };
    let text = reader.open(file, &here)?;
    let source = Source::new(file, text);
    let mut profiles = Vec::new();
    reader.preamble(&mut Scanner::new(&source), &mut Nesting::default(), &mut profiles)?;
    for profile in &mut profiles {
        implied::add(profile, &reader.aliases);
    }
    Ok(PolicyFile {
        file: file.to_owned(),
        profiles,
        variables: reader.scope.values,
        booleans: reader.scope.booleans,
        abi: reader.abi,
        aliases: reader.aliases,
        files: reader.files.into_iter().collect(),
    })
}

pub(crate) struct Reader<'t> {
    tree: &'t Tree,
    scope: Scope,
    /// Whether this is a branch that is not taken. Its contents are dropped, and its variables need not be set.
    dead: bool,
    bytes: usize,
    rules: usize,
    files: BTreeSet<String>,
    abi: Option<String>,
    aliases: Vec<(String, String)>,
}

/// The position of the parser in nested blocks and includes.
#[derive(Clone, Default)]
struct Nesting {
    includes: Vec<Location>,
    /// Files already included into this block. As in the parser, a profile starts with an empty list.
    seen: HashSet<String>,
    depth: usize,
    qualifiers: Qualifiers,
    /// The full name of the enclosing profile with its separator; empty at the top level.
    prefix: String,
}

/// The contents of a block.
#[derive(Default)]
struct Body {
    rules: Vec<Rule>,
    children: Vec<Profile>,
}

impl<'t> Reader<'t> {
    fn open(&mut self, file: &str, at: &Location) -> Result<&'t str, PolicyError> {
        let error = |kind| PolicyError {
            location: at.clone(),
            kind,
        };
        let Some(text) = self.tree.get(file) else {
            return Err(error(if self.tree.contains(file) {
                PolicyErrorKind::NotText(file.to_owned())
            } else {
                PolicyErrorKind::NoFile(file.to_owned())
            }));
        };
        self.charge(text.len() + FILE_COST, at)?;
        self.files.insert(file.to_owned());
        Ok(text)
    }

    fn charge(&mut self, bytes: usize, at: &Location) -> Result<(), PolicyError> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            let kind = PolicyErrorKind::TooMuch("its includes come to more than 32 MiB");
            return Err(PolicyError {
                location: at.clone(),
                kind,
            });
        }
        Ok(())
    }

    pub(crate) fn pattern(&self, scanner: &Scanner, word: &Word, path: bool) -> Result<Pattern, PolicyError> {
        if self.dead {
            return Ok(Pattern::literal(&word.text));
        }
        self.scope
            .pattern(&word.text, path)
            .map_err(|kind| scanner.error(word.at, kind))
    }

    /// Reads the top level of a file: settings, includes, profiles.
    fn preamble(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &mut Nesting,
        profiles: &mut Vec<Profile>,
    ) -> Result<(), PolicyError> {
        self.deeper(scanner, place)?;
        loop {
            scanner.skip();
            let start = scanner.at;
            let Some(byte) = scanner.peek() else {
                place.depth -= 1;
                return Ok(());
            };
            if let Some(files) = self.include(scanner, place)? {
                for file in files {
                    self.enter(scanner, start, place, &file, |reader, inner, place| {
                        reader.preamble(inner, place, profiles)
                    })?;
                }
            } else if matches!(byte, b'@' | b'$') && self.assignment(scanner)? {
            } else if scanner.take_keyword("abi") {
                self.abi(scanner)?;
            } else if scanner.take_keyword("alias") {
                self.alias(scanner)?;
            } else {
                profiles.push(self.profile(scanner, place)?);
            }
        }
    }

    fn deeper(&self, scanner: &Scanner, place: &mut Nesting) -> Result<(), PolicyError> {
        place.depth += 1;
        if place.depth > MAX_DEPTH {
            return Err(scanner.error(
                scanner.at,
                PolicyErrorKind::TooMuch("includes and blocks nest more than 128 deep"),
            ));
        }
        Ok(())
    }

    /// Reads an included file with `read`, which knows what is allowed at this place.
    fn enter(
        &mut self,
        scanner: &Scanner<'_, 't>,
        start: usize,
        place: &mut Nesting,
        file: &str,
        read: impl FnOnce(&mut Self, &mut Scanner<'_, 't>, &mut Nesting) -> Result<(), PolicyError>,
    ) -> Result<(), PolicyError> {
        if !place.seen.insert(file.to_owned()) {
            return Ok(());
        }
        let at = scanner.source.location(start);
        let text = self.open(file, &at)?;
        let source = Source::new(file, text);
        place.includes.push(at);
        read(self, &mut Scanner::new(&source), place)?;
        place.includes.pop();
        Ok(())
    }

    /// Reads the contents of a profile or block, including its closing brace, or of an included file to its end.
    fn body(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &mut Nesting,
        body: &mut Body,
        braced: bool,
    ) -> Result<(), PolicyError> {
        self.deeper(scanner, place)?;
        loop {
            scanner.skip();
            let start = scanner.at;
            let Some(byte) = scanner.peek() else {
                if braced {
                    return Err(scanner.expected("a closing brace"));
                }
                break;
            };
            if byte == b'}' {
                if !braced {
                    return Err(scanner.expected("a rule: this brace closes nothing in its file"));
                }
                scanner.at += 1;
                break;
            }
            if let Some(files) = self.include(scanner, place)? {
                for file in files {
                    self.enter(scanner, start, place, &file, |reader, inner, place| {
                        reader.body(inner, place, body, false)
                    })?;
                }
                continue;
            }
            match scanner.keyword() {
                "if" => self.conditional(scanner, place, body)?,
                "profile" | "hat" => body.children.push(self.profile(scanner, place)?),
                "" if byte == b'^' => body.children.push(self.profile(scanner, place)?),
                "abi" => {
                    scanner.at += 3;
                    self.abi(scanner)?;
                }
                _ => self.rule(scanner, place, body)?,
            }
        }
        place.depth -= 1;
        Ok(())
    }

    /// Reads `if … { } else if … { } else { }`.
    fn conditional(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &mut Nesting,
        body: &mut Body,
    ) -> Result<(), PolicyError> {
        let dead = self.dead;
        let mut taken = false;
        loop {
            scanner.skip();
            let start = scanner.at;
            let holds = if scanner.take_keyword("if") {
                let text = condition::text(scanner)?;
                condition::eval(&text, &self.scope).map_err(|kind| scanner.error(start, kind))?
            } else {
                true
            };
            scanner.skip();
            if !scanner.take(b'{') {
                return Err(scanner.expected("an opening brace after the condition"));
            }
            let chosen = holds && !taken;
            taken |= holds;
            self.dead = dead || !chosen;
            let mut inner = Body::default();
            // As in the parser, a file that a dropped branch includes is not read again later.
            let read = self.body(scanner, place, &mut inner, true);
            self.dead = dead;
            read?;
            if chosen {
                body.rules.append(&mut inner.rules);
                body.children.append(&mut inner.children);
            }
            let end = scanner.at;
            scanner.skip();
            if !scanner.take_keyword("else") {
                scanner.at = end;
                return Ok(());
            }
        }
    }

    /// Reads one rule with its qualifiers, or a block of rules after qualifiers.
    fn rule(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &mut Nesting,
        body: &mut Body,
    ) -> Result<(), PolicyError> {
        let start = scanner.at;
        let outer = place.qualifiers.clone();
        qualifiers(scanner, &mut place.qualifiers)?;
        if scanner.take(b'{') {
            let read = self.body(scanner, place, body, true);
            place.qualifiers = outer;
            return read;
        }
        let kind = rule::kind(self, scanner)?;
        self.rules += 1;
        if self.rules > MAX_RULES {
            return Err(scanner.error(start, PolicyErrorKind::TooMuch("more than 200000 rules")));
        }
        body.rules.push(self.made(scanner, start, place, kind));
        place.qualifiers = outer;
        Ok(())
    }

    fn made(&self, scanner: &Scanner, start: usize, place: &Nesting, kind: RuleKind) -> Rule {
        Rule {
            kind,
            qualifiers: place.qualifiers.clone(),
            text: normal(&scanner.source.text[start..scanner.at]),
            location: scanner.source.location(start),
            includes: place.includes.clone(),
            span: start..scanner.at,
        }
    }
}

/// Parses one rule text, with or without its closing comma, as if it stood in this profile.
pub(crate) fn parse_one(policy: &PolicyFile, profile: &Profile, text: &str) -> Result<Rule, PolicyError> {
    let tree = Tree::new();
    let mut reader = Reader {
        tree: &tree,
        scope: Scope::new(policy.variables.clone(), policy.booleans.clone()),
        dead: false,
        bytes: 0,
        rules: 0,
        files: BTreeSet::new(),
        abi: None,
        aliases: Vec::new(),
    };
    reader.set_local(&profile.name, profile.attachment.as_ref());
    let trimmed = text.trim();
    let text = if trimmed.ends_with(',') {
        trimmed.to_owned()
    } else {
        format!("{trimmed},")
    };
    let source = Source::new("(rule)", &text);
    let mut scanner = Scanner::new(&source);
    let mut qualifiers_read = Qualifiers::default();
    scanner.skip();
    qualifiers(&mut scanner, &mut qualifiers_read)?;
    let kind = rule::kind(&reader, &mut scanner)?;
    let place = Nesting {
        qualifiers: qualifiers_read,
        ..Nesting::default()
    };
    let rule = reader.made(&scanner, 0, &place, kind);
    scanner.skip();
    if scanner.peek().is_some() {
        Err(scanner.expected("a single rule"))
    } else {
        Ok(rule)
    }
}

/// A rule's text from its class or path on. The text must have been parsed before.
pub(crate) fn without_qualifiers(text: &str) -> &str {
    let source = Source::new("(rule)", text);
    let mut scanner = Scanner::new(&source);
    match qualifiers(&mut scanner, &mut Qualifiers::default()) {
        Ok(()) => scanner.rest(),
        Err(_) => text,
    }
}

/// Reads the qualifiers that come next and adds them to `all`.
fn qualifiers(scanner: &mut Scanner, all: &mut Qualifiers) -> Result<(), PolicyError> {
    loop {
        scanner.skip();
        match scanner.keyword() {
            "priority" if scanner.at_key() => {
                scanner.at += "priority".len();
                scanner.skip_blanks();
                scanner.at += 1;
                scanner.skip_blanks();
                let word = scanner
                    .word(Ends::Plain)?
                    .ok_or_else(|| scanner.expected("a number"))?;
                all.priority = word.text.parse().map_err(|_| {
                    scanner.error(word.at, PolicyErrorKind::Expected("a number after `priority=`"))
                })?;
                continue;
            }
            "audit" => all.audit = true,
            "deny" => all.deny = true,
            "allow" => all.deny = false,
            "prompt" => all.prompt = true,
            "owner" => all.owner = Owner::Own,
            "other" => all.owner = Owner::Other,
            _ => return Ok(()),
        }
        scanner.at += scanner.keyword().len();
    }
}
