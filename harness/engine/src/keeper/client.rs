//! The test process's side: finds the keeper or starts it, and sends it requests.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use virt_aa_probe::protocol::{receive, send};

use super::paths::{KeeperPaths, KeeperPathsError};
use super::server::HEARTBEAT;
use super::wire::{Answer, Ask, KeeperMessage};
use super::work::Target;
use crate::children::readable;
use virt_aa_probe::lock::lock_within;

/// How many keepers the test tries before it gives up.
const ATTEMPTS: usize = 3;
/// Time for another process to start the keeper.
const STARTED_BY_ANOTHER: Duration = Duration::from_secs(90);
/// Time for a new keeper to be ready. It waits for its predecessor's end.
const START: Duration = Duration::from_secs(60);
/// A keeper that sends nothing for this long is stuck.
const SILENCE: Duration = Duration::from_secs(30);
/// Time for an answer, including the image's build.
const ANSWER: Duration = Duration::from_secs(3600);

/// Why the keeper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The keeper's paths cannot be determined.
    #[error(transparent)]
    KeeperPaths(#[from] KeeperPathsError),
    /// The keeper could not be started.
    #[error("cannot start the keeper of the test machine: {0}")]
    Start(io::Error),
    /// The keeper ended before it was ready.
    #[error("the keeper of the test machine ended at its start; see {}", .0.display())]
    Stillborn(PathBuf),
    /// The keeper ended before it answered, more than once.
    #[error("the keeper of the test machine was gone {ATTEMPTS} times before it answered; see {}", .0.display())]
    Gone(PathBuf),
    /// The keeper runs but says nothing.
    #[error("the keeper of the test machine says nothing; end the process `virt-aa-conform keeper`, see {}", .0.display())]
    Stuck(PathBuf),
}

/// Asks the keeper of `target` to run a variant. Starts a keeper if there is none.
pub fn ask(target: &Target, ask: &Ask) -> Result<Answer, KeeperError> {
    let place = KeeperPaths::of(target)?;
    for _ in 0..ATTEMPTS {
        let stream = join(target, &place)?;
        match talk(stream, ask) {
            Ok(answer) => return Ok(answer),
            Err(error) if is_silence(&error) => return Err(KeeperError::Stuck(place.log())),
            Err(error) => eprintln!("the keeper of the test machine is gone ({error}); another is started"),
        }
    }
    Err(KeeperError::Gone(place.log()))
}

/// Whether a blocking read reached its time limit.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn talk(mut stream: UnixStream, ask: &Ask) -> io::Result<Answer> {
    const { assert!(SILENCE.as_secs() > 5 * HEARTBEAT.as_secs()) };
    let deadline = Instant::now() + ANSWER;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    send(&mut stream, ask)?;
    loop {
        match receive(&mut stream)? {
            KeeperMessage::Answer(answer) => return Ok(answer),
            KeeperMessage::Busy if Instant::now() < deadline => {}
            KeeperMessage::Busy => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Connects to the keeper. Only one process at a time starts a keeper, and only if none answers.
fn join(target: &Target, place: &KeeperPaths) -> Result<UnixStream, KeeperError> {
    if let Ok(stream) = place.connect() {
        return Ok(stream);
    }
    let starting: File = lock_within(&place.start_lock(), STARTED_BY_ANOTHER).map_err(KeeperError::Start)?;
    if let Ok(stream) = place.connect() {
        return Ok(stream);
    }
    start(target, place)?;
    let stream = place.connect().map_err(KeeperError::Start);
    drop(starting);
    stream
}

/// Starts a keeper that outlives this process, and waits until it can be reached.
fn start(target: &Target, place: &KeeperPaths) -> Result<(), KeeperError> {
    let log = File::create(place.log()).map_err(KeeperError::Start)?;
    let mut command = Command::new(&target.program);
    command
        .arg("keeper")
        .arg("--root")
        .arg(&target.root)
        .args(target.target.words())
        .args(["--key", &place.key])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    // SAFETY: a plain system call between fork and exec. The keeper gets its own session, so that whatever ends the
    // test's process group does not end the machine that others use.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let mut child = command.spawn().map_err(KeeperError::Start)?;
    let said = child.stdout.take().map(wait_until_ready);
    match said {
        Some(Ok(true)) => Ok(()),
        Some(Ok(false)) | None => {
            end(&mut child);
            Err(KeeperError::Stillborn(place.log()))
        }
        Some(Err(error)) => {
            end(&mut child);
            Err(KeeperError::Start(error))
        }
    }
}

/// Whether the keeper reported that it is ready before it closed its standard output.
fn wait_until_ready(mut stdout: ChildStdout) -> io::Result<bool> {
    use std::os::fd::AsFd;
    if !readable(stdout.as_fd(), Instant::now() + START)? {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not start within {} s", START.as_secs()),
        ));
    }
    Ok(stdout.read(&mut [0])? == 1)
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}
