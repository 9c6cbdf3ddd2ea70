//! The verdict on one case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use virt_aa_probe::protocol::{CaseEvidence, CasePlan};

use super::complete;
use super::expected::Expected;
use super::mediation::{in_use, mediated};
use super::policy::Policy;
use super::records::{Attributed, Attribution, Class, attribute};
use super::steps::{Finding, findings};
use crate::case::model::RecordMatch;
use crate::denial::matches;
use crate::known::{KnownFailure, StepRef};

/// The verdict on a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The case holds, and the evidence is complete.
    Pass,
    /// The case does not hold.
    Fail,
    /// The evidence is incomplete.
    Inconclusive,
    /// This kernel does not mediate what the case is about.
    Vacuous,
    /// The case fails as a known failure describes.
    KnownFailure,
    /// A known failure no longer occurs.
    UnexpectedPass,
    /// The case was not run.
    Skip,
    /// The harness or the machine broke.
    Error,
}

impl Verdict {
    /// Every verdict, in the order in which reports list them.
    pub const ALL: [Verdict; 8] = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::Inconclusive,
        Verdict::Vacuous,
        Verdict::KnownFailure,
        Verdict::UnexpectedPass,
        Verdict::Skip,
        Verdict::Error,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Vacuous => "vacuous",
            Verdict::KnownFailure => "known-failure",
            Verdict::UnexpectedPass => "unexpected-pass",
            Verdict::Skip => "skip",
            Verdict::Error => "error",
        }
    }

    /// Whether a run with this verdict can end with status 0.
    pub fn is_green(self) -> bool {
        !matches!(
            self,
            Verdict::Fail | Verdict::Inconclusive | Verdict::Error | Verdict::UnexpectedPass
        )
    }
}

/// Where something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingLocation {
    /// A step: `setup` and `steps` counted together, from 0.
    Step(usize),
    /// A cleanup step, from 0.
    Cleanup(usize),
    /// No step in particular.
    Case,
}

/// A verdict with what it rests on.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One line, for everything but a pass.
    pub reason: Option<String>,
    /// What is wrong, in order.
    pub findings: Vec<(FindingLocation, Finding)>,
    /// Gaps in the evidence.
    pub gaps: Vec<String>,
    /// The attributed records, without those of the canary.
    pub records: Vec<Attributed>,
    /// Records of others on a host, as the kernel wrote them.
    pub foreign: Vec<String>,
}

impl Judgement {
    fn new(verdict: Verdict, reason: Option<String>, found: Found) -> Judgement {
        Judgement {
            verdict,
            reason,
            findings: found.findings,
            gaps: found.gaps,
            records: found.attribution.records,
            foreign: found.attribution.foreign,
        }
    }

    /// Why the case does not count as one in which nothing was denied: it does not pass, or a `deny` rule denied something,
    /// which a report must show.
    pub fn why_not_silent(&self) -> Option<String> {
        let reason = || {
            self.reason
                .clone()
                .unwrap_or_else(|| self.verdict.name().to_owned())
        };
        let quieted = self
            .records
            .iter()
            .find(|record| matches!(record.class, Class::Quieted(_)));
        match self.verdict {
            Verdict::Pass => quieted.map(|record| format!("denied on purpose: {}", record.text)),
            _ => Some(reason()),
        }
    }

    /// Adds gaps that were found after the verdict. A green verdict becomes inconclusive.
    pub fn add_gaps(&mut self, gaps: Vec<String>) {
        let Some(first) = gaps.first() else { return };
        if self.verdict.is_green() {
            self.verdict = Verdict::Inconclusive;
            self.reason = Some(first.clone());
        }
        self.gaps.extend(gaps);
    }

    /// Whether the known failure occurs.
    pub fn shows(&self, known: &KnownFailure) -> bool {
        occurs(known, &self.findings, &self.records)
    }

