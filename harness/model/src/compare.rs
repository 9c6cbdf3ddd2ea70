//! Two runs of the same cases with two profile sets: what differs, and whether the second set is worse. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::case_run::CaseRun;
use crate::guard::findings_of;
use crate::verdict::identity::NOT_DENIED;
use crate::verdict::judge::{FindingLocation, Verdict};

/// How a case differs from its result with the base set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An act that must be denied is no longer denied.
    Allows,
    /// It was green and is red.
    Broke,
    /// It was red and has new findings.
    MoreRed,
    /// It could not run with the base set, and it is red.
    NewRed,
    /// It was green and is no longer tested at all.
    Untested,
    /// No comparison is possible: one of the two has incomplete evidence, or its machine broke.
    Unknown,
    /// It was red and is green.
    Mended,
    /// It could not run with the base set, and it is green or fails as known.
    New,
    /// It was red, and it is red by something else later or can no longer run.
    Otherwise,
}

impl Kind {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Allows => "allows",
            Kind::Broke => "broke",
            Kind::MoreRed => "more-red",
            Kind::NewRed => "new-red",
            Kind::Untested => "untested",
            Kind::Unknown => "unknown",
            Kind::Mended => "mended",
            Kind::New => "new",
            Kind::Otherwise => "otherwise",
        }
    }

    /// Whether the difference makes the other set worse than the base.
    pub fn is_worse(self) -> bool {
        matches!(
            self,
            Kind::Allows | Kind::Broke | Kind::MoreRed | Kind::NewRed | Kind::Untested
        )
    }
}

/// The parts of a case's result that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// [`Variant::key`](crate::case::expand::Variant::key).
    pub key: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Its findings with their locations, without details that differ from run to run.
    pub findings: BTreeSet<(FindingLocation, String)>,
    /// The number of the first of its steps that was not reached.
    pub steps: usize,
}

impl CaseResult {
    /// The result of a case, whether it ran or not.
    pub fn of(run: &CaseRun) -> CaseResult {
        let judgement = run.ran.as_ref().map(|ran| &ran.judgement);
        let findings = judgement.map(findings_of);
        CaseResult {
            key: run.variant.key(),
            verdict: run.verdict,
            findings: findings.unwrap_or_default(),
            steps: run
                .ran
                .as_ref()
                .map_or(0, |ran| ran.expected.next_step(&ran.evidence)),
        }
    }

