//! Waits for descriptors until a deadline.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout, poll};

/// Waits until one of the descriptors is ready; its [`PollFd`] then has the events. Returns `false` if the deadline passes
/// first. A signal does not end the wait.
pub fn until_ready(descriptors: &mut [PollFd<'_>], deadline: Option<Instant>) -> nix::Result<bool> {
    loop {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // poll counts whole milliseconds: rounded up, so that the last one is not spent in a busy loop.
            PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        match poll(descriptors, timeout) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::thread;

    use nix::poll::PollFlags;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    use super::*;

    extern "C" fn nothing(_: i32) {}

    #[test]
    fn the_deadline_is_kept_and_what_is_ready_is_seen() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut waiting = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        let before = Instant::now();
        let deadline = before + Duration::from_millis(20);
        assert!(!until_ready(&mut waiting, Some(deadline)).unwrap());
        assert!(before.elapsed() >= Duration::from_millis(20));
        assert!(!until_ready(&mut waiting, Some(before)).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(until_ready(&mut waiting, Some(before)).unwrap());
        assert!(until_ready(&mut waiting, None).unwrap());
        assert_eq!(waiting[0].any(), Some(true));
    }

    #[test]
    fn a_signal_ends_no_wait() {
        // Without SA_RESTART, as poll is never restarted anyway.
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing, and no other test uses this signal.
        unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        // SAFETY: it has no conditions.
        let waiter = unsafe { libc::pthread_self() };
        let (waits, is_waiting) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                is_waiting.recv().unwrap();
                for _ in 0..50 {
                    // SAFETY: the thread waits for this one, so it lives.
                    assert_eq!(unsafe { libc::pthread_kill(waiter, libc::SIGUSR2) }, 0);
                    thread::yield_now();
                }
                writer.write_all(b"x").unwrap();
            });
            waits.send(()).unwrap();
            let mut waiting = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            let deadline = Instant::now() + Duration::from_secs(20);
            assert!(until_ready(&mut waiting, Some(deadline)).unwrap());
        });
    }
}
