//! A lock file with a timeout.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Lock the file, which is created if it does not exist. The lock ends with the descriptor, even if its owner is
/// killed.
pub fn lock_within(path: &Path, limit: Duration) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    let (done, locked) = mpsc::channel();
    // Waiting for a lock has no timeout. A lock that comes too late is received by nobody and released.
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