    /// The first finding in one line, with its step.
    fn first_line(findings: &[(FindingLocation, Finding)], records: &[Attributed]) -> Option<String> {
        let (place, finding) = findings.first()?;
        let text = finding.text(records);
        Some(match place {
            FindingLocation::Step(index) => format!("step {index}: {text}"),
            FindingLocation::Cleanup(index) => format!("cleanup step {index}: {text}"),
            FindingLocation::Case => text,
        })
    }
}

struct Found {
    findings: Vec<(FindingLocation, Finding)>,
    gaps: Vec<String>,
    attribution: Attribution,
}

/// Judges a case. `known` are its known failures on this image and set.
pub fn judge(
    expected: &Expected,
    plan: &CasePlan,
    evidence: &CaseEvidence,
    policy: &Policy,
    known: &[&KnownFailure],
) -> Judgement {
    let attribution = attribute(evidence, policy, expected.held);
    let mut gaps = complete::gaps(evidence, plan, expected, policy, &attribution);
    let findings = find(expected, evidence, &attribution.records);
    if findings.is_empty() {
        gaps.extend(complete::gaps_of_a_pass(evidence, expected, &attribution));
    }
    let found = Found {
        findings,
        gaps,
        attribution,
    };
    let (verdict, reason) = conclude(expected, plan, evidence, policy, known, &found);
    Judgement::new(verdict, reason, found)
}

fn conclude(
    expected: &Expected,
    plan: &CasePlan,
    evidence: &CaseEvidence,
    policy: &Policy,
    known: &[&KnownFailure],
    found: &Found,
) -> (Verdict, Option<String>) {
    let records = &found.attribution.records;
    let broken = found.findings.iter().find(|(place, finding)| {
        matches!(finding, Finding::Broken(_)) || matches!(place, FindingLocation::Cleanup(_))
    });
    if let Some(broken) = broken {
        return (
            Verdict::Error,
            Judgement::first_line(std::slice::from_ref(broken), records),
        );
    }
    if let Some(gap) = found.gaps.first() {
        let more = found.gaps.len() - 1;
        let more = if more == 0 {
            String::new()
        } else {
            format!(" (and {more} more)")
        };
        return (Verdict::Inconclusive, Some(format!("{gap}{more}")));
    }
    let next = expected.next_step(evidence);
    if next < plan.steps.len() && found.findings.is_empty() {
        return (
            Verdict::Inconclusive,
            Some(format!("step {next} was not reached")),
        );
    }
    // Without mediation there can be no denial. So if only denials are missing, that is not a failure.
    let only_undenied = found
        .findings
        .iter()
        .all(|(_, finding)| matches!(finding, Finding::NotDenied(_)));
    if only_undenied && says_nothing(expected, policy) {
        return (
            Verdict::Vacuous,
            Some("this kernel or policy does not mediate what the case is about".into()),
        );
    }
    let reason = Judgement::first_line(&found.findings, records);
    if known.is_empty() {
        let verdict = if found.findings.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Fail
        };
        return (verdict, reason);
    }
    if let Some(gone) = known
        .iter()
        .find(|known| !occurs(known, &found.findings, records))
    {
        let verdict = if found.findings.is_empty() {
            Verdict::UnexpectedPass
        } else {
            Verdict::Fail
        };
        return (
            verdict,
            Some(format!(
                "a known failure no longer occurs: {} ({})",
                gone.reason, gone.link
            )),
        );
    }
    let covered = |(place, finding): &(FindingLocation, Finding)| {
        known.iter().any(|known| is(known, *place, finding, records))
    };
    match found.findings.iter().find(|finding| !covered(finding)) {
        Some(other) => (
            Verdict::Fail,
            Judgement::first_line(std::slice::from_ref(other), records),
        ),
        None => (
            Verdict::KnownFailure,
            known
                .first()
                .map(|known| format!("{} ({})", known.reason, known.link)),
        ),
    }
}

