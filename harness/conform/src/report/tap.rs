//! The Test Anything Protocol, version 14. A known failure is a `TODO`, an untested case a `SKIP`. Everything else that
//! is not good is `not ok` with its details as YAML.

use std::fmt::Write;

use serde::Serialize;

use super::outline::{Entry, EntryStatus, Outline, one_line};

#[derive(Serialize)]
struct Diagnostic<'a> {
    verdict: &'a str,
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    details: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
}

/// The file's text.
pub fn text(outline: &Outline) -> Result<String, serde_yaml::Error> {
    // Writing to a string cannot fail.
    let mut text = String::from("TAP version 14\n");
    let _ = writeln!(text, "# {}", one_line(&outline.heading));
    let _ = writeln!(text, "1..{}", outline.entries.len());
    for (index, entry) in outline.entries.iter().enumerate() {
        let ok = match entry.standing {
            EntryStatus::Good | EntryStatus::PassedOver => "ok",
            EntryStatus::Red | EntryStatus::Broken | EntryStatus::Known => "not ok",
        };
        let _ = write!(text, "{ok} {} - {}", index + 1, escaped(&entry.name));
        let why = escaped(&entry.why());
        let _ = match entry.standing {
            EntryStatus::PassedOver => writeln!(text, " # SKIP {why}"),
            EntryStatus::Known => writeln!(text, " # TODO {why}"),
            EntryStatus::Good | EntryStatus::Red | EntryStatus::Broken => writeln!(text),
        };
        if entry.standing.is_bad() {
            diagnostic(entry, &mut text)?;
        }
    }
    let _ = writeln!(text, "# {}", one_line(&outline.closing));
    Ok(text)
}

fn diagnostic(entry: &Entry, text: &mut String) -> Result<(), serde_yaml::Error> {
    let yaml = serde_yaml::to_string(&Diagnostic {
        verdict: entry.word,
        message: entry.message.as_deref(),
        details: &entry.details,
        at: entry
            .place
            .as_ref()
            .map(|place| format!("{}:{}", place.file, place.line)),
        duration_ms: entry.seconds.map(|seconds| (seconds * 1000.0).round()),
    })?;
    text.push_str("  ---\n");
    for line in yaml.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("  ...\n");
    Ok(())
}

/// Text on one line, in which no `#` begins a directive.
fn escaped(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "\\#")
}
