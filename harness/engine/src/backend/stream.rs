//! The byte stream to the agent. Every read and write has a deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use virt_aa_probe::timed::Timed;

/// The byte stream to the agent. A read or write past its deadline fails with [`io::ErrorKind::TimedOut`]; a read of
/// 0 bytes means that the machine has ended.
#[derive(Debug)]
pub struct AgentStream {
    socket: UnixStream,
    deadline: Instant,
}

impl AgentStream {
    /// Takes over the socket. The first deadline is `limit` from now.
    pub(crate) fn new(socket: UnixStream, limit: Duration) -> Self {
        Self {
            socket,
            deadline: Instant::now() + limit,
        }
    }

    /// Sets the deadline of all later reads and writes.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Shuts the stream down for both sides.
    pub fn shut_down(&self) {
        // It may already be shut down.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// A second handle to the same stream, for a thread that only reads or only writes. It has its own deadline.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            deadline: self.deadline,
        })
    }
}

impl Read for AgentStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match Timed::new(&mut self.socket, self.deadline)?.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(late("the agent has not answered in time"))
            }
            done => done,
        }
    }
}

impl Write for AgentStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match Timed::new(&mut self.socket, self.deadline)?.write(buffer) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(late("the agent has not taken its orders in time"))
            }
            done => done,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn late(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LATER: Duration = Duration::from_secs(20);

    #[test]
    fn a_silent_agent_is_noticed_and_a_speaking_one_heard() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut stream = AgentStream::new(here, SOON);
        let mut buffer = [0; 8];
        assert_eq!(
            stream.read(&mut buffer).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        there.write_all(b"hello").unwrap();
        stream.set_deadline(Instant::now() + LATER);
        assert_eq!(stream.read(&mut buffer).unwrap(), 5);
        drop(there);
        assert_eq!(stream.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn an_agent_that_does_not_read_is_noticed() {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut stream = AgentStream::new(here, SOON);
        let more_than_fits = vec![0; 16 * 1024 * 1024];
        assert_eq!(
            stream.write_all(&more_than_fits).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }
}
