//! The result of proving one guard.

use serde::Serialize;

use crate::case::model::{Case, Guard};

/// The outcome of a guard. Only `killed` is success. `class-not-mediated` and `no-edit-mends-it` may be passed over;
/// for the latter, the known failure gives the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The case is red without the access, by the denial that the guard names. Or it is red with the rule added,
    /// because the act now succeeds.
    Killed,
    /// The case stays green: it does not protect the access.
    Survived,
    /// Nothing in the profile grants the access.
    NoSuchRule,
    /// The parser refuses the edited set.
    DoesNotCompile,
    /// The edit does not change what the kernel gets.
    SameBinary,
    /// The case is red, but not by what the guard names.
    RedByAnotherDenial,
    /// The case is not green with the unedited set.
    BaseNotGreen,
    /// This kernel or policy does not mediate the class.
    ClassNotMediated,
    /// The case fails as known before it reaches what the guard takes away, for a reason that no profile edit can fix.
    NoEditMendsIt,
    /// The guard is about a profile that this run of the case does not have, or the case cannot run on this machine.
    NotApplicable,
    /// The evidence was not complete, or the machine broke.
    Inconclusive,
}

impl Outcome {
    /// The name in reports.
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

    /// Whether a proof with this outcome is good.
    pub fn is_good(self) -> bool {
        self == Outcome::Killed || self.may_be_passed_over()
    }

    /// Whether it is neither a success nor a fault.
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
    /// For `killed`, the record that turned the case red; for everything else, what was seen.
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
