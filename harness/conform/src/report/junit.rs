//! JUnit XML, as Jenkins and GitLab read it. A red case is a failure. Incomplete evidence and what broke are errors. A
//! known failure or an untested case is a skip with its reason.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::outline::{Entry, EntryStatus, Outline};

/// The file's text.
pub fn text(outline: &Outline) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(outline.recipe.as_str());
    for (name, value) in &outline.facts {
        suite.add_property((*name, value.as_str()));
    }
    suite.add_test_cases(
        outline
            .entries
            .iter()
            .map(|entry| test_case(entry, &outline.recipe)),
    );
    let known = outline.entries.iter().filter_map(|entry| entry.seconds);
    let whole = seconds(known.sum());
    suite.set_time(whole);
    let mut report = Report::new("virt-aa-conform");
    report.set_time(whole);
    report.add_test_suite(suite);
    let skipped = format!(" skipped=\"{}\"", suite_skips(outline));
    // The schemas allow this attribute only on a suite, and the root element has it first.
    Ok(report.to_string()?.replacen(&skipped, "", 1))
}

fn suite_skips(outline: &Outline) -> usize {
    outline.count(EntryStatus::Known) + outline.count(EntryStatus::PassedOver)
}

fn test_case(entry: &Entry, recipe: &str) -> TestCase {
    let mut status = match entry.standing {
        EntryStatus::Good => TestCaseStatus::success(),
        EntryStatus::Red => TestCaseStatus::non_success(NonSuccessKind::Failure),
        EntryStatus::Broken => TestCaseStatus::non_success(NonSuccessKind::Error),
        EntryStatus::Known | EntryStatus::PassedOver => TestCaseStatus::skipped(),
    };
    if entry.standing != EntryStatus::Good {
        status.set_type(entry.word);
        // No reader shows the type of a skip.
        status.set_message(match (&entry.message, entry.standing.is_bad()) {
            (Some(message), true) => message.clone(),
            _ => entry.why(),
        });
    }
    if entry.standing.is_bad() {
        // GitLab shows the text, not the message.
        let lines = entry.message.iter().chain(&entry.details);
        status.set_description(lines.map(String::as_str).collect::<Vec<_>>().join("\n"));
    }
    let mut case = TestCase::new(entry.name.as_str(), status);
    case.set_classname(match entry.folder.as_str() {
        "" => recipe.to_string(),
        folder => format!("{recipe}.{}", folder.replace('/', ".")),
    });
    if let Some(time) = entry.seconds {
        case.set_time(seconds(time));
    }
    case
}

/// An invalid time is zero.
fn seconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time).unwrap_or_default()
}
