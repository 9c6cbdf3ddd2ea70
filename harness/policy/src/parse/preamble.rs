//! Includes, and the preamble before profiles: `abi`, aliases, variables.

use super::{FILE_COST, Nesting, Reader};
use crate::condition;
use crate::error::{PolicyError, PolicyErrorKind};
use crate::scan::{Ends, Scanner};

/// Endings of files that an include of a directory skips, as in the parser.
const LEFT_OUT: [&str; 12] = [
    ".dpkg-new",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-bak",
    ".dpkg-remove",
    ".pacsave",
    ".pacnew",
    ".rpmnew",
    ".rpmsave",
    ".orig",
    ".rej",
    "~",
];

impl<'t> Reader<'t> {
    /// The files of an include directive, if one is next; empty if an optional file is missing.
    pub(super) fn include(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &Nesting,
    ) -> Result<Option<Vec<String>>, PolicyError> {
        let start = scanner.at;
        let hash = scanner.take(b'#');
        if !scanner.take_keyword("include") || !(hash || matches!(scanner.peek(), Some(b' ' | b'\t'))) {
            scanner.at = start;
            return Ok(None);
        }
        scanner.skip_blanks();
        let mut optional = false;
        if scanner.take_keyword("if") {
            scanner.skip_blanks();
            optional = scanner.take_keyword("exists");
            if !optional {
                return Err(scanner.expected("`exists` after `include if`"));
            }
            scanner.skip_blanks();
        }
        let name = self.file_name(scanner)?;
        if name.starts_with('/') && optional {
            // The tree cannot have this file, so it is missing in the set.
            return Ok(Some(Vec::new()));
        }
        if name.starts_with('/') {
            return Err(scanner.error(start, PolicyErrorKind::Absolute(name)));
        }
        let path = name.trim_end_matches('/');
        if self.tree.contains(path) {
            return Ok(Some(vec![path.to_owned()]));
        }
        if self.tree.is_dir(path) {
            let files: Vec<String> = self
                .tree
                .files_in(path)
                .filter(|file| read_in_directories(file))
                .map(str::to_owned)
                .collect();
            self.charge(files.len() * FILE_COST, &scanner.source.location(start))?;
            return Ok(Some(files));
        }
        // A file that is already included reads as empty. Any other must exist, even in a branch that is dropped.
        if optional || place.seen.contains(path) {
            return Ok(Some(Vec::new()));
        }
        Err(scanner.error(start, PolicyErrorKind::NoFile(name)))
    }

    /// `<name>`, `<"name">`, `"name"` or `name`.
    pub(super) fn file_name(&self, scanner: &mut Scanner<'_, 't>) -> Result<String, PolicyError> {
        let name = if scanner.take(b'<') {
            let Some(end) = scanner
                .rest()
                .find(['>', '\n'])
                .filter(|end| scanner.rest().as_bytes()[*end] == b'>')
            else {
                return Err(scanner.expected("a `>` after the file's name"));
            };
            let name = scanner.rest()[..end].trim().trim_matches('"').to_owned();
            scanner.at += end + 1;
            name
        } else {
            scanner
                .word(Ends::Path)?
                .map(|word| word.text)
                .unwrap_or_default()
        };
        if name.is_empty() {
            Err(scanner.expected("a file name"))
        } else {
            Ok(name)
        }
    }

    pub(super) fn abi(&mut self, scanner: &mut Scanner<'_, 't>) -> Result<(), PolicyError> {
        scanner.skip();
        let name = self.file_name(scanner)?;
        scanner.end_of_rule()?;
        self.abi.get_or_insert(name);
        Ok(())
    }

    pub(super) fn alias(&mut self, scanner: &mut Scanner<'_, 't>) -> Result<(), PolicyError> {
        let mut ends = Vec::with_capacity(2);
        for _ in 0..2 {
            scanner.skip();
            ends.push(
                scanner
                    .word(Ends::Path)?
                    .ok_or_else(|| scanner.expected("a path of the alias"))?
                    .text,
            );
            scanner.skip();
            if ends.len() == 1 && !scanner.take_text("->") {
                return Err(scanner.expected("`->` between the alias's paths"));
            }
        }
        scanner.end_of_rule()?;
        if let [from, to] = ends.as_slice() {
            self.aliases.push((from.clone(), to.clone()));
        }
        Ok(())
    }

    /// Reads `@{NAME} = value …` or `$NAME = true`, if that is next.
    pub(super) fn assignment(&mut self, scanner: &mut Scanner<'_, 't>) -> Result<bool, PolicyError> {
        let start = scanner.at;
        let boolean = scanner.peek() == Some(b'$');
        scanner.at += 1;
        let braced = scanner.take(b'{');
        let name = scanner.keyword().to_owned();
        scanner.at += name.len();
        let named = !name.is_empty() && (!braced || scanner.take(b'}'));
        scanner.skip_blanks();
        let operator = ["+=", "?=", ":=", "="]
            .into_iter()
            .find(|operator| scanner.take_text(operator));
        let Some(operator) = operator.filter(|_| named) else {
            scanner.at = start;
            return Ok(false);
        };
        let values = self.values(scanner)?;
        if values.is_empty() {
            return Err(scanner.expected("a value"));
        }
        let twice = |set: bool| match operator {
            "=" if set => Err(scanner.error(start, PolicyErrorKind::SetTwice(name.clone()))),
            _ => Ok(()),
        };
        if boolean {
            twice(self.scope.booleans.contains_key(&name))?;
            let value =
                condition::eval(&values.join(" "), &self.scope).map_err(|kind| scanner.error(start, kind))?;
            if operator != "?=" || !self.scope.booleans.contains_key(&name) {
                self.scope.booleans.insert(name, value);
            }
            return Ok(true);
        }
        let known = self.scope.values.get_mut(&name);
        twice(known.is_some())?;
        match (operator, known) {
            ("+=", Some(known)) => known.extend(values),
            ("+=", None) => return Err(scanner.error(start, PolicyErrorKind::NoVariable(name))),
            ("?=", Some(_)) => {}
            _ => {
                self.scope.values.insert(name, values);
            }
        }
        Ok(true)
    }

    /// Reads the values up to the end of the line; a backslash continues it.
    pub(super) fn values(&self, scanner: &mut Scanner<'_, 't>) -> Result<Vec<String>, PolicyError> {
        let mut values = Vec::new();
        loop {
            scanner.skip_blanks();
            if scanner.take_text("\\\n") || scanner.take_text("\\\r\n") {
                continue;
            }
            match scanner.peek() {
                None | Some(b'\n' | b'\r' | b'#') => return Ok(values),
                Some(b',') => {
                    return Err(scanner.error(
                        scanner.at,
                        PolicyErrorKind::Expected("the line's end: no comma ends a variable"),
                    ));
                }
                Some(_) => match scanner.word(Ends::Path)? {
                    Some(word) => values.push(word.text),
                    None => return Err(scanner.expected("a value")),
                },
            }
        }
    }
}

/// Whether an include of its directory reads this file.
fn read_in_directories(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    !name.starts_with('.') && name != "README" && !LEFT_OUT.iter().any(|ending| name.ends_with(ending))
}
