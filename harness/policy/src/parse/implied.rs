//! Rules that the parser adds to a profile.

use crate::rule::{Pattern, Perms, Profile, Qualifiers, Rule, RuleKind};

/// The files through which a process changes its profile, now or at its next exec.
const ATTRIBUTES: &str = "/proc/*/attr/{,apparmor/}{current,exec}";

/// Adds the rules to a profile and its children. An alias applies to the whole file, wherever it is written.
pub(super) fn add(profile: &mut Profile, aliases: &[(String, String)]) {
    let mut implied: Vec<Rule> = Vec::new();
    let changing = profile.rules.iter().find(|rule| changes_profile(rule));
    let hat = profile.children.iter().find(|child| child.hat);
    if let Some(rule) = changing {
        implied.push(attributes(&rule.clone()));
    } else if let Some(hat) = hat {
        implied.push(attributes(&Rule {
            kind: RuleKind::All,
            qualifiers: Qualifiers::default(),
            text: format!("hat {}", hat.name),
            location: hat.location.clone(),
            includes: Vec::new(),
            span: 0..0,
        }));
    }
    for (from, to) in aliases {
        let known = profile.rules.iter().chain(&implied);
        let more: Vec<Rule> = known.filter_map(|rule| aliased(rule, from, to)).collect();
        implied.extend(more);
    }
    profile.implied = implied;
    for child in &mut profile.children {
        add(child, aliases);
    }
}

fn changes_profile(rule: &Rule) -> bool {
    rule.allows() && matches!(rule.kind, RuleKind::ChangeProfile { .. })
}

/// The rule that lets a profile write to [`ATTRIBUTES`]. A `change_profile` rule or a hat implies it.
fn attributes(with: &Rule) -> Rule {
    Rule {
        kind: RuleKind::File {
            path: Pattern::glob(ATTRIBUTES.into(), ATTRIBUTES.into()),
            perms: Perms::WRITE.and(Perms::APPEND),
            exec: None,
            link_target: None,
        },
        qualifiers: Qualifiers::default(),
        ..with.clone()
    }
}

/// A copy of a file rule with the alias's target in its path. `None` if the path does not begin with the alias.
fn aliased(rule: &Rule, from: &str, to: &str) -> Option<Rule> {
    let RuleKind::File {
        path,
        perms,
        exec,
        link_target,
    } = &rule.kind
    else {
        return None;
    };
    let led: Vec<String> = beginnings(path.expanded())
        .into_iter()
        .filter_map(|path| Some(format!("{to}{}", path.strip_prefix(from)?)))
        .collect();
    let path = match led.as_slice() {
        [] => return None,
        [one] => one.clone(),
        several => format!("{{{}}}", several.join(",")),
    };
    Some(Rule {
        kind: RuleKind::File {
            path: Pattern::glob(path.clone(), path),
            perms: *perms,
            exec: exec.clone(),
            link_target: link_target.clone(),
        },
        ..rule.clone()
    })
}

/// The path, or one for each value of the variable that it begins with: the parser expands that before it compares.
fn beginnings(path: &str) -> Vec<String> {
    let whole = || vec![path.to_owned()];
    let Some(inner) = path.strip_prefix('{') else {
        return whole();
    };
    let mut depth = 1;
    let mut begin = 0;
    let mut values = Vec::new();
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && character == ',') {
            values.push(&inner[begin..at]);
            begin = at + 1;
        }
        if depth == 0 {
            let rest = &inner[at + 1..];
            return values.into_iter().map(|value| format!("{value}{rest}")).collect();
        }
    }
    whole()
}
