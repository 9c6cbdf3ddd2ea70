//! Compares a step with what the case says about it. An unexpected denial and an unmet expectation are both findings.

use std::io;

use aa_audit::{Kind, Verdict};
use virt_aa_probe::protocol::{Effect, Outcome, Ran};

use super::records::{Attributed, Class};
use crate::case::model::{Denied, Expect, Step, Text};
use crate::case::names::errno_name;
use crate::case::plan::AGENT;
use crate::denial::matches;

/// One thing that is wrong with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An unexpected record that is not clean, as an index into the case's records.
    Denial(usize),
    /// The step did not have its effect.
    Effect(String),
    /// The step should have been denied, but the act succeeded.
    NotDenied(String),
    /// The step failed as it should, but not by the denial that the case names.
    OtherDenial(String),
    /// The step should have been denied, but its program died by a signal. This is neither a denial nor a success.
    Crash(String),
    /// The cause is unknown: the agent could not do its part, or the time limit passed and nothing was denied.
    Broken(String),
}

impl Finding {
    /// The finding in one sentence.
    pub fn text(&self, records: &[Attributed]) -> String {
        match self {
            Finding::Denial(index) => records[*index].record.sentence(),
            Finding::Effect(text)
            | Finding::NotDenied(text)
            | Finding::OtherDenial(text)
            | Finding::Crash(text)
            | Finding::Broken(text) => text.clone(),
        }
    }
}

/// What is wrong with a step; `own` are its records, as indices into `records`.
pub fn findings(
    step: &Step,
    outcome: &Outcome,
    own: &[usize],
    records: &[Attributed],
    label: &str,
) -> Vec<Finding> {
    let unmet = match outcome {
        Outcome::TimedOut => without_effect(
            "it did not end within its time limit and was killed".into(),
            records,
        ),
        Outcome::NoSubject { reason } | Outcome::NoAnswer { reason } => {
            without_effect(reason.clone(), records)
        }
        Outcome::Broken { reason } => Finding::Broken(reason.clone()),
        _ => {
            return match &step.denied {
                Some(denied) => negative(step, denied, outcome, own, records),
                None => positive(step, outcome, own, records, label),
            };
        }
    };
    // Denials before the end of the step are reported too.
    let mut findings = red(own, records);
    findings.push(unmet);
    findings
}

/// Added to the text if a call was refused and no record mentions it.
const NOT_BY_APPARMOR: &str =
    "; there is no AppArmor record, so check the file's mode and owner, capabilities and limits";

/// The finding for a step that did not end by itself. It is the profile's fault only if something was denied in the
/// case.
fn without_effect(text: String, records: &[Attributed]) -> Finding {
    if nothing_was_denied(records) {
        Finding::Broken(format!(
            "{text}; nothing was denied, so this says nothing about the profile"
        ))
    } else {
        Finding::Effect(text)
    }
}

fn nothing_was_denied(records: &[Attributed]) -> bool {
    records.iter().all(|record| record.class == Class::Clean)
}

/// Whether a call that takes a path found nothing at the path.
fn is_missing(outcome: &Outcome) -> bool {
    let calls = ["open", "execve", "acct", "connect"];
    matches!(outcome, Outcome::Errno { call, errno: libc::ENOENT } if calls.contains(&call.as_str()))
}

/// Whether a call was refused, for any reason.
fn is_refused(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Errno {
            errno: libc::EACCES | libc::EPERM,
            ..
        }
    )
}

fn red(own: &[usize], records: &[Attributed]) -> Vec<Finding> {
    own.iter()
        .filter(|index| records[**index].class == Class::Red)
        .map(|index| Finding::Denial(*index))
        .collect()
}

