//! Every case has the same verdict, for the same reasons, whether its machine comes from a saved state or has booted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use regex::Regex;
use serde_json::json;
use virt_aa_model::report::model::{CaseReport, Report};
use virt_aa_model::verdict::judge::Verdict;

/// Seconds for each run, the build of the image included.
const LIMIT: &str = "1500";

/// Names the JSON report of a run from saved states. If it is set, only the other run is made.
const GIVEN: &str = "VIRT_AA_CONFORM_BOTH_WAYS_REPORT";

const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-aa-conform");

/// Runs every case.
fn run(options: &[&str]) -> Report {
    let image = std::env::var("VIRT_AA_CONFORM_IMAGE").unwrap_or_else(|_| "debian-13".into());
    let arguments = ["run", "--image", &image, "--timeout", LIMIT, "--report", "json:-"];
    let ran = duct::cmd(PROGRAM, arguments.iter().chain(options))
        .dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdout_capture()
        .unchecked()
        .run()
        .unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// Reads the report of an earlier run. A report does not say which build of the program made it, so this function refuses
/// a report that is older than the program.
fn given(file: &Path, program: &Path) -> Result<Report, String> {
    let modified = |path: &Path| {
        let modified = fs::metadata(path).and_then(|data| data.modified());
        modified.map_err(|error| format!("{}: {error}", path.display()))
    };
    if modified(file)? <= modified(program)? {
        return Err(format!(
            "{}: the report is older than the program",
            file.display()
        ));
    }
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// What differs between a run from saved states and a run whose machines boot. It is empty if they agree.
fn differences(restored: &Report, booted: &Report) -> Vec<String> {
    let of = |report: &Report| {
        json!([
            report.schema_version,
            report.program_version,
            report.run,
            report.strict,
            report.shard
        ])
    };
    let mut found = Vec::new();
    if of(restored) != of(booted) {
        found.push(format!(
            "the runs are of different things: {} and {}",
            of(restored),
            of(booted)
        ));
    }
    // Only a machine from a saved state has a subject that was started before the case.
    if !restored.cases.iter().any(has_older_subject) {
        found.push("the first run did not use saved states".into());
    }
    if booted.cases.iter().any(has_older_subject) {
        found.push("the second run used saved states".into());
    }
    for report in [restored, booted] {
        if by_id(report).len() != report.cases.len() {
            found.push("a report has a case twice".into());
        }
    }
    let (restored, booted) = (by_id(restored), by_id(booted));
    let ids = restored
        .keys()
        .chain(booted.keys().filter(|id| !restored.contains_key(*id)));
    for id in ids {
        let (one, other) = (restored.get(id), booted.get(id));
        if one != other {
            found.push(format!("{id}: {one:?} from a saved state, {other:?} when booted"));
        }
    }
    found
}

fn has_older_subject(case: &CaseReport) -> bool {
    let mut subjects = case.evidence.subjects.values();
    subjects.any(|subject| subject.started_before)
}

/// What a report says about each case: the verdict, the reason and the findings.
fn by_id(report: &Report) -> BTreeMap<&str, String> {
    let cases = report.cases.iter();
    cases
        .map(|case| {
            let said = json!([case.verdict, case.reason, case.findings, case.denied_on_purpose]);
            (case.id.as_str(), without_numbers(&said.to_string()))
        })
        .collect()
}

/// Without the serial numbers, times and process ids, which differ from run to run.
fn without_numbers(text: &str) -> String {
    let numbers = Regex::new(r"audit\([0-9.:]+\)|\bpid[ =:]+[0-9]+|/proc/[0-9]+|[0-9a-f]{32}").unwrap();
    numbers.replace_all(text, "N").into_owned()
}

#[test]
#[ignore = "it runs every case twice; ci/both-ways runs it"]
fn every_case_has_the_same_verdict_on_a_restored_and_on_a_booted_machine() {
    // A report that cannot be used is refused before the long run.
    let restored = match std::env::var_os(GIVEN) {
        Some(file) => given(Path::new(&file), Path::new(PROGRAM)).unwrap(),
        None => run(&[]),
    };
    // Two runs in which no case passes would agree, too.
    let cases = restored.cases.iter();
    let passes = cases.filter(|case| case.verdict == Verdict::Pass).count();
    assert!(passes > 60, "{passes} of {}", restored.cases.len());
    let found = differences(&restored, &run(&["--no-saved-state"]));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A run from saved states, and the same run with machines that boot.
fn made_up() -> (Report, Report) {
    let booted: Report = serde_json::from_str(include_str!("../golden/run.json")).unwrap();
    let mut restored = booted.clone();
    let mut subjects = restored.cases[0].evidence.subjects.values_mut();
    subjects.next().unwrap().started_before = true;
    (restored, booted)
}

#[test]
fn runs_that_agree_do_not_differ() {
    let (restored, booted) = made_up();
    assert_eq!(differences(&restored, &booted), Vec::<String>::new());
}

#[rstest::rstest]
#[case::verdict("holds@daemon: ", |report: &mut Report| report.cases[0].verdict = Verdict::Fail)]
#[case::reason("holds@daemon: ", |report: &mut Report| report.cases[0].reason = Some("another".into()))]
#[case::fewer_cases("holds@daemon: None", |report: &mut Report| drop(report.cases.remove(0)))]
#[case::more_cases("new@daemon: ", |report: &mut Report| {
    let mut case = report.cases[0].clone();
    case.id = "new@daemon".into();
    report.cases.push(case);
})]
#[case::a_case_twice("a report has a case twice", |report: &mut Report| {
    let case = report.cases[0].clone();
    report.cases.push(case);
})]
#[case::image("different things", |report: &mut Report| report.run.image = "debian-13-fedcba9876543210".into())]
#[case::set("different things", |report: &mut Report| report.run.profile_set.hash = "another".into())]
#[case::program("different things", |report: &mut Report| report.program_version = "0.0.0".into())]
#[case::strict("different things", |report: &mut Report| report.strict = true)]
#[case::no_saved_state("the first run did not use saved states", |report: &mut Report| {
    for case in &mut report.cases {
        let subjects = case.evidence.subjects.values_mut();
        subjects.for_each(|subject| subject.started_before = false);
    }
})]
fn a_report_of_another_run_is_refused(#[case] says: &str, #[case] change: fn(&mut Report)) {
    let (mut restored, booted) = made_up();
    change(&mut restored);
    let found = differences(&restored, &booted);
    assert!(found.iter().any(|line| line.contains(says)), "{found:?}");
}

