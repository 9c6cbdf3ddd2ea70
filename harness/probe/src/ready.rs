//! Waiting for a path to appear, by inotify.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use crate::wait::until_ready;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::pidfd;

/// First argument by which a script makes the program wait for a path. The path and seconds follow.
pub const AWAIT: &str = "await";

/// Wait for the path and as many seconds as the arguments say.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(2);
    let path = arguments.next();
    let seconds = arguments.next().and_then(|text| text.to_str()?.parse().ok());
    let (Some(path), Some(seconds)) = (path, seconds) else {
        eprintln!("{AWAIT}: give a path and a number of seconds");
        return ExitCode::from(2);
    };
    let path = Path::new(&path);
    match wait_until(path, Instant::now() + Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{AWAIT}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Wait until `path` exists. Fails at the deadline.
pub fn wait_until(path: &Path, deadline: Instant) -> io::Result<()> {
    appears(path, None, deadline).map(drop)
}

/// Wait until `path` exists. Fails if `child` ends first, or at the deadline.
pub fn wait_for(path: &Path, child: &mut Child, deadline: Instant) -> io::Result<()> {
    let ended = pidfd::open(child.id().cast_signed())?;
    if appears(path, Some(ended.as_fd()), deadline)? {
        return Ok(());
    }
    let status = child.wait()?;
    Err(io::Error::other(format!(
        "it ended ({status}) before {} appeared",
        path.display()
    )))
}

/// Events that may create the path, or remove the watched folder.
const WAKING: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);

/// Wait until `path` exists; false if `end` becomes readable first. Fails at the deadline.
fn appears(path: &Path, end: Option<BorrowedFd<'_>>, deadline: Instant) -> io::Result<bool> {
    loop {
        // The watch is set before the check, so that no event is missed. It is on the deepest existing folder. Each new
        // level wakes us and moves it down.
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let dir = deepest_folder(path);
        if let Some(dir) = dir {
            match inotify.add_watch(dir, WAKING) {
                // The folder has just been removed.
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                other => drop(other?),
            }
        }
        if path.exists() {
            return Ok(true);
        }
        // The next level appeared before the watch was set, so no event would come.
        if deepest_folder(path) != dir && Instant::now() < deadline {
            continue;
        }
        let mut waiting = vec![PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        waiting.extend(end.map(|end| PollFd::new(end, PollFlags::POLLIN)));
        if !until_ready(&mut waiting, Some(deadline))? {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} did not appear in time", path.display()),
            ));
        }
        if waiting.get(1).is_some_and(|end| end.any().unwrap_or(false)) {
            return Ok(false);
        }
    }
}

fn deepest_folder(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|dir| dir.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_appears_between_the_look_and_the_watch_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..1000 {
            let folder = dir.path().join(format!("{round}"));
            let path = folder.join("sub").join("socket");
            let maker = std::thread::spawn({
                let path = path.clone();
                move || {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, "").unwrap();
                }
            });
            let found = appears(&path, None, Instant::now() + Duration::from_secs(5));
            assert!(found.unwrap(), "round {round}");
            maker.join().unwrap();
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn a_path_is_waited_for_level_by_level_and_not_for_ever() {
        let dir = std::env::temp_dir().join(format!("vaac-await-{}", std::process::id()));
        let path = dir.join("deep/socket");
        let soon = || Instant::now() + Duration::from_millis(100);
        let error = appears(&path, None, soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (made, there) = (path.clone(), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                there.wait();
                std::fs::create_dir_all(made.parent().unwrap()).unwrap();
                std::fs::write(&made, "").unwrap();
            });
            there.wait();
            assert!(appears(&path, None, Instant::now() + Duration::from_secs(20)).unwrap());
        });
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
