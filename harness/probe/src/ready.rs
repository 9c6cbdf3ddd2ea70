//! Waiting for a path to appear, by inotify, while its maker lives.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Child;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::pidfd;

/// Wait until `path` exists; an error when `child` ends before, or at the deadline.
pub fn wait_for(path: &Path, child: &mut Child, deadline: Instant) -> io::Result<()> {
    let ended = pidfd::open(child.id().cast_signed())?;
    loop {
        // The watch is set before the look, so that nothing falls between the two. It is on the deepest folder
        // that is there; each level that appears wakes us and moves it down.
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        if let Some(dir) = path.ancestors().skip(1).find(|dir| dir.is_dir()) {
            inotify.add_watch(dir, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
        }
        if path.exists() {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let mut waiting = [
            PollFd::new(inotify.as_fd(), PollFlags::POLLIN),
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
        ];
        if poll(
            &mut waiting,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        )? == 0
        {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} did not appear in time", path.display()),
            ));
        }
        if waiting[1].any().unwrap_or(false) {
            let status = child.wait()?;
            return Err(io::Error::other(format!(
                "it ended ({status}) before {} appeared",
                path.display()
            )));
        }
    }
}