fn positive(
    step: &Step,
    outcome: &Outcome,
    own: &[usize],
    records: &[Attributed],
    label: &str,
) -> Vec<Finding> {
    let expect = step.expect.clone().unwrap_or_default();
    let mut findings = red(own, records);
    let unmet = effect(&expect, outcome).into_iter();
    if is_missing(outcome) && nothing_was_denied(records) {
        // AppArmor returns EACCES, never ENOENT.
        findings.extend(unmet.map(|text| {
            Finding::Broken(format!(
                "{text}: this image has no such file, so a fixture or a package is missing"
            ))
        }));
    } else if is_refused(outcome) && findings.is_empty() {
        findings.extend(unmet.map(|text| Finding::Effect(text + NOT_BY_APPARMOR)));
    } else {
        findings.extend(unmet.map(Finding::Effect));
    }
    if !expect.label.is_empty() {
        findings.extend(program_label(&expect.label, outcome, own, records, label).map(Finding::Effect));
    }
    findings
}

/// Point 4: whether the step had its effect. Each text names one unmet expectation.
pub fn effect(expect: &Expect, outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Errno { call, errno } => {
            let name = errno_name(*errno);
            if expect.errno.as_deref() == Some(name.as_str()) {
                return Vec::new();
            }
            vec![format!(
                "{call} failed: {} ({name})",
                io::Error::from_raw_os_error(*errno)
            )]
        }
        _ if expect.errno.is_some() => vec![format!(
            "it succeeded; it should fail with {}",
            expect.errno.clone().unwrap_or_default()
        )],
        Outcome::Ok(effect) => of_probe(expect, effect),
        Outcome::Ran(ran) => of_program(expect, ran),
        _ => Vec::new(),
    }
}

fn of_probe(expect: &Expect, effect: &Effect) -> Vec<String> {
    let mut missed = Vec::new();
    if let Some(bytes) = expect.bytes
        && bytes != effect.data.len() as u64
    {
        missed.push(format!("{} bytes were read, not {bytes}", effect.data.len()));
    }
    if let Some(content) = &expect.content {
        let read = if content.nul_fields.is_some() {
            String::from_utf8_lossy(&effect.data).into_owned()
        } else {
            readable(&effect.data)
        };
        missed.extend(text("the content", content, &read));
    }
    missed
}

/// Text as it is; anything else as hex.
fn readable(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) if !text.contains('\0') => text.to_string(),
        _ => hex::encode(data),
    }
}

