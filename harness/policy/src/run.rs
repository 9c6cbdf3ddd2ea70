//! Runs a child program with a deadline. Nothing started here outlives it.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The result of a program that ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum RunError {
    Io(io::Error),
    TimedOut,
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

enum Event {
    Stdout(io::Result<Vec<u8>>),
    Stderr(io::Result<Vec<u8>>),
    Exit(io::Result<ExitStatus>),
}

/// Runs the program to its end, with an empty standard input. At the deadline its whole process group is killed.
pub(crate) fn run(command: &mut Command, timeout: Duration) -> Result<Ended, RunError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let (send, events) = mpsc::channel();
    drain(child.stdout.take(), send.clone(), Event::Stdout);
    drain(child.stderr.take(), send.clone(), Event::Stderr);
    thread::spawn(move || send.send(Event::Exit(child.wait())));

    let deadline = Instant::now() + timeout;
    let (mut stdout, mut stderr, mut status) = (None, None, None);
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Stdout(bytes)) => stdout = Some(bytes?),
            Ok(Event::Stderr(bytes)) => stderr = Some(bytes?),
            Ok(Event::Exit(ended)) => status = Some(ended?),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                // The group may be gone already. The waiting thread reaps the program.
                let _ = killpg(group, Signal::SIGKILL);
                return Err(RunError::TimedOut);
            }
        }
        if let (Some(_), Some(_), Some(_)) = (&stdout, &stderr, &status) {
            break;
        }
    }
    match (status, stdout, stderr) {
        (Some(status), Some(stdout), Some(stderr)) => Ok(Ended {
            status,
            stdout,
            stderr,
        }),
        _ => Err(RunError::TimedOut),
    }
}

fn drain<R: Read + Send + 'static>(
    pipe: Option<R>,
    send: Sender<Event>,
    event: fn(io::Result<Vec<u8>>) -> Event,
) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = match pipe {
            Some(mut pipe) => pipe.read_to_end(&mut bytes).map(|_| bytes),
            None => Ok(bytes),
        };
        // The receiver is gone only after the deadline.
        let _ = send.send(event(read));
    });
}