/// Point 9: whether the kernel, with the policy as compiled, mediates none of what the case is about.
fn says_nothing(expected: &Expected, policy: &Policy) -> bool {
    let guarded = expected.guarded();
    let named = &expected.case.mediates;
    let mut profiles: Vec<_> = expected
        .profiles
        .values()
        .map(|of| Some(of.profile.as_str()))
        .collect();
    if profiles.is_empty() {
        profiles.push(None);
    }
    let is_in_use = |class: &String| profiles.iter().any(|profile| in_use(class, policy, *profile));
    let no_guarded = !guarded.is_empty()
        && guarded
            .iter()
            .all(|(access, profile)| !mediated(access, policy, *profile));
    let no_named = !named.is_empty() && !named.iter().any(is_in_use);
    no_guarded || no_named
}

/// Whether everything that a known failure names occurs among the findings.
fn occurs(known: &KnownFailure, findings: &[(FindingLocation, Finding)], records: &[Attributed]) -> bool {
    let mut signs = signs(known).peekable();
    // An entry that names nothing excuses nothing. `check` refuses it, but a bundle can contain it.
    signs.peek().is_some()
        && signs.all(|sign| {
            let mut findings = findings.iter();
            findings.any(|(place, finding)| sign.is_in(known.step, *place, finding, records))
        })
}

/// Whether a finding is one that a known failure names.
fn is(known: &KnownFailure, place: FindingLocation, finding: &Finding, records: &[Attributed]) -> bool {
    signs(known).any(|sign| sign.is_in(known.step, place, finding, records))
}

/// One thing by which a known failure shows.
enum Sign<'k> {
    Denial(&'k RecordMatch),
    Effect(&'k str),
}

fn signs(known: &KnownFailure) -> impl Iterator<Item = Sign<'_>> {
    let denial = known.denial.iter().map(Sign::Denial);
    denial.chain(known.effect.0.iter().map(|text| Sign::Effect(text)))
}

impl Sign<'_> {
    fn is_in(
        &self,
        step: StepRef,
        place: FindingLocation,
        finding: &Finding,
        records: &[Attributed],
    ) -> bool {
        let here = match step {
            StepRef::All => true,
            StepRef::Index(index) => place == FindingLocation::Step(index),
        };
        here && match (self, finding) {
            (Sign::Denial(denial), Finding::Denial(index)) => matches(denial, &records[*index].record),
            (Sign::Denial(_), _) | (Sign::Effect(_), Finding::Denial(_)) => false,
            (Sign::Effect(text), other) => other.text(records).contains(text),
        }
    }
}

fn find(
    expected: &Expected,
    evidence: &CaseEvidence,
    records: &[Attributed],
) -> Vec<(FindingLocation, Finding)> {
    let mut all = Vec::new();
    let indices = |wanted: Option<usize>| -> Vec<usize> {
        (0..records.len())
            .filter(|index| records[*index].step == wanted)
            .collect()
    };
    for (index, step, done) in expected.reached(evidence) {
        let label = expected.label_of(&step.by).unwrap_or("unconfined");
        let found = findings(step, &done.outcome, &indices(Some(index)), records, label);
        all.extend(
            found
                .into_iter()
                .map(|finding| (FindingLocation::Step(index), finding)),
        );
    }
    // The records count cleanup steps after the steps that were reached.
    for (index, (step, done)) in expected.case.cleanup.iter().zip(&evidence.cleanup).enumerate() {
        let own = indices(Some(expected.next_step(evidence) + index));
        let found = findings(step, &done.outcome, &own, records, "unconfined");
        all.extend(
            found
                .into_iter()
                .map(|finding| (FindingLocation::Cleanup(index), finding)),
        );
    }
    let late = indices(None)
        .into_iter()
        .filter(|index| records[*index].class == super::records::Class::Red);
    all.extend(late.map(|index| (FindingLocation::Case, Finding::Denial(index))));
    all
}
