//! A profile's head: its name, attachment and flags, and the variables it has by itself.

use std::collections::HashSet;

use super::{Body, Place, Reader};
use crate::error::{PolicyError, PolicyErrorKind};
use crate::rule::{Pattern, Profile, Qualifiers};
use crate::scan::{Ends, Scanner};

/// The longest name of a profile, parents included, in bytes.
const MAX_NAME: usize = 4096;

impl<'t> Reader<'t> {
    /// A profile, hat or child, from its keyword or name on.
    pub(super) fn profile(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &Place,
    ) -> Result<Profile, PolicyError> {
        let location = scanner.source.location(scanner.at);
        let hat = scanner.take(b'^') || scanner.take_keyword("hat");
        let keyword = hat || scanner.take_keyword("profile");
        scanner.skip();
        let plain = matches!(scanner.peek(), Some(b'/' | b'"' | b'@' | b':'));
        if !keyword && !plain {
            return Err(scanner.expected("a profile, an include or a variable"));
        }
        let name = scanner
            .word(Ends::Path)?
            .ok_or_else(|| scanner.expected("a profile's name"))?;
        let mut attachment = None;
        let mut flags = Vec::new();
        loop {
            scanner.skip();
            if scanner.take(b'{') {
                break;
            }
            let key = scanner.keyword();
            let keyed = scanner.at_key();
            if keyed {
                scanner.at += key.len();
                scanner.skip();
                scanner.at += 1;
                scanner.skip();
            }
            if scanner.take(b'(') {
                let words = scanner.list()?;
                if !keyed || key == "flags" {
                    flags.extend(words.into_iter().map(|word| word.text));
                }
            } else if keyed || attachment.is_some() {
                return Err(scanner.expected("the profile's opening brace"));
            } else {
                let word = scanner.word(Ends::Path)?;
                attachment = Some(word.ok_or_else(|| scanner.expected("the profile's opening brace"))?);
            }
        }
        let expanded = if self.dead {
            Ok(name.text.clone())
        } else {
            self.scope.expand(&name.text)
        };
        let own = expanded.map_err(|kind| scanner.error(name.at, kind))?;
        let full = format!("{}{own}", place.prefix);
        if full.len() > MAX_NAME {
            return Err(scanner.error(
                name.at,
                PolicyErrorKind::TooMuch("the profile's name is longer than 4096 bytes"),
            ));
        }
        if attachment.is_none() && own.starts_with('/') {
            attachment = Some(name);
        }
        let attachment = attachment
            .map(|word| self.pattern(scanner, &word, true))
            .transpose()?;

        let outer = self.local_variables(&full, attachment.as_ref());
        let mut inner = Place {
            includes: place.includes.clone(),
            seen: HashSet::new(),
            depth: place.depth,
            qualifiers: Qualifiers::default(),
            prefix: format!("{full}//"),
        };
        let mut body = Body::default();
        self.body(scanner, &mut inner, &mut body, true)?;
        self.restore(outer);
        Ok(Profile {
            name: full,
            attachment,
            flags,
            hat,
            rules: body.rules,
            children: body.children,
            location,
            end: scanner.source.location(scanner.at - 1),
            end_offset: scanner.at - 1,
        })
    }

    /// Sets the variables a profile has by itself; gives back what they were before.
    pub(super) fn local_variables(
        &mut self,
        name: &str,
        attachment: Option<&Pattern>,
    ) -> Vec<(&'static str, Option<Vec<String>>)> {
        let attachment = attachment.map(|pattern| pattern.expanded().to_owned());
        let local = [
            ("profile_name", Some(crate::glob::escape_name(name))),
            ("attach_path", attachment.clone()),
            ("exec_path", attachment),
        ];
        let set = |(variable, value): (&'static str, Option<String>)| {
            let before = match value {
                Some(value) => self.scope.values.insert(variable.to_owned(), vec![value]),
                None => self.scope.values.remove(variable),
            };
            (variable, before)
        };
        local.into_iter().map(set).collect()
    }

    pub(super) fn restore(&mut self, variables: Vec<(&'static str, Option<Vec<String>>)>) {
        for (variable, before) in variables {
            match before {
                Some(value) => self.scope.values.insert(variable.to_owned(), value),
                None => self.scope.values.remove(variable),
            };
        }
    }
}
