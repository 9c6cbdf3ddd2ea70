//! Builds the report of a case: each finding with its sentence, its record, and its place in the policy.

use std::collections::BTreeMap;

use aa_policy::{Location, Request, deny_covers, grants, insertion_point};

use super::model::{CaseReport, CaseSource, FindingKind, FindingReport, OnPurpose, PlaceKind, PolicyPlace};
use crate::advice;
use crate::case::expand::SubjectProfile;
use crate::case::model::{Case, RecordMatch, Scalar};
use crate::case_run::{CaseRun, Ran, profile_of};
use crate::denial::request_of;
use crate::profile_set::POLICY_DIR;
use crate::shell::quoted;
use crate::verdict::judge::FindingLocation;
use crate::verdict::once::{self, once};
use crate::verdict::policy::Policy;
use crate::verdict::records::{Attributed, Class};
use crate::verdict::steps::Finding;
use crate::verdict::summary::{Evidence, Guards};

/// Returns which guards of a variant are proven, by its id, its filled-in case, and its profiles.
pub type GuardsOf<'a> = dyn Fn(&str, &Case, &BTreeMap<String, SubjectProfile>) -> Guards + 'a;

/// What reports of a run's cases have in common.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The policy under test.
    pub policy: &'a Policy,
    /// Returns which guards of a case are proven, by its id, its filled-in case, and its profiles.
    pub guards: &'a GuardsOf<'a>,
    /// The command that runs one case again, without the case's name.
    pub again: &'a str,
}

impl Context<'_> {
    /// The report of one case.
    pub fn case(&self, case: &CaseRun) -> CaseReport {
        let profile = profile_of(&case.variant);
        let (loaded, profiles) = (&case.variant.loaded, &case.variant.profiles);
        let evidence = match &case.ran {
            Some(ran) => {
                let guards = (self.guards)(&case.id, &ran.expected.case, profiles);
                Evidence::of(&ran.expected, &ran.evidence, &ran.judgement, guards)
            }
            None => Evidence::none((self.guards)(&case.id, &loaded.case, profiles)),
        };
        let ran = case.ran.as_deref();
        CaseReport {
            id: case.id.clone(),
            name: case.variant.without_profile().to_string(),
            profile,
            source: CaseSource {
                file: loaded.file.display().to_string(),
                line: loaded.line,
                folder: loaded.group.clone(),
                summary: loaded.case.summary.clone(),
            },
            verdict: case.verdict,
            reason: case.reason.clone(),
            entered_by_change_profile: case.without_program.clone(),
            duration_ms: case.duration.as_secs_f64() * 1000.0,
            findings: ran.map(|ran| self.findings(ran)).unwrap_or_default(),
            denied_on_purpose: ran.map(on_purpose).unwrap_or_default(),
            again: format!("{} {}", self.again, quoted(&case.id)),
            evidence,
        }
    }

    fn findings(&self, ran: &Ran) -> Vec<FindingReport> {
        let records = &ran.judgement.records;
        let equal = |(place, finding): &&(FindingLocation, Finding)| match finding {
            Finding::Denial(index) => (*place, records.get(*index).map(once::key), String::new()),
            other => (*place, None, other.text(records)),
        };
        let all = once(&ran.judgement.findings, equal).into_iter();
        all.map(|((place, finding), count)| {
            let (step, cleanup) = match place {
                FindingLocation::Step(index) => (Some(*index), false),
                FindingLocation::Cleanup(index) => (Some(*index), true),
                FindingLocation::Case => (None, false),
            };
            let label = match place {
                FindingLocation::Step(index) => ran
                    .expected
                    .steps()
                    .get(*index)
                    .and_then(|step| ran.expected.label_of(&step.by)),
                _ => None,
            };
            let record = match finding {
                Finding::Denial(index) => records.get(*index),
                _ => None,
            };
            let request = record.and_then(|record| request_of(&record.record));
            let denied = record.and_then(|record| self.explicitly_denied(record, request.as_ref()?));
            FindingReport {
                kind: kind(finding),
                step,
                cleanup,
                text: finding.text(records),
                count,
                record: record.map(|record| record.text.clone()),
                // An explicit `deny` overrides any rule that would allow it.
                rule: record
                    .filter(|_| denied.is_none())
                    .and_then(|record| advice::rule(&record.record)),
                place: match (record, finding, step) {
                    (Some(record), ..) => denied.or_else(|| self.insertion(record)),
                    (None, Finding::NotDenied(_), Some(step)) => self.granted(ran, step, label),
                    _ => self.denied(ran, step.filter(|_| !cleanup)),
                }
                .or_else(|| self.beginning(label)),
            }
        })
        .collect()
    }

    /// The `deny` rule of the set as it was run that caused the denial of a record. One of the base set causes no
    /// finding.
    fn explicitly_denied(&self, record: &Attributed, request: &Request) -> Option<PolicyPlace> {
        let profile = record.record.profile.as_deref()?;
        let rule = deny_covers(self.policy.file_run_of(profile)?, profile, request)?;
        Some(place_of(PlaceKind::Deny, profile, &rule))
    }

    /// The place for a rule that would allow what a record denies.
    fn insertion(&self, record: &Attributed) -> Option<PolicyPlace> {
        let profile = record.record.profile.as_deref()?;
        let place = insertion_point(self.policy.file_of(profile)?, profile)?;
        Some(place_of(PlaceKind::Insertion, profile, &place))
    }

    /// The rule that grants what the step should be denied.
    fn granted(&self, ran: &Ran, step: usize, label: Option<&str>) -> Option<PolicyPlace> {
        let label = label?;
        let file = self.policy.file_of(label)?;
        let steps = ran.expected.steps();
        let expected = steps.get(step)?.denied.as_ref()?.records.iter();
        let mut rules = expected
            .filter_map(asked)
            .flat_map(|request| grants(file, label, &request));
        rules
            .next()
            .map(|rule| place_of(PlaceKind::Grant, label, &rule.location))
    }

    /// The `deny` rule by which the step lost its effect.
    fn denied(&self, ran: &Ran, step: Option<usize>) -> Option<PolicyPlace> {
        let step = step?;
        on_purpose(ran)
            .into_iter()
            .find(|denied| denied.step == Some(step))
            .map(|denied| denied.rule)
    }

    fn beginning(&self, label: Option<&str>) -> Option<PolicyPlace> {
        let label = label?;
        let profile = self.policy.file_of(label)?.profile(label)?;
        Some(place_of(PlaceKind::Profile, label, &profile.location))
    }
}

