//! Edits a profile set by what its rules grant. Each edit returns a new tree and reports what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use crate::error::PolicyError;
use crate::parse::{parse, parse_one};
use crate::relate;
use crate::request::{covering, quote};
use crate::rule::{PolicyFile, Profile, Rule, RuleKind};
use crate::scan::normal;
use crate::source::Location;
use crate::tree::Tree;

/// An access, by what it lets a process do. Paths and names are globs and may use the policy's variables; pass a
/// literal text through [`escape`](crate::escape).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Execution of these programs, in any mode.
    Exec(String),
    /// Files.
    File {
        /// The paths.
        path: String,
        /// Letters of permissions: `rw`, `k`…
        mask: String,
    },
    /// A capability.
    Capability(String),
    /// Sockets, as a network rule names them: `packet raw`, `inet`, `netlink raw`.
    Network(String),
    /// Signals.
    Signal {
        /// `send` or `receive`; `None` means both.
        mask: Option<String>,
        /// `term`, `kill`…; `None` means all.
        signal: Option<String>,
        /// Labels of the other side; `None` means all.
        peer: Option<String>,
    },
    /// Tracing.
    Ptrace {
        /// `read`, `trace`, `readby` or `tracedby`; `None` means all.
        mask: Option<String>,
        /// Labels of the other side; `None` means all.
        peer: Option<String>,
    },
    /// Changing to these profiles.
    ChangeProfile(String),
    /// Everything that a rule with this text would grant, of any class.
    Rule(String),
    /// The rules with exactly these texts, ignoring white space. Each must exist.
    Rules(Vec<String>),
}

/// An edited set.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// The new set.
    pub tree: Tree,
    /// Removed rules, with their locations in the old set.
    pub removed: Vec<(Location, String)>,
    /// Added rules, with their locations in the new set.
    pub added: Vec<(Location, String)>,
}

/// Why an edit can not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The policy can not be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The profile is not in the file.
    #[error("no profile {name:?} in {file}: it has {}", .known.join(", "))]
    NoProfile {
        /// The name asked for.
        name: String,
        /// The policy file.
        file: String,
        /// The names it has.
        known: Vec<String>,
    },
    /// Nothing grants the access, so nothing can be taken away.
    #[error("no rule of {profile} grants {access}")]
    NoSuchRule {
        /// The profile.
        profile: String,
        /// The access, written as a rule.
        access: String,
    },
    /// The access is already denied, even if rules grant it.
    #[error("{profile} denies {access} already, at {location}")]
    Denied {
        /// The profile.
        profile: String,
        /// The access, written as a rule.
        access: String,
        /// The rule that denies it.
        location: Location,
    },
    /// The given access or rule cannot be parsed.
    #[error("{text:?} is no rule: {error}")]
    Text {
        /// The text.
        text: String,
        /// The error; its location is relative to the text.
        error: PolicyError,
    },
}

impl Access {
    /// The text of a rule for the access, without the comma; `None` for [`Access::Rules`].
    fn text(&self) -> Option<String> {
        let list = |class: &str, mask: &Option<String>, signal: &Option<String>, peer: &Option<String>| {
            let mut text = class.to_owned();
            for (before, value, after) in [(" (", mask, ")"), (" set=(", signal, ")"), (" peer=", peer, "")] {
                if let Some(value) = value {
                    let value = if after.is_empty() {
                        quote(value)
                    } else {
                        value.clone()
                    };
                    text.push_str(&format!("{before}{value}{after}"));
                }
            }
            text
        };
        Some(match self {
            Self::Exec(path) => format!("{} x", quote(path)),
            Self::File { path, mask } => format!("{} {mask}", quote(path)),
            Self::Capability(name) => format!("capability {name}"),
            Self::Network(kind) => format!("network {kind}"),
            Self::Signal { mask, signal, peer } => list("signal", mask, signal, peer),
            Self::Ptrace { mask, peer } => list("ptrace", mask, &None, peer),
            Self::ChangeProfile(target) => format!("change_profile -> {}", quote(target)),
            Self::Rule(text) => text.trim().trim_end_matches(',').to_owned(),
            Self::Rules(_) => return None,
        })
    }
}

