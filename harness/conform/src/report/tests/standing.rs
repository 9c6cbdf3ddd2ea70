//! What each format counts as success, told without its writer: by what a reader of it looks for.

use rstest::rstest;

use super::made::report;
use crate::report::outline::Outline;
use crate::report::{github, junit, markdown, sarif, tap};
use crate::verdict::judge::Verdict;

fn number(strict: bool, of: &[Verdict]) -> usize {
    let report = report(strict);
    report
        .cases
        .iter()
        .filter(|case| of.contains(&case.verdict))
        .count()
}

const BAD: [Verdict; 4] = [
    Verdict::Fail,
    Verdict::Inconclusive,
    Verdict::UnexpectedPass,
    Verdict::Error,
];
const SILENT: [Verdict; 2] = [Verdict::Vacuous, Verdict::Skip];

#[test]
fn the_made_up_run_has_every_verdict() {
    let report = report(false);
    for verdict in Verdict::ALL {
        assert!(report.summary[verdict.name()] > 0, "{}", verdict.name());
    }
}

fn bad(strict: bool) -> usize {
    number(strict, &BAD) + if strict { number(strict, &SILENT) } else { 0 }
}

#[rstest]
fn of_junit(#[values(false, true)] strict: bool) {
    let text = junit::text(&Outline::of_run(&report(strict))).unwrap();
    let bad_ones = text.matches("<failure").count() + text.matches("<error").count();
    assert_eq!(bad_ones, bad(strict));
    // A test case that has nothing in it is a success.
    let good = text
        .lines()
        .filter(|line| line.contains("<testcase ") && line.ends_with("/>"))
        .count();
    assert_eq!(good, number(strict, &[Verdict::Pass]));
}

#[rstest]
fn of_tap(#[values(false, true)] strict: bool) {
    let text = tap::text(&Outline::of_run(&report(strict))).unwrap();
    let lines = |start: &str, directive: &str| {
        text.lines()
            .filter(|line| line.starts_with(start) && line.contains(directive))
            .count()
    };
    assert_eq!(lines("not ok ", "") - lines("not ok ", " # TODO "), bad(strict));
    assert_eq!(
        lines("ok ", "") - lines("ok ", " # SKIP "),
        number(strict, &[Verdict::Pass])
    );
    assert_eq!(
        lines("not ok ", " # TODO "),
        number(strict, &[Verdict::KnownFailure])
    );
}

#[rstest]
fn of_github(#[values(false, true)] strict: bool) {
    let text = github::annotations(&Outline::of_run(&report(strict)));
    let commands = |level: &str| text.lines().filter(|line| line.starts_with(level)).count();
    assert_eq!(commands("::error "), bad(strict));
    assert_eq!(text.lines().count(), commands("::error ") + commands("::notice "));
}

#[rstest]
fn of_sarif(#[values(false, true)] strict: bool) {
    let text = sarif::text(&report(strict)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let run = &value["runs"][0];
    let results = run["results"].as_array().unwrap();
    let errors = results.iter().filter(|result| result["level"] == "error").count();
    assert_eq!(errors, bad(strict));
    let suppressed = results.iter().filter(|result| result["suppressions"].is_array());
    assert_eq!(suppressed.count(), number(strict, &[Verdict::KnownFailure]));
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
}

#[test]
fn the_place_is_where_the_rule_is_or_would_go() {
    let outline = Outline::of_run(&report(false));
    let place = |name: &str| {
        let entry = outline.entries.iter().find(|entry| entry.name.starts_with(name));
        let place = entry.unwrap().place.clone().unwrap();
        format!("{}:{}", place.file, place.line)
    };
    let policy = |line: u32| format!("/etc/apparmor.d/daemon.profile:{line}");
    // The closing brace, the `deny` rule, the rule that grants it, the profile.
    assert_eq!(place("denied@"), policy(5));
    assert_eq!(place("denied-on-purpose@"), policy(4));
    assert_eq!(place("not-denied@"), policy(2));
    assert_eq!(place("no-effect@"), policy(1));
    assert_eq!(place("lost-records@"), "cases/network/made.yaml:7");
}

#[test]
fn no_line_of_the_outside_is_a_command_or_a_row() {
    let outline = Outline::of_run(&report(false));
    let annotations = github::annotations(&outline);
    assert!(
        annotations
            .lines()
            .all(|line| line.starts_with("::error ") || line.starts_with("::notice "))
    );
    let markdown = markdown::text(&outline);
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    // Of three cells each, and the backslash before a bar in the text does not count.
    let bars = |row: &str| row.replace("\\|", "").matches('|').count();
    assert!(rows.iter().all(|row| bars(row) == 4), "{rows:#?}");
}
