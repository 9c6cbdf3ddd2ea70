//! Writes a denial as the skeleton of a case. What only the author knows is left empty and marked `FILL IN`. Until it
//! is filled in, `check` rejects the case at that place.

use std::collections::BTreeSet;
use std::fmt::Write;

use aa_audit::{Kind, Record};
use aa_policy::escape;
use serde_json::Value;

use virt_aa_model::advice;
use virt_aa_model::case::names;

mod steps;

use steps::{capability_step, file, limit, mount, needs_fixture, network, ptrace, signal};

/// Writes one skeleton for each access that was refused to a profile, each with a unique name.
#[derive(Debug, Default)]
pub struct Skeletons {
    seen: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Skeletons {
    /// The case of a denial, as a YAML document with its `---`; `None` if it has already been written.
    pub fn case(&mut self, record: &Record, line: &[u8]) -> Option<String> {
        let parts = Parts::of(record);
        let profile = advice::profile_of(record);
        if !self.seen.insert(format!("{profile}\0{}", parts.guard)) {
            return None;
        }
        let name = self.free_name(&parts.words);
        Some(parts.document(&name, profile, &origin(line)))
    }

    fn free_name(&mut self, words: &str) -> String {
        let base = slug(words);
        let mut name = base.clone();
        let mut number = 1_u32;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{base}-{number}");
        }
        name
    }
}

/// What differs from denial to denial.
struct Parts {
    /// Words for the case's name.
    words: String,
    /// Keys of the subject besides its role.
    subject: String,
    /// The label of a second subject.
    other: Option<String>,
    mediates: &'static str,
    /// The step's lines, without indentation; the first is `as`.
    step: Vec<String>,
    /// Whether the step names a path that the image may not have.
    own_path: bool,
    /// The value of `without`.
    guard: String,
    guard_note: String,
    denial: String,
}

const MARK: &str = "# FILL IN:";

impl Parts {
    fn of(record: &Record) -> Parts {
        let mut parts = Parts {
            words: record.operation.clone().unwrap_or_default(),
            subject: String::new(),
            other: None,
            mediates: "",
            step: run_to_be_told(record),
            own_path: false,
            guard: "{rules: [\"\"]}".into(),
            guard_note: rules_note(record),
            denial: denial(record, &["operation", "name"]),
        };
        let granted_by = |guard: String, parts: &mut Parts| {
            parts.guard = guard;
            parts.guard_note.clear();
        };
        match record.kind() {
            Kind::Capability => {
                let name = record.capname.clone().unwrap_or_default();
                parts.words = format!("capability {name}");
                parts.mediates = "caps";
                parts.denial = denial(record, &["operation", "capname"]);
                if let Some(step) = capability_step(&name) {
                    parts.step = as_subject(step);
                }
                if name == "ipc_lock" {
                    parts.subject = ", memlock: 65536".into();
                }
                if names::capability(&name).is_some() {
                    granted_by(format!("{{capability: {name}}}"), &mut parts);
                }
            }
            Kind::Network => network(record, &mut parts),
            Kind::Exec => {
                let Some(path) = &record.name else { return parts };
                parts.words = format!("exec {}", last(path));
                parts.own_path = needs_fixture(path);
                parts.mediates = "file";
                parts.step = as_subject(&format!(
                    "run: [{}]    {MARK} its arguments, if any",
                    quoted(path)
                ));
                parts.step.push("expect: {label: [inherit, unconfined]}".into());
                granted_by(format!("{{exec: {}}}", quoted(&escape(path))), &mut parts);
            }
            Kind::File => file(record, &mut parts),
            Kind::Signal => signal(record, &mut parts),
            Kind::ChangeProfile => {
                let Some(target) = record.target.as_ref().or(record.name.as_ref()) else {
                    return parts;
                };
                parts.words = format!("enter {target}");
                parts.mediates = "domain";
                parts.step = as_subject(&format!("change-profile: {}", quoted(target)));
                parts.denial = denial(record, &["operation", "name", "target"]);
                granted_by(
                    format!("{{change-profile: {}}}", quoted(&escape(target))),
                    &mut parts,
                );
            }
            Kind::Unix => {
                parts.words = format!("unix {}", parts.words);
                parts.denial = denial(record, &["operation", "family", "sock_type"]);
            }
            Kind::Ptrace => ptrace(record, &mut parts),
            Kind::Rlimit => limit(record, &mut parts),
            Kind::Mount | Kind::Umount | Kind::PivotRoot => {
                parts.mediates = "mount";
                mount(record, &mut parts);
            }
            Kind::Dbus => {
                parts.mediates = "dbus";
                parts.denial = denial(record, &["operation", "bus", "path", "interface", "member"]);
            }
            _ => {}
        }
        parts
    }

