//! A set that tells of itself what a kernel elsewhere is told to log: denials by `deny` rules, and programs started.

use std::collections::{BTreeMap, BTreeSet};

use crate::rule::{Perms, PolicyFile, Profile, Rule, RuleKind};
use crate::tree::Tree;

/// The path that a bare `file,` speaks of: it grants everything, and would log everything.
const ANY_FILE: &str = "/{**,}";

/// The tree with `audit` put to every `deny` rule that these files read, so that its denials are logged, and to every
/// rule by which a program may be started, so that the label that it gets is. What is granted stays the same; an edit
/// moves nothing to another line.
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
        // From the back, so that what is before stays where it was.
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

/// How long the `priority=…` is that a rule begins with, and that must stay first.
fn priority(text: &str) -> usize {
    if !text.starts_with("priority") {
        return 0;
    }
    let word = text.find(char::is_whitespace).unwrap_or(0);
    word + text[word..].len() - text[word..].trim_start().len()
}
