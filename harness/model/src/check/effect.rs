//! Rejects a case with a step that could succeed without having its effect, unless the case says how to notice.
//!
//! | step by a subject | what the case must say |
//! |---|---|
//! | `run` | text in `stdout` or `stderr`, `label`, `checked-by-next`, or a failure: `errno`, `denied` |
//! | `file` with `read` | `bytes` or `content`: a short read is no error |
//! | `ioctl` | `content`: what came back |
//! | `lock-memory` | a `memlock` limit for the subject below the size: only then does the kernel check the capability |
//! | `set-limit` of `memlock` | a lower `memlock` limit for the target process: only raising the limit needs a privilege. Not needed if the target has another role, because then AppArmor mediates every change |
//!
//! Every other step fails if it does not have its effect. For example, the new descriptor must be a socket of the right
//! kind and data must come through it, the frame must arrive, the bytes must be written, the lock must be taken, the label
//! must be entered, and the registers of a PCI function must show that it was reset.

use crate::case::model::{Case, Expect, Step, Text};
use crate::case::plan::AGENT;
use crate::case::problem::{Located, Problem};
use crate::yaml::path::Path;

pub(super) fn check(case: &Case, step: &Step, next: Option<&Step>, path: &Path, problems: &mut Vec<Located>) {
    let none = Expect::default();
    let expect = step.expect.as_ref().unwrap_or(&none);
    if expect.checked_by_next && !next.is_some_and(checks) {
        problems.push(Problem::NothingChecks.at(path.key("expect").key("checked-by-next")));
    }
    // An expected failure is an effect.
    if step.by == AGENT || step.denied.is_some() || expect.errno.is_some() {
        return;
    }
    let streams = [&expect.stdout, &expect.stderr].into_iter().flatten();
    // An expectation that demands nothing is reported elsewhere.
    let says = |text: &Text| demands_text(text) || *text == Text::default();
    let shown = streams.into_iter().any(says) || !expect.label.is_empty() || expect.checked_by_next;
    if step.run.is_some() && !shown {
        let why = "a program may exit with 0 and have done nothing";
        let remedy = "expect some text of `stdout` or `stderr`, or a `label`, or `checked-by-next: true` and look in a step by the agent";
        problems.push(Problem::NoEffect { why, remedy }.at(path.key("run")));
    }
    if let Some(file) = &step.file
        && file.read.is_some()
        && expect.bytes.is_none()
        && expect.content.is_none()
    {
        let why = "a read may end early and be no error";
        problems.push(
            Problem::NoEffect {
                why,
                remedy: "expect `bytes` or `content`",
            }
            .at(path.key("file").key("read")),
        );
    }
    if step.ioctl.is_some() && expect.content.is_none() {
        let why = "an ioctl may return and have answered nothing";
        problems.push(
            Problem::NoEffect {
                why,
                remedy: "expect `content`, in hex",
            }
            .at(path.key("ioctl")),
        );
    }
    if let Some(memory) = &step.lock_memory {
        over_limit(
            case,
            &step.by,
            memory.bytes,
            &path.key("lock-memory").key("bytes"),
            problems,
        );
    }
    if let Some(limit) = &step.set_limit
        && limit.resource == "memlock"
        && let of = limit.of.as_ref().unwrap_or(&step.by)
        && !of_another_role(case, &step.by, of)
    {
        over_limit(case, of, limit.to, &path.key("set-limit").key("to"), problems);
    }
}

/// Whether the step after a `checked-by-next` step looks at its effect. A program that looks at nothing also exits with
/// 0 and prints nothing, so a program's output must be checked, and so must a guest's answer.
fn checks(next: &Step) -> bool {
    let Some(expect) = &next.expect else { return false };
    let streams = [&expect.stdout, &expect.stderr].into_iter().flatten();
    let says = next.is_run() || next.ask.is_some();
    let is_read = !says || streams.into_iter().any(demands_text);
    next.by == AGENT && *expect != Expect::default() && is_read
}

/// Whether an empty text would not meet the expectation.
fn demands_text(text: &Text) -> bool {
    text.some
        || text.equals.as_ref().is_some_and(|text| !text.trim().is_empty())
        || text.contains.iter().any(|part| !part.is_empty())
        || text.nul_fields.is_some_and(|count| count > 0)
}

/// Whether two subjects have different roles, and so different labels.
fn of_another_role(case: &Case, one: &str, other: &str) -> bool {
    let role = |name| case.subjects.get(name).and_then(|subject| subject.role.as_ref());
    matches!((role(one), role(other)), (Some(one), Some(other)) if one != other)
}

fn over_limit(case: &Case, subject: &str, bytes: u64, path: &Path, problems: &mut Vec<Located>) {
    // An unknown subject is reported elsewhere.
    let Some(subject) = case.subjects.get(subject) else {
        return;
    };
    if subject.memlock.is_none_or(|limit| limit >= bytes) {
        problems.push(Problem::WithinLimit { bytes }.at(path.clone()));
    }
}
