//! Lines of a log: which are records, and where they stand.

use std::time::{Duration, Instant};

use aa_audit::{Located, ParseError, ParseErrorKind, Record, looks_like, records};
use rstest::rstest;

fn all(input: &[u8]) -> Vec<Result<Located<Record>, Located<ParseError>>> {
    records(input).collect()
}

const GOOD: &str = "audit(1.001:2): apparmor=\"DENIED\" operation=\"open\" name=\"/a\"";

#[test]
fn a_mixed_log() {
    let input = format!(
        "first\n\n5,1,2,-;{GOOD}\r\n SUBSYSTEM=x\ntype=SYSCALL msg=audit(1.001:2): arch=c000003e\n{GOOD} pid=x\nlast {GOOD}"
    );
    let found = all(input.as_bytes());
    assert_eq!(found.len(), 3);
    assert!(
        matches!(&found[0], Ok(Located { line: 3, offset: 7, value }) if value.name.as_deref() == Some("/a"))
    );
    let error = found[1].as_ref().expect_err("the number is none");
    assert_eq!((error.line, error.value.kind), (6, ParseErrorKind::BadNumber));
    let at = error.offset + error.value.offset;
    assert_eq!(&input[at - 4..=at], "pid=x");
    assert_eq!(
        error.to_string(),
        format!(
            "line 6: bad number; expected decimal digits within the range of this key (at byte {})",
            error.value.offset
        )
    );
    assert!(matches!(&found[2], Ok(Located { line: 7, .. })));
}

#[rstest]
#[case::empty("")]
#[case::newlines("\n\n\n")]
#[case::no_newline("nothing")]
fn nothing_to_find(#[case] input: &str) {
    assert_eq!(all(input.as_bytes()), []);
}

#[rstest]
#[case::stamped(GOOD, true)]
#[case::bare("apparmor=\"DENIED\" operation=\"open\"", true)]
#[case::dbus_daemon(
    "Nov 01 host dbus-daemon[5]: apparmor=\"DENIED\" operation=\"dbus_signal\"",
    true
)]
#[case::journal_transport("host audit[5]: AVC apparmor=\"DENIED\" x", true)]
#[case::message("audit(1.001:2): pid=1 msg='apparmor=\"DENIED\"", true)]
// Damaged ones are not passed over in silence.
#[case::stamped_damaged("audit(1.001:2): apparmor=", true)]
#[case::stamped_unquoted("audit(1.001:2): apparmor=DENIED", true)]
#[case::bare_cut("apparmor=\"DENIED\" oper", true)]
#[case::bare_cut_verdict("apparmor=\"DEN", true)]
#[case::bare_verdict_only("apparmor=\"DENIED\"", true)]
// What only mentions the key.
#[case::command_line("kernel: Command line: root=/dev/vda apparmor=1 security=apparmor", false)]
#[case::unknown_parameter("kernel: Unknown kernel command line parameters \"apparmor=1\"", false)]
#[case::grep("sudo: root : COMMAND=/bin/grep apparmor=\"DENIED\" /var/log/kern.log", false)]
#[case::grep_quoted("bash: grep 'apparmor=\"DENIED\" operation=\"open\"' log", false)]
#[case::longer_key("audit(1.001:2): subj_apparmor=\"DENIED\" operation=\"open\"", false)]
#[case::message_of_the_module("kernel: AppArmor: AppArmor Filesystem Enabled", false)]
fn what_is_meant_as_a_record(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(looks_like(text.as_bytes()), expected);
    assert_eq!(all(text.as_bytes()).len(), usize::from(expected));
}

/// Hostile input of several megabytes is answered in a moment; anything quadratic would take hours.
#[rstest]
#[case::nothing("x")]
#[case::keys("apparmor=")]
#[case::words(" apparmor=\"")]
#[case::open_records("apparmor=\"DENIED\" operation=\"open\" ")]
#[case::stamps("audit(")]
#[case::stamps_and_keys("audit(1.001:2): apparmor=")]
#[case::messages("msg='apparmor=\"")]
#[case::types("type= AVC ")]
#[case::group_separators("\x1d")]
#[case::apostrophes("msg='apparmor=\"DENIED\"'")]
#[case::quotes("\"")]
#[case::equals(" =")]
#[case::digits("1,")]
#[case::newlines("\n")]
#[case::lost_separators("1FSUID=")]
#[case::kmsg_newlines(r"\x0aa=1")]
#[case::upper_case("A")]
fn linear_in_hostile_input(#[case] unit: &str) {
    let started = Instant::now();
    for head in [
        "",
        "apparmor=\"DENIED\" operation=\"open\" name=",
        "audit(1.001:2): apparmor=\"DENIED\" ",
    ] {
        let input = format!("{head}{}", unit.repeat(4_000_000 / unit.len()));
        let _ = records(input.as_bytes()).count();
        let _ = aa_audit::parse_record(input.as_bytes());
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
