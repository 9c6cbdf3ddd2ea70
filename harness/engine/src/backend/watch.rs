//! Watches a running machine: its process, its console, and QEMU's own messages. Whatever ends the machine is
//! noticed at once, and the stream to the agent is closed, so that nobody goes on waiting for an answer.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use virt_aa_probe::wait::until_ready;

use super::console::{Fatal, Tail};
use crate::children::Child;

/// How long QEMU may take to end by itself after a fatal line on the console.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What ended a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeathReason {
    /// QEMU is gone: it failed, was killed, or the guest powered off.
    QemuExited(ExitStatus),
    /// The agent on the host is gone: it could not do its part, or was killed.
    AgentEnded(ExitStatus),
    /// The guest's kernel panicked, with the line that says so.
    GuestPanic(String),
    /// The hypervisor panicked, or its dom0 crashed, with the line that says so.
    HypervisorPanic(String),
    /// The agent gave up, with its message.
    AgentGaveUp(String),
    /// The machine was running but did not answer, and was ended.
    NotResponding,
    /// The machine could no longer be watched, and was ended.
    Unwatched(String),
}

/// How a machine ended, and its last output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmDeath {
    /// What ended it.
    pub reason: DeathReason,
    /// The last lines of the guest's console, oldest first.
    pub console_tail: Vec<String>,
    /// The last lines that QEMU itself, or the agent on the host, wrote, oldest first.
    pub stderr_tail: Vec<String>,
    /// Who wrote the lines of `stderr_tail`.
    pub speaker: &'static str,
}

/// Watches one machine. Dropping it ends the watch and the machine.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    /// Closing it tells the thread to end the machine.
    leash: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    process: Pid,
}

#[derive(Debug, Default)]
struct State {
    console: Tail,
    stderr: Tail,
    reason: Option<DeathReason>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The data of the watching thread.
struct Watcher {
    shared: Arc<Shared>,
    child: Child,
    agent: UnixStream,
    console: Option<UnixStream>,
    stderr: Option<io::PipeReader>,
    leash: OwnedFd,
}

impl Watch {
    /// Starts to watch. `agent` is a second handle to the agent's stream, which is shut down at the end.
    pub fn start(
        child: Child,
        agent: UnixStream,
        console: Option<UnixStream>,
        stderr: io::PipeReader,
    ) -> io::Result<Self> {
        if let Some(console) = &console {
            console.set_nonblocking(true)?;
        }
        let (held, leash) = io::pipe()?;
        let process = child.pid();
        let shared = Arc::new(Shared::default());
        let watcher = Watcher {
            shared: Arc::clone(&shared),
            child,
            agent,
            console,
            stderr: Some(stderr),
            leash: held.into(),
        };
        let thread = std::thread::Builder::new()
            .name("vm-watch".into())
            .spawn(move || watcher.run())?;
        Ok(Self {
            shared,
            leash: Some(leash.into()),
            thread: Some(thread),
            process,
        })
    }

    /// Sends the machine's process a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let state = self.shared.lock();
        if state.ended {
            return Err(io::Error::other("the machine has ended"));
        }
        Ok(kill(self.process, signal)?)
    }

    /// The last lines of the machine's console, oldest first.
    pub fn console(&self) -> Vec<String> {
        self.shared.lock().console.lines()
    }

    /// Waits up to `limit` for the machine's end.
    pub fn wait(&self, limit: Duration) -> Option<VmDeath> {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.ended.then(|| state.death())
    }

    /// Ends the machine if it still runs, and returns how it ended.
    pub fn end(&mut self) -> VmDeath {
        drop(self.leash.take());
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, it dropped the child, so the machine is gone in any case.
            let _ = thread.join();
        }
        self.shared.lock().death()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn death(&self) -> VmDeath {
        VmDeath {
            reason: self.reason.clone().unwrap_or(DeathReason::NotResponding),
            console_tail: self.console.lines(),
            stderr_tail: self.stderr.lines(),
            speaker: "QEMU",
        }
    }
}

