//! Processes as a test sees them from outside.

use std::fs;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How often a child is looked for; nothing announces it.
const LOOK: Duration = Duration::from_millis(20);

/// The QEMU that the process has for a child, once it is there.
pub fn qemu_of(parent: u32, limit: Duration) -> Result<Watched, String> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(pid) = children(parent).into_iter().find(|pid| is_qemu(*pid)) {
            return Watched::open(pid).map_err(|error| error.to_string());
        }
        if Instant::now() >= deadline {
            return Err(format!("process {parent} has no QEMU after {limit:?}"));
        }
        std::thread::sleep(LOOK);
    }
}

fn children(parent: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
    tasks
        .flatten()
        .flat_map(|task| {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

fn is_qemu(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("qemu-system"))
}

/// A process that cannot be mistaken for another.
pub struct Watched {
    pid: i32,
    fd: OwnedFd,
}

impl Watched {
    fn open(pid: i32) -> io::Result<Watched> {
        // SAFETY: a plain system call; a non-negative result is a new descriptor that nobody else owns.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: as above.
        Ok(Watched {
            pid,
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
        })
    }

    /// Send it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call. The process is gone if it fails, which the test then notices.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                std::os::fd::AsRawFd::as_raw_fd(&self.fd),
                signal,
                std::ptr::null::<u8>(),
                0,
            );
        }
    }

    /// Whether it ends within that time.
    pub fn ends_within(&self, limit: Duration) -> Result<(), String> {
        let mut waiting = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        match poll(
            &mut waiting,
            PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(0) => Err(format!("process {} lives on", self.pid)),
            Ok(_) => Ok(()),
            Err(errno) => Err(errno.to_string()),
        }
    }
}
