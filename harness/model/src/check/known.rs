//! Known failures: what an entry must say.

use crate::case::problem::{Located, Problem, exactly_one};
use crate::known::{KnownFailure, StepRef};
use crate::yaml::path::Path;

/// What is wrong with an entry; `steps` is the number of steps of its case, if known.
pub fn known_failure(failure: &KnownFailure, steps: Option<usize>, path: &Path) -> Vec<Located> {
    let mut problems = Vec::new();
    if failure.denial.is_none() && failure.effect.0.is_empty() {
        problems.push(
            Problem::NoneOf {
                what: "a known failure",
                keys: "denial, effect",
            }
            .at(path.clone()),
        );
    }
    if failure.no_fix.is_some() {
        let stands = [
            ("no-fix", true),
            ("fix", !failure.fix.is_empty()),
            // A rule can grant what is denied.
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
    let one = failure.effect.0.len() == 1;
    for (index, _) in failure
        .effect
        .0
        .iter()
        .enumerate()
        .filter(|(_, text)| text.trim().is_empty())
    {
        let effect = path.key("effect");
        let at = if one { effect } else { effect.index(index) };
        problems.push(Problem::Empty("effect").at(at));
    }
    for (key, text) in [
        ("no-fix", failure.no_fix.as_deref().unwrap_or("not given")),
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
