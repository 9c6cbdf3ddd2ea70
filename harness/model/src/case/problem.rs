//! What can be wrong with a case beyond its form.

use super::names;
use crate::yaml::path::Path;
use crate::yaml::suggest;

/// A rule that a case breaks; the message says what, [`Problem::help`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A name that nothing has.
    #[error("unknown {what} `{name}`")]
    Unknown {
        /// What it should be, `fixture`.
        what: &'static str,
        /// As written.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A key that no AppArmor record has.
    #[error("the kernel writes no key `{0}`")]
    UnknownRecordKey(String),
    /// Not of the form of a name.
    #[error("the {what} `{name}` is not lower-case words joined by `-`")]
    BadName {
        /// What it names.
        what: &'static str,
        /// As written.
        name: String,
    },
    /// A name used twice.
    #[error("the {what} `{name}` is used twice")]
    Twice {
        /// What it names.
        what: &'static str,
        /// As written.
        name: String,
    },
    /// A name that templates read as something else.
    #[error("the {what} cannot be called `{name}`: that is the name of {taken}")]
    Taken {
        /// What it names.
        what: &'static str,
        /// As written.
        name: String,
        /// Whose name it is.
        taken: &'static str,
    },
    /// A subject without a process.
    #[error("no step is by the subject `{0}`, or acts on it, so it never runs")]
    UnusedSubject(String),
    /// A list or text that must hold something.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// One of several keys is needed, and no more.
    #[error("{what} needs exactly one of {keys}, and has {}", list(found))]
    OneOf {
        /// What needs it.
        what: &'static str,
        /// The keys, `without, add`.
        keys: &'static str,
        /// Those that are there.
        found: Vec<&'static str>,
    },
    /// One of several keys is needed, or more.
    #[error("{what} needs at least one of {keys}")]
    NoneOf {
        /// What needs it.
        what: &'static str,
        /// The keys, `denial, effect`.
        keys: &'static str,
    },
    /// A key that needs another.
    #[error("`{key}` needs {}", needed(needs))]
    Needs {
        /// The key that is there.
        key: &'static str,
        /// The one that is not.
        needs: &'static str,
    },
    /// Two keys that contradict each other.
    #[error("`{key}` has no meaning with `{beside}`")]
    Beside {
        /// The key that must go.
        key: &'static str,
        /// The one that makes it so.
        beside: &'static str,
    },
    /// A text that is not the number wanted.
    #[error("`{text}` is not {wanted}")]
    NotA {
        /// As it stands once templates are filled in.
        text: String,
        /// `a whole number`…
        wanted: &'static str,
    },
    /// A step could be green without having done anything.
    #[error("this step could succeed without having done the thing: {why}")]
    NoEffect {
        /// How.
        why: &'static str,
        /// What would show its effect.
        remedy: &'static str,
    },
    /// `checked-by-next`, and the next step checks nothing.
    #[error(
        "`checked-by-next` needs a step after this one, `as: agent`, that reads what this one did: a `file` with an `expect`, or a program whose `stdout` or `stderr` must say something"
    )]
    NothingChecks,
    /// No step is confined.
    #[error("no step is done by a subject, so nothing here is confined")]
    NobodyConfined,
    /// The agent is unconfined.
    #[error("the agent is unconfined and cannot be denied anything")]
    AgentDenied,
    /// A step of a daemon's.
    #[error("a daemon takes no orders once it is started")]
    DaemonActs,
    /// A positive step without a guard.
    #[error("the case has no guard, so nothing proves that it can turn red")]
    NoGuard,
    /// Isolation unproven.
    #[error(
        "the case has a `denied` step and no guard that adds a rule, so nothing proves that the rule is what denies it"
    )]
    NoAddGuard,
    /// The program knows no feature of a kernel by which it could tell whether this rule's class is mediated.
    #[error(
        "this program does not know the class of the rule `{0}`, so it cannot tell whether a kernel mediates it"
    )]
    UnknownRuleClass(String),
    /// More than one subject could be meant.
    #[error("several subjects have a role; say whose profile this guard changes")]
    AmbiguousGuard,
    /// Lengths differ between entries of `with`.
    #[error(
        "the entries of `with` do not have the same keys: this one {}",
        difference(lacks, extra)
    )]
    UnevenWith {
        /// Keys of the first entry that this one lacks.
        lacks: Vec<String>,
        /// Keys that the first lacks.
        extra: Vec<String>,
    },
    /// A limit that is no limit.
    #[error(
        "{bytes} bytes are within the subject's limit of locked memory, so this succeeds without any capability"
    )]
    WithinLimit {
        /// The size asked for.
        bytes: u64,
    },
    /// A template that nothing fills in.
    #[error("unknown template `{{{key}}}`")]
    UnknownTemplate {
        /// As written.
        key: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A rule text that the parser would not take.
    #[error("a rule ends with a comma")]
    NoComma,
}

