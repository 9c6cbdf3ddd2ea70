//! The loopback interface.

use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::InitError;

nix::ioctl_write_ptr_bad!(set_interface_flags, libc::SIOCSIFFLAGS, libc::ifreq);

/// Sets `lo` up. The kernel assigns its addresses.
pub fn loopback_up() -> Result<(), InitError> {
    let failed = |e: nix::errno::Errno| InitError::io("set the loopback interface up", e);
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(failed)?;
    // SAFETY: an all-zero ifreq is a valid value of the C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is a valid ifreq that outlives the call.
    unsafe { set_interface_flags(socket.as_raw_fd(), &request) }.map_err(failed)?;
    Ok(())
}
