//! What a record's subject asked for, as a noun phrase.

use super::{after, quote, word};
use crate::kind::Kind;
use crate::label::components;
use crate::record::Record;

/// The access: `the capability ipc_lock`, `read access to "/etc/shadow" (open)`.
pub(crate) fn phrase(record: &Record) -> String {
    match record.kind() {
        Kind::Capability => capability(record),
        Kind::Exec => format!(
            "execution of {}{}",
            object(record),
            after(" into ", record.target.as_deref())
        ),
        Kind::ChangeProfile => {
            let target = record.target.as_deref().or(record.name.as_deref());
            format!(
                "a change of label{} by {}",
                after(" to ", target),
                operation(record)
            )
        }
        Kind::File => file(record),
        Kind::Unix | Kind::Network => socket(record),
        Kind::Signal => signal(record),
        Kind::Ptrace => ptrace(record),
        Kind::Dbus => dbus(record),
        Kind::Mount => mount(record),
        Kind::Umount => format!("the unmount of {}", object(record)),
        Kind::PivotRoot => {
            let old = after(", the old one on ", record.srcname.as_deref());
            format!("a change of the root mount to {}{old}", object(record))
        }
        Kind::Rlimit => rlimit(record),
        Kind::IoUring => {
            format!(
                "the io_uring operation {}",
                mask(record).unwrap_or_else(|| operation(record))
            )
        }
        Kind::UserNamespace => "the creation of a user namespace".to_owned(),
        Kind::MessageQueue => {
            let mask = mask(record).map(|mask| format!("{mask} ")).unwrap_or_default();
            format!(
                "{mask}access to the message queue {} ({})",
                object(record),
                operation(record)
            )
        }
        Kind::Policy | Kind::Other => {
            let name = after(" on ", record.name.as_deref());
            format!(
                "the operation {}{name}{}",
                operation(record),
                other_side(record, "with")
            )
        }
    }
}

fn capability(record: &Record) -> String {
    match (
        record.capname.as_ref().or(record.name.as_ref()),
        record.capability,
    ) {
        (Some(name), _) => format!("the capability {name}"),
        (None, Some(number)) => format!("the capability number {number}"),
        (None, None) => "a capability".to_owned(),
    }
}

fn file(record: &Record) -> String {
    let access = mask(record).map_or_else(|| "access".to_owned(), file_mask);
    let target = after(", target ", record.target.as_deref());
    format!("{access} to {} ({}){target}", object(record), operation(record))
}

/// The letters of a file mask as words.
fn file_mask(mask: &str) -> String {
    let mut words = Vec::new();
    for letter in mask.chars() {
        words.push(match letter {
            'r' => "read",
            'w' => "write",
            'a' => "append",
            'c' => "create",
            'd' => "delete",
            'm' => "executable-mapping",
            'k' => "lock",
            'l' => "link",
            'x' => "execute",
            // Old kernels put colons between the owner's part and the others'.
            ':' => continue,
            _ => return format!("access ({mask})"),
        });
    }
    match words.as_slice() {
        [] => "access".to_owned(),
        [word] => format!("{word} access"),
        [first @ .., last] => format!("{} and {last} access", first.join(", ")),
    }
}

fn socket(record: &Record) -> String {
    let family = record.family.as_deref().unwrap_or("unknown");
    let mut phrase = format!("{} on a socket of family {family}", operation(record));
    if let Some(sock_type) = &record.sock_type {
        phrase.push_str(&format!(", type {sock_type}"));
    }
    if let Some(protocol) = record.protocol {
        phrase.push_str(&format!(", protocol {protocol}"));
    }
    if let Some(mask) = mask(record) {
        phrase.push_str(&format!(" ({mask})"));
    }
    for (side, address, port) in [
        ("local", &record.laddr, record.lport),
        ("foreign", &record.faddr, record.fport),
        ("source", &record.saddr, record.src),
        ("destination", &record.daddr, record.dest),
    ] {
        if let Some(address) = address {
            phrase.push_str(&format!(", {side} address {address}"));
        }
        if let Some(port) = port {
            phrase.push_str(&format!(", {side} port {port}"));
        }
    }
    let named = |address: &Option<String>| address.clone().filter(|address| address != "none");
    phrase.push_str(&after(", address ", named(&record.addr).as_deref()));
    phrase.push_str(&after(", peer address ", named(&record.peer_addr).as_deref()));
    phrase.push_str(&other_side(record, "with"));
    phrase
}

