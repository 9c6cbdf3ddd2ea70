//! The start of a case's daemons as a case of its own, for a saved state in which they are up. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expand::Variant;
use super::loaded::Loaded;
use super::model::{Case, Step};
use super::plan::AGENT;

/// The name of that case, which is the same for every case with these daemons.
const NAME: &str = "start-of-daemons";

/// Starts the daemons of a variant that say `saved`, and runs their `warm-up`; `None` if it has none.
pub fn start_of_daemons(variant: &Variant) -> Option<Variant> {
    let case = &variant.loaded.case;
    let subjects: BTreeMap<_, _> = case
        .subjects
        .iter()
        .filter(|(_, subject)| subject.daemon.as_ref().is_some_and(|daemon| daemon.saved))
        .map(|(name, subject)| (name.clone(), subject.clone()))
        .collect();
    if subjects.is_empty() {
        return None;
    }
    let mut steps = Vec::new();
    for (name, subject) in &subjects {
        steps.push(Step {
            by: name.clone(),
            start: Some("daemon".into()),
            ..Step::default()
        });
        let daemon = subject.daemon.as_ref()?;
        if !daemon.warm_up.is_empty() {
            steps.push(Step {
                by: AGENT.into(),
                run: Some(daemon.warm_up.clone()),
                timeout: daemon.timeout,
                ..Step::default()
            });
        }
    }
    let profiles = variant.profiles.iter();
    let profiles = profiles.filter(|(name, _)| subjects.contains_key(*name));
    Some(Variant {
        id: NAME.into(),
        variant: variant.variant.clone(),
        values: variant.values.clone(),
        profiles: profiles
            .map(|(name, chosen)| (name.clone(), chosen.clone()))
            .collect(),
        loaded: Loaded {
            case: Arc::new(Case {
                name: NAME.into(),
                summary: String::new(),
                origin: Vec::new(),
                needs: Vec::new(),
                subjects,
                with: Vec::new(),
                setup: Vec::new(),
                steps,
                cleanup: Vec::new(),
                guards: Vec::new(),
                mediates: Vec::new(),
                policy_loads: Default::default(),
                timeout: None,
                fresh: false,
                from: None,
                no_guard: None,
                slow: false,
            }),
            held: 0,
            ..variant.loaded.clone()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::earlier::Earlier;
    use crate::testing::evidence::Made;
    use crate::testing::reports::variant;

    fn with(daemon: &str) -> Variant {
        let mut made = Made::of(&["{as: agent, acct: off}"]);
        let subject = format!("{{role: daemon, daemon: {daemon}}}");
        let subjects = &mut made.expected.case.subjects;
        subjects.insert("s".into(), serde_yaml::from_str(&subject).unwrap());
        variant(&made, "c")
    }

    #[test]
    fn only_saved_daemons_are_started_and_then_warmed_up() {
        assert_eq!(start_of_daemons(&with("{argv: [/x], ready: /y}")), None);
        let start = with("{argv: [/x], ready: /y, timeout: 7, saved: true, warm-up: [/z, now]}");
        let start = start_of_daemons(&start).unwrap();
        let case = &start.loaded.case;
        assert_eq!(case.subjects.keys().collect::<Vec<_>>(), ["s"]);
        let steps: Vec<_> = case
            .steps
            .iter()
            .map(|step| (step.by.as_str(), &step.run))
            .collect();
        let warm_up = Some(vec!["/z".to_owned(), "now".to_owned()]);
        assert_eq!(steps, [("s", &None), (AGENT, &warm_up)]);
        assert_eq!(case.steps[0].start.as_deref(), Some("daemon"));
        assert_eq!(case.steps[1].timeout, Some(7));
    }

    #[test]
    fn all_cases_with_the_same_daemon_have_one_start_and_any_difference_makes_another() {
        let of = |daemon: &str, folder: &str| {
            let variant = start_of_daemons(&with(daemon)).unwrap();
            let start = Earlier { variant, steps: 0 };
            start.identity(&BTreeMap::from([("sbindir".into(), folder.into())]))
        };
        let one = of("{argv: [/x], ready: /y, saved: true}", "/usr/sbin");
        assert_eq!(one, of("{argv: [/x], ready: /y, saved: true}", "/usr/sbin"));
        for (daemon, folder) in [
            ("{argv: [/x, -v], ready: /y, saved: true}", "/usr/sbin"),
            ("{argv: [/x], ready: /y, saved: true, warm-up: [/z]}", "/usr/sbin"),
            ("{argv: [/x], ready: /y, saved: true}", "/sbin"),
        ] {
            assert_ne!(one, of(daemon, folder));
        }
    }
}
