//! Waits for devices through the kernel's announcements.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use crate::wait::until_ready;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::InitError;

/// The multicast group of the kernel's announcements (group 2 is udev's).
const KERNEL_GROUP: u32 = 1;

/// A subscription to the kernel's device announcements.
pub struct Events {
    socket: OwnedFd,
}

impl Events {
    /// Subscribes. No later announcement is missed.
    pub fn subscribe() -> Result<Self, InitError> {
        let failed = |e: Errno| InitError::io("subscribe to device events", e);
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .map_err(failed)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP)).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Calls `find` now and after every announcement, until it finds something; `None` at the deadline.
    pub fn wait_for<T>(
        &mut self,
        deadline: Instant,
        mut find: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>, InitError> {
        loop {
            if let Some(found) = find() {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let mut wait = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            until_ready(&mut wait, Some(deadline))
                .map_err(|errno| InitError::io("wait for device events", errno))?;
            self.drain()?;
        }
    }

    /// Discards the announcements. Their text does not matter: `find` checks the state itself, so even lost
    /// announcements do no harm.
    fn drain(&mut self) -> Result<(), InitError> {
        let mut buffer = [0u8; 4096];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(InitError::io("read device events", errno)),
            }
        }
    }
}
