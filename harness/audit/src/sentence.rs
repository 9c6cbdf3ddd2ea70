//! A record in one sentence for people.

mod access;

use self::access::phrase;
use crate::kind::Kind;
use crate::record::Record;
use crate::verdict::Verdict;

impl Record {
    /// The record in one sentence, without a full stop:
    /// `libvirtd (pid 12, profile "libvirtd") was denied the capability ipc_lock`.
    ///
    /// Names come from processes that may be hostile: control characters are escaped, so that the sentence is one line
    /// and safe on a terminal.
    #[must_use]
    pub fn sentence(&self) -> String {
        let who = who(self);
        let mut sentence = if self.kind() == Kind::Policy {
            policy(self, &who)
        } else {
            format!("{who} {} {}", was(self.verdict), phrase(self))
        };
        match (&self.info, self.error) {
            (Some(info), Some(error)) => sentence.push_str(&format!(" [{info}, error {error}]")),
            (Some(info), None) => sentence.push_str(&format!(" [{info}]")),
            (None, Some(error)) => sentence.push_str(&format!(" [error {error}]")),
            (None, None) => {}
        }
        printable(sentence)
    }
}

/// What happened to the subject, by the verdict.
fn was(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Denied => "was denied",
        Verdict::Killed => "was killed for",
        Verdict::Allowed => "was allowed, in complain mode only,",
        Verdict::Audit => "was granted, as the policy audits,",
        Verdict::Error => "met an error of AppArmor at",
        Verdict::Hint => "caused a hint at",
        Verdict::Status => "caused a status at",
    }
}

/// The subject: `libvirtd (pid 12, profile "libvirtd")`.
fn who(record: &Record) -> String {
    let name = record
        .comm
        .as_deref()
        .map_or_else(|| "a process".to_owned(), word);
    let mut notes = Vec::new();
    if let Some(pid) = record.pid {
        notes.push(format!("pid {pid}"));
    }
    for subject in record.subject() {
        let mut note = format!("profile {}", quote(subject.profile));
        if let Some(namespace) = subject.namespace {
            note.push_str(&format!(" in namespace {}", quote(namespace)));
        }
        notes.push(note);
    }
    if notes.is_empty() {
        name
    } else {
        format!("{name} ({})", notes.join(", "))
    }
}

/// A change of the policy, done or failed.
fn policy(record: &Record, who: &str) -> String {
    let name = after(" ", record.name.as_deref());
    let (done, act) = match record.operation.as_deref() {
        Some("profile_load") => ("loaded the profile", "the load of the profile"),
        Some("profile_replace") => ("replaced the profile", "the replacement of the profile"),
        Some("profile_remove") => ("removed the profile", "the removal of the profile"),
        Some(_) => ("changed the policy", "a change of the policy"),
        None => ("reported a status of AppArmor", "a change of the policy"),
    };
    match record.verdict {
        // A failed load also has the verdict status, with its errno.
        Verdict::Status if record.error.is_some() => format!("{who} failed at {act}{name}"),
        Verdict::Status | Verdict::Audit | Verdict::Hint => format!("{who} {done}{name}"),
        verdict => format!("{who} {} {act}{name}", was(verdict)),
    }
}

/// A process's name: unchanged if it is one plain word, in quotes otherwise.
pub(crate) fn word(name: &str) -> String {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
        name.to_owned()
    } else {
        quote(name)
    }
}

/// Text in quotes. A backslash is kept: it stands for itself, or begins an escape of this crate.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// `lead` and the text in quotes; empty if there is no text.
pub(crate) fn after(lead: &str, text: Option<&str>) -> String {
    text.map(|text| format!("{lead}{}", quote(text)))
        .unwrap_or_default()
}

fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
