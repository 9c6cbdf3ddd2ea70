//! Shards of a made-up run. Merged they are the run, and an error in any of them is reported.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::shard::{Shard, split};
use crate::testing::reports::report;

/// The made-up run, split into this many parts.
fn shards(of: usize) -> Vec<Named> {
    let whole = report(false);
    let ids: Vec<&str> = whole.cases.iter().map(|case| case.id.as_str()).collect();
    let part = |index| {
        let split = split(Shard { index, of }, &ids, &Durations::new()).unwrap();
        let cases = whole.cases.iter().filter(|case| split.has(&case.id)).cloned();
        let report = Report::new(
            whole.run.clone(),
            false,
            Some(split.clone()),
            10.0,
            cases.collect(),
        );
        (format!("shard-{index}.json"), report)
    };
    (1..=of).map(part).collect()
}

fn text(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

/// The whole run with this duration.
fn whole(duration_ms: f64) -> String {
    text(&Report {
        duration_ms,
        ..report(false)
    })
}

fn refusal(reports: Vec<Named>) -> String {
    merge(reports).expect_err("refused").to_string()
}

proptest! {
    #[test]
    fn all_shards_in_any_order_are_the_run(of in 1usize..=12, turn in 0usize..12) {
        let mut all = shards(of);
        all.rotate_left(turn % of);
        prop_assert_eq!(text(&merge(all).unwrap()), whole(10.0 * of as f64));
    }
}

#[test]
fn a_report_reads_as_it_was_written() {
    let read: Report = serde_json::from_str(&whole(1.0)).unwrap();
    assert_eq!(text(&read), whole(1.0));
}

#[test]
fn a_whole_run_stands_for_itself_and_for_no_part() {
    let alone = vec![("run.json".to_string(), report(false))];
    assert_eq!(text(&merge(alone).unwrap()), text(&report(false)));
    let twice = vec![("a".to_string(), report(false)), ("b".to_string(), report(false))];
    assert!(refusal(twice).starts_with("a: the report of a whole run"));
    let mut beside = shards(2);
    beside[1] = ("b".to_string(), report(false));
    assert!(refusal(beside).starts_with("b: the report of a whole run"));
    assert_eq!(refusal(Vec::new()), "no report to join");
}

#[test]
fn a_missing_one_is_named() {
    let mut all = shards(4);
    all.remove(2);
    assert_eq!(refusal(all), "of 4 shards, one is missing: 3");
    let last = shards(4).split_off(3);
    assert_eq!(refusal(last), "of 4 shards, some are missing: 1, 2, 3");
}

#[test]
fn one_twice_is_told_with_both_files() {
    let mut all = shards(2);
    all.push(("again.json".into(), all[1].1.clone()));
    assert_eq!(
        refusal(all),
        "shard 2 is there twice: shard-2.json and again.json"
    );
}

#[rstest]
#[case::image(|report: &mut Report| report.run.image = "debian-12-0".into(), "the image is debian-12-0")]
#[case::set(|report: &mut Report| report.run.profile_set.hash = "0".into(), "the profile set's hash is 0")]
#[case::known_bad(
    |report: &mut Report| report.run.profile_set.known_bad = Some("b".into()),
    "the profile set is packaged with b"
)]
fn one_of_another_run_is_told(#[case] change: fn(&mut Report), #[case] what: &str) {
    let mut all = shards(2);
    change(&mut all[1].1);
    let message = refusal(all);
    assert!(message.starts_with("shard-2.json is not of the run that shard-1.json is of: "));
    assert!(message.contains(what), "{message}");
}

#[test]
fn another_number_or_split_is_told() {
    let mut all = shards(2);
    all[1] = shards(3).remove(1);
    assert!(refusal(all).contains("number of shards is 3, not 2"));
    let mut all = shards(2);
    let report = &mut all[1].1;
    let split = report.shard.as_mut().unwrap();
    let foreign = split.runs.iter().position(|run| run.shard == 1).unwrap();
    split.runs.remove(foreign);
    assert!(refusal(all).starts_with("shard-2.json and shard-1.json were split differently"));
}

#[rstest]
#[case::case_is_gone(|report: &mut Report| { report.cases.pop(); recount(report) }, "belongs to the shard and is not there")]
#[case::summary(|report: &mut Report| { report.summary.insert("pass".into(), 99); }, "does not count its cases")]
#[case::case_is_twice(
    |report: &mut Report| { report.cases.push(report.cases[0].clone()); recount(report) },
    "is there twice"
)]
#[case::index(|report: &mut Report| report.shard.as_mut().unwrap().index = 0, "there is no shard 0/2")]
#[case::of(|report: &mut Report| report.shard.as_mut().unwrap().of = usize::MAX, "there is no shard 2/")]
fn one_that_does_not_hold_together_is_told(#[case] change: fn(&mut Report), #[case] what: &str) {
    let mut all = shards(2);
    change(&mut all[1].1);
    let message = refusal(all);
    assert!(
        message.starts_with("shard-2.json: ") && message.contains(what),
        "{message}"
    );
}

fn recount(report: &mut Report) {
    report.summary = count(&report.cases);
}

#[test]
fn strictness_and_accelerators_are_of_all() {
    let mut all = shards(2);
    all[1].1.strict = true;
    all[1].1.run.accelerator = "kvm".into();
    let merged = merge(all).unwrap();
    assert!(merged.strict);
    assert_eq!(merged.run.accelerator, "kvm and tcg");
}

#[rstest]
#[case::nothing("", "not a JSON report")]
#[case::other("[1]", "not a JSON report")]
#[case::cut("{\"schema_version\": 1, \"program_ver", "not a JSON report")]
#[case::version(
    "{\"schema_version\": 1, \"program_version\": \"0.0.1\"}",
    "a report of version 0.0.1 (schema 1)"
)]
#[case::deep(
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "not a JSON report"
)]
fn a_file_that_is_no_report_of_this_program_is_refused(#[case] text: &str, #[case] what: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let message = read(file.path()).expect_err("refused").to_string();
    assert!(message.contains(what), "{message}");
}

#[test]
fn times_are_those_of_what_ran_to_its_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), whole(1.0)).unwrap();
    let times = durations(file.path()).unwrap();
    assert_eq!(times["holds@daemon"], 1250.0);
    assert!(!times.contains_key("broken@daemon"));
    assert!(durations(std::path::Path::new("/nonexistent")).is_err());
}
