//! Process descriptors, to wait for the end of a process.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Instant;

use crate::wait::until_ready;
use nix::poll::{PollFd, PollFlags};

/// A descriptor that becomes readable when the process ends.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the result is checked before it is used as a descriptor, and nothing else owns it.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?))
    }
}

/// Wait for the end of a process until `deadline`; returns whether it has ended. A process that is gone has ended.
pub fn await_end(pid: i32, deadline: Instant) -> io::Result<bool> {
    let process = match open(pid) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(true),
        other => other?,
    };
    let mut waiting = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    Ok(until_ready(&mut waiting, Some(deadline))?)
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
        // It counts as ended both before and after it is reaped.
        assert!(await_end(pid, Instant::now() + Duration::from_secs(20)).unwrap());
        child.wait().unwrap();
        assert!(await_end(pid, Instant::now()).unwrap());
    }
}
