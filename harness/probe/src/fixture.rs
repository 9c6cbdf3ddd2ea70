//! Brings up a case's fixtures in the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case_run::by_agent;
use crate::cgroup;
use crate::process_watch::ProcessWatch;
use crate::protocol::{Act, FixtureOutcome, Outcome, RunSpec};
use crate::subject::PROGRAM;
use crate::subject_env::SubjectEnv;

/// Exit status by which a fixture's script reports that this machine cannot have it.
const UNAVAILABLE: i32 = 77;

/// Timeout for loading one module.
const MODULE_TIMEOUT: Duration = Duration::from_secs(30);

/// Load kernel modules. The script notices a module that does not exist.
pub fn load_modules(names: &[String], place: &SubjectEnv, watch: &ProcessWatch) {
    for name in names {
        let run = RunSpec {
            argv: ["/sbin/modprobe", name].map(String::from).into(),
            env: BTreeMap::new(),
            stdin: None,
            stdin_file: None,
            stdout_file: None,
        };
        by_agent(&Act::Run(run), MODULE_TIMEOUT, place, watch);
    }
}

/// Run a fixture's script and read its facts.
pub fn bring_up(script: &str, timeout: Duration, place: &SubjectEnv, watch: &ProcessWatch) -> FixtureOutcome {
    let kept = match cgroup::kept_procs() {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(error) => {
            return FixtureOutcome::Broken {
                message: format!("no cgroup for what it starts: {error}"),
            };
        }
    };
    let run = RunSpec {
        argv: ["/bin/sh", "-eu", "-c", script].map(String::from).into(),
        env: BTreeMap::from([("AGENT".into(), PROGRAM.into()), ("KEEP".into(), kept)]),
        stdin: None,
        stdin_file: None,
        stdout_file: None,
    };
    judge(by_agent(&Act::Run(run), timeout, place, watch))
}

fn judge(outcome: Outcome) -> FixtureOutcome {
    let ran = match outcome {
        Outcome::Ran(ran) => ran,
        Outcome::TimedOut => {
            return FixtureOutcome::Broken {
                message: "its script did not end in time".into(),
            };
        }
        other => {
            return FixtureOutcome::Broken {
                message: format!("its script could not be run: {other:?}"),
            };
        }
    };
    let stderr = String::from_utf8_lossy(&ran.stderr).trim().to_string();
    let last = stderr
        .lines()
        .last()
        .unwrap_or("its script gave no reason")
        .to_string();
    match ran.exit {
        Some(0) => FixtureOutcome::Up {
            facts: facts(&String::from_utf8_lossy(&ran.stdout)),
        },
        Some(UNAVAILABLE) => FixtureOutcome::Unavailable { reason: last },
        other => FixtureOutcome::Broken {
            message: format!("its script ended with {other:?}: {stderr}"),
        },
    }
}

fn facts(stdout: &str) -> BTreeMap<String, String> {
    stdout
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Ran;

    fn ran(exit: i32, stdout: &str, stderr: &str) -> FixtureOutcome {
        judge(Outcome::Ran(Ran {
            pid: 1,
            exit: Some(exit),
            signal: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
            stdout_cut: false,
            stderr_cut: false,
        }))
    }

    #[test]
    fn a_script_ends_in_one_of_three_ways() {
        assert!(
            matches!(ran(0, "path=/dev/loop0\nnoise\n", ""), FixtureOutcome::Up { facts }
            if facts == BTreeMap::from([("path".into(), "/dev/loop0".into())]))
        );
        assert!(
            matches!(ran(77, "", "x\nno sound card"), FixtureOutcome::Unavailable { reason } if reason == "no sound card")
        );
        assert!(matches!(ran(1, "", "boom"), FixtureOutcome::Broken { message } if message.contains("boom")));
    }
}
