//! Guards: what proves that a case can turn red.

use aa_policy::Access;

use super::{one_of_known, record};
use crate::case::guard::owner;
use crate::case::known_names::KnownNames;
use crate::case::model::{AccessSpec, Case, Guard};
use crate::case::names;
use crate::case::problem::{Located, Problem, exactly_one};
use crate::verdict::mediation;
use crate::yaml::path::Path;

pub(super) fn check(case: &Case, known_names: &KnownNames, problems: &mut Vec<Located>) {
    let root = Path::root().key("guards");
    match &case.no_guard {
        None if case.guards.is_empty() => problems.push(Problem::NoGuard.at(root.clone())),
        Some(_) if !case.guards.is_empty() => {
            problems.push(Problem::NotWithoutGuard.at(Path::root().key("no-guard")));
        }
        Some(why) if why.trim().is_empty() => {
            problems.push(Problem::Empty("no-guard").at(Path::root().key("no-guard")));
        }
        _ => {}
    }
    let negative = case
        .setup
        .iter()
        .chain(&case.steps)
        .any(|step| step.denied.is_some());
    if negative
        && !case.guards.is_empty()
        && case
            .guards
            .iter()
            .all(|guard| guard.without.is_some() && guard.add.is_none())
    {
        problems.push(Problem::NoAddGuard.at(root.clone()));
    }
    for (index, guard) in case.guards.iter().enumerate() {
        let path = root.index(index);
        check_form(guard, &path, problems);
        check_owner(case, guard, known_names, &path, problems);
    }
}

fn check_form(guard: &Guard, path: &Path, problems: &mut Vec<Located>) {
    let given = [("without", guard.without.is_some()), ("add", guard.add.is_some())];
    if !exactly_one("a guard", "without, add", &given, path, problems) {
        return;
    }
    match &guard.denial {
        None if guard.without.is_some() => {
            problems.push(
                Problem::Needs {
                    key: "without",
                    needs: "denial",
                }
                .at(path.key("without")),
            );
        }
        Some(_) if guard.add.is_some() => {
            problems.push(
                Problem::Beside {
                    key: "denial",
                    beside: "add",
                }
                .at(path.key("denial")),
            );
        }
        Some(denial) => record(denial, &path.key("denial"), problems),
        None => {}
    }
    if let Some(rule) = &guard.add
        && !rule.trim_end().ends_with(',')
    {
        problems.push(Problem::NoComma.at(path.key("add")));
    }
    if guard.add.is_none() && !guard.also.is_empty() {
        problems.push(
            Problem::Needs {
                key: "also",
                needs: "add",
            }
            .at(path.key("also")),
        );
    }
    for (index, also) in guard.also.iter().enumerate() {
        if !also.add.trim_end().ends_with(',') {
            problems.push(Problem::NoComma.at(path.key("also").index(index).key("add")));
        }
    }
}

