//! The host, or a container on it. This program's agent runs beside the host's own processes and is watched.
//!
//! The agent ends when its stream closes, even if this program is killed, and undoes what it did. Otherwise only a
//! signal that is sent to the agent itself ends it.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use virt_aa_probe::local::{Engine, LOCAL, Plan, READY_LINE, Sandbox};

use super::console::Tail;
use super::machine::Machine;
use super::stream::AgentStream;
use super::vm::VmError;
use super::watch::{DeathReason, VmDeath};
use crate::children::readable;
use crate::image::Image;

/// Time for the agent to end what runs, unmount, and remove policy and modules.
const END: Duration = Duration::from_secs(90);
/// Time for an agent to end by itself after its stream has closed.
const GRACE: Duration = Duration::from_secs(5);

/// Where subjects live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In namespaces of their own on the host.
    Host,
    /// In a container by that engine.
    Container(Engine),
}

/// How an agent on the host is started.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Where subjects live.
    pub kind: Kind,
    /// Name of the policy namespace, new for each run.
    pub namespace: String,
    /// How long the agent may take to report.
    pub start_timeout: Duration,
    /// The agent's program: by default this one.
    pub program: PathBuf,
}

impl LocalConfig {
    /// A configuration whose policy namespace is named after this process.
    pub fn new(kind: Kind) -> LocalConfig {
        LocalConfig {
            kind,
            namespace: format!("virt-aa-conform-{}", std::process::id()),
            start_timeout: Duration::from_secs(360),
            program: PathBuf::from("/proc/self/exe"),
        }
    }

    fn plan(&self, image: &Image) -> Plan {
        Plan {
            namespace: self.namespace.clone(),
            sandbox: match self.kind {
                Kind::Host => Sandbox::Host,
                Kind::Container(engine) => Sandbox::Container {
                    engine,
                    disk: image.disk.clone(),
                },
            },
        }
    }
}

/// A running agent. Dropping it makes the agent undo what it did, and waits for that.
#[derive(Debug)]
pub(super) struct LocalMachine {
    stream: AgentStream,
    child: Child,
    said: Option<JoinHandle<Tail>>,
    boot_time: Duration,
}

impl LocalMachine {
    /// Start the agent and wait until it has reported.
    pub(super) fn start(image: &Image, config: &LocalConfig) -> Result<LocalMachine, VmError> {
        let start = Instant::now();
        let (agent, there) = UnixStream::pair()?;
        let there = OwnedFd::from(there);
        let plan = serde_json::to_string(&config.plan(image)).map_err(io::Error::other)?;
        let mut command = Command::new(&config.program);
        command
            .arg(LOCAL)
            .arg(there.as_raw_fd().to_string())
            .arg(plan)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Keep the terminal's Ctrl-C away from the agent.
            .process_group(0);
        let fd = there.as_raw_fd();
        // SAFETY: a plain system call between fork and exec, on a descriptor that is open until then.
        unsafe {
            command.pre_exec(move || match libc::fcntl(fd, libc::F_SETFD, 0) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let mut child = command.spawn()?;
        drop(there);
        let said = match child.stderr.take() {
            Some(mut stderr) => {
                let reader = std::thread::Builder::new().name("agent-stderr".into());
                Some(reader.spawn(move || {
                    let mut tail = Tail::default();
                    let mut buffer = [0; 4096];
                    while let Ok(size @ 1..) = stderr.read(&mut buffer) {
                        tail.push(&buffer[..size]);
                    }
                    tail
                })?)
            }
            None => None,
        };
        let mut machine = LocalMachine {
            stream: AgentStream::new(agent, config.start_timeout),
            child,
            said,
            boot_time: Duration::ZERO,
        };
        let mut greeting = vec![0; READY_LINE.len()];
        match machine.stream.read_exact(&mut greeting) {
            Ok(()) if greeting == READY_LINE.as_bytes() => {
                machine.boot_time = start.elapsed();
                Ok(machine)
            }
            _ => Err(VmError::Boot {
                death: Box::new(machine.post_mortem()),
                after: start.elapsed(),
            }),
        }
    }

    /// Closes the stream and waits until all is undone. A late agent is killed, and its traces need a repair.
    fn end(&mut self) {
        self.stream.shut_down();
        if self.wait(END).is_none() {
            // It may end at this moment.
            let _ = self.child.kill();
            let _ = self.child.wait();
            eprintln!(
                "the agent did not end within {} s and was killed; `virt-aa-conform doctor --repair` undoes what it did",
                END.as_secs()
            );
        }
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let ended = virt_aa_probe::pidfd::open(pid.as_raw());
        let has_ended = match &ended {
            Ok(ended) => readable(ended.as_fd(), Instant::now() + limit).unwrap_or(false),
            // It has already ended, but is not reaped yet.
            Err(_) => !matches!(
                waitid(
                    Id::Pid(pid),
                    WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT
                ),
                Ok(WaitStatus::StillAlive)
            ),
        };
        if has_ended { self.child.wait().ok() } else { None }
    }

    /// What the ended agent wrote to standard error.
    fn said(&mut self) -> Vec<String> {
        let tail = self.said.take().and_then(|reader| reader.join().ok());
        tail.map(|tail| tail.lines()).unwrap_or_default()
    }
}

impl Machine for LocalMachine {
    fn stream(&mut self) -> &mut AgentStream {
        &mut self.stream
    }

    fn boot_time(&self) -> Duration {
        self.boot_time
    }

    fn console(&self) -> Vec<String> {
        Vec::new()
    }

    fn signal(&self, _: Signal) -> io::Result<()> {
        Err(io::Error::other("the agent is no machine of its own"))
    }

    fn post_mortem(&mut self) -> VmDeath {
        let reason = match self.wait(GRACE) {
            Some(status) => DeathReason::AgentEnded(status),
            None => {
                self.end();
                DeathReason::NotResponding
            }
        };
        VmDeath {
            reason,
            console_tail: Vec::new(),
            stderr_tail: self.said(),
            speaker: "the agent",
        }
    }
}

impl Drop for LocalMachine {
    fn drop(&mut self) {
        self.end();
        for line in self.said() {
            eprintln!("{line}");
        }
    }
}