#[test]
fn a_second_run_from_saved_states_is_refused() {
    let (restored, _) = made_up();
    assert_eq!(
        differences(&restored, &restored),
        ["the second run used saved states"]
    );
}

#[test]
fn a_report_that_is_older_than_the_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, program) = (dir.path().join("report.json"), dir.path().join("program"));
    fs::write(&file, include_str!("../golden/run.json")).unwrap();
    let built = |time: SystemTime| {
        let program = File::create(&program).unwrap();
        program.set_modified(time).unwrap();
    };
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    built(written - Duration::from_secs(1));
    assert_eq!(
        given(&file, &program).map(|report| report.cases.len()),
        Ok(made_up().1.cases.len())
    );
    built(written + Duration::from_secs(1));
    let error = given(&file, &program).map(drop).unwrap_err();
    assert!(error.ends_with("the report is older than the program"), "{error}");
    fs::write(&file, "{}").unwrap();
    built(written - Duration::from_secs(1));
    assert!(given(&file, &program).is_err());
}

#[test]
fn only_what_differs_from_run_to_run_is_left_out() {
    let one = without_numbers("audit(1.2:3): pid=4 denied r on /a");
    assert_eq!(one, without_numbers("audit(5.6:7): pid=8 denied r on /a"));
    assert_ne!(one, without_numbers("audit(1.2:3): pid=4 denied w on /a"));
}
