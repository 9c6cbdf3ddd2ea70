//! Merges reports of shards into the report of the whole run. Pure except for reading files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::report::model::{PROGRAM_VERSION, Report, SCHEMA_VERSION, count};
use crate::report::run_info::RunInfo;
use crate::shard::{Durations, Split};
use crate::verdict::judge::Verdict;

/// The maximum size of a report, so that an endless file is not read forever.
const MOST_BYTES: u64 = 256 << 20;

/// A report and the file it is from.
pub type Named = (String, Report);

/// Why reports cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What went wrong.
        source: io::Error,
    },
    /// A file larger than any report.
    #[error("{file}: more than {} MiB, which no report has", MOST_BYTES >> 20)]
    TooLarge {
        /// The file.
        file: String,
    },
    /// Not a report.
    #[error("{file}: not a JSON report of `run`: {source}")]
    NoReport {
        /// The file.
        file: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// A report of another version.
    #[error(
        "{file}: a report of version {found}, and this is version {}; take the same program for all",
        this()
    )]
    Version {
        /// The file.
        file: String,
        /// The version that it names.
        found: String,
    },
    /// An inconsistent report.
    #[error("{file}: {what}; it is cut, or was changed by hand")]
    Inconsistent {
        /// The file.
        file: String,
        /// What is inconsistent.
        what: String,
    },
    /// The report of a whole run among several files.
    #[error("{file}: the report of a whole run, not of a shard; it needs no other beside it")]
    Whole {
        /// The file.
        file: String,
    },
    /// A report of another run.
    #[error("{file} is not of the run that {first} is of: {what} is {other}, not {one}")]
    OtherRun {
        /// A file.
        file: String,
        /// The first file.
        first: String,
        /// What differs.
        what: &'static str,
        /// Its value in the first file.
        one: String,
        /// Its value in the other file.
        other: String,
    },
    /// A shard that was split differently.
    #[error(
        "{file} and {first} were split differently: give every shard the same cases and the same --durations"
    )]
    OtherSplit {
        /// A file.
        file: String,
        /// The first file.
        first: String,
    },
    /// A shard that is given twice.
    #[error("shard {index} is there twice: {first} and {file}")]
    Doubled {
        /// The shard's number.
        index: usize,
        /// The first file.
        first: String,
        /// The other.
        file: String,
    },
    /// Shards that are missing.
    #[error("of {of} shards, {} missing: {}", if missing.len() == 1 { "one is" } else { "some are" }, words(missing))]
    Missing {
        /// How many shards there should be.
        of: usize,
        /// The numbers of the missing shards.
        missing: Vec<usize>,
    },
    /// No file is given.
    #[error("no report to join")]
    Nothing,
}

fn this() -> String {
    version(SCHEMA_VERSION, PROGRAM_VERSION)
}

fn version(schema: u32, program: &str) -> String {
    format!("{program} (schema {schema})")
}