fn of_program(expect: &Expect, ran: &Ran) -> Vec<String> {
    let mut missed = Vec::new();
    let wanted = expect.exit.unwrap_or(0);
    if ran.exit != Some(wanted) {
        let how = match (ran.exit, ran.signal) {
            (Some(exit), _) => format!("ended with status {exit}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".into(),
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said
            .trim()
            .lines()
            .last()
            .map(|line| format!(": {line}"))
            .unwrap_or_default();
        missed.push(format!("the program {how}, not {wanted}{said}"));
    }
    for (name, wanted, got) in [
        ("standard output", &expect.stdout, &ran.stdout),
        ("standard error", &expect.stderr, &ran.stderr),
    ] {
        if let Some(wanted) = wanted {
            missed.extend(text(name, wanted, &String::from_utf8_lossy(got)));
        }
    }
    missed
}

fn text(name: &str, wanted: &Text, got: &str) -> Vec<String> {
    let mut missed = Vec::new();
    if let Some(exactly) = &wanted.equals
        && got.trim_end() != exactly.trim_end()
    {
        missed.push(format!("{name} is {:?}, not {exactly:?}", shortened(got)));
    }
    for part in wanted.contains.iter().filter(|part| !got.contains(part.as_str())) {
        missed.push(format!("{name} lacks {part:?}: {:?}", shortened(got)));
    }
    for part in wanted.lacks.iter().filter(|part| got.contains(part.as_str())) {
        missed.push(format!("{name} has {part:?}"));
    }
    if let Some(fields) = wanted.nul_fields {
        let count = got.matches('\0').count();
        if count != fields {
            missed.push(format!("{name} has {count} fields, not {fields}"));
        }
    }
    if wanted.some && got.trim().is_empty() {
        missed.push(format!("{name} is empty"));
    }
    missed
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The label that the program of `run` got, from the record of its exec; `None` if it is one of `wanted`.
fn program_label(
    wanted: &[String],
    outcome: &Outcome,
    own: &[usize],
    records: &[Attributed],
    label: &str,
) -> Option<String> {
    let Outcome::Ran(ran) = outcome else { return None };
    let Some(entered) = label_by_exec(ran, own, records, label) else {
        return Some("the record of its exec did not arrive, so its label is unknown".into());
    };
    let fits = wanted.iter().any(|wanted| match wanted.as_str() {
        "inherit" => entered == label,
        name => entered == name,
    });
    (!fits).then(|| {
        format!(
            "the program ran with the label {entered}, not {}",
            wanted.join(" or ")
        )
    })
}

/// The label that a program got at its exec, according to the kernel's record of the grant.
pub fn label_by_exec(ran: &Ran, own: &[usize], records: &[Attributed], label: &str) -> Option<String> {
    let pid = u32::try_from(ran.pid).ok();
    let exec = own.iter().map(|index| &records[*index].record).find(|record| {
        record.verdict == Verdict::Audit && record.kind() == Kind::Exec && record.pid == pid
    })?;
    Some(exec.target.clone().unwrap_or_else(|| label.to_string()))
}

fn negative(
    step: &Step,
    denied: &Denied,
    outcome: &Outcome,
    own: &[usize],
    records: &[Attributed],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match outcome {
        Outcome::Errno { call, errno } => {
            let name = errno_name(*errno);
            let fits = match &denied.errno {
                Some(wanted) => *wanted == name,
                None => matches!(name.as_str(), "EACCES" | "EPERM"),
            };
            if !fits {
                findings.push(Finding::OtherDenial(format!(
                    "{call} failed with {name}, which is not the errno of a denial"
                )));
            }
        }
        Outcome::Ran(ran) => {
            let expect = step.expect.clone().unwrap_or_default();
            let expect = Expect {
                exit: expect.exit.or(ran.exit),
                ..expect
            };
            let unmet = if ran.signal.is_some() {
                Finding::OtherDenial
            } else {
                Finding::NotDenied
            };
            findings.extend(of_program(&expect, ran).into_iter().map(unmet));
        }
        _ => findings.push(Finding::NotDenied(
            "it succeeded, but should have been denied".into(),
        )),
    }
    let speaking: Vec<usize> = own
        .iter()
        .copied()
        .filter(|index| records[*index].class != Class::Clean)
        .collect();
    // A record that was logged but allowed is not a denial.
    let (expected, other): (Vec<usize>, Vec<usize>) = speaking.into_iter().partition(|index| {
        let record = &records[*index].record;
        let is_the_steps = is_of_the_step(step, records[*index].owner.as_deref());
        is_the_steps
            && record.verdict == Verdict::Denied
            && denied.records.iter().any(|wanted| matches(wanted, record))
    });
    if expected.is_empty() {
        findings.extend(match outcome {
            Outcome::Ran(Ran {
                signal: Some(signal), ..
            }) => Some(Finding::Crash(format!(
                "the program was ended by signal {signal}, and the denial that the case names did not occur"
            ))),
            Outcome::Ran(_) => Some(Finding::NotDenied(
                "it ran, and the denial that the case names did not occur".into(),
            )),
            Outcome::Errno { .. } => Some(Finding::OtherDenial(
                "no record of the denial that the case names".into(),
            )),
            // The success is already a finding.
            _ => None,
        });
    }
    if !expected.is_empty() {
        let missing = denied.records.iter().filter(|wanted| {
            let mut came = expected.iter().map(|index| &records[*index].record);
            !came.any(|record| matches(wanted, record))
        });
        findings.extend(missing.map(|wanted| {
            let keys: Vec<String> = wanted
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            Finding::OtherDenial(format!("no record of this denial: {}", keys.join(" ")))
        }));
    }
    if let Some(count) = denied.count
        && count != expected.len()
    {
        findings.push(Finding::OtherDenial(format!(
            "{} records of the denial, not {count}",
            expected.len()
        )));
    }
    findings.extend(
        other
            .into_iter()
            .filter(|index| records[*index].class == Class::Red)
            .map(Finding::Denial),
    );
    findings
}

/// Whether a record with this owner can be the denial that a step expects. An unconfined step is not denied itself; the
/// daemon that it asks is.
fn is_of_the_step(step: &Step, owner: Option<&str>) -> bool {
    owner.is_some_and(|owner| owner == step.by || step.by == AGENT)
}
