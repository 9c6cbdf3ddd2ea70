//! Steps: who does them, what they expect, how they are denied.

use super::{effect, one_of_known, record};
use crate::case::model::{Case, Denied, Expect, Step, Text};
use crate::case::names;
use crate::case::plan::{self, AGENT};
use crate::case::problem::{Located, Problem};
use crate::yaml::path::Path;

pub(super) fn check(case: &Case, problems: &mut Vec<Located>) {
    let root = Path::root();
    if case.steps.is_empty() {
        problems.push(Problem::Empty("steps").at(root.key("steps")));
    } else if case.from.is_none() && case.steps.iter().all(|step| step.by == AGENT) {
        problems.push(Problem::NobodyConfined.at(root.key("steps")));
    }
    for (list, steps) in lists(case) {
        for (index, step) in steps.iter().enumerate() {
            let path = root.key(list).index(index);
            check_step(case, step, &path, problems);
            effect::check(case, step, steps.get(index + 1), &path, problems);
        }
    }
}

/// Checks what can be judged only once the values of `with` are filled in.
pub(super) fn check_words(case: &Case, problems: &mut Vec<Located>) {
    let root = Path::root();
    for (list, steps) in lists(case) {
        for (index, step) in steps.iter().enumerate() {
            let path = root.key(list).index(index);
            problems.extend(plan::step_plan(step, &path).err());
            let errnos = [
                (
                    "expect",
                    step.expect.as_ref().and_then(|expect| expect.errno.as_deref()),
                ),
                (
                    "denied",
                    step.denied.as_ref().and_then(|denied| denied.errno.as_deref()),
                ),
            ];
            for (key, errno) in errnos {
                if let Some(errno) = errno {
                    let all = names::ERRNOS.iter().map(|(name, _)| *name);
                    one_of_known("error", errno, all, &path.key(key).key("errno"), problems);
                }
            }
        }
    }
}

