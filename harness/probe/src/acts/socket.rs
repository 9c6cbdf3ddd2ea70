//! Sockets, created and used as far as one process alone can use them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::perform::{Called, Done, Failure, unknown};
use crate::protocol::{Effect, SocketSpec};

const MESSAGE: &[u8] = b"virt-aa-conform: this went over the loopback";
const TIMEOUT: Duration = Duration::from_secs(5);

/// socket(2), then a message to itself over inet and inet6, or a query over rtnetlink. Returns what was received;
/// nothing for any other kind of socket.
pub fn socket(spec: &SocketSpec) -> Done {
    let family = match spec.family.as_str() {
        "inet" => libc::AF_INET,
        "inet6" => libc::AF_INET6,
        "packet" => libc::AF_PACKET,
        "netlink" => libc::AF_NETLINK,
        "unix" => libc::AF_UNIX,
        _ => return Err(unknown("socket")),
    };
    let kind = match spec.kind.as_str() {
        "stream" => libc::SOCK_STREAM,
        "dgram" => libc::SOCK_DGRAM,
        "raw" => libc::SOCK_RAW,
        _ => return Err(unknown("socket")),
    };
    let socket = open(family, kind, spec.protocol)?;
    let value = socket.as_raw_fd().into();
    let data = match (family, kind, spec.protocol) {
        (libc::AF_INET, libc::SOCK_STREAM, 0) => stream(Ipv4Addr::LOCALHOST.into())?,
        (libc::AF_INET6, libc::SOCK_STREAM, 0) => stream(Ipv6Addr::LOCALHOST.into())?,
        (libc::AF_INET, libc::SOCK_DGRAM, 0) => datagram(Ipv4Addr::LOCALHOST.into())?,
        (libc::AF_INET6, libc::SOCK_DGRAM, 0) => datagram(Ipv6Addr::LOCALHOST.into())?,
        (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE) => links(&socket)?,
        _ => Vec::new(),
    };
    Ok(Effect {
        data,
        value,
        ..Effect::default()
    })
}

/// socket(2), closed on exec.
pub fn open(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Failure> {
    // SAFETY: the result is checked before it is used as a descriptor, and nothing else owns it.
    unsafe {
        let fd = Errno::result(libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol)).called("socket")?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn stream(loopback: IpAddr) -> Result<Vec<u8>, Failure> {
    let listener = TcpListener::bind((loopback, 0)).called("bind")?;
    let address: SocketAddr = listener.local_addr().called("getsockname")?;
    let mut out = TcpStream::connect_timeout(&address, TIMEOUT).called("connect")?;
    // It is connected, so this does not wait.
    let (mut into, _) = listener.accept().called("accept")?;
    into.set_read_timeout(Some(TIMEOUT)).called("setsockopt")?;
    out.write_all(MESSAGE).called("send")?;
    out.shutdown(Shutdown::Write).called("shutdown")?;
    let mut got = Vec::new();
    into.read_to_end(&mut got).called("recv")?;
    same(got)
}

fn datagram(loopback: IpAddr) -> Result<Vec<u8>, Failure> {
    let into = UdpSocket::bind((loopback, 0)).called("bind")?;
    let out = UdpSocket::bind((loopback, 0)).called("bind")?;
    into.set_read_timeout(Some(TIMEOUT)).called("setsockopt")?;
    out.send_to(MESSAGE, into.local_addr().called("getsockname")?)
        .called("sendto")?;
    let mut buffer = [0; 256];
    let (length, _) = into.recv_from(&mut buffer).called("recvfrom")?;
    same(buffer[..length].to_vec())
}

fn same(got: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if got == MESSAGE {
        Ok(got)
    } else {
        Err(Errno::EBADMSG).called("recv")
    }
}

/// Ask rtnetlink for all interfaces (rtnetlink(7)), and return the first part of the answer.
fn links(socket: &OwnedFd) -> Result<Vec<u8>, Failure> {
    const HEADER: usize = 16;
    const INTERFACE: usize = 16;
    let mut request = [0; HEADER + INTERFACE];
    request[..4].copy_from_slice(&((HEADER + INTERFACE) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    let timeout = TimeVal::seconds(TIMEOUT.as_secs().cast_signed());
    setsockopt(socket, sockopt::ReceiveTimeout, &timeout).called("setsockopt")?;
    send(socket.as_raw_fd(), &request, MsgFlags::empty()).called("send")?;
    let mut answer = vec![0; 16 * 1024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).called("recv")?;
    answer.truncate(length);
    if length > HEADER && answer[4..6] == libc::RTM_NEWLINK.to_ne_bytes() {
        Ok(answer)
    } else {
        Err(Errno::EBADMSG).called("recv")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_used() {
        for (family, kind, message) in [
            ("inet", "stream", true),
            ("inet", "dgram", true),
            ("netlink", "raw", false),
        ] {
            let spec = SocketSpec {
                family: family.into(),
                kind: kind.into(),
                protocol: 0,
            };
            let got = socket(&spec).unwrap().data;
            assert!(!got.is_empty(), "{family} {kind}");
            assert_eq!(got == MESSAGE, message, "{family} {kind}");
        }
    }

    #[test]
    fn a_socket_that_the_kernel_refuses_names_the_call() {
        let spec = SocketSpec {
            family: "inet".into(),
            kind: "stream".into(),
            protocol: 17,
        };
        let failure = socket(&spec).unwrap_err();
        assert!(failure.to_string().starts_with("socket: "), "{failure}");
    }
}
