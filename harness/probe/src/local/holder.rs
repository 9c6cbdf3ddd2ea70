//! The process that holds the namespaces of subjects. It is the first process in them, reaps orphans and ends with the
//! agent. When it ends, the kernel kills everything in its pid namespace.

use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};

use super::mounts;
use crate::cgroup::Cgroup;

/// First argument that starts the program as a holder. The path of a socket to the agent may follow. Without one,
/// standard input is the socket, and the files are made from the host's.
pub const HOLDER: &str = "agent-holder";

/// What the holder sends when everything is mounted. Any other text is an error message.
const READY: &str = "ready";

/// Timeout for the holder's mounts.
const LIMIT: Duration = Duration::from_secs(60);

/// Hold the namespaces until the agent is gone.
pub fn main() -> ExitCode {
    let socket = std::env::args_os().nth(2);
    let connected = match &socket {
        Some(path) => UnixStream::connect(path),
        // SAFETY: the agent started this process with a socket as standard input, which nothing else here uses.
        None => Ok(UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) })),
    };
    let mut agent = match connected {
        Ok(agent) => agent,
        Err(error) => {
            eprintln!("{HOLDER}: no agent: {error}");
            return ExitCode::FAILURE;
        }
    };
    // SAFETY: no handler is installed. If the signal is ignored, the kernel reaps the children.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
    let mounted = if socket.is_some() {
        mounts::complete()
    } else {
        mounts::from_the_host()
    };
    let said = match &mounted {
        Ok(()) => agent.write_all(format!("{READY}\n").as_bytes()),
        Err(error) => agent.write_all(format!("{error}\n").as_bytes()),
    };
    if mounted.is_err() || said.is_err() {
        return ExitCode::FAILURE;
    }
    // The agent sends nothing more. When the stream ends, the agent has ended.
    while matches!(agent.read(&mut [0; 64]), Ok(1..)) {}
    ExitCode::SUCCESS
}

/// A holder, and the leash that ends it with its owner.
pub struct Holder {
    /// Process id, as the agent sees it.
    pub pid: i32,
    leash: UnixStream,
    /// Reaped on drop; `None` in a container, where the holder is the engine's child.
    child: Option<Child>,
}

impl Holder {
    /// Start a holder in namespaces made from the host's.
    pub fn on_the_host(cgroup: &Cgroup) -> io::Result<Holder> {
        let (leash, there) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(HOLDER)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(there)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        cgroup.spawn_in(&mut command);
        // SAFETY: a plain system call between fork and exec.
        unsafe {
            command.pre_exec(|| {
                unshare(
                    CloneFlags::CLONE_NEWNS
                        | CloneFlags::CLONE_NEWNET
                        | CloneFlags::CLONE_NEWUTS
                        | CloneFlags::CLONE_NEWIPC,
                )?;
                Ok(())
            });
        }
        // The next child of this thread is the first process of a new pid namespace. Later ones are in our own again.
        let own = std::fs::File::open("/proc/self/ns/pid")?;
        unshare(CloneFlags::CLONE_NEWPID)?;
        let child = command.spawn();
        setns(&own, CloneFlags::CLONE_NEWPID)?;
        let child = child?;
        let holder = Holder {
            pid: child.id().cast_signed(),
            leash,
            child: Some(child),
        };
        holder.await_mounts()?;
        Ok(holder)
    }

    /// A holder that a container's engine has started and that has connected. The kernel tells its process id.
    pub fn of_container(agent: UnixStream) -> io::Result<Holder> {
        let peer = nix::sys::socket::getsockopt(&agent, nix::sys::socket::sockopt::PeerCredentials)?;
        let holder = Holder {
            pid: peer.pid(),
            leash: agent,
            child: None,
        };
        holder.await_mounts()?;
        Ok(holder)
    }

    fn await_mounts(&self) -> io::Result<()> {
        let mut stream = &self.leash;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut said = String::new();
        let mut byte = [0; 1];
        while said.len() < 4096 && stream.read(&mut byte)? == 1 && byte[0] != b'\n' {
            said.push(char::from(byte[0]));
        }
        match said.as_str() {
            READY => Ok(()),
            "" => Err(io::Error::other(
                "the holder of the namespaces ended before they stood",
            )),
            error => Err(io::Error::other(error.to_string())),
        }
    }

    /// Whether the holder has its own mount and pid namespaces and shares the agent's user namespace.
    pub fn is_apart(&self) -> io::Result<bool> {
        let of = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        let pid = self.pid.to_string();
        Ok(of("self", "mnt")? != of(&pid, "mnt")?
            && of("self", "pid")? != of(&pid, "pid")?
            && of("self", "user")? == of(&pid, "user")?)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
