//! What reports show of a case's evidence.

use crate::testing::evidence::{DENIED, Made, PID, POSITIVE, exited, ok};
use crate::verdict::summary::{Evidence, Guards};

fn told(made: &Made) -> Evidence {
    let mut evidence = made.evidence();
    (evidence.guest_ms, evidence.steps_ms) = (10.0, 4.0);
    Evidence::of(&made.expected, &evidence, &made.judge(), Guards::default())
}

fn granted(operation: &str) -> String {
    format!(
        r#"apparmor="AUDIT" operation="{operation}" class="file" profile="daemon" name="/x" pid={PID} comm="x" requested_mask="x" fsuid=0 ouid=0 target="helper""#
    )
}

#[test]
fn the_harness_own_time_is_what_the_steps_did_not_take() {
    assert_eq!(told(&Made::of(&[POSITIVE])).overhead_ms, Some(6.0));
}

#[test]
fn of_what_was_granted_only_programs_are_told() {
    let made = Made::of(&[POSITIVE])
        .saying(0, DENIED)
        .saying(0, &granted("exec"))
        .saying(0, &granted("open"));
    let records = told(&made).records;
    let operations: Vec<_> = records
        .iter()
        .map(|record| record["operation"].as_str())
        .collect();
    assert_eq!(operations, [Some("create"), Some("exec")]);
}

#[test]
fn a_step_is_told_with_the_label_that_its_own_program_got() {
    let run = "{as: d, run: [/x]}";
    let exec = granted("exec").replace(&format!("pid={PID}"), "pid=41");
    let mut made = Made::of(&[POSITIVE, run, run]).saying(1, &exec);
    made.outcomes = vec![ok(), exited(0), exited(3)];
    let steps = told(&made).steps;
    let outcomes: Vec<_> = steps
        .iter()
        .map(|step| (step.outcome.as_str(), step.label.as_deref()))
        .collect();
    // The record was written during the first of the two steps.
    assert_eq!(
        outcomes,
        [("ok", None), ("exit 0", Some("helper")), ("exit 3", None)]
    );
}
