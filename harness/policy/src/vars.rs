//! Variables: their values, and their expansion in patterns.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::error::PolicyErrorKind;
use crate::glob::{Glob, GlobError, MAX_GLOB};
use crate::rule::Pattern;

/// The variables that a rule may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) values: BTreeMap<String, Vec<String>>,
    pub(crate) booleans: BTreeMap<String, bool>,
    /// The variables that the current profile defines implicitly; they take precedence.
    pub(crate) local: BTreeMap<&'static str, String>,
    /// Bytes moved so far to expand variables, and bytes of patterns made.
    work: Cell<usize>,
}

/// The cost of a pattern's byte: it takes that much memory once the pattern is used.
const PATTERN_COST: usize = 8;

/// The most bytes moved and made for one policy file, over all its patterns.
const MAX_WORK: usize = 64 << 20;

/// The most variables expanded in one text. Each can bring more, and a cycle would never end.
const MAX_STEPS: usize = 10_000;

impl Scope {
    pub(crate) fn new(values: BTreeMap<String, Vec<String>>, booleans: BTreeMap<String, bool>) -> Self {
        Self {
            values,
            booleans,
            ..Self::default()
        }
    }

    fn charge(&self, bytes: usize) -> Result<(), PolicyErrorKind> {
        self.work.set(self.work.get().saturating_add(bytes));
        if self.work.get() > MAX_WORK {
            return Err(PolicyErrorKind::TooMuch("its variables come to too much text"));
        }
        Ok(())
    }

    /// The text with each `@{NAME}` replaced, several values as `{a,b}`, as in the parser.
    pub(crate) fn expand(&self, text: &str) -> Result<String, PolicyErrorKind> {
        let mut out = text.to_owned();
        let mut from = 0;
        for _ in 0..MAX_STEPS {
            let Some((start, end)) = find(&out, from) else {
                return Ok(out);
            };
            let name = &out[start + 2..end];
            let local = self.local.get(name).map(std::slice::from_ref);
            let values = local
                .or_else(|| self.values.get(name).map(Vec::as_slice))
                .ok_or_else(|| PolicyErrorKind::NoVariable(name.to_owned()))?;
            let size: usize = values.iter().map(|value| value.len() + 1).sum();
            self.charge(size + out.len())?;
            if size > MAX_GLOB {
                break;
            }
            let before = out[..start].ends_with('/');
            let after = out[end + 1..].starts_with('/');
            let values: Vec<&str> = match values {
                [one] => vec![one],
                // Avoids doubled slashes around the value; the parser trims them only if there are several values.
                many => many
                    .iter()
                    .map(|value| {
                        if before {
                            value.trim_start_matches('/')
                        } else {
                            value
                        }
                    })
                    .map(|value| if after { value.trim_end_matches('/') } else { value })
                    .collect(),
            };
            let value = match values.as_slice() {
                [one] => (*one).to_owned(),
                many => format!("{{{}}}", many.join(",")),
            };
            out.replace_range(start..=end, &value);
            from = start;
            if out.len() > MAX_GLOB {
                break;
            }
        }
        Err(PolicyErrorKind::Glob {
            text: text.to_owned(),
            error: GlobError::Size,
        })
    }

    /// A pattern with its variables expanded. As in the parser, doubled slashes are reduced in paths but not in names.
    pub(crate) fn pattern(&self, text: &str, path: bool) -> Result<Pattern, PolicyErrorKind> {
        let mut expanded = self.expand(text)?;
        self.charge(expanded.len() * PATTERN_COST)?;
        if path {
            expanded = single_slashes(&expanded);
        }
        match Glob::check(expanded.as_bytes()) {
            Ok(()) => Ok(Pattern::glob(text.to_owned(), expanded)),
            Err(error) => Err(PolicyErrorKind::Glob {
                text: text.to_owned(),
                error,
            }),
        }
    }
}

/// Finds the next variable at or after a byte offset; returns the offsets of its `@` and its `}`.
fn find(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'@' if bytes.get(at + 1) == Some(&b'{') => {
                let end = at
                    + 2
                    + bytes[at + 2..]
                        .iter()
                        .take_while(|byte| name_byte(**byte))
                        .count();
                // If the braces hold anything else, this is not a variable but an at sign and braces.
                if end > at + 2 && bytes.get(end) == Some(&b'}') {
                    return Some((at, end));
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    None
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Reduces runs of slashes to one; two at the very beginning stay.
fn single_slashes(text: &str) -> String {
    let kept = usize::from(text.starts_with("//") && !text.starts_with("///"));
    let mut out = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if character != '/' || at <= kept || !out.ends_with('/') {
            out.push(character);
        }
    }
    out
}
