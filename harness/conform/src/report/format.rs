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

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// JSON or SARIF cannot be written.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JUnit XML cannot be written.
    #[error("cannot write JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// TAP cannot be written.
    #[error("cannot write TAP: {0}")]
    Tap(#[from] serde_yaml::Error),
    /// The format has no place for proofs.
    #[error("SARIF tells of a run, not of proofs; take another format")]
    NoProofs,
    /// The format has no place for a comparison.
    #[error("SARIF tells of a run, not of what differs between two; take another format")]
    NoComparison,
}

/// The input of every format.
pub struct ReportInput<'a> {
    /// The report for people, without colours.
    pub human: String,
    /// The report as JSON.
    pub json: &'a dyn Fn() -> serde_json::Result<String>,
    /// The report as a list of entries.
    pub outline: Outline,
    /// The report of a run; `None` for proofs.
    pub report: Option<&'a Report>,
    /// An unguessable token.
    pub token: &'a str,
}

impl ReportInput<'_> {
    /// The whole text in this format.
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
