//! SARIF 2.1.0. Everything that is not good is a result that points into the policy, or else at the case. A known
//! failure is a suppressed note, and an untested case is a note on the invocation. Passes are left out.

use serde_json::json;
use serde_sarif::sarif::{
    ArtifactLocation, Invocation, Location, Message, MultiformatMessageString, Notification,
    PhysicalLocation, Region, ReportingDescriptor, Result as SarifResult, ResultKind, ResultLevel, Run,
    RunAutomationDetails, Sarif, Suppression, Tool, ToolComponent,
};
use std::collections::BTreeMap;

use super::outline::{Entry, EntryStatus, FilePlace, Outline};
use virt_aa_model::report::model::{CaseReport, Report};

/// The base of absolute policy paths.
const IMAGE_ROOT: &str = "IMAGE_ROOT";

/// The file's text.
pub fn text(report: &Report) -> serde_json::Result<String> {
    let outline = Outline::of_run(report);
    let all = || report.cases.iter().zip(&outline.entries);
    let results: Vec<SarifResult> = all()
        .filter(|(_, entry)| !matches!(entry.standing, EntryStatus::Good | EntryStatus::PassedOver))
        .map(|(case, entry)| result(case, entry))
        .chain(outline.entries.iter().skip(report.cases.len()).map(result_alone))
        .collect();
    let passed_over: Vec<Notification> = all()
        .filter(|(_, entry)| entry.standing == EntryStatus::PassedOver)
        .map(|(_, entry)| notification(entry))
        .collect();
    let rules: BTreeMap<&str, &CaseReport> = all()
        .filter(|(_, entry)| entry.standing != EntryStatus::Good)
        .map(|(case, _)| (case.name.as_str(), case))
        .collect();
    let driver = ToolComponent::builder()
        .name("virt-aa-conform")
        .semantic_version(report.program_version.clone())
        .rules(
            rules
                .into_iter()
                .map(|(name, case)| rule(name, case))
                .collect::<Vec<_>>(),
        )
        .build();
    let invocation = Invocation::builder()
        .execution_successful(outline.count(EntryStatus::Broken) == 0)
        .tool_execution_notifications(passed_over)
        .build();
    let root = ArtifactLocation::builder().uri("file:///").build();
    let id = format!(
        "virt-aa-conform/{}/{}",
        report.run.recipe, report.run.profile_set.name
    );
    let run = Run::builder()
        .tool(Tool::builder().driver(driver).build())
        .automation_details(RunAutomationDetails::builder().id(id).build())
        .column_kind(json!("unicodeCodePoints"))
        .invocations(vec![invocation])
        .original_uri_base_ids(BTreeMap::from([(IMAGE_ROOT.to_string(), root)]))
        .results(results)
        .build();
    let sarif = Sarif::builder()
        .schema(serde_sarif::sarif::SCHEMA_URL)
        .version(json!("2.1.0"))
        .runs(vec![run])
        .build();
    Ok(serde_json::to_string_pretty(&sarif)? + "\n")
}

/// A case with its variant, which SARIF calls a rule.
fn rule(name: &str, case: &CaseReport) -> ReportingDescriptor {
    let summary = MultiformatMessageString::builder()
        .text(case.source.summary.clone())
        .build();
    ReportingDescriptor::builder()
        .id(name)
        .short_description(summary)
        .build()
}

fn result(case: &CaseReport, entry: &Entry) -> SarifResult {
    let known = entry.standing == EntryStatus::Known;
    let mut lines = vec![format!("{}: {}", entry.name, entry.why())];
    lines.extend(entry.details.iter().cloned());
    let in_case = FilePlace {
        file: case.source.file.clone(),
        line: case.source.line,
        column: None,
    };
    let place = entry.place.as_ref().unwrap_or(&in_case);
    let mut result = SarifResult::builder()
        .rule_id(case.name.clone())
        .kind(ResultKind::Fail)
        .level(if known {
            ResultLevel::Note
        } else {
            ResultLevel::Error
        })
        .message(Message::builder().text(lines.join("\n")).build())
        .locations(vec![location(place)])
        .related_locations(vec![location(&in_case)])
        // The profile's lines may move, but the case's name stays.
        .partial_fingerprints(BTreeMap::from([("caseId/v1".to_string(), case.id.clone())]))
        .build();
    if known {
        let suppression = Suppression::builder()
            .kind(json!("external"))
            .justification(entry.why());
        result.suppressions = Some(vec![suppression.build()]);
    }
    result
}

/// The result of something red that is no case, such as a file of the set that cannot be loaded.
fn result_alone(entry: &Entry) -> SarifResult {
    let mut lines = vec![format!("{}: {}", entry.name, entry.why())];
    lines.extend(entry.details.iter().cloned());
    SarifResult::builder()
        .kind(ResultKind::Fail)
        .level(ResultLevel::Error)
        .message(Message::builder().text(lines.join("\n")).build())
        .locations(entry.place.iter().map(location).collect::<Vec<_>>())
        .build()
}

fn notification(entry: &Entry) -> Notification {
    let text = format!("{}: {}", entry.name, entry.why());
    Notification::builder()
        .level(json!("note"))
        .message(Message::builder().text(text).build())
        .locations(entry.place.iter().map(location).collect::<Vec<_>>())
        .build()
}

fn location(place: &FilePlace) -> Location {
    let mut artifact = ArtifactLocation::builder()
        .uri(uri(place.file.trim_start_matches('/')))
        .build();
    if place.file.starts_with('/') {
        artifact.uri_base_id = Some(IMAGE_ROOT.into());
    }
    let mut region = Region::builder()
        .start_line(i64::try_from(place.line).unwrap_or(i64::MAX))
        .build();
    region.start_column = place.column.map(i64::from);
    let physical = PhysicalLocation::builder()
        .artifact_location(artifact)
        .region(region)
        .build();
    Location::builder().physical_location(physical).build()
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
