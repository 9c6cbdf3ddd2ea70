//! The keeper's side: holds the machine, serves requests, and ends when nobody has asked for a while.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use virt_aa_probe::protocol::{receive, send};
use virt_aa_probe::wait::until_ready;

use super::paths::{KeeperPaths, KeeperPathsError};
use super::wire::{Ask, KeeperMessage};
use super::work::{Job, Target, work};
use virt_aa_probe::lock::lock_within;

/// A keeper ends after this long without a client.
const IDLE: Duration = Duration::from_secs(10);
/// How long the previous keeper may take to end.
const PREDECESSOR: Duration = Duration::from_secs(30);
/// Time for a client to send its request, and to take a message.
const CLIENT: Duration = Duration::from_secs(10);
/// How often a waiting client is told that work goes on. This also detects that the client is gone.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Why a keeper cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The key cannot be computed.
    #[error(transparent)]
    KeeperPaths(#[from] KeeperPathsError),
    /// The target has changed since the keeper was requested.
    #[error("the program or the data files changed after the test began; run it again")]
    Changed,
    /// The lock or the socket failed.
    #[error("the keeper's socket: {0}")]
    Io(#[from] io::Error),
}

/// How many clients there are, and since when there are none.
struct Clients {
    count: usize,
    none_since: Instant,
}

type Shared = Arc<Mutex<Clients>>;

fn clients(shared: &Shared) -> MutexGuard<'_, Clients> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the machine of `target`, whose key must be `key`. `ready` is called once clients can connect.
pub fn serve(target: &Target, key: &str, ready: impl FnOnce() -> io::Result<()>) -> Result<(), ServeError> {
    let place = KeeperPaths::of(target)?;
    if place.key != key {
        return Err(ServeError::Changed);
    }
    let alive: File = lock_within(&place.life_lock(), PREDECESSOR)?;
    let listener = place.listen()?;
    listener.set_nonblocking(true)?;
    ready()?;
    let (jobs, queue) = mpsc::channel();
    let (of_worker, place_of_worker) = (target.clone(), place.clone());
    thread::Builder::new()
        .name("bench".into())
        .spawn(move || work(&of_worker, &place_of_worker, queue))?;
    let result = accept_until_idle(&listener, &jobs);
    // A client that connected in the last moment finds the stream closed, and asks a new keeper. The machine ends
    // with this process. The lock is released last.
    place.unlink();
    drop(listener);
    place.clear();
    drop(alive);
    Ok(result?)
}

fn accept_until_idle(listener: &UnixListener, jobs: &Sender<Job>) -> io::Result<()> {
    let shared: Shared = Arc::new(Mutex::new(Clients {
        count: 0,
        none_since: Instant::now(),
    }));
    loop {
        let left = {
            let now = clients(&shared);
            if now.count == 0 {
                IDLE.saturating_sub(now.none_since.elapsed())
            } else {
                IDLE
            }
        };
        if left.is_zero() {
            return Ok(());
        }
        let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if !until_ready(&mut waiting, Some(Instant::now() + left))? {
            continue;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The client went away again.
            Err(_) => continue,
        };
        clients(&shared).count += 1;
        let (of_client, jobs) = (Arc::clone(&shared), jobs.clone());
        thread::Builder::new().name("client".into()).spawn(move || {
            // A client that is gone or sends nonsense cannot be answered.
            let _ = attend(stream, &jobs);
            let mut now = clients(&of_client);
            now.count -= 1;
            now.none_since = Instant::now();
        })?;
    }
}

/// Serves one client from its request to its answer.
fn attend(mut stream: UnixStream, jobs: &Sender<Job>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT))?;
    stream.set_write_timeout(Some(CLIENT))?;
    let ask: Ask = receive(&mut stream)?;
    let (reply, answer) = mpsc::channel();
    jobs.send(Job { ask, reply })
        .map_err(|_| io::Error::other("nobody works"))?;
    loop {
        match answer.recv_timeout(HEARTBEAT) {
            Ok(answer) => return send(&mut stream, &KeeperMessage::Answer(answer)),
            Err(RecvTimeoutError::Timeout) => send(&mut stream, &KeeperMessage::Busy)?,
            // The worker has panicked. The client sees the stream's end.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
