//! Descriptors of processes, to await their end.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A descriptor that becomes readable when the process ends.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the result is checked before it is taken for a descriptor, and nobody else owns it.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?))
    }
}

/// Await the end of a process until `deadline`; whether it has ended. One that is gone has.
pub fn await_end(pid: i32, deadline: Instant) -> io::Result<bool> {
    let process = match open(pid) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(true),
        other => other?,
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut waiting = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        match poll(
            &mut waiting,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn the_end_of_a_process_is_awaited_and_no_longer_than_allowed() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(!await_end(pid, Instant::now() + Duration::from_millis(20)).unwrap());
        drop(child.stdin.take());
        // It has ended before it is reaped, and after.
        assert!(await_end(pid, Instant::now() + Duration::from_secs(20)).unwrap());
        child.wait().unwrap();
        assert!(await_end(pid, Instant::now()).unwrap());
    }
}
