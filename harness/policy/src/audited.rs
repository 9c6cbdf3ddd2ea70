//! Makes a set log by its own rules what a kernel setting would log: denials by `deny` rules, and program starts.

use std::collections::{BTreeMap, BTreeSet};

use crate::rule::{Perms, PolicyFile, Profile, Rule, RuleKind};
use crate::tree::Tree;

/// The path of a bare `file,`. This rule grants everything and would log everything.
const ANY_FILE: &str = "/{**,}";

/// The tree with `audit` added to every `deny` rule that these files read, so that its denials are logged. Every rule
/// that allows an exec gets it too, so that the new program's label is logged. The grants and the line numbers stay the
/// same.
pub fn audited(tree: &Tree, files: &[PolicyFile]) -> Tree {
    let mut places: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    let mut profiles: Vec<&Profile> = files.iter().flat_map(|file| &file.profiles).collect();
    while let Some(profile) = profiles.pop() {
        profiles.extend(&profile.children);
        for rule in profile.rules.iter().filter(|rule| is_to_tell(rule)) {
            let place = places.entry(&rule.location.file).or_default();
            place.insert(rule.span.start);
        }
    }
    let mut audited = tree.clone();
    for (file, starts) in places {
        let Some(mut text) = tree.get(file).map(str::to_owned) else {
            continue;
        };
        // Inserts from back to front, so that earlier offsets stay valid.
        for start in starts.into_iter().rev() {
            text.insert_str(start + priority(&text[start..]), "audit ");
        }
        audited.replace(file, text);
    }
    audited
}

fn is_to_tell(rule: &Rule) -> bool {
    if rule.qualifiers.audit {
        return false;
    }
    let starts_programs = match &rule.kind {
        RuleKind::File { path, perms, .. } => perms.contains(Perms::EXEC) && path.as_str() != ANY_FILE,
        _ => false,
    };
    rule.qualifiers.deny || (rule.allows() && starts_programs)
}

/// The length of the `priority=…` at the start of a rule, which must stay first.
fn priority(text: &str) -> usize {
    if !text.starts_with("priority") {
        return 0;
    }
    let word = text.find(char::is_whitespace).unwrap_or(0);
    word + text[word..].len() - text[word..].trim_start().len()
}
