//! The steps of a skeleton: the probe of each class, if there is one.

use aa_audit::{Kind, Record};
use aa_policy::{Perms, escape};

use super::{Parts, as_subject, denial, last, quoted};
use virt_aa_model::case::names;

pub(super) fn capability_step(name: &str) -> Option<&'static str> {
    Some(match name {
        "ipc_lock" => "lock-memory: {how: mlock, bytes: 262144}",
        "sys_pacct" => "acct: \"off\"",
        "net_raw" => "socket: {family: packet, type: raw}",
        "sys_resource" => "set-limit: {resource: nofile, to: 2000000}",
        _ => return None,
    })
}

pub(super) fn network(record: &Record, parts: &mut Parts) {
    let (Some(family), Some(kind)) = (record.family.as_deref(), record.sock_type.as_deref()) else {
        return;
    };
    parts.words = format!("socket {family} {kind}");
    parts.mediates = "network, network_v8, network_v9";
    parts.denial = denial(record, &["operation", "family", "sock_type"]);
    if !names::FAMILIES.contains(&family) || !names::SOCKET_TYPES.contains(&kind) {
        return;
    }
    parts.guard = format!("{{network: {family} {kind}}}");
    parts.guard_note.clear();
    if record.operation.as_deref() == Some("create") {
        let protocol = record.protocol.unwrap_or_default();
        parts.step = as_subject(&format!(
            "socket: {{family: {family}, type: {kind}, protocol: {protocol}}}"
        ));
    }
}

pub(super) fn file(record: &Record, parts: &mut Parts) {
    let Some(path) = &record.name else { return };
    let mask = record.denied_mask.as_deref().unwrap_or_default();
    parts.words = format!("{} {}", parts.words, last(path));
    parts.mediates = "file";
    parts.own_path = needs_fixture(path);
    let Some(letters) = Perms::of_record(mask).map(Perms::letters) else {
        return;
    };
    if letters.contains('x') || letters.is_empty() {
        return;
    }
    parts.guard = format!("{{file: {}, mask: {letters}}}", quoted(&escape(path)));
    parts.guard_note.clear();
    let open = match letters.replace('k', "").as_str() {
        "r" | "" => "r",
        "w" => "w",
        "rw" | "wr" => "rw",
        "a" => "a",
        _ => return,
    };
    // The name of a directory ends with a slash.
    if path.ends_with('/') {
        if open == "r" {
            parts.step = as_subject(&format!("file: {{path: {}, open: list}}", quoted(path)));
        }
        return;
    }
    if mask.contains('d') {
        return;
    }
    let create = if mask.contains('c') { ", create: true" } else { "" };
    let lock = if letters.contains('k') { ", lock: true" } else { "" };
    parts.step = as_subject(&format!(
        "file: {{path: {}, open: {open}{create}{lock}}}",
        quoted(path)
    ));
}

pub(super) fn signal(record: &Record, parts: &mut Parts) {
    let (Some(signal), Some(peer)) = (record.signal.as_deref(), record.peer.as_deref()) else {
        return;
    };
    let mask = record.requested_mask.as_deref().unwrap_or_default();
    parts.words = format!("{mask} signal {signal}");
    parts.mediates = "signal";
    parts.denial = denial(record, &["operation", "requested_mask", "signal", "peer"]);
    if !["send", "receive"].contains(&mask) || !names::SIGNALS.contains(&signal) {
        return;
    }
    let pattern = escape(peer);
    if !pattern.contains(char::is_whitespace) {
        parts.guard = format!("{{signal: {}}}", quoted(&format!("{mask} {signal} {pattern}")));
        parts.guard_note.clear();
    }
    // The signals that the agent sends.
    if ["term", "kill", "exists"].contains(&signal) {
        let (by, to) = if mask == "send" {
            ("s", "other")
        } else {
            ("other", "s")
        };
        parts.other = Some(peer.to_owned());
        parts.step = vec![
            format!("as: {by}"),
            format!("signal: {{to: {to}, signal: {signal}}}"),
        ];
    }
}

pub(super) fn ptrace(record: &Record, parts: &mut Parts) {
    parts.mediates = "ptrace";
    parts.denial = denial(record, &["operation", "requested_mask", "peer"]);
    let Some(peer) = record.peer.as_deref() else {
        return;
    };
    let (by, of, how) = match record.requested_mask.as_deref() {
        Some(how @ ("read" | "trace")) => ("s", "other", how),
        Some("readby") => ("other", "s", "read"),
        Some("tracedby") => ("other", "s", "trace"),
        _ => return,
    };
    parts.words = format!("ptrace {how}");
    parts.other = Some(peer.to_owned());
    parts.step = vec![format!("as: {by}"), format!("ptrace: {{of: {of}, how: {how}}}")];
}

pub(super) fn limit(record: &Record, parts: &mut Parts) {
    parts.mediates = "rlimit";
    parts.denial = denial(record, &["operation", "rlimit", "info"]);
    let (Some(limit), Some(value)) = (record.rlimit.as_deref(), record.value) else {
        return;
    };
    parts.words = format!("limit {limit}");
    if !names::LIMITS.contains(&limit) {
        return;
    }
    if record.info.as_deref() == Some("cap_sys_resource") {
        parts.guard = "{capability: sys_resource}".into();
        parts.guard_note.clear();
    }
    if limit == "memlock" && record.peer.is_none() {
        parts.subject = format!(", memlock: {}", value / 2);
    }
    // Of another process, if the record names one.
    let of = record.peer.as_ref().map_or("", |_| ", of: other");
    parts.other = record.peer.clone();
    parts.step = as_subject(&format!("set-limit: {{resource: {limit}, to: {value}{of}}}"));
}

/// No probe mounts. Programs that mount must stay in the subject's label to be denied.
pub(super) fn mount(record: &Record, parts: &mut Parts) {
    let Some(target) = record.name.as_deref() else {
        return;
    };
    let option = |flag: &'static str, value: Option<&str>| {
        value
            .map(|value| format!("{flag}, {}, ", quoted(value)))
            .unwrap_or_default()
    };
    let flags = record.flags.as_deref().map(|flags| flags.replace(' ', ""));
    let words = match record.kind() {
        Kind::Mount => {
            let source = record
                .srcname
                .as_deref()
                .map(|source| format!("{}, ", quoted(source)));
            format!(
                "/usr/bin/mount, {}{}{}{}",
                option("-t", record.fstype.as_deref()),
                option("-o", flags.as_deref()),
                source.unwrap_or_default(),
                quoted(target)
            )
        }
        Kind::Umount => format!("/usr/bin/umount, {}", quoted(target)),
        _ => {
            let old = record.srcname.as_deref().unwrap_or_default();
            format!("/usr/sbin/pivot_root, {}, {}", quoted(target), quoted(old))
        }
    };
    parts.own_path = true;
    parts.step = as_subject(&format!("run: [{words}]"));
    parts.step.push("expect: {label: [inherit]}".into());
}

/// Whether most images lack the path.
pub(super) fn needs_fixture(path: &str) -> bool {
    let of_kernel = ["/proc/", "/sys/"];
    let of_base = [
        "/etc/passwd",
        "/etc/group",
        "/etc/shadow",
        "/etc/hosts",
        "/etc/",
        "/dev/null",
        "/dev/zero",
    ];
    !of_kernel.iter().any(|folder| path.starts_with(folder)) && !of_base.contains(&path)
}
