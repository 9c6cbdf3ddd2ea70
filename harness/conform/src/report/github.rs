//! The output of a step of a GitHub workflow: the report for people, in which no line is a command to the runner, then
//! an annotation for each entry that is not good.

use std::fmt::Write;

use super::outline::{Entry, EntryStatus, Outline};

/// The line that stops the runner from obeying commands. Whoever wrote the text after it must not be able to guess
/// `token`.
pub fn stop(token: &str) -> String {
    format!("::stop-commands::{token}\n")
}

/// The line that ends this.
pub fn resume(token: &str) -> String {
    format!("::{token}::\n")
}

/// One command for each entry that is not good: errors, and notices for known failures and untested cases.
pub fn annotations(outline: &Outline) -> String {
    let mut text = String::new();
    for entry in &outline.entries {
        let level = match entry.standing {
            EntryStatus::Good => continue,
            EntryStatus::Red | EntryStatus::Broken => "error",
            EntryStatus::Known | EntryStatus::PassedOver => "notice",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "::{level} {}::{}", properties(entry), message(entry));
    }
    text
}

fn properties(entry: &Entry) -> String {
    let mut all = vec![("title", format!("{}: {}", entry.word, entry.name))];
    if let Some(place) = &entry.place {
        all.push(("file", place.file.clone()));
        all.push(("line", place.line.to_string()));
        all.extend(place.column.map(|column| ("col", column.to_string())));
    }
    let all = all.into_iter().map(|(key, value)| {
        let value = escaped(&value).replace(':', "%3A").replace(',', "%2C");
        format!("{key}={value}")
    });
    all.collect::<Vec<_>>().join(",")
}

fn message(entry: &Entry) -> String {
    let lines = entry.message.iter().chain(&entry.details);
    escaped(&lines.map(String::as_str).collect::<Vec<_>>().join("\n"))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
