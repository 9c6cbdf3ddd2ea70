//! What is malformed is an error with its kind and byte offset.

use aa_audit::{ParseError, ParseErrorKind, parse_record};
use rstest::rstest;

/// `^` marks where the error is; it is no part of the text.
#[rstest]
#[case::empty("^", ParseErrorKind::NotARecord)]
#[case::other_text("^Nov 01 host kernel: hello", ParseErrorKind::NotARecord)]
#[case::other_audit(
    "^audit(1.001:2): state=initialized audit_enabled=0 res=1",
    ParseErrorKind::NotARecord
)]
#[case::selinux(
    "^type=AVC msg=audit(1.001:2): avc:  denied  { read } for  pid=1",
    ParseErrorKind::NotARecord
)]
#[case::command_line(
    "^Command line: quiet apparmor=1 security=apparmor",
    ParseErrorKind::NotARecord
)]
#[case::longer_key("^audit(1.001:2): subj_apparmor=\"DENIED\"", ParseErrorKind::NotARecord)]
#[case::key_cut("^audit(1.001:2): appar", ParseErrorKind::NotARecord)]
#[case::verdict_unknown("apparmor=^\"REFUSED\" operation=\"open\"", ParseErrorKind::UnknownVerdict)]
#[case::verdict_lower("apparmor=^\"denied\"", ParseErrorKind::UnknownVerdict)]
#[case::verdict_empty("apparmor=^\"\"", ParseErrorKind::UnknownVerdict)]
#[case::verdict_missing("audit(1.001:2): apparmor=^", ParseErrorKind::MissingValue)]
#[case::verdict_cut("apparmor=^\"DENI", ParseErrorKind::UnclosedQuote)]
#[case::quote("apparmor=\"DENIED\" name=^\"/a pid=1", ParseErrorKind::UnclosedQuote)]
#[case::after_quote("apparmor=\"DENIED\" name=\"/a\"^b\" pid=1", ParseErrorKind::TextAfterQuote)]
#[case::equals("apparmor=\"DENIED\" ^name pid=1", ParseErrorKind::MissingEquals)]
#[case::equals_at_end("apparmor=\"DENIED\" ^nam", ParseErrorKind::MissingEquals)]
#[case::key("apparmor=\"DENIED\" ^=1", ParseErrorKind::MissingKey)]
#[case::value("apparmor=\"DENIED\" name=^ pid=1", ParseErrorKind::MissingValue)]
#[case::value_at_end("apparmor=\"DENIED\" pid=^", ParseErrorKind::MissingValue)]
#[case::number("apparmor=\"DENIED\" pid=^x1", ParseErrorKind::BadNumber)]
#[case::number_hexadecimal("apparmor=\"DENIED\" capability=^1F", ParseErrorKind::BadNumber)]
#[case::number_quoted("apparmor=\"DENIED\" pid=^\"1\"", ParseErrorKind::BadNumber)]
#[case::number_signed("apparmor=\"DENIED\" pid=^-1", ParseErrorKind::BadNumber)]
#[case::number_plus("apparmor=\"DENIED\" pid=^+1", ParseErrorKind::BadNumber)]
#[case::number_minus("apparmor=\"DENIED\" error=^-", ParseErrorKind::BadNumber)]
#[case::number_large("apparmor=\"DENIED\" pid=^4294967296", ParseErrorKind::BadNumber)]
#[case::number_huge("apparmor=\"DENIED\" value=^18446744073709551616", ParseErrorKind::BadNumber)]
#[case::number_of_a_repeat("apparmor=\"DENIED\" pid=1 pid=^x", ParseErrorKind::BadNumber)]
#[case::hexadecimal_odd("apparmor=\"DENIED\" name=^2F7", ParseErrorKind::OddHex)]
#[case::stamp_no_millis("audit(^1): apparmor=\"DENIED\"", ParseErrorKind::BadStamp)]
#[case::stamp_no_serial("audit(1.^001): apparmor=\"DENIED\"", ParseErrorKind::BadStamp)]
#[case::stamp_short_millis("audit(1.^01:2): apparmor=\"DENIED\"", ParseErrorKind::BadStamp)]
#[case::stamp_not_closed("audit(1.001:^2 apparmor=\"DENIED\"", ParseErrorKind::BadStamp)]
#[case::stamp_huge(
    "audit(^99999999999999999999.001:2): apparmor=\"DENIED\"",
    ParseErrorKind::BadStamp
)]
#[case::stamp_for_people(
    "type=AVC msg=audit(^11/01/23 10:00:00.005:77) : apparmor=DENIED",
    ParseErrorKind::BadStamp
)]
#[case::message_cut(
    "audit(1.001:2): pid=1 msg='apparmor=\"DENIED\" member=^\"Hel",
    ParseErrorKind::UnclosedQuote
)]
#[case::after_message(
    "audit(1.001:2): pid=1 msg='apparmor=\"DENIED\"' ^what",
    ParseErrorKind::MissingEquals
)]
// An apostrophe ends nothing outside of a message.
#[case::apostrophe(
    "audit(1.001:2): apparmor=\"DENIED\" name=\"/a\"^'",
    ParseErrorKind::TextAfterQuote
)]
fn kinds_and_offsets(#[case] marked: &str, #[case] kind: ParseErrorKind) {
    let offset = marked.find('^').unwrap_or_default();
    let text = marked.replacen('^', "", 1);
    assert_eq!(parse_record(text.as_bytes()), Err(ParseError { offset, kind }));
}

/// The control of the table above: its texts without their fault are records.
#[rstest]
#[case("apparmor=\"DENIED\" name=\"/ab\" pid=1")]
#[case("apparmor=\"DENIED\" value=18446744073709551615 pid=4294967295 error=-13")]
#[case("apparmor=\"DENIED\" name=2F70")]
#[case("audit(1.001:2): apparmor=\"DENIED\"")]
#[case("audit(18446744073709551615.999:18446744073709551615): apparmor=\"DENIED\"")]
#[case("audit(1.001:2): pid=1 msg='apparmor=\"DENIED\" operation=\"dbus_method_call\"'")]
fn their_sound_counterparts(#[case] text: &str) {
    assert_eq!(parse_record(text.as_bytes()).err(), None);
}

#[test]
fn fields_without_end() {
    let text = format!("apparmor=\"DENIED\"{}", " a=1".repeat(5000));
    assert_eq!(
        parse_record(text.as_bytes()).map_err(|error| error.kind),
        Err(ParseErrorKind::TooManyFields)
    );
}

#[test]
fn messages_say_where_and_what_to_do() {
    let error = parse_record(b"apparmor=\"DENIED\" name=\"/a");
    assert_eq!(
        error.err().map(|error| error.to_string()).as_deref(),
        Some("missing closing quote; the record is cut short (at byte 23)")
    );
}
