//! A record as JSON: the kernel's own key names, numbers as numbers, nothing that is not there.

use aa_audit::parse_record;

fn json(text: &str) -> String {
    let record = parse_record(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    serde_json::to_string(&record).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn kernels_names_and_types() {
    assert_eq!(
        json(
            r#"audit: type=1400 audit(1700000000.005:77): apparmor="DENIED" operation="create" class="net" profile="p" pid=12 comm="c" family="packet" sock_type="raw" protocol=768 requested_mask="create" denied_mask="create" netif=eth0 ino=5"#
        ),
        r#"{"audit":"1700000000.005:77","type":"1400","apparmor":"DENIED","operation":"create","class":"net","profile":"p","pid":12,"comm":"c","requested_mask":"create","denied_mask":"create","family":"packet","sock_type":"raw","protocol":768,"netif":"eth0","ino":5}"#
    );
}

#[test]
fn what_is_absent_is_absent() {
    assert_eq!(json(r#"apparmor="STATUS""#), r#"{"apparmor":"STATUS"}"#);
}

/// A JSON object has each key once.
#[test]
fn repeats_have_an_ordinal() {
    assert_eq!(
        json(r#"apparmor="DENIED" pid=1 comm="a" pid=2 comm="b" pid=3 k=1 k=2 apparmor="DENIED" k#2=9"#),
        r##"{"apparmor":"DENIED","pid":1,"comm":"a","pid#2":2,"comm#2":"b","pid#3":3,"k":1,"k#2":2,"apparmor#2":"DENIED","k#2#2":9}"##
    );
}

#[test]
fn numbers_keep_all_their_digits() {
    assert_eq!(
        json(r#"apparmor="DENIED" error=-13 protocol=-1 value=18446744073709551615"#),
        r#"{"apparmor":"DENIED","error":-13,"protocol":-1,"value":18446744073709551615}"#
    );
}
