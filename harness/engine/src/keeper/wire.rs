//! Messages between a test process and the keeper, in the frames of the agent's protocol.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use virt_aa_model::case::expand::Variant;
use virt_aa_model::report::model::CaseReport;
use virt_aa_model::verdict::judge::Verdict;

/// One variant to run: the case, the entry of `with`, and the profile of each subject that has a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The case's name.
    pub case: String,
    /// The entry's id.
    pub variant: Option<String>,
    /// Profiles by subject.
    pub profiles: BTreeMap<String, String>,
}

/// Messages from the keeper. The answer is the last one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeeperMessage {
    /// Still at work. Sent every few seconds.
    Busy,
    /// The answer.
    Answer(Answer),
}

/// How a variant went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for everything but a pass.
    pub reason: Option<String>,
    /// The case's report, if there is one.
    pub case: Option<Box<CaseReport>>,
}

impl Ask {
    /// The request for a variant.
    pub fn of(variant: &Variant) -> Ask {
        Ask {
            case: variant.loaded.case.name.clone(),
            variant: variant.variant.clone(),
            profiles: variant
                .profiles
                .iter()
                .map(|(subject, chosen)| (subject.clone(), chosen.name.clone()))
                .collect(),
        }
    }

    /// Whether the request is for this variant.
    pub fn is_for(&self, variant: &Variant) -> bool {
        *self == Ask::of(variant)
    }
}

impl Answer {
    /// Reports that the harness could not reach a verdict on the case.
    pub fn error(message: &str) -> Answer {
        Answer {
            verdict: Verdict::Error,
            reason: Some(message.to_string()),
            case: None,
        }
    }
}
