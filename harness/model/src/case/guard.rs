//! A guard in words, the subject whose profile it changes, and whether it applies.

use std::collections::BTreeMap;

use super::expand::SubjectProfile;
use super::model::{Case, Guard};

/// The subject whose profile a guard changes: the one it names, else the only one with a role.
pub fn owner<'a>(case: &'a Case, guard: &'a Guard) -> Option<&'a str> {
    if let Some(of) = &guard.of {
        return Some(of);
    }
    let mut owners = case.subjects.iter().filter(|(_, subject)| subject.role.is_some());
    match (owners.next(), owners.next()) {
        (Some((name, _)), None) => Some(name),
        _ => None,
    }
}

/// Whether a guard is about a profile that its own subject has here.
pub fn applies(case: &Case, guard: &Guard, profiles: &BTreeMap<String, SubjectProfile>) -> bool {
    let chosen = owner(case, guard).and_then(|subject| profiles.get(subject));
    guard.only.is_empty() || chosen.is_some_and(|chosen| guard.only.contains(&chosen.name))
}

/// A guard in a few words: `without network packet raw`, `add /etc/shadow r,`.
pub fn label(guard: &Guard) -> String {
    if let Some(rule) = &guard.add {
        return format!("add {rule}");
    }
    let Some(access) = &guard.without else {
        return "nothing".into();
    };
    let named = [
        ("exec", &access.exec),
        ("capability", &access.capability),
        ("network", &access.network),
        ("file", &access.file),
        ("change-profile", &access.change_profile),
        ("signal", &access.signal),
    ];
    let named = named
        .into_iter()
        .find_map(|(key, value)| value.as_ref().map(|value| format!("{key} {value}")));
    let mask = access
        .mask
        .as_ref()
        .map(|mask| format!(" {mask}"))
        .unwrap_or_default();
    let of = guard
        .of
        .as_ref()
        .map(|of| format!(" of {of}"))
        .unwrap_or_default();
    match named {
        Some(named) => format!("without {named}{mask}{of}"),
        None => format!("without {}{of}", access.rules.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::model::AccessSpec;

    #[test]
    fn a_guard_says_what_it_takes_away() {
        let access = AccessSpec {
            file: Some("/dev/snd/*".into()),
            mask: Some("rw".into()),
            ..AccessSpec::default()
        };
        let guard = Guard {
            without: Some(access),
            add: None,
            also: vec![],
            of: Some("g".into()),
            denial: None,
            only: vec![],
        };
        assert_eq!(label(&guard), "without file /dev/snd/* rw of g");
    }
}
