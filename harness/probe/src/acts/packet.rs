//! A frame over two raw packet sockets.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::wait::until_ready;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};

use super::perform::{Called, Done, Failure};
use super::socket;
use crate::protocol::{Effect, PacketExchange};

/// htons(ETH_P_ALL).
const ETH_P_ALL: u16 = 0x0003u16.to_be();
/// An EtherType reserved for experiments.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const PAYLOAD: &[u8] = b"virt-aa-conform: this frame went over a raw packet socket";
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

fn bound(interface: &str) -> Result<OwnedFd, Failure> {
    let socket = socket::open(libc::AF_PACKET, libc::SOCK_RAW, ETH_P_ALL.into())?;
    let index = nix::net::if_::if_nametoindex(interface).called("if_nametoindex")?;
    // SAFETY: an all-zero sockaddr_ll is a valid value, and its length is given.
    unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ETH_P_ALL;
        address.sll_ifindex = index.cast_signed();
        let length = size_of_val(&address) as libc::socklen_t;
        Errno::result(libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length,
        ))
        .called("bind")?;
    }
    Ok(socket)
}

/// Send a frame on one interface and wait for it on the other. Returns the payload as received.
pub fn exchange(spec: &PacketExchange) -> Done {
    let receiver = bound(&spec.receive)?;
    let sender = bound(&spec.send)?;
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame.extend_from_slice(&ETHERTYPE);
    frame.extend_from_slice(PAYLOAD);
    let written = nix::unistd::write(&sender, &frame).called("send")?;
    let deadline = Instant::now() + EXCHANGE_TIMEOUT;
    let mut buffer = [0; 2048];
    loop {
        let mut waiting = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
        if !until_ready(&mut waiting, Some(deadline)).called("poll")? {
            return Err(Errno::ETIMEDOUT).called("recv");
        }
        let length = nix::unistd::read(&receiver, &mut buffer).called("recv")?;
        // There are other frames on the wire, such as router solicitations.
        if length > 14 && buffer[12..14] == ETHERTYPE {
            let data = buffer[14..length].to_vec();
            return Ok(Effect {
                data,
                written: written as u64,
                ..Effect::default()
            });
        }
    }
}