/// Removes an access from a profile. Every rule that grants only this access is removed, wherever it is written. If a
/// broader rule grants it too, an `audit deny` for exactly this access is added to the profile.
///
/// Rules of child profiles are not changed: name the child to edit it. A rule that is removed from a shared abstraction
/// is gone for all profiles that include it.
pub fn without(tree: &Tree, file: &str, profile: &str, access: &Access) -> Result<Edited, EditError> {
    let policy = parse(tree, file)?;
    let profile = find(&policy, profile)?;
    let Some(text) = access.text() else {
        let Access::Rules(texts) = access else {
            return Ok(Edits::default().apply(tree, profile));
        };
        return without_texts(tree, profile, texts);
    };
    let asked = one(&policy, profile, &text)?;
    let granting: Vec<&Rule> = profile
        .all_rules()
        .filter(|rule| rule.allows() && relate::overlap(rule, &asked))
        .collect();
    if granting.is_empty() {
        return Err(EditError::NoSuchRule {
            profile: profile.name.clone(),
            access: text,
        });
    }
    // A `deny` rule does not override rules of higher priority.
    let highest = granting
        .iter()
        .map(|rule| rule.qualifiers.priority)
        .max()
        .unwrap_or(0);
    let denies = profile
        .all_rules()
        .filter(|rule| rule.qualifiers.deny && rule.qualifiers.priority >= highest);
    if let Some(deny) = covering(denies, &asked) {
        let location = deny.location.clone();
        return Err(EditError::Denied {
            profile: profile.name.clone(),
            access: text,
            location,
        });
    }
    // Removing a rule also removes the copies that aliases make of it, so all of these must lie within the access.
    let goes_alone = |rule: &Rule| {
        let mut made = profile.implied.iter().filter(|made| {
            made.location == rule.location && discriminant(&made.kind) == discriminant(&rule.kind)
        });
        made.all(|made| relate::within(made, &asked))
    };
    let written = profile.rules.iter().filter(|rule| {
        rule.allows() && relate::overlap(rule, &asked) && relate::within(rule, &asked) && goes_alone(rule)
    });
    let mut edits = Edits {
        removed: written.collect(),
        added: Vec::new(),
    };
    let goes = |rule: &&Rule| {
        edits
            .removed
            .iter()
            .any(|removed| removed.location == rule.location)
    };
    if !granting.iter().all(goes) {
        let priority = if highest > 0 {
            format!("priority={highest} ")
        } else {
            String::new()
        };
        edits
            .added
            .push(format!("{priority}audit deny {},", denied_text(&asked, &text)));
    }
    Ok(edits.apply(tree, profile))
}

/// The access as written in a deny rule, in which exec has no mode.
fn denied_text(asked: &Rule, text: &str) -> String {
    match &asked.kind {
        RuleKind::File {
            path,
            perms,
            link_target: None,
            ..
        } => {
            let owner = match asked.qualifiers.owner {
                crate::rule::Owner::Any => "",
                crate::rule::Owner::Own => "owner ",
                crate::rule::Owner::Other => "other ",
            };
            format!("{owner}{} {}", quote(path.as_str()), perms.letters())
        }
        _ => crate::parse::without_qualifiers(text).to_owned(),
    }
}

fn without_texts(tree: &Tree, profile: &Profile, texts: &[String]) -> Result<Edited, EditError> {
    let plain = |text: &str| normal(text).trim_end_matches(',').trim_end().to_owned();
    let mut edits = Edits::default();
    for text in texts {
        let wanted = plain(text);
        let before = edits.removed.len();
        edits
            .removed
            .extend(profile.rules.iter().filter(|rule| plain(&rule.text) == wanted));
        if edits.removed.len() == before {
            return Err(EditError::NoSuchRule {
                profile: profile.name.clone(),
                access: wanted,
            });
        }
    }
    Ok(edits.apply(tree, profile))
}