impl Watcher {
    fn run(mut self) {
        let reason = match self.follow() {
            Ok(reason) => reason,
            Err(error) => DeathReason::Unwatched(error.to_string()),
        };
        // Close the stream first, so that whoever waits on it knows at once.
        self.close_agent();
        // The status matters only if QEMU ended by itself.
        let _ = self.child.kill();
        let _ = self.drain();
        let mut state = self.shared.lock();
        state.reason = Some(reason);
        state.ended = true;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Follows the machine to its end, or to the point where it has to be ended.
    fn follow(&mut self) -> io::Result<DeathReason> {
        loop {
            let ready = self.wait(None)?;
            let fatal = self.read(&ready)?;
            if let Some(fatal) = fatal {
                self.close_agent();
                self.last_words()?;
                return Ok(fatal.into());
            }
            if ready.exited {
                let status = self.child.wait(Duration::ZERO)?;
                // Its last output may say more than its status.
                let fatal = self.drain()?;
                let gone = || io::Error::other("the end of QEMU was announced but did not come");
                return match fatal {
                    Some(fatal) => Ok(fatal.into()),
                    None => Ok(DeathReason::QemuExited(status.ok_or_else(gone)?)),
                };
            }
            if ready.let_go {
                return Ok(DeathReason::NotResponding);
            }
        }
    }

    /// After a fatal line the guest ends by itself. Reads its output until then, for the report.
    fn last_words(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + LAST_WORDS;
        loop {
            let ready = self.wait(Some(deadline))?;
            self.read(&ready)?;
            if ready.exited || ready.let_go || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    /// Reads the rest of the pipes once QEMU is gone.
    fn drain(&mut self) -> io::Result<Option<Fatal>> {
        let mut found = None;
        while self.console.is_some() || self.stderr.is_some() {
            let ready = self.wait(Some(Instant::now()))?;
            if !ready.console && !ready.stderr {
                break;
            }
            let fatal = self.read(&ready)?;
            found = found.or(fatal);
        }
        Ok(found)
    }

    fn wait(&self, deadline: Option<Instant>) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(self.child.exit_fd(), PollFlags::POLLIN),
            PollFd::new(self.leash.as_fd(), PollFlags::POLLIN),
        ];
        let console = self
            .console
            .as_ref()
            .map(|console| push(&mut fds, console.as_fd()));
        let stderr = self.stderr.as_ref().map(|stderr| push(&mut fds, stderr.as_fd()));
        until_ready(&mut fds, deadline)?;
        let any = |at: usize| fds[at].any().unwrap_or(false);
        Ok(Ready {
            exited: any(0),
            let_go: any(1),
            console: console.is_some_and(any),
            stderr: stderr.is_some_and(any),
        })
    }

    fn read(&mut self, ready: &Ready) -> io::Result<Option<Fatal>> {
        let mut buffer = [0; 4096];
        let mut fatal = None;
        if ready.console
            && let Some(console) = &mut self.console
        {
            match console.read(&mut buffer) {
                Ok(0) => self.console = None,
                Ok(size) => fatal = self.shared.lock().console.push(&buffer[..size]),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => self.console = None,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        if ready.stderr
            && let Some(stderr) = &mut self.stderr
        {
            match stderr.read(&mut buffer)? {
                0 => self.stderr = None,
                size => drop(self.shared.lock().stderr.push(&buffer[..size])),
            }
        }
        Ok(fatal)
    }

    fn close_agent(&self) {
        // It may be closed already.
        let _ = self.agent.shutdown(std::net::Shutdown::Both);
    }
}

fn push<'a>(fds: &mut Vec<PollFd<'a>>, fd: BorrowedFd<'a>) -> usize {
    fds.push(PollFd::new(fd, PollFlags::POLLIN));
    fds.len() - 1
}

/// Which events have occurred.
struct Ready {
    exited: bool,
    let_go: bool,
    console: bool,
    stderr: bool,
}

impl From<Fatal> for DeathReason {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::KernelPanic(line) => Self::GuestPanic(line),
            Fatal::Hypervisor(line) => Self::HypervisorPanic(line),
            Fatal::Agent(line) => Self::AgentGaveUp(line),
        }
    }
}

