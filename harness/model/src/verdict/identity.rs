//! What a finding is about, without details that differ from run to run, so that the findings of two runs can be
//! compared.

use std::sync::LazyLock;

use aa_audit::Record;
use regex::Regex;
use serde_json::Value;

use super::records::Attributed;
use super::steps::Finding;

/// The text that stands for an act that was not denied.
pub const NOT_DENIED: &str = "not denied";

/// Keys of a record that name its time, its process, or a namespace of the run itself. The profile is left out too,
/// because the same one may have another name in another set.
const OF_THE_RUN: [&str; 8] = [
    "audit",
    "type",
    "pid",
    "peer_pid",
    "comm",
    "namespace",
    "profile",
    "lport",
];

/// Process numbers, and the times with which programs begin their messages.
static NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(/proc/|pid[ =:]*|process )\d+|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d{4})?(: \d+:)?",
    )
    .ok()
});

/// What a finding is about. Equal texts are the same finding in two runs.
pub fn of(finding: &Finding, records: &[Attributed]) -> String {
    match finding {
        Finding::Denial(index) => of_record(&records[*index].record),
        Finding::Effect(text) => format!("no effect: {}", without_numbers(text)),
        Finding::NotDenied(_) => NOT_DENIED.into(),
        Finding::OtherDenial(text) => format!("another denial: {}", without_numbers(text)),
        Finding::Crash(text) => format!("crash: {}", without_numbers(text)),
        Finding::Broken(text) => format!("broken: {}", without_numbers(text)),
    }
}

/// Every key of the record that would be the same in another run: operation, name, masks, peer, target, socket,
/// address, mount, D-Bus and whatever else it has.
pub fn of_record(record: &Record) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else {
        return without_numbers(&record.sentence());
    };
    let fields = fields
        .iter()
        .filter(|(key, _)| !OF_THE_RUN.contains(&key.as_str()));
    let mut fields: Vec<String> = fields
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key}={:?}", without_numbers(text)),
            other => format!("{key}={other}"),
        })
        .collect();
    fields.sort();
    fields.join(" ")
}

fn without_numbers(text: &str) -> String {
    match &*NUMBERS {
        Some(numbers) => numbers.replace_all(text, "${1}N").into_owned(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const RECORD: &str = r#"audit(1.000:7): apparmor="DENIED" operation="open" class="file" profile="libvirtd" name="/proc/123/maps" pid=77 comm="a" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#;

    fn record(text: &str) -> String {
        of_record(&aa_audit::parse_record(text.as_bytes()).unwrap())
    }

    #[rstest]
    #[case::time("1.000:7", "2.500:9")]
    #[case::process("pid=77", "pid=78")]
    #[case::thread("comm=\"a\"", "comm=\"b\"")]
    #[case::process_in_a_path("/proc/123/", "/proc/4567/")]
    #[case::profile("profile=\"libvirtd\"", "profile=\"/usr/sbin/libvirtd\"")]
    fn what_differs_from_run_to_run_makes_no_difference(#[case] from: &str, #[case] to: &str) {
        assert_eq!(record(RECORD), record(&RECORD.replace(from, to)));
    }

    #[rstest]
    #[case::path("maps", "mem")]
    #[case::mask("denied_mask=\"r\"", "denied_mask=\"w\"")]
    #[case::verdict("DENIED", "ALLOWED")]
    #[case::peer("ouid=0", "ouid=0 peer=\"x\"")]
    #[case::target("ouid=0", "ouid=0 target=\"x\"")]
    #[case::protocol("ouid=0", "ouid=0 protocol=3")]
    #[case::address("ouid=0", "ouid=0 addr=\"@x\"")]
    #[case::mount_source("ouid=0", "ouid=0 srcname=\"/x\"")]
    #[case::mount_type("ouid=0", "ouid=0 fstype=\"ext4\"")]
    #[case::member("ouid=0", "ouid=0 member=\"Hello\"")]
    #[case::a_key_that_nobody_knows("ouid=0", "ouid=0 novel=\"x\"")]
    fn whatever_else_the_kernel_says_does(#[case] from: &str, #[case] to: &str) {
        assert_ne!(record(RECORD), record(&RECORD.replace(from, to)));
    }

    #[test]
    fn lost_effects_are_told_apart_by_what_was_lost() {
        let effect = |text: &str| of(&Finding::Effect(text.into()), &[]);
        assert_ne!(effect("mmap failed: EAGAIN"), effect("mmap failed: EPERM"));
        assert_ne!(
            effect("64 bytes were read, not 4096"),
            effect("63 bytes were read, not 4096")
        );
        assert_eq!(
            effect("status 1: 2026-11-26 20:00:00.123+0000: 815: error : no"),
            effect("status 1: 2026-11-27 21:10:09.9+0000: 1234: error : no")
        );
    }
}
