//! A profile's header: its name, attachment and flags, and the variables that it defines implicitly.

use std::collections::{BTreeMap, HashSet};

use super::{Body, Nesting, Reader};
use crate::error::{PolicyError, PolicyErrorKind};
use crate::rule::{Pattern, Profile, Qualifiers};
use crate::scan::{Ends, Scanner};

/// The longest name of a profile, parents included, in bytes.
const MAX_NAME: usize = 4096;

impl<'t> Reader<'t> {
    /// Reads a profile, hat or child, from its keyword or name on.
    pub(super) fn profile(
        &mut self,
        scanner: &mut Scanner<'_, 't>,
        place: &Nesting,
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
            // Identities are joined by plus signs. Nothing here depends on the identities.
            if scanner.take(b'+') {
                continue;
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
        let own = match split_namespace(&own) {
            ("", _) => own,
            (namespace, own) => format!(":{namespace}://{own}"),
        };
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

        let outer = std::mem::take(&mut self.scope.local);
        self.set_local(&full, attachment.as_ref());
        let mut inner = Nesting {
            includes: place.includes.clone(),
            seen: HashSet::new(),
            depth: place.depth,
            qualifiers: Qualifiers::default(),
            prefix: format!("{full}//"),
        };
        let mut body = Body::default();
        self.body(scanner, &mut inner, &mut body, true)?;
        self.scope.local = outer;
        Ok(Profile {
            name: full,
            attachment,
            flags,
            hat,
            rules: body.rules,
            implied: Vec::new(),
            children: body.children,
            location,
            end: scanner.source.location(scanner.at - 1),
            end_offset: scanner.at - 1,
        })
    }

    /// Sets the variables that a profile defines implicitly.
    ///
    /// Parsers before 5.0 define only the first. Policy for them sets the others itself, and then those values are
    /// used.
    pub(super) fn set_local(&mut self, name: &str, attachment: Option<&Pattern>) {
        let (_, own) = split_namespace(name);
        self.scope.local = BTreeMap::from([("profile_name", crate::glob::escape_name(own))]);
        for variable in ["attach_path", "exec_path"] {
            if let Some(attachment) = attachment
                && !self.scope.values.contains_key(variable)
            {
                self.scope
                    .local
                    .insert(variable, attachment.expanded().to_owned());
            }
        }
    }
}

/// Splits `:ns:name` and `:ns://name` into the two parts; the namespace is empty if there is none.
fn split_namespace(name: &str) -> (&str, &str) {
    match name.strip_prefix(':').and_then(|rest| rest.split_once(':')) {
        Some((namespace, own)) => (namespace, own.strip_prefix("//").unwrap_or(own)),
        None => ("", name),
    }
}
