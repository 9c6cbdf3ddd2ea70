//! The conditions of `if` and of boolean variables.

use std::collections::BTreeSet;

use crate::error::{PolicyError, PolicyErrorKind};
use crate::scan::Scanner;
use crate::vars::Scope;

/// How deep parentheses and `not` may nest.
const MAX_DEPTH: usize = 64;

/// Reads the condition's text up to the brace that opens its block.
pub(crate) fn text(scanner: &mut Scanner) -> Result<String, PolicyError> {
    let start = scanner.at;
    let bytes = scanner.rest().as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' if at == 0 || !matches!(bytes[at - 1], b'@' | b'$') => {
                scanner.at += at;
                return Ok(scanner.source.text[start..start + at].trim().to_owned());
            }
            b'{' => match bytes[at..].iter().position(|byte| *byte == b'}') {
                Some(close) => at += close,
                None => break,
            },
            _ => {}
        }
        at += 1;
    }
    Err(scanner.error(
        start,
        PolicyErrorKind::Expected("an opening brace after the condition"),
    ))
}

/// Whether the condition holds.
pub(crate) fn eval(text: &str, scope: &Scope) -> Result<bool, PolicyErrorKind> {
    let words = words(text);
    let mut reader = Reader {
        words: &words,
        at: 0,
        scope,
        text,
    };
    let value = reader.or(0)?;
    if reader.at < words.len() {
        Err(reader.bad())
    } else {
        Ok(value)
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in text.chars() {
        if character.is_whitespace() {
            words.push(String::new());
        } else if matches!(character, '(' | ')') {
            words.push(character.to_string());
            words.push(String::new());
        } else if let Some(last) = words.last_mut() {
            last.push(character);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

struct Reader<'w> {
    words: &'w [String],
    at: usize,
    scope: &'w Scope,
    text: &'w str,
}

impl Reader<'_> {
    fn bad(&self) -> PolicyErrorKind {
        PolicyErrorKind::Condition(self.text.to_owned())
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(found);
        found
    }

    fn next(&mut self) -> Result<String, PolicyErrorKind> {
        let word = self.words.get(self.at).cloned().ok_or_else(|| self.bad())?;
        self.at += 1;
        Ok(word)
    }

    fn or(&mut self, depth: usize) -> Result<bool, PolicyErrorKind> {
        let mut value = self.and(depth)?;
        while self.take("or") {
            value |= self.and(depth)?;
        }
        Ok(value)
    }

    fn and(&mut self, depth: usize) -> Result<bool, PolicyErrorKind> {
        let mut value = self.factor(depth)?;
        while self.take("and") {
            value &= self.factor(depth)?;
        }
        Ok(value)
    }

    fn factor(&mut self, depth: usize) -> Result<bool, PolicyErrorKind> {
        if depth > MAX_DEPTH {
            return Err(self.bad());
        }
        if self.take("not") {
            return Ok(!self.factor(depth + 1)?);
        }
        if self.take("(") {
            let value = self.or(depth + 1)?;
            return if self.take(")") {
                Ok(value)
            } else {
                Err(self.bad())
            };
        }
        if self.take("defined") {
            let word = self.next()?;
            return match (variable(&word, '@'), variable(&word, '$')) {
                (Some(name), _) => Ok(self.scope.values.contains_key(name)),
                (_, Some(name)) => Ok(self.scope.booleans.contains_key(name)),
                _ => Err(self.bad()),
            };
        }
        let word = self.next()?;
        if let Some(name) = variable(&word, '$') {
            return self
                .scope
                .booleans
                .get(name)
                .copied()
                .ok_or_else(|| PolicyErrorKind::NoVariable(name.to_owned()));
        }
        let left = self.set(&word)?;
        if self.take("==") {
            let right = self.next()?;
            return Ok(left == self.set(&right)?);
        }
        if self.take("!=") {
            let right = self.next()?;
            return Ok(left != self.set(&right)?);
        }
        if self.take("in") {
            let right = self.next()?;
            return Ok(left.is_subset(&self.set(&right)?));
        }
        type Holds = fn(&i64, &i64) -> bool;
        let comparisons: [(&str, Holds); 4] =
            [("<", i64::lt), ("<=", i64::le), (">", i64::gt), (">=", i64::ge)];
        for (sign, holds) in comparisons {
            if self.take(sign) {
                let right = self.next()?;
                return Ok(holds(&self.number(&left)?, &self.number(&self.set(&right)?)?));
            }
        }
        match word.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.bad()),
        }
    }

    fn number(&self, set: &BTreeSet<String>) -> Result<i64, PolicyErrorKind> {
        let only = set.iter().next().filter(|_| set.len() == 1);
        only.and_then(|text| text.parse().ok()).ok_or_else(|| self.bad())
    }

    fn set(&self, word: &str) -> Result<BTreeSet<String>, PolicyErrorKind> {
        match variable(word, '@') {
            Some(name) => match self.scope.values.get(name) {
                Some(values) => Ok(values.iter().cloned().collect()),
                None => Err(PolicyErrorKind::NoVariable(name.to_owned())),
            },
            None => Ok(BTreeSet::from([word.trim_matches('"').to_owned()])),
        }
    }
}

/// The name in `@{NAME}` or `@NAME`.
fn variable(word: &str, sigil: char) -> Option<&str> {
    let rest = word.strip_prefix(sigil)?;
    Some(
        rest.strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(rest),
    )
}
