//! Reading and writing until a deadline, even if the other side stops in the middle.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

use crate::wait::until_ready;

/// A stream that fails with [`io::ErrorKind::TimedOut`] at its deadline. It becomes non-blocking and stays so.
#[derive(Debug)]
pub struct Timed<'s, S> {
    stream: &'s mut S,
    deadline: Instant,
}

impl<'s, S: AsFd> Timed<'s, S> {
    /// The stream, with this deadline.
    pub fn new(stream: &'s mut S, deadline: Instant) -> io::Result<Timed<'s, S>> {
        do_not_block(&*stream)?;
        Ok(Timed { stream, deadline })
    }

    /// Wait until the stream is ready or the other side is gone.
    fn wait(&self, for_what: PollFlags) -> io::Result<()> {
        let mut waiting = [PollFd::new(self.stream.as_fd(), for_what)];
        match until_ready(&mut waiting, Some(self.deadline))? {
            true => Ok(()),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Make its reads and writes fail instead of waiting.
pub fn do_not_block(stream: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&stream, FcntlArg::F_GETFL)?);
    fcntl(&stream, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

fn must_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

impl<S: Read + AsFd> Read for Timed<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if must_wait(&error) => self.wait(PollFlags::POLLIN)?,
                done => return done,
            }
        }
    }
}

impl<S: Write + AsFd> Write for Timed<'_, S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(buffer) {
                Err(error) if must_wait(&error) => self.wait(PollFlags::POLLOUT)?,
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use super::*;
    use crate::protocol::{receive, send};
    use std::time::Duration;

    const SOON: Duration = Duration::from_millis(50);
    const LATER: Duration = Duration::from_secs(20);

    #[test]
    fn half_a_message_is_waited_for_until_the_deadline() {
        let (mut here, mut there) = pipe().unwrap();
        let mut message = Vec::new();
        send(&mut message, &"a message").unwrap();
        let (first, second) = message.split_at(7);
        there.write_all(first).unwrap();
        let deadline = Instant::now() + SOON;
        let late = receive::<String>(&mut Timed::new(&mut here, deadline).unwrap());
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
        // A whole message is read.
        there.write_all(&message).unwrap();
        there.write_all(second).unwrap();
        let mut rest = vec![0; second.len()];
        let mut timed = Timed::new(&mut here, Instant::now() + LATER).unwrap();
        let whole: String = receive(&mut timed).unwrap();
        assert_eq!(whole, "a message");
        timed.read_exact(&mut rest).unwrap();
        assert_eq!(rest, second);
    }

    #[test]
    fn who_takes_nothing_is_written_to_until_the_deadline() {
        let (here, mut there) = pipe().unwrap();
        let much = "x".repeat(1 << 20);
        let late = send(&mut Timed::new(&mut there, Instant::now() + SOON).unwrap(), &much);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(here);
    }
}
