//! One record in each form in which it is met, and what the forms do to its texts.

use aa_audit::{Record, Stamp, Value, parse_record, to_bytes};
use rstest::rstest;

const BODY: &str = r#"apparmor="DENIED" operation="open" class="file" profile="libvirtd" name="/etc/shadow" pid=12 comm="libvirtd" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#;

fn record(text: impl AsRef<[u8]>) -> Record {
    parse_record(text.as_ref())
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text.as_ref())))
}

/// The record of the bare body with the head's facts put in.
fn expected(audit_type: Option<&str>, stamped: bool) -> Record {
    let mut expected = record(BODY);
    expected.stamp = stamped.then_some(Stamp {
        seconds: 1_700_000_000,
        millis: 5,
        serial: 77,
    });
    expected.audit_type = audit_type.map(str::to_owned);
    expected
}

#[rstest]
#[case::bare("", None, false)]
#[case::audit_socket("audit(1700000000.005:77): ", None, true)]
#[case::kmsg(
    "5,812,5340123,-;audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::kmsg_caller(
    "5,812,5340123,-,caller=T1;audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::kmsg_old("5,812,5340123,-;type=1400 audit(1700000000.005:77): ", Some("1400"), true)]
#[case::dmesg(
    "[    5.340123] audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::dmesg_people(
    "[Nov 1 10:00:00 2023] audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::dmesg_raw(
    "<5>[    5.340123] audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::journal(
    "Nov 01 10:00:00 host kernel: audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::syslog(
    "Nov  1 10:00:00 host kernel: [    5.3] audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::syslog_old(
    "Nov  1 10:00:00 host kernel: [    5.3] type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::journal_transport("Nov 01 10:00:00 host audit[812]: AVC ", Some("AVC"), false)]
#[case::audit_log("type=AVC msg=audit(1700000000.005:77): ", Some("AVC"), true)]
#[case::audit_log_node("node=host type=AVC msg=audit(1700000000.005:77): ", Some("AVC"), true)]
#[case::audisp("msg=audit(1700000000.005:77): ", None, true)]
#[case::stamp_in_the_prefix(
    "host app: audit(old): type=x audit: type=1400 audit(1700000000.005:77): ",
    Some("1400"),
    true
)]
#[case::console("type=1400 audit(1700000000.005:77): ", Some("1400"), true)]
fn heads(#[case] head: &str, #[case] audit_type: Option<&str>, #[case] stamped: bool) {
    assert_eq!(record(format!("{head}{BODY}")), expected(audit_type, stamped));
}

#[rstest]
#[case::newline("\n")]
#[case::carriage_return("\r\n")]
#[case::nul("\0")]
#[case::spaces("   ")]
#[case::group_separator("\x1d")]
fn tails(#[case] tail: &str) {
    assert_eq!(record(format!("{BODY}{tail}")), expected(None, false));
}

#[test]
fn enriched_log_keeps_what_auditd_adds() {
    let record = record(format!(
        "type=AVC msg=audit(1700000000.005:77): {BODY}\x1dFSUID=\"root\" OUID=\"a b\""
    ));
    let mut expected = expected(Some("AVC"), true);
    expected.extra = vec![
        ("FSUID".to_owned(), Value::Text("root".to_owned())),
        ("OUID".to_owned(), Value::Text("a b".to_owned())),
    ];
    assert_eq!(record, expected);
}

/// The separator before what auditd adds is invisible, and gets lost where a record is copied.
#[test]
fn enriched_log_without_its_separator() {
    let record = record(format!("{BODY}FSUID=\"root\" OUID=\"root\""));
    assert_eq!(record.ouid, Some(0));
    assert_eq!(record.extra.len(), 2);
    let quoted = r#"apparmor="DENIED" operation="link" target="/b"FSUID="root""#;
    assert_eq!(self::record(quoted).target.as_deref(), Some("/b"));
}

/// The denial that libvirt's commit b61fb8e8af quotes: of an old kernel, folded by a mailer.
#[test]
fn folded_and_repeated() {
    let record = record(
        "apparmor=\"DENIED\" operation=\"capable\" parent=1 profile=\"/usr/sbin/libvirtd\"\npid=2097 comm=\"libvirtd\" pid=2098 comm=\"other\" capability=14\ncapname=\"ipc_lock\"",
    );
    assert_eq!(
        (
            record.parent,
            record.pid,
            record.comm.as_deref(),
            record.capability,
            record.capname.as_deref()
        ),
        (Some(1), Some(2097), Some("libvirtd"), Some(14), Some("ipc_lock"))
    );
    let repeats = [
        ("pid".to_owned(), Value::Number(2098)),
        ("comm".to_owned(), Value::Text("other".to_owned())),
    ];
    assert_eq!(record.extra, repeats);
}

