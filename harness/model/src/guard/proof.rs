//! What came of proving one guard.

use serde::Serialize;

use crate::case::model::{Case, Guard};

/// How a guard ended. Only `killed` is success. Passed over may be `class-not-mediated`, and `no-edit-mends-it`, for
/// which the known failure says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Without the access the case is red by the denial that the guard names; or, with the rule added, because the
    /// act now succeeds.
    Killed,
    /// The case stays green: it does not protect the access.
    Survived,
    /// Nothing in the profile grants the access.
    NoSuchRule,
    /// The parser refuses the edited set.
    DoesNotCompile,
    /// The edit changes nothing of what the kernel gets.
    SameBinary,
    /// Red, and not by what the guard names.
    RedByAnotherDenial,
    /// The case is not green with the set as it is.
    BaseNotGreen,
    /// This kernel or policy does not mediate the class.
    ClassNotMediated,
    /// The case fails as known, by nothing that a profile could grant, before it gets to what the guard takes away.
    NoEditMendsIt,
    /// It is about a profile that this run of the case does not have, or the case cannot be run on this machine.
    NotApplicable,
    /// The evidence was not complete, or the machine broke.
    Inconclusive,
}

impl Outcome {
    /// As in the reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Killed => "killed",
            Outcome::Survived => "survived",
            Outcome::NoSuchRule => "no such rule",
            Outcome::DoesNotCompile => "does not compile",
            Outcome::SameBinary => "same binary as the base",
            Outcome::RedByAnotherDenial => "red by another denial",
            Outcome::BaseNotGreen => "base not green",
            Outcome::ClassNotMediated => "class not mediated",
            Outcome::NoEditMendsIt => "no edit mends it",
            Outcome::NotApplicable => "not applicable",
            Outcome::Inconclusive => "inconclusive",
        }
    }

    /// Whether a proof may have this outcome and still be good.
    pub fn is_good(self) -> bool {
        self == Outcome::Killed || self.may_be_passed_over()
    }

    /// Whether it is no success, and no fault either.
    pub fn may_be_passed_over(self) -> bool {
        matches!(
            self,
            Outcome::ClassNotMediated | Outcome::NoEditMendsIt | Outcome::NotApplicable
        )
    }
}

/// One guard of one variant.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// The variant's whole id.
    pub case: String,
    /// The guard in a few words.
    pub guard: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen, for everything but `killed`; the record that turned the case red, for that.
    pub detail: Option<String>,
    /// The guard, and the case with its templates filled in, for the book of proofs.
    #[serde(skip)]
    pub of: Option<Box<(Case, Guard)>>,
}

impl Proof {
    /// Adds gaps that were found after the last run. A killed guard becomes inconclusive.
    pub fn add_gaps(&mut self, gaps: Vec<String>) {
        if let Some(first) = gaps.into_iter().next()
            && self.outcome == Outcome::Killed
        {
            self.outcome = Outcome::Inconclusive;
            self.detail = Some(first);
        }
    }
}
