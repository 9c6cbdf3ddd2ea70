//! The JSON report of a run: one document; a key that could not be filled is null, never absent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run_info::RunInfo;
use crate::proofs::Proofs;
use crate::runner::{CaseRun, profile_of};
use crate::verdict::judge::Verdict;
use crate::verdict::summary::Evidence;

/// Raised when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where and on what.
    pub run: RunInfo,
    /// One for each variant.
    pub cases: Vec<CaseReport>,
    /// Number of cases for each verdict.
    pub summary: BTreeMap<&'static str, usize>,
}

/// One variant.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// Name and variant.
    pub name: String,
    /// Profile.
    pub profile: Option<String>,
    /// Verdict.
    pub verdict: Verdict,
    /// Why, for everything but a pass.
    pub reason: Option<String>,
    /// From plan to verdict.
    pub duration_ms: f64,
    /// What it rests on.
    pub evidence: Evidence,
}

/// Put the report together.
pub fn report(run: RunInfo, cases: &[CaseRun], proofs: &Proofs) -> Report {
    let mut summary: BTreeMap<&'static str, usize> =
        Verdict::ALL.iter().map(|verdict| (verdict.name(), 0)).collect();
    for case in cases {
        *summary.entry(case.verdict.name()).or_default() += 1;
    }
    let cases = cases.iter().map(|case| case_report(case, proofs)).collect();
    Report {
        schema_version: SCHEMA_VERSION,
        run,
        cases,
        summary,
    }
}

fn case_report(case: &CaseRun, proofs: &Proofs) -> CaseReport {
    let profile = profile_of(&case.variant);
    let of = profile.clone().unwrap_or_default();
    let evidence = match &case.ran {
        Some(ran) => {
            let guards = proofs.guards(&case.id, &ran.expected.case, &of);
            Evidence::of(&ran.expected, &ran.evidence, &ran.judgement, guards)
        }
        None => Evidence::none(proofs.guards(&case.id, &case.variant.loaded.case, &of)),
    };
    CaseReport {
        name: case.variant.without_profile().to_string(),
        profile,
        verdict: case.verdict,
        reason: case.reason.clone(),
        duration_ms: case.duration.as_secs_f64() * 1000.0,
        evidence,
    }
}