const MESSAGE: &str = r#"apparmor="DENIED" operation="dbus_method_call"  bus="system" path="/org/freedesktop/DBus" interface="org.freedesktop.DBus" member="Hello" mask="send" name="org.freedesktop.DBus" pid=12 label="libvirtd" peer_label="it's" exe="/usr/bin/dbus-daemon" sauid=102 hostname=? addr=? terminal=?"#;

#[rstest]
#[case::audit_log(
    "type=USER_AVC msg=audit(1700000000.005:77): pid=9 uid=102 auid=4294967295 ses=4294967295 subj=dbus-daemon (enforce) msg='",
    "'\x1dUID=\"messagebus\"",
    Some("USER_AVC")
)]
#[case::kmsg(
    "5,1,2,-;audit: type=1107 audit(1700000000.005:77): pid=9 uid=102 auid=4294967295 ses=4294967295 subj=dbus-daemon (enforce) msg='",
    "'",
    Some("1107")
)]
#[case::audit_socket(
    "audit(1700000000.005:77): pid=9 uid=102 auid=4294967295 ses=4294967295 subj=dbus-daemon (enforce) msg='",
    "'",
    None
)]
#[case::journal_transport(
    "Nov 01 10:00:00 host audit[9]: USER_AVC pid=9 uid=102 auid=4294967295 ses=4294967295 subj=dbus-daemon (enforce) msg='",
    "'",
    Some("USER_AVC")
)]
fn user_space_messages(#[case] head: &str, #[case] tail: &str, #[case] audit_type: Option<&str>) {
    let record = record(format!("{head}{MESSAGE}{tail}"));
    assert!(record.user_space);
    assert_eq!(record.audit_type.as_deref(), audit_type);
    // The message's own pid is the subject's; that of the bus daemon is a repeat.
    assert_eq!(record.pid, Some(12));
    assert_eq!(record.peer_label.as_deref(), Some("it's"));
    assert_eq!(record.addr, None);
    let extra: Vec<_> = record
        .extra
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut expected = vec![
        "sauid=102",
        "hostname=?",
        "addr=?",
        "terminal=?",
        "pid=9",
        "uid=102",
        "auid=4294967295",
        "ses=4294967295",
        "subj=dbus-daemon (enforce)",
    ];
    if tail.len() > 1 {
        expected.push("UID=messagebus");
    }
    assert_eq!(extra, expected);
    assert_eq!(
        record.sentence(),
        r#"a process (pid 12, profile "libvirtd") was denied sending on the system bus of org.freedesktop.DBus.Hello at "/org/freedesktop/DBus", name "org.freedesktop.DBus", peer "it's""#
    );
}

