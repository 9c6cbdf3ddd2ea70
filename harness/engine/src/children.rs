//! Child processes. Each has one owner, which ends it with its whole process group. A signal that ends this program
//! ends all children. If this program is killed outright, the kernel ends them.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use duct::{Expression, Handle};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use virt_aa_probe::wait::until_ready;

/// Which process group a child gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Its own. The child ends with all descendants that stay in it, and the terminal's Ctrl-C does not reach it.
    Own,
    /// This program's, so that it may read from the terminal. The terminal's settings are restored afterwards.
    Terminal,
}

/// A running child. Dropping it ends it and reaps it.
#[derive(Debug)]
pub struct Child {
    handle: Handle,
    exit: OwnedFd,
    pid: Pid,
    group: Group,
}

/// Why a run of a tool has no exit status.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The tool could not be started.
    #[error("cannot start {tool}: {source}")]
    Start {
        /// The tool's name.
        tool: String,
        /// The system error.
        source: io::Error,
    },
    /// The tool ran for too long and was ended.
    #[error("{tool} was ended: it took longer than {} s", .limit.as_secs())]
    TimedOut {
        /// The tool's name.
        tool: String,
        /// How long it was allowed to take.
        limit: Duration,
    },
    /// The tool's output or exit status could not be read.
    #[error("cannot follow {tool}: {source}")]
    Follow {
        /// The tool's name.
        tool: String,
        /// The system error.
        source: io::Error,
    },
}

/// Starts a child that inherits the given descriptors under their own numbers, besides its standard streams.
///
/// A non-zero exit status is not an error.
pub fn spawn(expression: Expression, group: Group, inherited: Vec<OwnedFd>) -> io::Result<Child> {
    let (reply, answer) = sync_channel(1);
    let job = Job {
        expression,
        group,
        inherited,
        reply,
    };
    spawner()?
        .send(job)
        .map_err(|_| io::Error::other("the thread that starts children is gone"))?;
    answer
        .recv()
        .map_err(|_| io::Error::other("the thread that starts children is gone"))?
}

/// Runs a tool to its end and passes each line of its output (stdout and stderr combined) to `on_line`.
pub fn run(
    tool: &str,
    expression: Expression,
    limit: Duration,
    on_line: &mut dyn FnMut(&str),
) -> Result<ExitStatus, RunError> {
    let deadline = Instant::now() + limit;
    let follow = |source| RunError::Follow {
        tool: tool.to_owned(),
        source,
    };
    let (output, input) = io::pipe().map_err(follow)?;
    let child = spawn(
        expression.stdin_null().stderr_to_stdout().stdout_file(input),
        Group::Own,
        Vec::new(),
    )
    .map_err(|source| RunError::Start {
        tool: tool.to_owned(),
        source,
    })?;
    let mut lines = BufReader::new(Until {
        inner: output,
        deadline,
    });
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => on_line(String::from_utf8_lossy(&line).trim_end()),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                return Err(RunError::TimedOut {
                    tool: tool.to_owned(),
                    limit,
                });
            }
            Err(e) => return Err(follow(e)),
        }
    }
    match child
        .wait(deadline.saturating_duration_since(Instant::now()))
        .map_err(follow)?
    {
        Some(status) => Ok(status),
        None => Err(RunError::TimedOut {
            tool: tool.to_owned(),
            limit,
        }),
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP end every child and then this program, with status 128 + the signal number.
pub fn install_signal_handler() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                end_all();
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

impl Child {
    /// The process id. It is also the group id if the child has its own group.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A descriptor that becomes readable when the child has ended.
    pub fn exit_fd(&self) -> BorrowedFd<'_> {
        self.exit.as_fd()
    }

    /// Waits for the child's end; `None` if the limit passes first. Also ends what is left of its group.
    pub fn wait(&self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        if !readable(self.exit.as_fd(), Instant::now() + limit)? {
            return Ok(None);
        }
        self.reap().map(Some)
    }

    /// Ends the child with its group, and reaps it.
    pub fn kill(&self) -> io::Result<ExitStatus> {
        self.reap()
    }

    /// A child in the register has not been reaped, so its id cannot name another process.
    fn reap(&self) -> io::Result<ExitStatus> {
        if register().live.contains(&(self.pid, self.group)) {
            kill_now(self.pid, self.group);
        }
        let status = self.handle.wait()?.status;
        let mut register = register();
        if register.live.remove(&(self.pid, self.group)) && self.group == Group::Terminal {
            register.restore_terminal();
        }
        Ok(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nobody can be told about a failed wait, and the kill has been sent.
        let _ = self.reap();
    }
}

/// The running children, and whether new ones may still be started.
struct Register {
    live: BTreeSet<(Pid, Group)>,
    closed: bool,
    /// The terminal's settings before a child got it. A killed child leaves its own behind, usually raw mode.
    terminal: Option<Termios>,
}

impl Register {
    fn restore_terminal(&mut self) {
        if let Some(settings) = self.terminal.take() {
            // If the terminal is gone, there is nothing to restore.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &settings);
        }
    }
}

struct Job {
    expression: Expression,
    group: Group,
    inherited: Vec<OwnedFd>,
    reply: SyncSender<io::Result<Child>>,
}

static REGISTER: Mutex<Register> = Mutex::new(Register {
    live: BTreeSet::new(),
    closed: false,
    terminal: None,
});

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_all() {
    let mut register = register();
    register.closed = true;
    for (pid, group) in &register.live {
        kill_now(*pid, *group);
    }
    register.restore_terminal();
}

fn kill_now(pid: Pid, group: Group) {
    // It fails only if no process is left, which is the goal.
    let _ = match group {
        Group::Own => killpg(pid, Signal::SIGKILL),
        Group::Terminal => kill(pid, Signal::SIGKILL),
    };
}

/// The kernel ties the parent-death signal to the *thread* that started the child. So one thread, which lives as long
/// as the program, starts all children.
fn spawner() -> io::Result<&'static Sender<Job>> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender);
    }
    let (sender, jobs) = channel::<Job>();
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for job in jobs {
                let result = start(job.expression, job.group, &job.inherited);
                // The requester may be gone. Then the child is dropped here, which ends it.
                let _ = job.reply.send(result);
            }
        })?;
    // If two threads get here at once, the loser's thread ends with its sender.
    Ok(SPAWNER.get_or_init(|| sender))
}

