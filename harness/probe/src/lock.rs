//! A lock file, waited for no longer than a given time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Lock the file, made if it is not there. The lock goes with the descriptor, so also when its owner is killed.
pub fn lock_within(path: &Path, limit: Duration) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    let (done, locked) = mpsc::channel();
    // The wait for a lock cannot be given a limit. If it comes too late, nobody receives it and it is let go.
    thread::Builder::new()
        .name("lock".into())
        .spawn(move || done.send(file.lock().map(|()| file)))?;
    locked.recv_timeout(limit).unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{} was not let go within {} s", path.display(), limit.as_secs()),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_waited_for_and_no_longer_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock_within(&path, Duration::from_secs(20)).unwrap();
        let error = lock_within(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(held);
        lock_within(&path, Duration::from_secs(20)).unwrap();
    }
}