    fn document(&self, name: &str, profile: &str, origin: &str) -> String {
        let mut text = String::from("---\n");
        let mut line = |line: &str| {
            text.push_str(line.trim_end());
            text.push('\n');
        };
        line(&format!("name: {name}"));
        line(&format!(
            "summary: \"\"    {MARK} what libvirt does here and why, in one sentence"
        ));
        line("origin:");
        line(&format!("  - {{kind: audit, id: {}}}", quoted(origin)));
        line("subjects:");
        line(&format!(
            "  s: {{{}{}}}    {}",
            role(profile),
            self.subject,
            from(profile)
        ));
        if let Some(other) = &self.other {
            line(&format!("  other: {{{}}}    {}", role(other), from(other)));
        }
        if self.own_path {
            line(
                "needs: []    # the fixtures that make the step's paths, where no package of the image has them",
            );
        }
        if !self.mediates.is_empty() {
            line(&format!("mediates: [{}]", self.mediates));
        }
        line("steps:");
        for (index, step) in self.step.iter().enumerate() {
            line(&format!("  {} {step}", if index == 0 { '-' } else { ' ' }));
        }
        line("guards:");
        line(&format!("  - without: {}    {}", self.guard, self.guard_note));
        if self.other.is_some() {
            line("    of: s");
        }
        line(&format!("    denial: {}", self.denial));
        text
    }
}

fn as_subject(action: &str) -> Vec<String> {
    vec!["as: s".into(), action.into()]
}

/// A step for an access that no probe performs.
fn run_to_be_told(record: &Record) -> Vec<String> {
    let by = record.comm.as_deref().map(quoted).unwrap_or_default();
    as_subject(&format!(
        "run: []    {MARK} a program and its arguments, or a probe, that does what {by} did"
    ))
}

fn rules_note(record: &Record) -> String {
    let like = advice::rule(record)
        .map(|rule| format!(", as {}", quoted(&rule)))
        .unwrap_or_default();
    format!("{MARK} the profile's own rule that grants it{like}")
}

/// The record's keys that distinguish this denial from others, as a mapping.
fn denial(record: &Record, keys: &[&str]) -> String {
    let fields = serde_json::to_value(record).unwrap_or_default();
    let pairs: Vec<String> = keys
        .iter()
        .filter_map(|key| {
            let value = match fields.get(key)? {
                Value::String(text) => quoted(text),
                other => other.to_string(),
            };
            Some(format!("{key}: {value}"))
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The role that a profile most likely has.
fn role(profile: &str) -> String {
    let last = profile.rsplit("//").next().unwrap_or(profile);
    let name = last.rsplit('/').next().unwrap_or(last);
    let role = if name == "qemu_bridge_helper" {
        "bridge-helper"
    } else if name == "virt-aa-helper" {
        "aa-helper"
    } else if name.starts_with("libvirt-") {
        "guest"
    } else if name == "libvirtd" || (name.starts_with("virt") && name.ends_with('d')) {
        "daemon"
    } else {
        "\"\""
    };
    format!("role: {role}")
}

fn from(profile: &str) -> String {
    let mark = if role(profile).ends_with('"') {
        format!("{MARK} the role of ")
    } else {
        "# ".to_owned()
    };
    format!("{mark}profile {}", quoted(profile))
}

/// The audit text from its stamp on. What a logger put before it names a machine.
fn origin(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let key = text.find("apparmor=").unwrap_or(text.len());
    let start = text[..key]
        .rfind("audit(")
        .unwrap_or(if key == text.len() { 0 } else { key });
    text[start..].trim_end().to_owned()
}

fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Lower-case words joined by `-`.
fn slug(words: &str) -> String {
    const LONGEST: usize = 48;
    let mut slug = String::new();
    for word in words
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let separator = usize::from(!slug.is_empty());
        if slug.len() + separator + word.len() > LONGEST {
            break;
        }
        if separator == 1 {
            slug.push('-');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    if slug.is_empty() { "denial".into() } else { slug }
}

/// Any text as a YAML scalar in double quotes, on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            ' ' => out.push(' '),
            _ if character.is_ascii_graphic() || character.is_alphanumeric() => out.push(character),
            // Writing to a string cannot fail.
            _ => {
                let _ = write!(out, "\\U{:08X}", u32::from(character));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