fn start(expression: Expression, group: Group, inherited: &[OwnedFd]) -> io::Result<Child> {
    let fds: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    let parent = std::process::id();
    let prepared = expression.unchecked().before_spawn(move |command| {
        if group == Group::Own {
            command.process_group(0);
        }
        let fds = fds.clone();
        // SAFETY: only system calls that are safe between fork and exec, and no allocation.
        unsafe { command.pre_exec(move || in_child(parent, &fds)) };
        Ok(())
    });
    // Holds the register's lock, so that no child can start after `end_all`.
    let mut register = register();
    if register.closed {
        return Err(io::Error::other("the program is being ended"));
    }
    if group == Group::Terminal && io::stdin().is_terminal() {
        register.terminal = tcgetattr(io::stdin()).ok();
    }
    let handle = prepared.start()?;
    let id = *handle
        .pids()
        .first()
        .ok_or_else(|| io::Error::other("a child without a process id"))?;
    let pid = Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?);
    register.live.insert((pid, group));
    drop(register);
    match pidfd_open(pid) {
        Ok(exit) => Ok(Child {
            handle,
            exit,
            pid,
            group,
        }),
        Err(error) => {
            kill_now(pid, group);
            Err(error)
        }
    }
}

fn in_child(parent: u32, inherited: &[RawFd]) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have ended before the line above.
    if nix::unistd::getppid().as_raw() as u32 != parent {
        return Err(Errno::ESRCH.into());
    }
    for fd in inherited {
        // SAFETY: clears the close-on-exec flag of an open descriptor.
        if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call; a non-negative result is a new descriptor that nobody else owns.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Waits until `fd` is readable; `false` if the deadline passes first.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    ready(fd, PollFlags::POLLIN, deadline)
}

/// Waits until one of the events occurs; `false` if the deadline passes first.
pub(crate) fn ready(fd: BorrowedFd<'_>, events: PollFlags, deadline: Instant) -> io::Result<bool> {
    Ok(until_ready(&mut [PollFd::new(fd, events)], Some(deadline))?)
}

/// A reader that gives up at a deadline, with [`io::ErrorKind::TimedOut`].
struct Until<R> {
    inner: R,
    deadline: Instant,
}

impl<R: Read + AsFd> Read for Until<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !readable(self.inner.as_fd(), self.deadline)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duct::cmd;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn lines_of_both_streams_and_the_status_come_back() {
        let mut lines = Vec::new();
        let status = run(
            "sh",
            cmd!("sh", "-c", "echo out; echo err >&2; exit 3"),
            LONG,
            &mut |l| {
                lines.push(l.to_owned());
            },
        )
        .unwrap();
        assert_eq!(
            (lines, status.code()),
            (vec!["out".to_owned(), "err".to_owned()], Some(3))
        );
    }

    #[test]
    fn a_tool_that_takes_too_long_is_ended_with_its_children() {
        let mut pid = 0;
        let limit = Duration::from_millis(300);
        let result = run(
            "sh",
            cmd!("sh", "-c", "sleep 60 & echo $!; wait"),
            limit,
            &mut |line| {
                pid = line.parse().unwrap();
            },
        );
        assert!(matches!(result, Err(RunError::TimedOut { .. })), "{result:?}");
        assert!(goes(Pid::from_raw(pid)));
    }

    #[test]
    fn the_drop_of_a_child_ends_it() {
        let child = spawn(cmd!("sleep", "60"), Group::Own, Vec::new()).unwrap();
        let pid = child.pid();
        assert!(!gone(pid), "the control: it runs before the drop");
        drop(child);
        assert!(gone(pid));
    }

    #[test]
    fn a_missing_tool_is_an_error_of_its_start() {
        let result = run("no-such-tool", cmd!("no-such-tool"), LONG, &mut |_| {});
        assert!(matches!(result, Err(RunError::Start { .. })), "{result:?}");
    }

    /// Whether the killed process ends within the time that a busy machine needs.
    fn goes(pid: Pid) -> bool {
        let Ok(end) = pidfd_open(pid) else {
            return gone(pid);
        };
        let mut waiting = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        until_ready(&mut waiting, Some(Instant::now() + Duration::from_secs(10))).unwrap()
    }

    /// Whether it has ended, though perhaps not yet been reaped by the process that inherited it.
    fn gone(pid: Pid) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return true;
        };
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
    }
}
