//! The physical floor: what the same packets cost when there is no file and no protocol. Each
//! question of four octets (how many datagrams, how long) is answered with so many datagrams.

pub(crate) mod http;

use anyhow::{Context, Result};
use clap::ValueEnum;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Which floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    /// One send for each datagram.
    Plain,
    /// One segmented send for each question.
    Gso,
    /// A canned OFFER for each DISCOVER.
    Offer,
    /// HTTP bodies from hot memory.
    Write,
    /// HTTP bodies from the file by `sendfile`.
    Sendfile,
}

/// Answers until it is killed; the files of HTTP lie below `root`.
///
/// # Errors
/// When the sockets fail.
pub(crate) fn serve(floor: Floor, root: &Path) -> Result<()> {
    match floor {
        Floor::Plain | Floor::Gso => serve_datagrams(floor == Floor::Gso),
        Floor::Offer => serve_offers(),
        Floor::Write => http::serve(root, http::Way::Write),
        Floor::Sendfile => http::serve(root, http::Way::Sendfile),
    }
}

fn serve_datagrams(gso: bool) -> Result<()> {
    let socket = bound(69, None)?;
    // The first two octets are a TFTP DATA's, so that captures read well.
    let mut packets = vec![0u8; LARGEST];
    packets[1] = 3;
    let mut question = [0u8; 64];
    loop {
        let (length, from) = socket.recv_from(&mut question).context("receive")?;
        let [a, b, c, d] = question[..length] else {
            continue;
        };
        let count = usize::from(u16::from_be_bytes([a, b]));
        let size = usize::from(u16::from_be_bytes([c, d]));
        match gso {
            true => send_segmented(&socket, &packets, count, size, from),
            false => send_each(&socket, &packets[..size], count, from),
        }
    }
}

fn send_each(socket: &UdpSocket, packet: &[u8], count: usize, to: SocketAddr) {
    for _ in 0..count {
        // What does not fit into the queue is lost, and asked for again.
        let _ = socket.send_to(packet, to);
    }
}

fn send_segmented(socket: &UdpSocket, packets: &[u8], count: usize, size: usize, to: SocketAddr) {
    let SocketAddr::V4(to) = to else { return };
    let Ok(segment) = u16::try_from(size) else {
        return;
    };
    let most = (LARGEST / size.max(1)).min(MOST_SEGMENTS);
    let mut left = count;
    while left > 0 {
        let now = left.min(most);
        let _ = sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&packets[..now * size])],
            &[ControlMessage::UdpGsoSegments(&segment)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(to)),
        );
        left -= now;
    }
}

fn serve_offers() -> Result<()> {
    let socket = bound(67, Some("eth0"))?;
    socket.set_broadcast(true).context("SO_BROADCAST")?;
    let all = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
    let mut offer = [0u8; 300];
    offer[..3].copy_from_slice(&[2, 1, 6]);
    offer[236..243].copy_from_slice(&[99, 130, 83, 99, 53, 1, 2]);
    offer[243..254].copy_from_slice(b"\x3c\x09PXEClient");
    offer[254] = 255;
    let mut discover = [0u8; 1500];
    loop {
        let (length, _) = socket.recv_from(&mut discover).context("receive")?;
        if length < 240 {
            continue;
        }
        // xid and flags, then chaddr: what a client knows its answer by.
        offer[4..12].copy_from_slice(&discover[4..12]);
        offer[28..44].copy_from_slice(&discover[28..44]);
        let _ = socket.send_to(&offer, all);
    }
}

/// A UDP socket with a queue that holds a storm.
fn bound(port: u16, device: Option<&str>) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).context("socket")?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(4 << 20))
        .context("SO_RCVBUFFORCE")?;
    socket
        .bind_device(device.map(str::as_bytes))
        .context("SO_BINDTODEVICE")?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    socket
        .bind(&address.into())
        .with_context(|| format!("bind port {port}"))?;
    Ok(socket.into())
}

/// Payload of the longest UDP datagram.
const LARGEST: usize = 65_507;
/// `UDP_MAX_SEGMENTS` of kernels before 6.9; longer windows take two sends.
const MOST_SEGMENTS: usize = 64;
