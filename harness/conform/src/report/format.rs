//! The formats of a report, each from the same values.

use clap::ValueEnum;

use super::outline::Outline;
use super::{github, junit, markdown, sarif, tap};
use virt_aa_model::report::model::Report;

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// Everything, for programs (`virt-aa-conform schema report`)
    Json,
    /// JUnit XML, as GitLab and Jenkins read it
    Junit,
    /// Test Anything Protocol, version 14
    Tap,
    /// For a step of a GitHub workflow: `human` with annotations; the summary goes to $GITHUB_STEP_SUMMARY
    Github,
    /// SARIF 2.1.0 (of `run` and `merge` only)
    Sarif,
    /// A summary
    Markdown,
}

/// Why a report has no text.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// JSON, SARIF.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JUnit.
    #[error("cannot write JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// TAP.
    #[error("cannot write TAP: {0}")]
    Tap(#[from] serde_yaml::Error),
    /// ProofStore in a format that has no place for them.
    #[error("SARIF tells of a run, not of proofs; take another format")]
    NoProofs,
    /// A comparison, likewise.
    #[error("SARIF tells of a run, not of what differs between two; take another format")]
    NoComparison,
}

/// A report, told in any format.
pub struct ReportInput<'a> {
    /// For people, without colours.
    pub human: String,
    /// As JSON.
    pub json: &'a dyn Fn() -> serde_json::Result<String>,
    /// As a list.
    pub outline: Outline,
    /// Where there is one: of a run, not of proofs.
    pub report: Option<&'a Report>,
    /// What nobody guesses.
    pub token: &'a str,
}

impl ReportInput<'_> {
    /// The whole text in a format.
    pub fn text(&self, format: Format) -> Result<String, FormatError> {
        Ok(match format {
            Format::Human => self.human.clone(),
            Format::Json => (self.json)()? + "\n",
            Format::Junit => junit::text(&self.outline)?,
            Format::Tap => tap::text(&self.outline)?,
            Format::Github => {
                let (stop, resume) = (github::stop(self.token), github::resume(self.token));
                format!(
                    "{stop}{}{resume}{}",
                    self.human,
                    github::annotations(&self.outline)
                )
            }
            Format::Sarif => sarif::text(self.report.ok_or(FormatError::NoProofs)?)?,
            Format::Markdown => markdown::text(&self.outline),
        })
    }
}
