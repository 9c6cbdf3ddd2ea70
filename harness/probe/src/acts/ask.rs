//! Asks a guest that answers lines on its serial port, over the UNIX socket that QEMU has for this port.
//!
//! The guest may not be up yet, and answers to others may still be on their way. So `hello WORD` is sent, each time with
//! another word, until the guest answers the last one. The next thing that it says is the answer to the command, which is
//! sent once.
//!
//! A guest is not trusted: whatever it says, the act ends at its deadline and keeps a bounded part of it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};
use nix::time::{ClockId, clock_gettime};

use super::run::KEPT;
use crate::protocol::{AskSpec, Ran};
use crate::ready;
use crate::timed::Timed;

/// What the guest says when it is up, and what its answer to `hello` begins with.
const RUNS: &str = "vaac: the guest runs";
/// How long the answer to the first `hello` is waited for. Each next one is waited for twice as long.
const FIRST_HELLO: Duration = Duration::from_millis(250);
/// The longest wait for the answer to one `hello`.
const LONGEST_HELLO: Duration = Duration::from_secs(2);
/// How long to wait before another attempt to connect.
const RETRY: Duration = Duration::from_millis(50);
/// How much of what the guest said last is told if it does not answer.
const LAST_WORDS: usize = 200;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The socket does not take a connection.
    #[error("nobody could be asked at {socket} within the time limit: {why}")]
    Connect {
        /// The socket's path.
        socket: String,
        /// The last error.
        why: io::Error,
    },
    /// The guest does not answer `hello`.
    #[error("the guest at {socket} did not answer `hello` within the time limit; it said last: {last:?}")]
    Hello {
        /// The socket's path.
        socket: String,
        /// Its last words.
        last: String,
    },
    /// The guest does not end its answer.
    #[error("the guest did not end its answer to `{say}` within the time limit; it said last: {last:?}")]
    Unfinished {
        /// The command.
        say: String,
        /// Its last words.
        last: String,
    },
}

/// Send a command to the guest and collect its answer, as if a program had printed it. The exit status is 0 for `ok` and
/// 1 for an error.
pub fn ask(spec: &AskSpec) -> Result<Ran, NoAnswer> {
    let deadline = Instant::now() + Duration::from_millis(spec.timeout_ms);
    let mut guest = greeted(&spec.socket, deadline)?;
    let mut stdout = Vec::new();
    let stop = match guest.say(&spec.say, deadline) {
        Ok(()) => loop {
            match guest.next_line(deadline) {
                Ok(line) if stdout.len() + line.len() >= KEPT => break Stop::TooMuch,
                Ok(line) => {
                    stdout.extend_from_slice(&line);
                    stdout.push(b'\n');
                    if line == b"ok" {
                        return Ok(ran(0, stdout, String::new(), false));
                    }
                    if line.starts_with(b"error: ") {
                        let why = format!("the guest answers `{}`", String::from_utf8_lossy(&line));
                        return Ok(ran(1, stdout, why, false));
                    }
                }
                Err(stop) => break stop,
            }
        },
        Err(stop) => stop,
    };
    match stop {
        Stop::Late => Err(NoAnswer::Unfinished {
            say: spec.say.clone(),
            last: guest.last_words(),
        }),
        Stop::Gone => Ok(ran(
            1,
            stdout,
            "the guest is gone before its answer ends".into(),
            false,
        )),
        Stop::TooMuch => Ok(ran(
            1,
            stdout,
            format!("the guest's answer is longer than {KEPT} bytes"),
            true,
        )),
    }
}

fn ran(exit: i32, stdout: Vec<u8>, stderr: String, stdout_cut: bool) -> Ran {
    Ran {
        pid: std::process::id().cast_signed(),
        exit: Some(exit),
        signal: None,
        stdout,
        stderr: stderr.into_bytes(),
        stdout_cut,
        stderr_cut: false,
    }
}

/// A guest that is up, and has nothing old left to say.
fn greeted(socket: &str, deadline: Instant) -> Result<Guest, NoAnswer> {
    loop {
        let mut guest = Guest::connect(socket, deadline).map_err(|why| NoAnswer::Connect {
            socket: socket.into(),
            why,
        })?;
        match guest.greet(deadline) {
            Ok(()) => return Ok(guest),
            // Whoever listened has gone away, and may come back.
            Err(Stop::Gone) if retry_soon(deadline) => {}
            Err(_) => {
                return Err(NoAnswer::Hello {
                    socket: socket.into(),
                    last: guest.last_words(),
                });
            }
        }
    }
}