fn words(numbers: &[usize]) -> String {
    numbers
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The part of a report that is read first.
#[derive(Deserialize)]
struct Head {
    schema_version: u32,
    program_version: String,
}

/// Reads a report of this program.
pub fn read(path: &Path) -> Result<Named, MergeError> {
    let file = path.display().to_string();
    let text = text(path)?;
    let no_report = |source| MergeError::NoReport {
        file: file.clone(),
        source,
    };
    // A report of another version may have another form. The version is checked first, so that it is reported instead
    // of a missing key.
    let head: Head = serde_json::from_slice(&text).map_err(no_report)?;
    let found = version(head.schema_version, &head.program_version);
    if found != this() {
        return Err(MergeError::Version { file, found });
    }
    let report = serde_json::from_slice(&text).map_err(no_report)?;
    Ok((file, report))
}

/// Reads the durations from a report of any version, of a whole run or of a shard. A run that broke does not show how
/// long the case takes.
pub fn durations(path: &Path) -> Result<Durations, MergeError> {
    #[derive(Deserialize)]
    struct Timed {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        id: String,
        verdict: Verdict,
        duration_ms: f64,
    }
    let timed: Timed = serde_json::from_slice(&text(path)?).map_err(|source| MergeError::NoReport {
        file: path.display().to_string(),
        source,
    })?;
    let ran = timed
        .cases
        .into_iter()
        .filter(|case| case.verdict != Verdict::Error);
    Ok(ran.map(|case| (case.id, case.duration_ms)).collect())
}

fn text(path: &Path) -> Result<Vec<u8>, MergeError> {
    let io = |source| MergeError::Io {
        file: path.display().to_string(),
        source,
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(io)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(MergeError::TooLarge {
            file: path.display().to_string(),
        });
    }
    Ok(text)
}

/// Merges all shards of one run. The report of a whole run stays as it is.
pub fn merge(reports: Vec<Named>) -> Result<Report, MergeError> {
    for (file, report) in &reports {
        consistent(file, report)?;
    }
    let Some((first, head)) = reports.first() else {
        return Err(MergeError::Nothing);
    };
    let Some(split) = head.shard.clone() else {
        let mut reports = reports.into_iter();
        return match (reports.next(), reports.next()) {
            (Some((_, report)), None) => Ok(report),
            (Some((file, _)), Some(_)) => Err(MergeError::Whole { file }),
            (None, _) => Err(MergeError::Nothing),
        };
    };
    let mut seen: BTreeMap<usize, &str> = BTreeMap::new();
    for (file, report) in &reports {
        let Some(shard) = &report.shard else {
            return Err(MergeError::Whole { file: file.clone() });
        };
        same_run(first, head, file, report)?;
        if shard.of != split.of {
            return Err(other_run(first, file, "number of shards", &split.of, &shard.of));
        }
        if shard.runs != split.runs {
            return Err(MergeError::OtherSplit {
                file: file.clone(),
                first: first.clone(),
            });
        }
        if let Some(first) = seen.insert(shard.index, file) {
            return Err(MergeError::Doubled {
                index: shard.index,
                first: first.into(),
                file: file.clone(),
            });
        }
    }
    let missing: Vec<usize> = (1..=split.of).filter(|index| !seen.contains_key(index)).collect();
    if !missing.is_empty() {
        return Err(MergeError::Missing {
            of: split.of,
            missing,
        });
    }
    Ok(join(
        reports.into_iter().map(|(_, report)| report).collect(),
        &split,
    ))
}

/// Joins the reports of all shards. Each has exactly the cases that the split assigns to it.
fn join(reports: Vec<Report>, split: &Split) -> Report {
    let accelerators: BTreeSet<String> = reports
        .iter()
        .map(|report| report.run.accelerator.clone())
        .collect();
    let strict = reports.iter().any(|report| report.strict);
    let duration_ms = reports.iter().map(|report| report.duration_ms).sum();
    let run = reports.first().map(|report| report.run.clone());
    let mut by_id: BTreeMap<String, _> = reports
        .into_iter()
        .flat_map(|report| report.cases)
        .map(|case| (case.id.clone(), case))
        .collect();
    let cases = split
        .runs
        .iter()
        .filter_map(|run| by_id.remove(&run.id))
        .collect();
    let run = RunInfo {
        accelerator: accelerators.into_iter().collect::<Vec<_>>().join(" and "),
        ..run.unwrap_or_default()
    };
    Report::new(run, strict, None, duration_ms, cases)
}

/// Checks that a report has each case of its shard once, has no other case, and counts them correctly.
fn consistent(file: &str, report: &Report) -> Result<(), MergeError> {
    let wrong = |what: String| MergeError::Inconsistent {
        file: file.into(),
        what,
    };
    if report.summary != count(&report.cases) {
        return Err(wrong("its summary does not count its cases".into()));
    }
    let mut ids = BTreeSet::new();
    if let Some(case) = report.cases.iter().find(|case| !ids.insert(case.id.as_str())) {
        return Err(wrong(format!("{} is there twice", case.id)));
    }
    let Some(split) = &report.shard else {
        return if report.cases.is_empty() {
            Err(wrong("it has no case".into()))
        } else {
            Ok(())
        };
    };
    // This bounds the number of shards by the file's size.
    if split.index == 0 || split.index > split.of || split.of > split.runs.len() {
        return Err(wrong(format!("there is no shard {}/{}", split.index, split.of)));
    }
    let mut all = BTreeSet::new();
    if let Some(run) = split.runs.iter().find(|run| !all.insert(run.id.as_str())) {
        return Err(wrong(format!("{} is twice in its split", run.id)));
    }
    let own: BTreeSet<&str> = split.own().collect();
    match own.symmetric_difference(&ids).next() {
        Some(id) if own.contains(id) => Err(wrong(format!("{id} belongs to the shard and is not there"))),
        Some(id) => Err(wrong(format!("{id} does not belong to the shard"))),
        None => Ok(()),
    }
}

fn same_run(first: &str, head: &Report, file: &str, report: &Report) -> Result<(), MergeError> {
    let (one, other) = (&head.run, &report.run);
    let set = |run: &RunInfo| match &run.profile_set.known_bad {
        Some(bad) => format!("{} with {bad}", run.profile_set.name),
        None => run.profile_set.name.clone(),
    };
    let pairs = [
        ("the image", one.image.clone(), other.image.clone()),
        ("the backend", one.backend.clone(), other.backend.clone()),
        (
            "the engine",
            one.engine.clone().unwrap_or_default(),
            other.engine.clone().unwrap_or_default(),
        ),
        ("the kernel", one.kernel.clone(), other.kernel.clone()),
        ("the parser", one.parser.clone(), other.parser.clone()),
        ("libvirt", one.libvirt.clone(), other.libvirt.clone()),
        ("the profile set", set(one), set(other)),
        (
            "the profile set's hash",
            one.profile_set.hash.clone(),
            other.profile_set.hash.clone(),
        ),
    ];
    match pairs.into_iter().find(|(_, one, other)| one != other) {
        Some((what, one, other)) => Err(other_run(first, file, what, &one, &other)),
        None => Ok(()),
    }
}

fn other_run(
    first: &str,
    file: &str,
    what: &'static str,
    one: &dyn ToString,
    other: &dyn ToString,
) -> MergeError {
    MergeError::OtherRun {
        file: file.into(),
        first: first.into(),
        what,
        one: one.to_string(),
        other: other.to_string(),
    }
}

#[cfg(test)]
mod tests;