impl fmt::Display for DeathReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QemuExited(status) if status.success() => f.write_str("the guest powered off"),
            Self::QemuExited(status) => write!(f, "QEMU ended with {status}"),
            Self::AgentEnded(status) => write!(f, "the agent ended with {status}"),
            Self::GuestPanic(line) => write!(f, "the guest's kernel panicked: {line}"),
            Self::HypervisorPanic(line) => write!(f, "the hypervisor gave up: {line}"),
            Self::AgentGaveUp(line) => write!(f, "the agent gave up: {line}"),
            Self::NotResponding => f.write_str("the machine did not respond and was ended"),
            Self::Unwatched(why) => write!(f, "the machine could not be watched and was ended: {why}"),
        }
    }
}

impl fmt::Display for VmDeath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        for (title, lines) in [("console", &self.console_tail), (self.speaker, &self.stderr_tail)] {
            if !lines.is_empty() {
                write!(f, "\nlast lines of {title}:")?;
                lines.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{Group, spawn};
    use std::os::fd::AsRawFd;

    const SOON: Duration = Duration::from_millis(100);
    const LATER: Duration = Duration::from_secs(20);

    /// A bash script (dash supports no descriptor above 9) stands in for QEMU. `$FD` is its console's descriptor.
    fn machine(script: &str) -> (Watch, UnixStream) {
        let (agent, _) = UnixStream::pair().unwrap();
        let (console, console_there) = UnixStream::pair().unwrap();
        let (stderr, stderr_there) = io::pipe().unwrap();
        let expression = duct::cmd!("bash", "-c", script)
            .env("FD", console_there.as_raw_fd().to_string())
            .stderr_file(stderr_there);
        let child = spawn(expression, Group::Own, vec![console_there.into()]).unwrap();
        let watch = Watch::start(child, agent.try_clone().unwrap(), Some(console), stderr).unwrap();
        (watch, agent)
    }

    #[test]
    fn the_end_of_qemu_is_told_with_its_last_words() {
        let (watch, _agent) = machine("echo boots >&$FD; echo no such device >&2; exit 3");
        let death = watch.wait(LATER).unwrap();
        let DeathReason::QemuExited(status) = death.reason else {
            panic!("{death}")
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(
            (death.console_tail, death.stderr_tail),
            (vec!["boots".into()], vec!["no such device".into()])
        );
    }

    #[test]
    fn a_panic_ends_a_machine_that_would_go_on() {
        let (watch, mut agent) = machine("echo 'Kernel panic - not syncing: x' >&$FD; exec sleep 60");
        // Whoever waits for the agent's answer is notified.
        agent.set_read_timeout(Some(LATER)).unwrap();
        assert_eq!(agent.read(&mut [0; 1]).unwrap(), 0);
        let death = watch.wait(LATER).unwrap();
        assert_eq!(
            death.reason,
            DeathReason::GuestPanic("Kernel panic - not syncing: x".into())
        );
    }

    #[test]
    fn a_panic_counts_for_more_than_the_exit_status() {
        let (watch, _agent) = machine("echo 'virt-aa-conform: init: no root disk' >&$FD");
        assert_eq!(
            watch.wait(LATER).unwrap().reason,
            DeathReason::AgentGaveUp("no root disk".into())
        );
    }

    #[test]
    fn a_silent_machine_is_not_dead_until_it_is_ended() {
        let (mut watch, _agent) = machine("exec sleep 60");
        assert_eq!(watch.wait(SOON), None);
        assert_eq!(watch.end().reason, DeathReason::NotResponding);
    }
}
