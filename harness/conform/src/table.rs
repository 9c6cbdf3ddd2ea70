//! Several JSON reports in one Markdown table: images by groups of cases, or cases by backends. Pure except for
//! [`read`].

pub mod backends;
pub mod images;
mod markdown;
mod read;
#[cfg(test)]
mod releases;

use std::collections::BTreeMap;

pub use markdown::{between, put_between};
pub use read::{NamedReport, Where, read};

use virt_aa_model::verdict::judge::Verdict;

/// What is wrong with the reports, or with the file for the table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file is not a report.
    #[error("{file}: not a JSON report of `run` or `prove`: {source}")]
    NoReport {
        /// The file.
        file: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// Two reports cover the same thing.
    #[error("{file} and {first} both tell of {what}; give one of them")]
    Twice {
        /// A file.
        file: String,
        /// The earlier file.
        first: String,
        /// What both cover.
        what: String,
    },
    /// The reports are of different images.
    #[error("{file} is of image {image}, and {first} of {other}; a table by backend is of one image")]
    OtherImage {
        /// A file.
        file: String,
        /// Its image.
        image: String,
        /// The first file.
        first: String,
        /// The first file's image.
        other: String,
    },
    /// There are only reports of `prove`.
    #[error("no report of `run` is among them; a table by backend is of verdicts")]
    NoRun,
    /// The file has no place for the table.
    #[error("{file}: no line `{begin}` with `{end}` below it; put both where the table goes")]
    NoPlace {
        /// The file.
        file: String,
        /// The line before the table.
        begin: &'static str,
        /// The line after the table.
        end: &'static str,
    },
}

/// `12 pass, 1 known`, in the order of the verdicts.
fn counts(verdicts: &BTreeMap<&'static str, usize>) -> String {
    let order = Verdict::ALL.iter().map(|verdict| short(*verdict));
    let counted: Vec<String> = order
        .filter_map(|word| Some(format!("{} {word}", verdicts.get(word)?)))
        .collect();
    if counted.is_empty() {
        NONE.into()
    } else {
        counted.join(", ")
    }
}

/// A cell for which nothing was run.
const NONE: &str = "–";

/// A verdict in a cell.
fn short(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::KnownFailure => "known",
        other => other.name(),
    }
}