/// Waits a moment; false if the deadline has passed. No event tells that a socket is listened on.
fn retry_soon(deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    thread::sleep(RETRY.min(left));
    left > RETRY
}

/// Why no more lines are read.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The deadline has passed.
    Late,
    /// The connection has ended.
    Gone,
    /// A line is too long.
    TooMuch,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        if error.kind() == io::ErrorKind::TimedOut {
            Stop::Late
        } else {
            Stop::Gone
        }
    }
}

/// The connection to a guest's serial port.
struct Guest {
    stream: UnixStream,
    /// What has been read and is no line yet.
    pending: Vec<u8>,
    /// How much of it has no end of a line.
    searched: usize,
    /// The last line.
    last: Vec<u8>,
}

impl Guest {
    fn connect(path: &str, deadline: Instant) -> io::Result<Guest> {
        let address = UnixAddr::new(path)?;
        loop {
            ready::wait_until(Path::new(path), deadline)?;
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let end = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
            // It fails at once if the queue of a listener who does not listen is full.
            match nix::sys::socket::connect(end.as_raw_fd(), &address) {
                Ok(()) => {
                    return Ok(Guest {
                        stream: UnixStream::from(end),
                        pending: Vec::new(),
                        searched: 0,
                        last: Vec::new(),
                    });
                }
                Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN | Errno::EINTR)
                    if retry_soon(deadline) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Say `hello` until the guest answers the last one.
    fn greet(&mut self, deadline: Instant) -> Result<(), Stop> {
        // It ends a line that somebody else has begun.
        self.say("", deadline)?;
        let mut wait = FIRST_HELLO;
        let mut comes_up = true;
        loop {
            let word = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(io::Error::from)?;
            let word = Duration::from(word).as_nanos();
            self.say(&format!("hello {word}"), deadline)?;
            let until = deadline.min(Instant::now() + wait);
            match self.await_greeting(&format!("{RUNS} {word}"), &mut comes_up, until) {
                Ok(true) => return Ok(()),
                // A guest that has just come up may have lost what was said before.
                Ok(false) => {}
                Err(Stop::Late) if Instant::now() < deadline => wait = LONGEST_HELLO.min(wait * 2),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Whether this greeting comes; false if the guest says instead that it is up, which is believed once.
    fn await_greeting(&mut self, greeting: &str, comes_up: &mut bool, until: Instant) -> Result<bool, Stop> {
        let mut comes = false;
        loop {
            match self.next_line(until) {
                Ok(line) if comes && line == b"ok" => return Ok(true),
                Ok(line) if *comes_up && line == RUNS.as_bytes() => {
                    *comes_up = false;
                    return Ok(false);
                }
                Ok(line) => comes = line == greeting.as_bytes(),
                // It is dropped, as everything before the greeting is.
                Err(Stop::TooMuch) => {}
                Err(stop) => return Err(stop),
            }
        }
    }

    fn say(&mut self, line: &str, deadline: Instant) -> Result<(), Stop> {
        let mut stream = Timed::new(&mut self.stream, deadline)?;
        Ok(stream.write_all(format!("{line}\n").as_bytes())?)
    }

    /// The next line, without its end.
    fn next_line(&mut self, deadline: Instant) -> Result<Vec<u8>, Stop> {
        let mut buffer = [0; 4096];
        loop {
            // A guest that never stops is not waited for, but has a deadline as well.
            if Instant::now() >= deadline {
                return Err(Stop::Late);
            }
            if let Some(end) = self.pending[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let mut line: Vec<u8> = self.pending.drain(..=self.searched + end).collect();
                self.searched = 0;
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                self.last.clone_from(&line);
                return Ok(line);
            }
            self.searched = self.pending.len();
            if self.searched >= KEPT {
                self.pending.clear();
                self.searched = 0;
                return Err(Stop::TooMuch);
            }
            match Timed::new(&mut self.stream, deadline)?.read(&mut buffer)? {
                0 => return Err(Stop::Gone),
                got => self.pending.extend_from_slice(&buffer[..got]),
            }
        }
    }

    /// What it said last, shortened.
    fn last_words(&self) -> String {
        let last = if self.pending.is_empty() {
            &self.last
        } else {
            &self.pending
        };
        String::from_utf8_lossy(&last[..last.len().min(LAST_WORDS)]).into_owned()
    }
}

#[cfg(test)]
mod tests;