fn check_owner(
    case: &Case,
    guard: &Guard,
    known_names: &KnownNames,
    path: &Path,
    problems: &mut Vec<Located>,
) {
    // A subject with neither role nor label is already reported.
    let with_role: Vec<&str> = case
        .subjects
        .iter()
        .filter(|(_, subject)| subject.role.is_some() || subject.label.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if let Some(of) = &guard.of {
        one_of_known(
            "subject with a role",
            of,
            with_role.iter().copied(),
            &path.key("of"),
            problems,
        );
    } else if with_role.len() != 1 {
        problems.push(match with_role.len() {
            0 => Problem::Needs {
                key: "guards",
                needs: "a subject with a role",
            }
            .at(path.clone()),
            _ => Problem::AmbiguousGuard.at(path.clone()),
        });
    }
    for (index, also) in guard.also.iter().enumerate() {
        let path = path.key("also").index(index).key("of");
        one_of_known(
            "subject with a role",
            &also.of,
            with_role.iter().copied(),
            &path,
            problems,
        );
    }
    let role = owner(case, guard)
        .and_then(|name| case.subjects.get(name))
        .and_then(|subject| subject.role.as_ref());
    let Some(profiles) = role.and_then(|role| known_names.roles.get(role)) else {
        return;
    };
    for (index, profile) in guard.only.iter().enumerate() {
        let path = path.key("only").index(index);
        one_of_known(
            "profile of this role",
            profile,
            profiles.iter().map(String::as_str),
            &path,
            problems,
        );
    }
}

/// Checks what can be judged only once the values of `with` are filled in.
pub(super) fn check_words(case: &Case, problems: &mut Vec<Located>) {
    for (index, guard) in case.guards.iter().enumerate() {
        if let Some(access) = &guard.without {
            check_access(
                access,
                &Path::root().key("guards").index(index).key("without"),
                problems,
            );
        }
        if let Some(rule) = &guard.add {
            let path = Path::root().key("guards").index(index).key("add");
            check_class(rule, &path, problems);
        }
    }
}

/// Reports a rule of unknown class, because nobody could tell whether a kernel mediates it.
fn check_class(rule: &str, path: &Path, problems: &mut Vec<Located>) {
    let is_rule = rule.trim_end().ends_with(',');
    if is_rule && !mediation::is_known(&Access::Rule(rule.into())) {
        problems.push(Problem::UnknownRuleClass(rule.into()).at(path.clone()));
    }
}

fn check_access(access: &AccessSpec, path: &Path, problems: &mut Vec<Located>) {
    problems.extend(access_problems(access, path));
}

/// What is wrong with an access whose templates are filled in; `path` is where it stands.
pub fn access_problems(access: &AccessSpec, path: &Path) -> Vec<Located> {
    let mut problems = Vec::new();
    let given = [
        ("exec", access.exec.is_some()),
        ("capability", access.capability.is_some()),
        ("network", access.network.is_some()),
        ("file", access.file.is_some()),
        ("change-profile", access.change_profile.is_some()),
        ("signal", access.signal.is_some()),
        ("rules", !access.rules.is_empty()),
    ];
    let found: Vec<&'static str> = given
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect();
    if found.len() != 1 {
        let keys = "exec, capability, network, file (with mask), change-profile, signal, rules";
        problems.push(
            Problem::OneOf {
                what: "an access",
                keys,
                found,
            }
            .at(path.clone()),
        );
    }
    match (&access.file, &access.mask) {
        (Some(_), None) => problems.push(
            Problem::Needs {
                key: "file",
                needs: "mask",
            }
            .at(path.key("file")),
        ),
        (None, Some(_)) => problems.push(
            Problem::Needs {
                key: "mask",
                needs: "file",
            }
            .at(path.key("mask")),
        ),
        (Some(_), Some(mask)) if mask.is_empty() || !mask.chars().all(|letter| "rwaklm".contains(letter)) => {
            let wanted = "an access to a file, of the letters r w a k l m";
            problems.push(
                Problem::NotA {
                    text: mask.clone(),
                    wanted,
                }
                .at(path.key("mask")),
            );
        }
        _ => {}
    }
    for (index, rule) in access.rules.iter().enumerate() {
        check_class(rule, &path.key("rules").index(index), &mut problems);
    }
    if let Some(capability) = &access.capability {
        one_of_known(
            "capability",
            capability,
            names::CAPABILITIES,
            &path.key("capability"),
            &mut problems,
        );
    }
    if let Some(network) = &access.network {
        let path = path.key("network");
        let mut words = network.split_whitespace();
        match words.next() {
            None => problems.push(Problem::Empty("network").at(path.clone())),
            Some(family) => one_of_known(
                "family of socket",
                family,
                names::FAMILIES.iter().copied(),
                &path,
                &mut problems,
            ),
        }
        for kind in words {
            one_of_known(
                "type of socket",
                kind,
                names::SOCKET_TYPES.iter().copied(),
                &path,
                &mut problems,
            );
        }
    }
    for (index, rule) in access.rules.iter().enumerate() {
        if !rule.trim_end().ends_with(',') {
            problems.push(Problem::NoComma.at(path.key("rules").index(index)));
        }
    }
    problems
}