fn lists(case: &Case) -> [(&'static str, &[Step]); 3] {
    [
        ("setup", &case.setup),
        ("steps", &case.steps),
        ("cleanup", &case.cleanup),
    ]
}

fn check_step(case: &Case, step: &Step, path: &Path, problems: &mut Vec<Located>) {
    let subjects = || {
        let acting = case
            .subjects
            .iter()
            .filter(|(_, subject)| subject.run_by.is_none());
        acting.map(|(name, _)| name.as_str())
    };
    if step.by.is_empty() {
        problems.push(Problem::NobodyActs.at(path.clone()));
        return;
    }
    if step.is_by_agent_alone() && step.by != AGENT {
        let (key, beside) = ("as", "virsh, create, define or ask");
        problems.push(Problem::Beside { key, beside }.at(path.key(key)));
        return;
    }
    one_of_known(
        "subject",
        &step.by,
        subjects().chain([AGENT]),
        &path.key("as"),
        problems,
    );
    check_libvirt(case, step, path, problems);
    if let Some(of) = step.set_limit.as_ref().and_then(|limit| limit.of.as_ref()) {
        one_of_known(
            "subject",
            of,
            subjects(),
            &path.key("set-limit").key("of"),
            problems,
        );
    }
    if let Some(signal) = &step.signal {
        one_of_known(
            "subject",
            &signal.to,
            subjects(),
            &path.key("signal").key("to"),
            problems,
        );
    }
    if let Some(ptrace) = &step.ptrace {
        one_of_known(
            "subject",
            &ptrace.of,
            subjects(),
            &path.key("ptrace").key("of"),
            problems,
        );
    }
    // A daemon does no other steps, and a step can start only a daemon.
    let daemon = case
        .subjects
        .get(&step.by)
        .is_some_and(|subject| subject.daemon.is_some());
    if daemon && step.start.is_none() {
        problems.push(Problem::DaemonActs.at(path.key("as")));
    }
    if !daemon && step.start.is_some() {
        problems.push(
            Problem::Needs {
                key: "start",
                needs: "a subject with a `daemon`",
            }
            .at(path.key("start")),
        );
    }
    if let Some(reset) = &step.pci_reset {
        let path = path.key("pci-reset");
        match (reset.how.as_str(), &reset.bridge) {
            ("bus", None) => problems.push(
                Problem::Needs {
                    key: "how: bus",
                    needs: "bridge",
                }
                .at(path.key("how")),
            ),
            ("flr" | "power", Some(_)) => {
                problems.push(
                    Problem::Beside {
                        key: "bridge",
                        beside: "how: flr or power",
                    }
                    .at(path.key("bridge")),
                );
            }
            _ => {}
        }
    }
    if step.stdin.is_some() && step.run.is_none() && step.virsh.is_none() {
        let (key, needs) = ("stdin", "run or virsh");
        problems.push(Problem::Needs { key, needs }.at(path.key(key)));
    }
    if !step.is_run() {
        let given = [
            ("env", !step.env.is_empty()),
            ("stdin-file", step.stdin_file.is_some()),
            ("stdout-file", step.stdout_file.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            problems.push(Problem::Needs { key, needs: "run" }.at(path.key(key)));
        }
    }
    if step.stdin.is_some() && step.stdin_file.is_some() {
        problems.push(
            Problem::Beside {
                key: "stdin",
                beside: "stdin-file",
            }
            .at(path.key("stdin")),
        );
    }
    if let Some(expect) = &step.expect {
        check_expect(step, expect, &path.key("expect"), problems);
    }
    if let Some(denied) = &step.denied {
        check_denied(step, denied, path, problems);
    }
}

/// Checks the steps that only the agent can do, and that their guests are guests of this case.
fn check_libvirt(case: &Case, step: &Step, path: &Path, problems: &mut Vec<Located>) {
    if step.connection.is_some() && !step.is_virsh() {
        let (key, needs) = ("connection", "virsh, create or define");
        problems.push(Problem::Needs { key, needs }.at(path.key(key)));
    }
    for (key, domain) in [("create", &step.create), ("define", &step.define)] {
        let Some(domain) = domain else { continue };
        let guests = case.subjects.iter().filter(|(_, subject)| subject.is_guest());
        let guests = guests.map(|(name, _)| name.as_str());
        let path = path.key(key);
        one_of_known("guest", &domain.guest, guests, &path.key("guest"), problems);
        for (index, disk) in domain.disks.iter().enumerate() {
            let sources = [&disk.file, &disk.block, &disk.volume];
            if sources.into_iter().flatten().count() > 1 {
                let (key, beside) = ("file", "block or volume");
                problems.push(Problem::Beside { key, beside }.at(path.key("disks").index(index)));
            }
        }
    }
}

/// Reports an expectation that the step's action cannot meet, because it would never be checked.
fn check_expect(step: &Step, expect: &Expect, path: &Path, problems: &mut Vec<Located>) {
    let (run, file, ioctl) = (step.is_run(), step.file.is_some(), step.ioctl.is_some());
    let says = run || step.ask.is_some();
    let given = [
        ("exit", expect.exit.is_some(), says, "run or ask"),
        ("stdout", expect.stdout.is_some(), says, "run or ask"),
        ("stderr", expect.stderr.is_some(), run, "run"),
        ("label", !expect.label.is_empty(), run, "run"),
        ("checked-by-next", expect.checked_by_next, run, "run"),
        (
            "content",
            expect.content.is_some(),
            file || ioctl,
            "file or ioctl",
        ),
        ("bytes", expect.bytes.is_some(), file, "file"),
    ];
    for (key, given, fits, needs) in given {
        if given && !fits {
            problems.push(Problem::Needs { key, needs }.at(path.key(key)));
        }
        if given && expect.errno.is_some() {
            problems.push(Problem::Beside { key, beside: "errno" }.at(path.key(key)));
        }
        if given && step.denied.is_some() && key != "exit" {
            problems.push(
                Problem::Beside {
                    key,
                    beside: "denied",
                }
                .at(path.key(key)),
            );
        }
    }
    if expect.errno.is_some() && step.denied.is_some() {
        problems.push(
            Problem::Beside {
                key: "errno",
                beside: "denied",
            }
            .at(path.key("errno")),
        );
    }
    for (key, text) in [
        ("stdout", &expect.stdout),
        ("stderr", &expect.stderr),
        ("content", &expect.content),
    ] {
        if text.as_ref().is_some_and(|text| *text == Text::default()) {
            problems.push(Problem::Empty(key).at(path.key(key)));
        }
    }
}

fn check_denied(step: &Step, denied: &Denied, path: &Path, problems: &mut Vec<Located>) {
    if step.by == AGENT {
        problems.push(Problem::AgentDenied.at(path.key("as")));
    }
    let path = path.key("denied");
    if denied.records.is_empty() {
        problems.push(Problem::Empty("records").at(path.key("records")));
    }
    for (index, expected) in denied.records.iter().enumerate() {
        record(expected, &path.key("records").index(index), problems);
    }
    if denied.count == Some(0) {
        problems.push(
            Problem::NotA {
                text: "0".to_owned(),
                wanted: "a number of denials",
            }
            .at(path.key("count")),
        );
    }
}
