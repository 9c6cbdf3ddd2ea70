//! What holds for every input.

use aa_audit::{Record, Stamp, Value, Verdict, parse_record, records, to_bytes};
use proptest::prelude::*;

/// A text as the kernel writes an untrusted one.
fn untrusted(bytes: &[u8]) -> String {
    if bytes
        .iter()
        .any(|&byte| byte == b'"' || !(0x21..=0x7e).contains(&byte))
    {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    } else {
        format!("\"{}\"", String::from_utf8_lossy(bytes))
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_filter("the kernel quotes the empty text", |b| !b.is_empty()),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        r"(\\x[0-9A-Fa-f]{2}|\\|x|[89A-F]{2}|é){0,12}".prop_map(String::into_bytes),
    ]
}

/// Text made of what records are made of, so that it reaches deeper than noise.
fn almost_a_record() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"apparmor=",
        b"\"DENIED\"",
        b"audit(",
        b"1700000000.005:77",
        b"): ",
        b" msg='",
        b"'",
        b"\"",
        b" ",
        b"\n",
        b"\x1d",
        b"=",
        b" name=",
        b" pid=",
        b" fsuid=-",
        b"2F7",
        b"18446744073709551615",
        b"type=1400 ",
        b"5,1,2,-;",
        b"USER_AVC ",
        b"\\x5c",
        b"\\x0a",
        b"FSUID=",
        b"\xff",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// The property of any input: an answer, and an offset within the input.
fn answered(input: &[u8]) -> Result<(), TestCaseError> {
    match parse_record(input) {
        Ok(record) => {
            let _ = record.sentence();
            let _ = record.subject();
            prop_assert!(serde_json::to_string(&record).is_ok());
        }
        Err(error) => prop_assert!(error.offset <= input.len()),
    }
    for found in records(input) {
        let (line, offset) = match &found {
            Ok(located) => (located.line, located.offset),
            Err(located) => {
                prop_assert!(located.offset + located.value.offset <= input.len());
                (located.line, located.offset)
            }
        };
        prop_assert_eq!(
            line,
            input[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
        );
    }
    Ok(())
}

const WHOLE: &[u8] = br#"type=USER_AVC msg=audit(1700000000.005:77): pid=9 subj=d (enforce) msg='apparmor="DENIED" operation="dbus_method_call" name=2F746D702FFF error=-13 fsuid=4294967295 label="l" sauid=1 addr=?'"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_answered(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        answered(&input)?;
    }

    #[test]
    fn near_records_are_answered(input in almost_a_record()) {
        answered(&input)?;
    }

    #[test]
    fn a_damaged_record_is_answered(at in 0..WHOLE.len(), byte: u8) {
        let mut input = WHOLE.to_vec();
        input[at] = byte;
        answered(&input)?;
    }

    /// What the kernel would write of a record is read as that record, every byte of it.
    #[test]
    fn a_record_round_trips(
        verdict in proptest::sample::select(&Verdict::ALL[..]),
        stamp in proptest::option::of((any::<u64>(), 0..1000_u16, any::<u64>())),
        operation in "[a-z_]{1,20}",
        names in proptest::collection::vec(proptest::option::of(bytes()), 4),
        error in proptest::option::of(any::<i32>()),
        pid in proptest::option::of(any::<u32>()),
        fsuid in proptest::option::of(any::<i32>()),
        value in proptest::option::of(any::<u64>()),
        extra in proptest::option::of((any::<i64>(), "[ !#-~]{0,20}")),
    ) {
        let mut text = String::new();
        let mut expected = Record::new(verdict);
        if let Some((seconds, millis, serial)) = stamp {
            text.push_str(&format!("audit({seconds}.{millis:03}:{serial}): "));
            expected.stamp = Some(Stamp { seconds, millis, serial });
        }
        text.push_str(&format!("apparmor=\"{verdict}\" operation=\"{operation}\""));
        expected.operation = Some(operation);
        if let Some(error) = error {
            text.push_str(&format!(" error={error}"));
            expected.error = Some(error);
        }
        for (key, name) in ["profile", "name", "comm", "peer"].iter().zip(&names) {
            if let Some(name) = name {
                text.push_str(&format!(" {key}={}", untrusted(name)));
            }
        }
        if let Some(pid) = pid {
            text.push_str(&format!(" pid={pid}"));
            expected.pid = Some(pid);
        }
        if let Some(fsuid) = fsuid {
            text.push_str(&format!(" fsuid={fsuid}"));
            expected.fsuid = Some(fsuid.cast_unsigned());
        }
        if let Some(value) = value {
            text.push_str(&format!(" value={value}"));
            expected.value = Some(value);
        }
        if let Some((number, words)) = extra {
            text.push_str(&format!(" unknown={number} other=\"{}\"", words.replace('\\', "/")));
            expected.extra = vec![
                ("unknown".to_owned(), Value::Number(number)),
                ("other".to_owned(), Value::Text(words.replace('\\', "/"))),
            ];
        }
        let mut record = parse_record(text.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        let read = [record.profile.take(), record.name.take(), record.comm.take(), record.peer.take()];
        let read: Vec<_> = read.iter().map(|text| text.as_deref().map(|text| to_bytes(text).into_owned())).collect();
        prop_assert_eq!(read, names);
        prop_assert_eq!(record, expected);
    }
}

#[test]
fn every_prefix_is_answered() -> Result<(), TestCaseError> {
    assert!(parse_record(WHOLE).is_ok());
    for length in 0..WHOLE.len() {
        answered(&WHOLE[..length])?;
    }
    Ok(())
}
