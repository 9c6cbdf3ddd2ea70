//! The kernel's process connector: it sends a message for each fork and exit of any process, even if the process gets a
//! new parent.
//!
//! The kernel queues a message before the new process runs. So when the queue is read, it holds every process started
//! until then, and no thread needs to read all the time.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recvfrom, send, setsockopt, sockopt::RcvBufForce};

use super::tree::Event;

/// `NETLINK_CONNECTOR`, which nix does not define.
const NETLINK_CONNECTOR: i32 = 11;
const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;
const NLMSG_DONE: u16 = 3;
/// Sizes of `struct nlmsghdr` and `struct cn_msg`.
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
/// Size of the part of `struct proc_event` that all events share.
const EVENT_HEADER: usize = 16;
const FORK: u32 = 1;
const EXIT: u32 = 0x8000_0000;
/// Size of the socket's queue. It holds tens of thousands of processes between two reads.
const RECEIVE_BUFFER: usize = 64 << 20;

/// The result of one read of the queue.
pub enum Look {
    /// An event.
    Event(Event),
    /// The queue overflowed: a process may be missing in the tree.
    Overrun,
    /// The queue is empty.
    Empty,
}

/// Listen to the process connector. It needs root in the first user and pid namespaces.
pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: a plain system call. The descriptor is checked before use.
    let socket = unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let fd = Errno::result(libc::socket(libc::AF_NETLINK, kind, NETLINK_CONNECTOR))?;
        OwnedFd::from_raw_fd(fd)
    };
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, CN_IDX_PROC))?;
    send(socket.as_raw_fd(), &listen(), MsgFlags::empty())?;
    Ok(socket)
}

fn listen() -> Vec<u8> {
    let body = PROC_CN_MCAST_LISTEN.to_ne_bytes();
    let length = (NETLINK_HEADER + CONNECTOR_HEADER + body.len()) as u32;
    let mut message = Vec::new();
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&NLMSG_DONE.to_ne_bytes());
    message.extend_from_slice(&0u16.to_ne_bytes());
    message.extend_from_slice(&0u32.to_ne_bytes());
    message.extend_from_slice(&std::process::id().to_ne_bytes());
    for word in [CN_IDX_PROC, CN_VAL_PROC, 0, 0] {
        message.extend_from_slice(&word.to_ne_bytes());
    }
    message.extend_from_slice(&(body.len() as u16).to_ne_bytes());
    message.extend_from_slice(&0u16.to_ne_bytes());
    message.extend_from_slice(&body);
    message
}

/// Take the next relevant message.
pub fn look(socket: &OwnedFd) -> io::Result<Look> {
    let mut buffer = [0u8; 4096];
    loop {
        match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer) {
            // Only messages of the kernel count.
            Ok((length, Some(from))) if from.pid() == 0 => {
                if let Some(event) = parse(&buffer[..length]) {
                    return Ok(Look::Event(event));
                }
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ENOBUFS) => return Ok(Look::Overrun),
            Err(Errno::EAGAIN) => return Ok(Look::Empty),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn parse(message: &[u8]) -> Option<Event> {
    let event = message.get(NETLINK_HEADER + CONNECTOR_HEADER..)?;
    let word = |at: usize| event.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let number = |index: usize| word(EVENT_HEADER + 4 * index).map(u32::cast_signed);
    match word(0)? {
        FORK => Some(Event::Fork {
            parent: number(1)?,
            pid: number(2)?,
            tgid: number(3)?,
        }),
        EXIT => Some(Event::Exit { pid: number(0)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(what: u32, numbers: &[i32]) -> Vec<u8> {
        let mut message = vec![0; NETLINK_HEADER + CONNECTOR_HEADER];
        message.extend_from_slice(&what.to_ne_bytes());
        message.extend_from_slice(&[0; EVENT_HEADER - 4]);
        message.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
        message
    }

    #[test]
    fn forks_and_exits_are_read() {
        let fork = Event::Fork {
            parent: 7,
            pid: 9,
            tgid: 8,
        };
        assert_eq!(parse(&message(FORK, &[6, 7, 9, 8])), Some(fork));
        assert_eq!(
            parse(&message(EXIT, &[9, 8, 0, 17])),
            Some(Event::Exit { pid: 9 })
        );
    }

    #[test]
    fn other_events_and_short_messages_are_none() {
        assert_eq!(parse(&message(2, &[9, 8])), None);
        assert_eq!(parse(&message(FORK, &[6, 7])), None);
        assert_eq!(parse(&[]), None);
    }
}