impl Problem {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let fixed = |text: &str| Some(text.to_owned());
        match self {
            Self::Unknown { name, known, .. } => suggest::help(name, known.iter().map(String::as_str)),
            Self::UnknownTemplate { key, known } => suggest::help(key, known.iter().map(String::as_str)),
            Self::UnknownRecordKey(name) => suggest::help(name, names::RECORD_KEYS.iter().copied()),
            Self::Twice { what, .. } => Some(format!("each {what} must be another")),
            Self::NoEffect { remedy, .. } => fixed(remedy),
            Self::NoGuard => {
                fixed("add to `guards` the access that the case protects: `without: {…}` with its `denial`")
            }
            Self::NoAddGuard => fixed("add a guard `add: \"RULE,\"` by which the denied step would succeed"),
            Self::UnusedSubject(_) => fixed("take it out, or say `as:` it in a step"),
            Self::UnknownRuleClass(_) => {
                fixed("write the rule as it would stand in a profile, its own word first")
            }
            Self::AmbiguousGuard => fixed("add `of: SUBJECT`"),
            Self::AgentDenied => fixed("say by which subject: `as: SUBJECT`"),
            Self::DaemonActs => fixed("say `start: daemon`, or let `as: agent` ask it for something"),
            Self::WithinLimit { .. } => fixed("give the subject a `memlock` below that"),
            Self::NobodyConfined => fixed("let at least one of `steps` be `as:` a subject"),
            Self::NoComma => fixed("write it as it would stand in the profile"),
            _ => None,
        }
    }
}

impl Problem {
    /// Whether the key at the place is wrong, and not its value.
    pub fn is_about_key(&self) -> bool {
        matches!(
            self,
            Self::Beside { .. } | Self::Needs { .. } | Self::UnknownRecordKey(_)
        )
    }

    /// The text that is wrong, where it is one.
    pub fn text(&self) -> &str {
        match self {
            Self::Unknown { name: text, .. } | Self::NotA { text, .. } => text,
            _ => "",
        }
    }
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Located {
    /// The place in the case.
    pub path: Path,
    /// What is wrong there.
    pub problem: Problem,
}

impl Problem {
    /// This problem at a place.
    pub fn at(self, path: Path) -> Located {
        Located { path, problem: self }
    }
}

fn list(found: &[&str]) -> String {
    if found.is_empty() {
        "none".to_owned()
    } else {
        found.join(", ")
    }
}

fn difference(lacks: &[String], extra: &[String]) -> String {
    let part =
        |verb: &str, keys: &[String]| (!keys.is_empty()).then(|| format!("{verb} {}", keys.join(", ")));
    [part("lacks", lacks), part("has also", extra)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}
/// Whether just one of the keys is there; says so in `problems` if not.
pub fn exactly_one(
    what: &'static str,
    keys: &'static str,
    given: &[(&'static str, bool)],
    path: &Path,
    problems: &mut Vec<Located>,
) -> bool {
    let found: Vec<&'static str> = given
        .iter()
        .filter_map(|(key, given)| given.then_some(*key))
        .collect();
    if found.len() == 1 {
        return true;
    }
    problems.push(Problem::OneOf { what, keys, found }.at(path.clone()));
    false
}

/// A key is quoted, a description is not.
fn needed(needs: &str) -> String {
    if needs.contains(' ') {
        needs.to_owned()
    } else {
        format!("`{needs}`")
    }
}