fn signal(record: &Record) -> String {
    let signal = record
        .signal
        .as_ref()
        .map_or_else(|| "a signal".to_owned(), |name| format!("the signal {name}"));
    if mask(record) == Some("receive") {
        format!("receiving {signal}{}", other_side(record, "from"))
    } else {
        format!("sending {signal}{}", other_side(record, "to"))
    }
}

fn ptrace(record: &Record) -> String {
    match mask(record) {
        Some("read") => format!("reading the state{}", other_side(record, "of")),
        Some("trace") => format!("tracing{}", other_side(record, "of")),
        Some("readby") => format!("being read{}", other_side(record, "by")),
        Some("tracedby") => format!("being traced{}", other_side(record, "by")),
        Some(mask) => format!("ptrace ({mask}){}", other_side(record, "of")),
        None => format!("ptrace{}", other_side(record, "of")),
    }
}

fn dbus(record: &Record) -> String {
    let verb = match record.mask.as_deref() {
        Some("send") => "sending",
        Some("receive") => "receiving",
        Some("bind") => "owning a name",
        Some("eavesdrop") => "eavesdropping",
        _ => operation(record),
    };
    let mut phrase = format!("{verb} on the {} bus", record.bus.as_deref().unwrap_or("unknown"));
    if let Some(member) = &record.member {
        let interface = record
            .interface
            .as_deref()
            .map(|interface| format!("{interface}."))
            .unwrap_or_default();
        phrase.push_str(&format!(" of {interface}{member}"));
    }
    phrase.push_str(&after(" at ", record.path.as_deref()));
    phrase.push_str(&after(", name ", record.name.as_deref()));
    phrase.push_str(&after(
        ", peer ",
        record.peer_label.as_deref().or(record.peer.as_deref()),
    ));
    phrase
}

fn mount(record: &Record) -> String {
    let mut phrase = format!("a mount on {}", object(record));
    phrase.push_str(&after(" of ", record.srcname.as_deref()));
    phrase.push_str(&after(" as ", record.fstype.as_deref()));
    phrase.push_str(&after(", flags ", record.flags.as_deref()));
    phrase.push_str(&after(", options ", record.options.as_deref()));
    phrase
}

fn rlimit(record: &Record) -> String {
    let limit = record
        .rlimit
        .as_ref()
        .map_or_else(|| "a limit".to_owned(), |name| format!("the limit {name}"));
    let value = record
        .value
        .map(|value| format!(" to {value}"))
        .unwrap_or_default();
    format!("setting {limit}{}{value}", other_side(record, "of"))
}

fn operation(record: &Record) -> &str {
    record.operation.as_deref().unwrap_or("an unnamed operation")
}

/// The object's name in quotes.
fn object(record: &Record) -> String {
    record
        .name
        .as_deref()
        .map_or_else(|| "an unnamed object".to_owned(), quote)
}

/// What was refused, or what was asked for if nothing was. Some classes use the shorter keys.
fn mask(record: &Record) -> Option<&str> {
    let masks = [
        &record.denied_mask,
        &record.denied,
        &record.requested_mask,
        &record.requested,
    ];
    masks.into_iter().find_map(Option::as_deref)
}

/// The other process and its label, after `link`.
fn other_side(record: &Record, link: &str) -> String {
    let process = record.ocomm.as_deref().map(|comm| match record.opid {
        Some(pid) => format!("{} (pid {pid})", word(comm)),
        None => word(comm),
    });
    let label = record.peer.as_deref().map(|peer| {
        let profiles: Vec<_> = components(peer)
            .map(|component| match component.namespace {
                Some(namespace) => format!("{} in namespace {}", quote(component.profile), quote(namespace)),
                None => quote(component.profile),
            })
            .collect();
        profiles.join(" and ")
    });
    match (process, label) {
        (Some(process), Some(label)) => format!(" {link} {process} under {label}"),
        (Some(other), None) | (None, Some(other)) => format!(" {link} {other}"),
        (None, None) => String::new(),
    }
}
