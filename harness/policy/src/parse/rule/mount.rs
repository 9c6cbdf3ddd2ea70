//! Mount rules.

use std::collections::BTreeMap;

use super::super::Reader;
use super::Read;
use super::conditional::values;
use crate::error::PolicyErrorKind;
use crate::rule::{Mount, MountOp, MountOptions, Pattern, RuleKind};
use crate::scan::{Ends, Scanner, Word};

/// The parts of a mount rule.
#[derive(Default)]
struct MountParts {
    options: Vec<MountOptions>,
    conditions: BTreeMap<String, Vec<Word>>,
    before: Vec<Word>,
    after: Vec<Word>,
}

fn mount_parts(scanner: &mut Scanner) -> Read<MountParts> {
    let mut parts = MountParts::default();
    let mut arrow = false;
    loop {
        scanner.skip();
        if matches!(scanner.peek(), None | Some(b',')) {
            return Ok(parts);
        }
        if scanner.take_text("->") {
            arrow = true;
            continue;
        }
        let key = scanner.keyword().to_owned();
        let after_key = scanner.rest()[key.len()..].trim_start();
        let some_of = !key.is_empty()
            && after_key
                .strip_prefix("in")
                .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with('('));
        if some_of || scanner.at_key() {
            scanner.at += key.len();
            scanner.skip();
            scanner.at += if some_of { 2 } else { 1 };
            scanner.skip();
            let values = values(scanner)?;
            if matches!(key.as_str(), "options" | "option") {
                let mut names: Vec<String> = values
                    .iter()
                    .flat_map(|word| word.text.split(','))
                    .map(|name| name.trim().to_owned())
                    .collect();
                names.sort();
                names.dedup();
                parts.options.push(MountOptions {
                    exact: !some_of,
                    names,
                });
            } else {
                parts.conditions.entry(key).or_default().extend(values);
            }
            continue;
        }
        match scanner.word(Ends::Path)? {
            Some(word) if arrow => parts.after.push(word),
            Some(word) => parts.before.push(word),
            None => return Err(scanner.expected("a comma at the end of the rule")),
        }
    }
}

pub(super) fn mount(reader: &Reader, scanner: &mut Scanner, op: MountOp) -> Read<RuleKind> {
    let parts = mount_parts(scanner)?;
    if let Some(extra) = parts.before.get(1).or(parts.after.get(1)) {
        return Err(scanner.error(
            extra.at,
            PolicyErrorKind::Expected("a comma at the end of the rule"),
        ));
    }
    let pattern = |word: Option<&Word>| word.map(|word| reader.pattern(scanner, word, true)).transpose();
    let before = pattern(parts.before.first())?;
    let (source, target) = match op {
        MountOp::Mount => (before, pattern(parts.after.first())?),
        MountOp::Remount | MountOp::Umount => (None, before),
        // The name after the arrow is the profile to change to.
        MountOp::PivotRoot => (
            pattern(parts.conditions.get("oldroot").and_then(|words| words.first()))?,
            before,
        ),
    };
    let mut fstype: Vec<Pattern> = Vec::new();
    for (key, words) in &parts.conditions {
        match key.as_str() {
            "fstype" | "vfstype" => {
                for word in words {
                    fstype.push(reader.pattern(scanner, word, false)?);
                }
            }
            "oldroot" if op == MountOp::PivotRoot => {}
            _ => {
                let at = words.first().map_or(scanner.at, |word| word.at);
                let error = PolicyErrorKind::Unknown {
                    word: key.clone(),
                    what: "a condition of a mount",
                };
                return Err(scanner.error(at, error));
            }
        }
    }
    Ok(RuleKind::Mount(Mount {
        op,
        options: parts.options,
        fstype,
        source,
        target,
    }))
}
