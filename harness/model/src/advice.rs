//! What to do about a denial: the rule that would allow it, where it goes, and what else stands in its way.

mod known;
mod paths;
mod places;

use aa_audit::{Kind, Record};
use aa_policy::{Request, file_rule, rule_for};

pub use known::Known;
use paths::general;
pub use places::profile_of;
use places::{PolicyOwner, place_of};

use crate::denial::{request_of, rule_of};

/// The advice about a denial, one line each; never empty.
pub fn advise(record: &Record, known: Option<&Known>) -> Vec<String> {
    if let Some(reason) = beyond_rules(record) {
        return vec![reason];
    }
    let place = place_of(record);
    let found = known.map(|known| known.look(record)).unwrap_or_default();
    if let Some(deny) = found.denied {
        return vec![format!(
            "{deny} has a `deny` for it, and no rule outranks that: change or remove the `deny`"
        )];
    }
    let Some(rule) = rule_by(record, &place, found.exec.as_deref()) else {
        return vec![without_rule(record)];
    };
    let mut lines = vec![format!(
        "the rule `{rule}` in {} would allow it{}",
        place.of_rule(),
        place.on_one_host()
    )];
    if let Some(granted) = found.granted {
        lines.push(format!("{granted} allows it already: another profile was loaded"));
    }
    lines.extend(place.note(record));
    lines
}

/// The rule that would allow what a complete record denies, as a profile's author would write it: with patterns for
/// parts that differ each time. `None` if there is no such rule, or if the record was cut short.
pub fn rule(record: &Record) -> Option<String> {
    rule_by(record, &place_of(record), None)
}

fn rule_by(record: &Record, place: &PolicyOwner, exec: Option<&str>) -> Option<String> {
    let exact = rule_of(record)?;
    match request_of(record)? {
        Request::File { name, mask, owner } => {
            let path = general(&name, record.pid);
            let exec = exec.unwrap_or(place.exec());
            file_rule(owner && path.is_owners, &path.pattern, &mask, exec)
        }
        Request::Link { name, target, .. } => rule_for(&Request::Link {
            name,
            target,
            owner: false,
        }),
        _ => Some(exact),
    }
}

/// Why no rule in the subject's profile can allow it.
fn beyond_rules(record: &Record) -> Option<String> {
    let is = |operation: &str| record.operation.as_deref() == Some(operation);
    let subject = profile_of(record);
    if subject == "unconfined" {
        return Some(
            "the process is not confined, so no rule of its own can allow it; give its program a profile"
                .to_owned(),
        );
    }
    if is("change_hat") {
        let hat = record
            .target
            .as_deref()
            .or(record.name.as_deref())
            .unwrap_or_default();
        let hat = hat.rsplit("//").next().unwrap_or(hat);
        return Some(format!(
            "no rule allows a change of hat: the profile {subject} must declare the hat, as `^{hat} {{ … }}`"
        ));
    }
    if record.kind() == Kind::Rlimit && record.info.as_deref() != Some("cap_sys_resource") {
        let limit = record.rlimit.as_deref().unwrap_or_default();
        let value = record
            .value
            .map(|value| format!(" to {value} or more"))
            .unwrap_or_default();
        return Some(format!(
            "no rule adds to a limit: raise `set rlimit {limit}` in profile {subject}{value}"
        ));
    }
    None
}

fn without_rule(record: &Record) -> String {
    let name = record.name.as_deref().unwrap_or_default();
    let of_path = [&record.peer_addr, &record.addr]
        .into_iter()
        .flatten()
        .find(|address| address.starts_with('/'));
    if let Some(path) = of_path {
        return format!("a socket with a path is a file to the policy, and needs the rule `{path} rw,`");
    }
    let disconnected = record
        .info
        .as_deref()
        .is_some_and(|info| info.contains("disconnected path"));
    if disconnected && !name.starts_with('/') {
        return format!(
            "the path is not reachable from the process's root: the profile needs `flags=(attach_disconnected)`, and then a rule for /{name}"
        );
    }
    if name.contains(char::is_control) || matches!(aa_audit::to_bytes(name), std::borrow::Cow::Owned(_)) {
        return "no single rule can name this; a pattern with `?` in place of its odd characters can"
            .to_owned();
    }
    "no rule is known here that would allow it; see apparmor.d(5)".to_owned()
}

#[cfg(test)]
mod tests;
