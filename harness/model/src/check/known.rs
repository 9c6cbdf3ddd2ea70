//! Known failures: what an entry must say.

use crate::case::problem::{Located, Problem, exactly_one};
use crate::known::{KnownFailure, StepRef};
use crate::yaml::path::Path;

/// What is wrong with an entry; `steps` is how many steps its case has, where that is known.
pub fn known_failure(failure: &KnownFailure, steps: Option<usize>, path: &Path) -> Vec<Located> {
    let mut problems = Vec::new();
    let given = [
        ("denial", failure.denial.is_some()),
        ("effect", failure.effect.is_some()),
    ];
    exactly_one("a known failure", "denial, effect", &given, path, &mut problems);
    if failure.no_fix.is_some() {
        let stands = [
            ("no-fix", true),
            ("fix", !failure.fix.is_empty()),
            // What is denied a rule can grant.
            ("denial", failure.denial.is_some()),
        ];
        exactly_one(
            "a known failure",
            "no-fix, fix, denial",
            &stands,
            path,
            &mut problems,
        );
    }
    if let Some(denial) = &failure.denial {
        super::record(denial, &path.key("denial"), &mut problems);
    }
    let lists = [("images", &failure.images), ("sets", &failure.sets)];
    for (key, _) in lists.into_iter().filter(|(_, list)| list.is_empty()) {
        problems.push(Problem::Empty(key).at(path.key(key)));
    }
    let effect = failure.effect.as_deref().unwrap_or("given elsewhere");
    for (key, text) in [
        ("no-fix", failure.no_fix.as_deref().unwrap_or("not given")),
        ("effect", effect),
        ("reason", &failure.reason),
        ("link", &failure.link),
    ] {
        if text.trim().is_empty() {
            problems.push(Problem::Empty(key).at(path.key(key)));
        }
    }
    if let (StepRef::Index(index), Some(steps)) = (failure.step, steps)
        && index >= steps
    {
        let wanted = "the index of a step of this case, counted from 0 over `setup` and `steps`";
        problems.push(
            Problem::NotA {
                text: index.to_string(),
                wanted,
            }
            .at(path.key("step")),
        );
    }
    problems
}