fn kind(finding: &Finding) -> FindingKind {
    match finding {
        Finding::Denial(_) => FindingKind::Denial,
        Finding::Effect(_) => FindingKind::Effect,
        Finding::NotDenied(_) => FindingKind::NotDenied,
        Finding::OtherDenial(_) => FindingKind::OtherDenial,
        Finding::Crash(_) => FindingKind::Crash,
        Finding::Broken(_) => FindingKind::Broken,
    }
}

fn place_of(what: PlaceKind, profile: &str, location: &Location) -> PolicyPlace {
    PolicyPlace {
        what,
        profile: profile.into(),
        file: format!("{POLICY_DIR}/{}", location.file),
        line: location.line,
        column: location.column,
    }
}

fn on_purpose(ran: &Ran) -> Vec<OnPurpose> {
    let records = ran.judgement.records.iter();
    let quieted = records.filter(|record| matches!(record.class, Class::Quieted(_)));
    once(quieted, |record| once::key(record))
        .into_iter()
        .filter_map(|(record, count)| match &record.class {
            Class::Quieted(rule) => Some(OnPurpose {
                step: record.step,
                count,
                rule: place_of(
                    PlaceKind::Deny,
                    record.record.profile.as_deref().unwrap_or_default(),
                    rule,
                ),
                record: record.text.clone(),
            }),
            _ => None,
        })
        .collect()
}

/// The request that a subject would have made if it had been denied as a case expects. It is read from the record that
/// the denial would have left.
fn asked(expected: &RecordMatch) -> Option<Request> {
    let mut text = String::from("audit(0.000:1): apparmor=\"DENIED\"");
    for (key, value) in expected {
        match value {
            Scalar::Int(number) => text += &format!(" {key}={number}"),
            // A prefix does not name a single thing, and a quote would end the value.
            Scalar::Text(value) if !value.ends_with('*') && !value.contains('"') => {
                text += &format!(" {key}=\"{value}\"");
            }
            Scalar::Text(_) => {}
        }
    }
    request_of(&aa_audit::parse_record(text.as_bytes()).ok()?)
}
