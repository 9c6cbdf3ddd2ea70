//! One variant as it ran: its verdict, and what the verdict rests on.

use std::time::Duration;

use virt_aa_probe::protocol::{CaseEvidence, CasePlan};

use crate::case::expand::Variant;
use crate::known::KnownFailure;
use crate::verdict::expected::Expected;
use crate::verdict::judge::{Judgement, Verdict};

/// The result of a variant.
pub struct CaseRun {
    /// Its whole id.
    pub id: String,
    /// The profile that it is about.
    pub profile: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for everything but a pass.
    pub reason: Option<String>,
    /// The time from its plan to its verdict.
    pub duration: Duration,
    /// Profiles of its subjects that attach to a program which the image does not have.
    pub without_program: Vec<String>,
    /// What the verdict rests on; `None` if the variant did not get that far.
    pub ran: Option<Box<Ran>>,
    /// Gaps that were found after the verdict.
    pub gaps_after: Vec<String>,
    /// The variant.
    pub variant: Variant,
}

impl CaseRun {
    /// A variant that is not run.
    pub fn skipped(variant: Variant, reason: String) -> CaseRun {
        CaseRun {
            id: variant.id.clone(),
            profile: profile_of(&variant),
            verdict: Verdict::Skip,
            reason: Some(reason),
            without_program: Vec::new(),
            duration: Duration::ZERO,
            ran: None,
            gaps_after: Vec::new(),
            variant,
        }
    }

    /// Adds gaps that were found after the verdict. A green verdict becomes inconclusive.
    pub fn add_gaps(&mut self, gaps: Vec<String>) {
        let Some(first) = gaps.first() else { return };
        if self.verdict.is_green() {
            self.verdict = Verdict::Inconclusive;
            self.reason = Some(first.clone());
        }
        if let Some(ran) = &mut self.ran {
            ran.judgement.verdict = self.verdict;
            ran.judgement.reason.clone_from(&self.reason);
            ran.judgement.gaps.extend(gaps.iter().cloned());
        }
        self.gaps_after.extend(gaps);
    }
}

/// What a verdict rests on.
pub struct Ran {
    /// What the case says must hold.
    pub expected: Expected,
    /// The plan for the agent.
    pub plan: CasePlan,
    /// The known failures that it was judged by.
    pub known: Vec<KnownFailure>,
    /// The last lines of the machine's console.
    pub console: Vec<String>,
    /// What was seen.
    pub evidence: CaseEvidence,
    /// The judgement on the evidence.
    pub judgement: Judgement,
}

/// The profile of the subject that gives a variant its name, as the kernel lists it.
pub fn profile_of(variant: &Variant) -> Option<String> {
    let (_, names) = variant.id.split_once('@')?;
    let name = names.split('+').next().unwrap_or(names);
    let chosen = variant.profiles.values().find(|chosen| chosen.name == name);
    Some(chosen.map_or(name, |chosen| &chosen.profile).to_string())
}
