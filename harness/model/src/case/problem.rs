//! Errors in a case beyond its form.

use super::names;
use crate::yaml::path::Path;
use crate::yaml::suggest;

/// A rule that a case breaks. The message says what is wrong, and [`Problem::help`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An unknown name.
    #[error("unknown {what} `{name}`")]
    Unknown {
        /// What it should name, such as `fixture`.
        what: &'static str,
        /// As written.
        name: String,
        /// The known names.
        known: Vec<String>,
    },
    /// A key that no AppArmor record has.
    #[error("the kernel writes no key `{0}`")]
    UnknownRecordKey(String),
    /// A name of the wrong form.
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
    /// A name that already has another meaning.
    #[error("the {what} cannot be called `{name}`: that is the name of {taken}")]
    Taken {
        /// What it names.
        what: &'static str,
        /// As written.
        name: String,
        /// What already has the name.
        taken: &'static str,
    },
    /// A subject without a process.
    #[error("no step is by the subject `{0}`, or acts on it, so it never runs")]
    UnusedSubject(String),
    /// A list or text that must hold something.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// Exactly one of several keys is needed.
    #[error("{what} needs exactly one of {keys}, and has {}", list(found))]
    OneOf {
        /// What needs it.
        what: &'static str,
        /// The keys, `without, add`.
        keys: &'static str,
        /// The keys that are given.
        found: Vec<&'static str>,
    },
    /// At least one of several keys is needed.
    #[error("{what} needs at least one of {keys}")]
    NoneOf {
        /// What needs it.
        what: &'static str,
        /// The keys, `denial, effect`.
        keys: &'static str,
    },
    /// A key that needs another key.
    #[error("`{key}` needs {}", needed(needs))]
    Needs {
        /// The key that is given.
        key: &'static str,
        /// The key that is missing.
        needs: &'static str,
    },
    /// Two keys that contradict each other.
    #[error("`{key}` has no meaning with `{beside}`")]
    Beside {
        /// The key that must go.
        key: &'static str,
        /// The key that it contradicts.
        beside: &'static str,
    },
    /// A text that is not the expected number.
    #[error("`{text}` is not {wanted}")]
    NotA {
        /// The text with templates filled in.
        text: String,
        /// What is expected: `a whole number`…
        wanted: &'static str,
    },
    /// A step that could be green without having done anything.
    #[error("this step could succeed without having done the thing: {why}")]
    NoEffect {
        /// How it could succeed.
        why: &'static str,
        /// What would show its effect.
        remedy: &'static str,
    },
    /// `checked-by-next` on a step whose next step checks nothing.
    #[error(
        "`checked-by-next` needs a step after this one, `as: agent`, that reads what this one did: a `file` with an `expect`, or a program whose `stdout` or `stderr` must say something"
    )]
    NothingChecks,
    /// No step is confined.
    #[error("no step is done by a subject, so nothing here is confined")]
    NobodyConfined,
    /// A denial expected of the agent, which is unconfined.
    #[error("the agent is unconfined and cannot be denied anything")]
    AgentDenied,
    /// A step by a daemon.
    #[error("a daemon takes no orders once it is started")]
    DaemonActs,
    /// A positive step without a guard.
    #[error("the case has no guard, so nothing proves that it can turn red")]
    NoGuard,
    /// A `denied` step without a guard that adds a rule.
    #[error(
        "the case has a `denied` step and no guard that adds a rule, so nothing proves that the rule is what denies it"
    )]
    NoAddGuard,
    /// The program knows no kernel feature that shows whether this rule's class is mediated.
    #[error(
        "this program does not know the class of the rule `{0}`, so it cannot tell whether a kernel mediates it"
    )]
    UnknownRuleClass(String),
    /// More than one subject could be meant.
    #[error("several subjects have a role; say whose profile this guard changes")]
    AmbiguousGuard,
    /// Entries of `with` whose keys differ.
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
    /// `from` with a case of several variants.
    #[error("a case cannot begin where the {what} `{name}` ends: that one has variants (`with`)")]
    HasVariants {
        /// What it names.
        what: &'static str,
        /// As written.
        name: String,
    },
    /// Cases that begin with one another.
    #[error("by way of `{0}`, this case begins with itself")]
    Circle(String),
    /// A step that does not say who performs it.
    #[error("the step does not say who performs it")]
    NobodyActs,
    /// Both guards and a reason to have none.
    #[error("the case has guards, so `no-guard` is wrong")]
    NotWithoutGuard,
    /// A size within the subject's limit of locked memory.
    #[error(
        "{bytes} bytes are within the subject's limit of locked memory, so this succeeds without any capability"
    )]
    WithinLimit {
        /// The requested size.
        bytes: u64,
    },
    /// An unknown template.
    #[error("unknown template `{{{key}}}`")]
    UnknownTemplate {
        /// As written.
        key: String,
        /// The known templates.
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
            Self::NoGuard => fixed(
                "add to `guards` the permission that the case needs: `without: {…}` with its `denial`; if no single rule \
                 answers for it, say why in `no-guard`",
            ),
            Self::NobodyActs => fixed("say `as: SUBJECT` or `as: agent`"),
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
    /// Whether the key at the place is wrong, rather than its value.
    pub fn is_about_key(&self) -> bool {
        matches!(
            self,
            Self::Beside { .. } | Self::Needs { .. } | Self::UnknownRecordKey(_)
        )
    }

    /// The wrong text, if the problem is about a text.
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
    /// Attaches the problem to a place.
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
/// Whether exactly one of the keys is given. If not, adds that to `problems`.
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

/// Quotes a key, but not a description.
fn needed(needs: &str) -> String {
    if needs.contains(' ') {
        needs.to_owned()
    } else {
        format!("`{needs}`")
    }
}