/// The D-Bus daemon has a line break in its message: the print buffer's readers tear the record there, `/dev/kmsg`
/// escapes it.
#[rstest]
#[case::whole("audit(1700000000.005:77): pid=9 msg='", "\n     ", "'")]
#[case::first_line("[   31.0] audit: type=1107 audit(1700000000.005:77): pid=9 msg='", "\n", "")]
#[case::kmsg(
    "5,1,2,-;audit: type=1107 audit(1700000000.005:77): pid=9 msg='",
    r"\x0a     ",
    "'"
)]
fn a_message_of_two_lines(#[case] head: &str, #[case] line_break: &str, #[case] end: &str) {
    let mut text =
        format!(r#"{head}apparmor="DENIED" operation="dbus_signal" peer_label="it's"{line_break}"#);
    if !end.is_empty() {
        text.push_str(&format!(r#"exe="/usr/bin/dbus-daemon" terminal=?{end}"#));
    }
    let record = record(text);
    assert_eq!(record.peer_label.as_deref(), Some("it's"));
    assert_eq!(
        record.exe.as_deref(),
        (!end.is_empty()).then_some("/usr/bin/dbus-daemon")
    );
    assert!(record.user_space);
}

/// What the D-Bus daemon writes to the system's log where there is no audit system, and a record of the kernel's.
#[test]
fn user_space_is_told_from_the_kernel() {
    let text = format!("Nov 01 10:00:00 host dbus-daemon[5]: {MESSAGE}");
    assert!(record(text).user_space);
    assert!(!record(format!("audit(1700000000.005:77): {BODY}")).user_space);
}

#[rstest]
// A space, a quote, a byte above ASCII: the kernel writes hexadecimal digits.
#[case::space("name=2F746D702F612062", "/tmp/a b")]
#[case::quote("name=2F2261", "/\"a")]
#[case::utf8("name=2F746D702FC3A9", "/tmp/é")]
#[case::not_utf8("name=2F746D702FFFE9", r"/tmp/\xFF\xE9")]
#[case::cut_utf8("name=2FC3", r"/\xC3")]
#[case::only_digits("name=31323334", "1234")]
#[case::newline("name=610A62", "a\nb")]
// In quotes nothing is decoded.
#[case::quoted_hex("name=\"2F746D70\"", "2F746D70")]
#[case::quoted_digits("name=\"1234\"", "1234")]
#[case::quoted_backslash(r#"name="/a\b\x2dc\n""#, r"/a\b\x2dc\n")]
#[case::quoted_equals("name=\"a=b c=d\"", "a=b c=d")]
#[case::quoted_empty("name=\"\"", "")]
// Lower case is no hexadecimal string of the kernel's.
#[case::lower_case("name=2f74", "2f74")]
#[case::word("name=none", "none")]
// What looks like an escape of ours is escaped.
#[case::look_alike(r#"name="/a\xFF""#, r"/a\x5CxFF")]
#[case::look_alike_escape(r#"name="/a\x5C""#, r"/a\x5Cx5C")]
fn texts(#[case] field: &str, #[case] name: &str) {
    let record = record(format!(r#"apparmor="DENIED" operation="open" {field} pid=1"#));
    assert_eq!(record.name.as_deref(), Some(name));
    assert_eq!(record.pid, Some(1));
}

#[test]
fn bytes_come_back() {
    let record = record(r#"apparmor="DENIED" operation="open" name=2FFF5C7846465C783543"#);
    assert_eq!(
        *to_bytes(record.name.as_deref().unwrap_or_default()),
        *b"/\xff\\xFF\\x5C"
    );
}

#[rstest]
#[case("name")]
#[case("comm")]
#[case("profile")]
#[case("peer")]
#[case("target")]
#[case("label")]
#[case("namespace")]
#[case("srcname")]
#[case("path")]
#[case("ocomm")]
#[case("addr")]
fn untrusted_keys_are_decoded(#[case] key: &str) {
    let json = serde_json::to_value(record(format!(
        r#"apparmor="DENIED" operation="open" {key}=6120"#
    )));
    assert_eq!(json.unwrap_or_default()[key], "a ");
}

/// Keys whose value the kernel never writes in hexadecimal digits, and those that are not known.
#[rstest]
#[case("operation")]
#[case("info")]
#[case("signal")]
#[case("rlimit")]
#[case("family")]
#[case("unknown")]
fn other_keys_are_not_decoded(#[case] key: &str) {
    let json = serde_json::to_value(record(format!(r#"apparmor="DENIED" {key}=61AB"#)));
    assert_eq!(json.unwrap_or_default()[key], "61AB");
}

/// `/dev/kmsg` writes a backslash as `\x5c` and a control character alike; other forms do not.
#[test]
fn kmsg_escapes_are_undone() {
    let body = r#"audit: type=1400 audit(1700000000.005:77): apparmor="DENIED" operation="open" name="/dev-disk\x5cx2da""#;
    assert_eq!(
        record(format!("5,1,2,-;{body}")).name.as_deref(),
        Some(r"/dev-disk\x2da")
    );
    assert_eq!(record(body).name.as_deref(), Some(r"/dev-disk\x5cx2da"));
}

#[rstest]
#[case::positive("64055", 64055)]
#[case::above_31_bits("4294967294", 4_294_967_294)]
// The kernel's %d of a uid above 2^31.
#[case::negative("-2", 4_294_967_294)]
fn user_ids(#[case] digits: &str, #[case] fsuid: u32) {
    assert_eq!(
        record(format!(r#"apparmor="DENIED" operation="open" fsuid={digits}"#)).fsuid,
        Some(fsuid)
    );
}

#[rstest]
#[case("key=7", Value::Number(7))]
#[case("key=-7", Value::Number(-7))]
#[case("key=007", Value::Text("007".to_owned()))]
#[case("key=\"7\"", Value::Text("7".to_owned()))]
#[case("key=99999999999999999999", Value::Text("99999999999999999999".to_owned()))]
#[case("key=0x10", Value::Text("0x10".to_owned()))]
fn unknown_keys(#[case] field: &str, #[case] value: Value) {
    assert_eq!(
        record(format!(r#"apparmor="DENIED" {field}"#)).extra,
        [("key".to_owned(), value)]
    );
}
