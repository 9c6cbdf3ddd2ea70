//! Splits policy text into words: white space, comments, quotes, lists.

use crate::error::{PolicyError, PolicyErrorKind};
use crate::source::Source;

/// A reading position in one file.
pub(crate) struct Scanner<'s, 't> {
    pub(crate) source: &'s Source<'t>,
    pub(crate) at: usize,
}

/// A word with the offset of its first byte.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) at: usize,
    pub(crate) quoted: bool,
}

impl Word {
    pub(crate) fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }
}

/// What ends a bare word, besides white space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A comma before white space, because paths may contain commas.
    Path,
    /// Any comma, and `(`, `)`, `=`.
    Plain,
    /// A comma before white space, and `(`, `)`, `=`: the accesses and names of a conditional rule.
    Conditional,
    /// Any comma, and `(`, `)`: the values of a list.
    List,
}

impl<'s, 't> Scanner<'s, 't> {
    pub(crate) fn new(source: &'s Source<'t>) -> Self {
        Self { source, at: 0 }
    }

    pub(crate) fn error(&self, at: usize, kind: PolicyErrorKind) -> PolicyError {
        PolicyError {
            location: self.source.location(at),
            kind,
        }
    }

    pub(crate) fn expected(&self, what: &'static str) -> PolicyError {
        self.error(self.at, PolicyErrorKind::Expected(what))
    }

    pub(crate) fn rest(&self) -> &'t str {
        self.source.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.source.text.as_bytes().get(self.at).copied()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.source.text.as_bytes().get(at).copied()
    }

    /// Skips only spaces and tabs.
    pub(crate) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Skips white space and comments, but not an `#include`.
    pub(crate) fn skip(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c) => self.at += 1,
                Some(b'#') if !self.at_hash_include() => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                _ => return,
            }
        }
    }

    fn at_hash_include(&self) -> bool {
        self.rest()
            .strip_prefix("#include")
            .is_some_and(|rest| rest.starts_with([' ', '\t', '<', '"']))
    }

    /// Takes this byte if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes this text if it is next.
    pub(crate) fn take_text(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Takes this keyword if it is next as a whole word.
    pub(crate) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.keyword() == keyword;
        self.at += if found { keyword.len() } else { 0 };
        found
    }

    /// The letters, digits and underscores that come next; empty if there are none.
    pub(crate) fn keyword(&self) -> &'t str {
        let rest = self.rest();
        let starts = rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let end = rest
            .bytes()
            .position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))
            .unwrap_or(rest.len());
        if starts { &rest[..end] } else { "" }
    }

    /// Whether the keyword that comes next is the key of `key = value`.
    pub(crate) fn at_key(&self) -> bool {
        let key = self.keyword();
        let after = self.rest()[key.len()..].trim_start_matches([' ', '\t']);
        !key.is_empty() && after.starts_with('=')
    }

    /// Reads one word, quoted or bare; `None` if a separator or the end comes next.
    pub(crate) fn word(&mut self, ends: Ends) -> Result<Option<Word>, PolicyError> {
        let at = self.at;
        if self.take(b'"') {
            let mut escaped = false;
            while let Some(byte) = self.peek() {
                self.at += 1;
                match byte {
                    b'"' if !escaped => {
                        let text = self.source.text[at + 1..self.at - 1].to_owned();
                        return Ok(Some(Word {
                            text,
                            at,
                            quoted: true,
                        }));
                    }
                    b'\\' => escaped = !escaped,
                    _ => escaped = false,
                }
            }
            return Err(self.error(at, PolicyErrorKind::Expected("a closing quote")));
        }
        // A word that starts like a path or a label may contain characters that end other words.
        let label = matches!(self.peek(), Some(b'/' | b'@' | b':' | b'&'));
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => break,
                b'\\' if self.byte(self.at + 1).is_some_and(|next| next != b'\n') => self.at += 1,
                b',' => {
                    let ending = match self.byte(self.at + 1) {
                        None => true,
                        Some(next) => next.is_ascii_whitespace() || matches!(next, b'"' | b'!' | b','),
                    };
                    if ending || matches!(ends, Ends::Plain | Ends::List) {
                        break;
                    }
                }
                b'(' | b')' if ends == Ends::List || (ends != Ends::Path && !label) => break,
                b'=' if matches!(ends, Ends::Plain | Ends::Conditional) && !label => break,
                _ => {}
            }
            self.at += 1;
        }
        // An escaped character may be longer than a byte.
        while !self.source.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        if self.at == at {
            return Ok(None);
        }
        Ok(Some(Word {
            text: self.source.text[at..self.at].to_owned(),
            at,
            quoted: false,
        }))
    }

    /// Reads the values of a list after its `(`, including the `)`. Commas and white space separate them.
    pub(crate) fn list(&mut self) -> Result<Vec<Word>, PolicyError> {
        let mut words = Vec::new();
        loop {
            self.skip();
            if self.take(b')') {
                return Ok(words);
            }
            if self.take(b',') {
                continue;
            }
            match self.word(Ends::List)? {
                Some(word) => words.push(word),
                None => return Err(self.expected("a closing parenthesis")),
            }
        }
    }

    /// Reads the comma that ends a rule.
    pub(crate) fn end_of_rule(&mut self) -> Result<(), PolicyError> {
        self.skip();
        if self.take(b',') {
            Ok(())
        } else {
            Err(self.expected("a comma at the end of the rule"))
        }
    }
}

/// A rule's text, with each run of white space outside quotes reduced to one space.
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut escaped = false;
    for character in text.trim().chars() {
        if character.is_whitespace() && !quoted {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            quoted ^= character == '"' && !escaped;
            out.push(character);
        }
        escaped = character == '\\' && !escaped;
    }
    out
}