/// Adds a rule to a profile, before its closing brace. Removes explicit deny rules that cover any part of it, because
/// they would override it.
pub fn with_rule(tree: &Tree, file: &str, profile: &str, rule: &str) -> Result<Edited, EditError> {
    let policy = parse(tree, file)?;
    let profile = find(&policy, profile)?;
    let new = one(&policy, profile, rule)?;
    let mut edits = Edits::default();
    if new.allows() {
        let wins = |old: &&Rule| {
            old.qualifiers.deny
                && old.qualifiers.priority >= new.qualifiers.priority
                && relate::overlap(old, &new)
        };
        edits.removed.extend(profile.rules.iter().filter(wins));
    }
    edits.added.push(new.text);
    Ok(edits.apply(tree, profile))
}

fn find<'p>(policy: &'p PolicyFile, name: &str) -> Result<&'p Profile, EditError> {
    policy.profile(name).ok_or_else(|| EditError::NoProfile {
        name: name.to_owned(),
        file: policy.file.clone(),
        known: policy.declared_names(),
    })
}

fn one(policy: &PolicyFile, profile: &Profile, text: &str) -> Result<Rule, EditError> {
    parse_one(policy, profile, text).map_err(|error| EditError::Text {
        text: text.to_owned(),
        error,
    })
}

/// The changes to one profile.
#[derive(Default)]
struct Edits<'p> {
    removed: Vec<&'p Rule>,
    added: Vec<String>,
}

impl Edits<'_> {
    fn apply(self, tree: &Tree, profile: &Profile) -> Edited {
        let mut tree = tree.clone();
        let mut removed = BTreeSet::new();
        // The spans of each file by their start, so that they can be removed from back to front.
        let mut spans: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
        for rule in &self.removed {
            spans
                .entry(&rule.location.file)
                .or_default()
                .insert(rule.span.start, rule.span.end);
            removed.insert((rule.location.clone(), rule.text.clone()));
        }
        let home: &str = &profile.end.file;
        let added = self.insert(&mut tree, home, profile);
        // Rules stand before the closing brace, so inserting there does not move any span of the profile's own file.
        for (file, spans) in spans {
            let Some(mut text) = tree.get(file).map(str::to_owned) else {
                continue;
            };
            for (start, end) in spans.into_iter().rev() {
                // Everything else keeps its position, so locations in the old set are valid in the new one.
                let mut blank: String = text[start..end]
                    .chars()
                    .map(|c| if c == '\n' { c } else { ' ' })
                    .collect();
                let rest = text[end..].split('\n').next().unwrap_or_default();
                if rest.trim().is_empty() {
                    blank.truncate(blank.trim_end_matches(' ').len());
                }
                text.replace_range(start..end, &blank);
            }
            tree.replace(file, text);
        }
        Edited {
            tree,
            removed: removed.into_iter().collect(),
            added,
        }
    }

    fn insert(&self, tree: &mut Tree, home: &str, profile: &Profile) -> Vec<(Location, String)> {
        let Some(mut text) = tree.get(home).map(str::to_owned) else {
            return Vec::new();
        };
        let line_start = text[..profile.end_offset]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let before = &text[line_start..profile.end_offset];
        let alone = before.trim().is_empty();
        let indent = if alone {
            format!("{before}  ")
        } else {
            "  ".to_owned()
        };
        let first = profile.end.line + u32::from(!alone);
        let column = u32::try_from(indent.chars().count() + 1).unwrap_or(u32::MAX);
        let lines: String = self
            .added
            .iter()
            .map(|rule| format!("{indent}{rule}\n"))
            .collect();
        if !lines.is_empty() && alone {
            text.insert_str(line_start, &lines);
        } else if !lines.is_empty() {
            text.insert_str(profile.end_offset, &format!("\n{lines}"));
        }
        tree.replace(home, text);
        let place = |line| Location {
            file: profile.end.file.clone(),
            line,
            column,
        };
        (first..)
            .zip(&self.added)
            .map(|(line, rule)| (place(line), rule.clone()))
            .collect()
    }
}
