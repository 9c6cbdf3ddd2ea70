//! What each format counts as success, checked without the writer's code, by what a reader of the format looks for.

use rstest::rstest;

use crate::exit;
use crate::report::comparison::{CasesByKey, Comparison};
use crate::report::outline::{EntryStatus, Outline};
use crate::report::{github, junit, markdown, sarif, tap};
use virt_aa_model::compare::Kind;
use virt_aa_model::profile_set::Unusable;
use virt_aa_model::report::model::Report;
use virt_aa_model::testing::reports::{info, report};
use virt_aa_model::verdict::judge::Verdict;

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
    // An empty test case is a success.
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
    // Each row has three cells. A bar after a backslash is part of the text.
    let bars = |row: &str| row.replace("\\|", "").matches('|').count();
    assert!(rows.iter().all(|row| bars(row) == 4), "{rows:#?}");
}

/// A report with only passes, and a file of the set that could not be loaded.
fn green_but_for_a_file() -> Report {
    let mut report = report(false);
    report.cases.retain(|case| case.verdict == Verdict::Pass);
    report.run.profile_set.unusable = vec![Unusable {
        file: "usr.sbin.new".into(),
        message: "no parser\ntakes it".into(),
    }];
    report
}

#[test]
fn a_file_that_cannot_be_loaded_is_red_in_every_format() {
    let report = green_but_for_a_file();
    let outline = Outline::of_run(&report);
    assert_eq!(exit::of_report(&report), exit::RED);
    assert_eq!(junit::text(&outline).unwrap().matches("<failure").count(), 1);
    let tap = tap::text(&outline).unwrap();
    assert_eq!(tap.lines().filter(|line| line.starts_with("not ok ")).count(), 1);
    for text in [
        github::annotations(&outline),
        markdown::text(&outline),
        sarif::text(&report).unwrap(),
    ] {
        assert!(text.contains("usr.sbin.new"), "{text}");
    }
    // The same report without that file is green.
    let mut report = report;
    report.run.profile_set.unusable.clear();
    assert_eq!(exit::of_report(&report), exit::OK);
    assert!(
        !junit::text(&Outline::of_run(&report))
            .unwrap()
            .contains("<failure")
    );
}

fn comparison(kinds: &[(&str, Kind)]) -> Comparison {
    let cases: CasesByKey = report(false)
        .cases
        .into_iter()
        .map(|case| (case.id.clone(), case))
        .collect();
    Comparison {
        base: info(),
        other: info(),
        base_cases: cases.clone(),
        cases,
        kinds: kinds
            .iter()
            .map(|(key, kind)| ((*key).to_owned(), *kind))
            .collect(),
        duration_ms: 1000.0,
    }
}

#[test]
fn of_two_sets_only_what_is_worse_is_red() {
    let id = report(false).cases[0].id.clone();
    let all = [
        (Kind::Allows, EntryStatus::Red),
        (Kind::Broke, EntryStatus::Red),
        (Kind::MoreRed, EntryStatus::Red),
        (Kind::NewRed, EntryStatus::Red),
        (Kind::Untested, EntryStatus::Red),
        (Kind::Unknown, EntryStatus::Broken),
        (Kind::Mended, EntryStatus::Good),
        (Kind::New, EntryStatus::PassedOver),
        (Kind::Otherwise, EntryStatus::PassedOver),
    ];
    for (kind, want) in all {
        let comparison = comparison(&[(&id, kind)]);
        let outline = comparison.outline();
        assert_eq!(outline.entries[0].standing, want, "{}", kind.name());
        // A case that is red with both sets has not changed, and is no success.
        let bad = outline
            .entries
            .iter()
            .filter(|entry| entry.standing.is_bad())
            .count();
        assert_eq!(bad, usize::from(want.is_bad()), "{}", kind.name());
        assert_eq!(comparison.is_worse(), want == EntryStatus::Red);
    }
    let none = comparison(&[]);
    assert!(!none.is_worse() && none.closing().contains("is no worse"));
    // A file that only the set cannot load makes it worse. One that neither can load does not.
    let mut one = comparison(&[]);
    one.other.profile_set.unusable = green_but_for_a_file().run.profile_set.unusable;
    assert!(one.is_worse());
    one.base.profile_set.unusable = one.other.profile_set.unusable.clone();
    assert!(!one.is_worse());
}
