//! The confined processes.

use virt_aa_probe::protocol::CANARY;

use super::one_of_known;
use crate::case::known_names::KnownNames;
use crate::case::model::{Case, Subject};
use crate::case::names;
use crate::case::plan::AGENT;
use crate::case::problem::{Located, Problem, exactly_one};
use crate::case::template;
use crate::yaml::path::Path;

pub(super) fn check(case: &Case, known_names: &KnownNames, problems: &mut Vec<Located>) {
    let root = Path::root().key("subjects");
    if case.subjects.is_empty() {
        problems.push(Problem::Empty("subjects").at(root.clone()));
    }
    for (name, subject) in &case.subjects {
        let path = root.key(name);
        check_name(name, case, &path, problems);
        check_label(subject, known_names, &path, problems);
        check_run_by(name, subject, case, &path, problems);
        if let Some(user) = &subject.user {
            let users = known_names.users.iter().map(String::as_str);
            one_of_known("user", user, users, &path.key("user"), problems);
        }
        for (index, capability) in subject.drops.iter().enumerate() {
            let path = path.key("drops").index(index);
            one_of_known("capability", capability, names::CAPABILITIES, &path, problems);
        }
        if let Some(daemon) = &subject.daemon
            && daemon.argv.is_empty()
        {
            problems.push(Problem::Empty("argv").at(path.key("daemon").key("argv")));
        }
    }
}

/// Checks that each subject has something to do, in this case or in one before it.
pub(super) fn check_use(case: &Case, whole: &Case, problems: &mut Vec<Located>) {
    let root = Path::root().key("subjects");
    let unused = case
        .subjects
        .iter()
        .filter(|(name, subject)| !is_used(name, subject, whole));
    problems.extend(unused.map(|(name, _)| Problem::UnusedSubject(name.clone()).at(root.key(name))));
}

/// Whether a step starts the subject. A subject that no step starts has no process and gives no evidence.
fn is_used(name: &str, subject: &Subject, case: &Case) -> bool {
    let mut steps = case.setup.iter().chain(&case.steps);
    subject.run_by.is_some()
        || steps.any(|step| {
            let others = [
                step.signal.as_ref().map(|signal| &signal.to),
                step.ptrace.as_ref().map(|ptrace| &ptrace.of),
                step.set_limit.as_ref().and_then(|limit| limit.of.as_ref()),
            ];
            step.by == name || others.into_iter().flatten().any(|other| other == name)
        })
}

/// Checks that a subject that another one runs has a role, and no settings for a process of its own.
fn check_run_by(name: &str, subject: &Subject, case: &Case, path: &Path, problems: &mut Vec<Located>) {
    let Some(by) = &subject.run_by else { return };
    // A subject with `run-by` does nothing itself, so neither this one nor another of its kind can run a program.
    let able = case
        .subjects
        .iter()
        .filter(|(other, subject)| *other != name && subject.run_by.is_none())
        .map(|(other, _)| other.as_str());
    one_of_known("subject", by, able, &path.key("run-by"), problems);
    if subject.role.is_none() {
        let (key, needs) = ("run-by", "role");
        problems.push(Problem::Needs { key, needs }.at(path.key(key)));
    }
    let given = [
        ("user", subject.user.is_some()),
        ("memlock", subject.memlock.is_some()),
        ("drops", !subject.drops.is_empty()),
        ("daemon", subject.daemon.is_some()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        let beside = "run-by";
        problems.push(Problem::Beside { key, beside }.at(path.key(key)));
    }
}

/// Checks that `{NAME.label}` and `as: NAME` mean only the subject.
fn check_name(name: &str, case: &Case, path: &Path, problems: &mut Vec<Located>) {
    let what = "subject";
    if !template::is_word(name) {
        problems.push(
            Problem::BadName {
                what,
                name: name.to_owned(),
            }
            .at(path.clone()),
        );
    }
    let taken = match name {
        AGENT => "the unconfined agent",
        // The records of this process are attributed to no case.
        CANARY => "the process that shows that denials arrive",
        "set" => "the profile set, in templates",
        _ if case.needs.iter().any(|need| need == name) => "a fixture that the case needs",
        _ => return,
    };
    problems.push(
        Problem::Taken {
            what,
            name: name.to_owned(),
            taken,
        }
        .at(path.clone()),
    );
}

/// Checks that a label comes from a role or is written out. Attachment and `except` need a role.
fn check_label(subject: &Subject, known_names: &KnownNames, path: &Path, problems: &mut Vec<Located>) {
    let given = [
        ("role", subject.role.is_some()),
        ("label", subject.label.is_some()),
    ];
    let is_guest = subject.run_by.is_some() && given.iter().all(|(_, given)| *given);
    if !is_guest && !exactly_one("a subject", "role, label", &given, path, problems) {
        return;
    }
    let Some(role) = &subject.role else {
        if subject.daemon.is_some() {
            problems.push(
                Problem::Needs {
                    key: "daemon",
                    needs: "role",
                }
                .at(path.key("daemon")),
            );
        }
        if !subject.except.is_empty() {
            problems.push(
                Problem::Needs {
                    key: "except",
                    needs: "role",
                }
                .at(path.key("except")),
            );
        }
        return;
    };
    one_of_known(
        "role",
        role,
        known_names.roles.keys().map(String::as_str),
        &path.key("role"),
        problems,
    );
    let Some(profiles) = known_names.roles.get(role) else {
        return;
    };
    for (profile, reason) in &subject.except {
        let path = path.key("except").key(profile);
        one_of_known(
            "profile of this role",
            profile,
            profiles.iter().map(String::as_str),
            &path,
            problems,
        );
        if reason.trim().is_empty() {
            problems.push(Problem::Empty("reason").at(path));
        }
    }
}
