//! Rules about subjects, and about steps that check another step.

use rstest::rstest;

use super::{RIGHT, errors};

/// The steps by the subject are then wrong too.
#[rstest]
#[case(
    "user: tester",
    "daemon: {argv: [/x], ready: /y}",
    "c.yaml:8:30: `daemon` needs `role`"
)]
#[case(
    "  late:",
    "  set:",
    "c.yaml:8:9: the subject cannot be called `set`: that is the name of the profile set, in templates"
)]
#[case(
    "  late:",
    "  agent:",
    "c.yaml:8:11: the subject cannot be called `agent`: that is the name of the unconfined agent"
)]
#[case(
    "  late:",
    "  disk:",
    "c.yaml:8:10: the subject cannot be called `disk`: that is the name of a fixture that the case needs"
)]
#[case(
    "  late:",
    "  canary:",
    "c.yaml:8:12: the subject cannot be called `canary`: that is the name of the process that shows that denials arrive"
)]
fn what_is_wrong_with_a_subject_is_told_first(#[case] from: &str, #[case] to: &str, #[case] want: &str) {
    assert_eq!(RIGHT.matches(from).count(), 1, "{from:?}");
    assert_eq!(errors(&RIGHT.replace(from, to))[0], want);
}

/// A program that does nothing also exits with 0 and prints nothing.
#[rstest]
#[case::only_a_status("run: [/bin/true]", "exit: 0", false)]
#[case::nothing("run: [/bin/true]", "stdout: {equals: \"\"}", false)]
#[case::absence("run: [/bin/true]", "stdout: {lacks: [x]}", false)]
#[case::text("run: [/bin/cat, /x]", "stdout: {contains: [x]}", true)]
#[case::some("run: [/bin/cat, /x]", "stderr: {some: true}", true)]
#[case::file("file: {path: /x, open: r, read: 4}", "bytes: 4", true)]
fn the_step_that_checks_reads_something(#[case] act: &str, #[case] expect: &str, #[case] checks: bool) {
    let text = RIGHT.replace(
        "    expect: {stdout: {some: true}}\n",
        &format!(
            "    expect: {{checked-by-next: true}}\n  - as: agent\n    {act}\n    expect: {{{expect}}}\n"
        ),
    );
    let found = errors(&text);
    assert_eq!(found.is_empty(), checks, "{found:?}");
    assert!(
        found
            .iter()
            .all(|error| error.contains("`checked-by-next` needs"))
    );
}

#[test]
fn a_daemon_that_is_given_orders_is_an_error_at_each() {
    let want = |line| {
        format!(
            "c.yaml:{line}:9: a daemon takes no orders once it is started (say `start: daemon`, or let `as: agent` ask it for something)"
        )
    };
    let case = RIGHT.replace("memlock: 65536,", "daemon: {argv: [/x], ready: /y},");
    assert_eq!(errors(&case), [want(15), want(18)]);
}

/// A subject that another one runs. The right case has none, so the test adds it.
#[rstest]
#[case::right("{role: guest, run-by: d}", "as: g", &[])]
#[case::of_nobody("{role: guest, run-by: e}", "as: g", &["c.yaml:8:28: unknown subject `e` (known are: d, g, late)"])]
#[case::of_itself("{role: guest, run-by: h}", "as: g", &["c.yaml:8:28: unknown subject `h` (known are: d, g, late)"])]
#[case::without_role("{label: x, run-by: d}", "as: g", &["c.yaml:8:17: `run-by` needs `role`"])]
#[case::as_somebody(
    "{role: guest, run-by: d, user: tester}",
    "as: g",
    &["c.yaml:8:31: `user` has no meaning with `run-by`"]
)]
#[case::without_a_capability(
    "{role: guest, run-by: d, drops: [kill]}",
    "as: g",
    &["c.yaml:8:31: `drops` has no meaning with `run-by`"]
)]
#[case::that_acts("{role: guest, run-by: d}", "as: h", &["c.yaml:21:9: unknown subject `h` (known are: d, g, late, agent)"])]
fn a_subject_that_another_runs_does_nothing_itself(
    #[case] subject: &str,
    #[case] step: &str,
    #[case] want: &[&str],
) {
    let text = RIGHT.replace("as: g", step).replace(
        "g: {role: guest}\n",
        &format!("g: {{role: guest}}\n  h: {subject}\n"),
    );
    assert_eq!(errors(&text), want);
}

#[test]
fn a_capability_that_is_dropped_is_one_that_there_is() {
    let case = |drops: &str| {
        errors(&RIGHT.replace("memlock: 65536,", &format!("memlock: 65536, drops: [{drops}],")))
    };
    assert_eq!(case("ipc_lock"), Vec::<String>::new());
    let found = case("ipc_look");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("unknown capability `ipc_look`") && found[0].contains("ipc_lock"),
        "{found:?}"
    );
}