    fn allows(&self, place: FindingLocation) -> bool {
        self.findings.contains(&(place, NOT_DENIED.to_owned()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Green,
    Red,
    NotRun,
    Unsure,
}

fn state(seen: Option<&CaseResult>) -> State {
    match seen.map(|seen| seen.verdict) {
        Some(Verdict::Pass | Verdict::UnexpectedPass) => State::Green,
        Some(Verdict::Fail | Verdict::KnownFailure) => State::Red,
        Some(Verdict::Skip | Verdict::Vacuous) | None => State::NotRun,
        Some(Verdict::Inconclusive | Verdict::Error) => State::Unsure,
    }
}

/// The cases that differ and how, by their keys.
pub fn compare(base: &[CaseResult], other: &[CaseResult]) -> BTreeMap<String, Kind> {
    let by_key = |all: &[CaseResult]| -> BTreeMap<String, CaseResult> {
        all.iter().map(|seen| (seen.key.clone(), seen.clone())).collect()
    };
    let (base, other) = (by_key(base), by_key(other));
    let keys: BTreeSet<&String> = base.keys().chain(other.keys()).collect();
    let kinds = keys
        .into_iter()
        .filter_map(|key| Some((key.clone(), kind(base.get(key), other.get(key))?)));
    kinds.collect()
}

fn kind(base: Option<&CaseResult>, other: Option<&CaseResult>) -> Option<Kind> {
    let red = |kind: Kind| {
        let allows = other.is_some_and(|other| {
            let mut places = other.findings.iter().map(|(place, _)| *place);
            places.any(|place| other.allows(place) && !base.is_some_and(|base| base.allows(place)))
        });
        if allows { Kind::Allows } else { kind }
    };
    Some(match (state(base), state(other)) {
        (State::Unsure, _) | (_, State::Unsure) => Kind::Unknown,
        (State::Green, State::Green) | (State::NotRun, State::NotRun) => return None,
        (State::Green, State::Red) => red(Kind::Broke),
        (State::Green, State::NotRun) => Kind::Untested,
        (State::Red, State::Green) => Kind::Mended,
        (State::Red, State::NotRun) => Kind::Otherwise,
        (State::NotRun, State::Green) => Kind::New,
        (State::NotRun, State::Red) if other.is_some_and(|other| other.verdict == Verdict::KnownFailure) => {
            Kind::New
        }
        (State::NotRun, State::Red) => red(Kind::NewRed),
        (State::Red, State::Red) => {
            let (base, other) = (base?, other?);
            if base.findings == other.findings {
                return None;
            }
            // Steps that the base did not reach do not count against the other set.
            let reached = |place: &FindingLocation| match place {
                FindingLocation::Step(index) => *index < base.steps,
                FindingLocation::Cleanup(_) | FindingLocation::Case => true,
            };
            let more = other.findings.difference(&base.findings);
            if more.into_iter().any(|(place, _)| reached(place)) {
                red(Kind::MoreRed)
            } else {
                Kind::Otherwise
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn seen(verdict: Verdict, findings: &[(usize, &str)], steps: usize) -> CaseResult {
        let place = |(step, text): &(usize, &str)| (FindingLocation::Step(*step), (*text).to_owned());
        CaseResult {
            key: "c@d=p".into(),
            verdict,
            findings: findings.iter().map(place).collect(),
            steps,
        }
    }

    fn compared(base: Option<CaseResult>, other: Option<CaseResult>) -> Option<Kind> {
        let all = |seen: Option<CaseResult>| seen.into_iter().collect::<Vec<_>>();
        compare(&all(base), &all(other)).remove("c@d=p")
    }

    const A: &[(usize, &str)] = &[(0, "denied a")];

    #[rstest]
    #[case(Verdict::Pass, &[], Verdict::Pass, &[], None)]
    #[case(Verdict::Pass, &[], Verdict::UnexpectedPass, &[], None)]
    #[case(Verdict::Pass, &[], Verdict::Fail, A, Some(Kind::Broke))]
    #[case(Verdict::Pass, &[], Verdict::KnownFailure, A, Some(Kind::Broke))]
    #[case(Verdict::Pass, &[], Verdict::Fail, &[(0, NOT_DENIED)], Some(Kind::Allows))]
    #[case(Verdict::Pass, &[], Verdict::Skip, &[], Some(Kind::Untested))]
    #[case(Verdict::Pass, &[], Verdict::Vacuous, &[], Some(Kind::Untested))]
    #[case(Verdict::Pass, &[], Verdict::Inconclusive, &[], Some(Kind::Unknown))]
    #[case(Verdict::Pass, &[], Verdict::Error, &[], Some(Kind::Unknown))]
    #[case(Verdict::Inconclusive, &[], Verdict::Pass, &[], Some(Kind::Unknown))]
    #[case(Verdict::Fail, A, Verdict::Pass, &[], Some(Kind::Mended))]
    #[case(Verdict::KnownFailure, A, Verdict::UnexpectedPass, &[], Some(Kind::Mended))]
    #[case(Verdict::Fail, A, Verdict::KnownFailure, A, None)]
    #[case(Verdict::Fail, A, Verdict::Skip, &[], Some(Kind::Otherwise))]
    #[case(Verdict::Skip, &[], Verdict::Pass, &[], Some(Kind::New))]
    #[case(Verdict::Skip, &[], Verdict::Fail, A, Some(Kind::NewRed))]
    #[case(Verdict::Skip, &[], Verdict::KnownFailure, A, Some(Kind::New))]
    #[case(Verdict::Skip, &[], Verdict::Vacuous, &[], None)]
    // The base stopped at step 0, so nothing is known about later steps there.
    #[case(Verdict::Fail, A, Verdict::Fail, &[(1, "denied b")], Some(Kind::Otherwise))]
    #[case(Verdict::Fail, A, Verdict::Fail, &[(0, "denied b")], Some(Kind::MoreRed))]
    #[case(Verdict::Fail, A, Verdict::Fail, &[(0, "denied a"), (0, "denied b")], Some(Kind::MoreRed))]
    #[case(Verdict::Fail, A, Verdict::Fail, &[(0, NOT_DENIED)], Some(Kind::Allows))]
    #[case(Verdict::Fail, &[(0, "denied a"), (0, "denied b")], Verdict::Fail, A, Some(Kind::Otherwise))]
    #[case(Verdict::Fail, &[(0, NOT_DENIED)], Verdict::Fail, &[(0, NOT_DENIED), (0, "denied a")], Some(Kind::MoreRed))]
    fn each_pair_of_verdicts_has_its_meaning(
        #[case] base: Verdict,
        #[case] base_findings: &[(usize, &str)],
        #[case] other: Verdict,
        #[case] other_findings: &[(usize, &str)],
        #[case] want: Option<Kind>,
    ) {
        let base = seen(base, base_findings, 1);
        let other = seen(other, other_findings, 2);
        assert_eq!(compared(Some(base), Some(other)), want);
    }

    #[test]
    fn a_case_that_one_of_them_does_not_have_was_not_run_there() {
        let case = |verdict| Some(seen(verdict, &[], 1));
        assert_eq!(compared(case(Verdict::Pass), None), Some(Kind::Untested));
        assert_eq!(compared(case(Verdict::Skip), None), None);
        assert_eq!(compared(None, case(Verdict::Pass)), Some(Kind::New));
        assert_eq!(compared(None, case(Verdict::Fail)), Some(Kind::NewRed));
    }

    #[rstest]
    fn its_name_is_that_of_the_json(
        #[values(
            Kind::Allows,
            Kind::Broke,
            Kind::MoreRed,
            Kind::NewRed,
            Kind::Untested,
            Kind::Unknown,
            Kind::Mended,
            Kind::New,
            Kind::Otherwise
        )]
        kind: Kind,
    ) {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }

    #[test]
    fn what_makes_a_set_worse() {
        let all = [
            (Kind::Allows, true),
            (Kind::Broke, true),
            (Kind::MoreRed, true),
            (Kind::NewRed, true),
            (Kind::Untested, true),
            (Kind::Unknown, false),
            (Kind::Mended, false),
            (Kind::New, false),
            (Kind::Otherwise, false),
        ];
        for (kind, worse) in all {
            assert_eq!(kind.is_worse(), worse, "{}", kind.name());
        }
    }
}
