//! UDP sockets that know where a datagram was sent to and leave by the interface they are told.
//!
//! One wildcard socket per port with `IP_PKTINFO` both ways (protocol.md F.5): a socket bound to
//! a unicast address never sees the limited broadcast a DISCOVER is, and one bound per interface
//! would have to follow interfaces that come and go.

use super::owner;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmsg, sendmmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A UDP socket on the wildcard address that reports and sets interface and address. Never
/// blocks, unless [`wait`](Self::wait) is what its thread does.
pub(crate) struct PktInfo {
    socket: UdpSocket,
    /// Room for the control message of one datagram.
    control: Vec<u8>,
}

/// Sends datagrams in memory that it keeps.
pub(crate) struct Outbox {
    headers: MultiHeaders<SockaddrIn>,
}

/// Where a datagram came from and how it reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Length of the datagram in bytes (cut to the buffer).
    pub len: usize,
    /// The sender.
    pub from: SocketAddrV4,
    /// The address it was sent to; may be a broadcast address.
    pub to: Ipv4Addr,
    /// Index of the receiving interface.
    pub interface: u32,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Somebody else has it.
    #[error("udp/{port} is held by {holder}; {advice}")]
    Taken {
        /// The port.
        port: u16,
        /// Who holds it, as far as we can see.
        holder: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "no permission to open udp/{port}: start as root, or give the program CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The port.
        port: u16,
    },
    /// Anything else.
    #[error("cannot open udp/{port}: {cause}")]
    Other {
        /// The port.
        port: u16,
        /// The system's answer.
        cause: io::Error,
    },
}

impl PktInfo {
    /// Opens `0.0.0.0:port`. `SO_REUSEADDR` stays off on purpose: with it Linux would hand
    /// relayed (unicast) requests to only one of two servers and neither would notice (F.3).
    ///
    /// # Errors
    /// Names the holder of a taken port and what to do.
    pub(crate) fn bind(port: u16, advice: &'static str) -> Result<Self, BindError> {
        let everywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        PktInfo::open(everywhere, false, advice)
    }

    /// Opens a port for broadcasts alone, beside whoever else has it or wants it later: unicast
    /// datagrams stay theirs.
    ///
    /// # Errors
    /// When the other one does not share.
    pub(crate) fn bind_beside(port: u16, advice: &'static str) -> Result<Self, BindError> {
        let beside = PktInfo::open(SocketAddrV4::new(Ipv4Addr::BROADCAST, port), true, advice)?;
        // The kernel hands this host a copy of each broadcast that it sends: a wake-up for every
        // answer of ours, which nobody wants to hear. Where it cannot be had, we hear more.
        let _ = SockRef::from(&beside.socket).attach_filter(&NOT_OUR_OWN);
        Ok(beside)
    }

    fn open(address: SocketAddrV4, shared: bool, advice: &'static str) -> Result<Self, BindError> {
        let port = address.port();
        let open = || -> io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            socket.set_broadcast(true)?;
            // A boot storm fills the default 208 KiB queue within milliseconds; each datagram
            // lost there costs a machine a whole retry. Beyond the host's rmem_max this takes
            // CAP_NET_ADMIN; without it the kernel gives what it may.
            if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_QUEUE).is_err() {
                socket.set_recv_buffer_size(RECEIVE_QUEUE)?;
            }
            // Answers to neighbours that are not there stay in the socket's memory for the three seconds of their
            // ARP; 208 KiB of it are full with some 300, and then nobody's answer leaves.
            if setsockopt(&socket, sockopt::SndBufForce, &SEND_MEMORY).is_err() {
                socket.set_send_buffer_size(SEND_MEMORY)?;
            }
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            socket.set_reuse_address(shared)?;
            socket.bind(&address.into())?;
            Ok(socket.into())
        };
        let socket = open().map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = owner::of_udp_port(port)
                    .map_or_else(|| "another process".to_owned(), |o| o.to_string());
                BindError::Taken {
                    port,
                    holder,
                    advice,
                }
            }
            io::ErrorKind::PermissionDenied => BindError::NotPermitted { port },
            _ => BindError::Other { port, cause },
        })?;
        if !shared {
            note_short_queue(&socket, port);
        }
        Ok(PktInfo {
            socket,
            control: nix::cmsg_space!(libc::in_pktinfo),
        })
    }

    /// The port really bound.
    #[cfg(test)]
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |a| a.port())
    }

    /// Takes the next datagram that is there; `None` when there is none now.
    ///
    /// # Errors
    /// Only when the socket itself is unusable; per-packet errors are passed over.
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        loop {
            match self.recv_one(buffer) {
                Ok(Some(arrival)) => return Ok(Some(arrival)),
                // No pktinfo or not IPv4: nothing we could answer.
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // An ICMP error for something we sent earlier is reported here; it concerns
                // that client only.
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Blocks from now on: for [`wait`](Self::wait).
    ///
    /// # Errors
    /// The system's answer.
    pub(crate) fn set_blocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(false)
    }

    /// The socket once more: to shut it from another thread, or to read from it without control messages.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub(crate) fn again(&self) -> io::Result<UdpSocket> {
        self.socket.try_clone()
    }

    /// Waits for the next datagram. `None` is for what is none of our business, and for a socket
    /// that was shut: the caller looks whether it should end.
    ///
    /// # Errors
    /// Only when the socket itself is unusable.
    pub(crate) fn wait(&mut self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        match self.recv_one(buffer) {
            Err(e) if is_passing(&e) => Ok(None),
            received => received,
        }
    }

    fn recv_one(&mut self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let control = Some(&mut self.control[..]);
        let message = recvmsg::<SockaddrIn>(fd, &mut slices, control, MsgFlags::empty())?;
        let info = message.cmsgs()?.find_map(|c| match c {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
            _ => None,
        });
        let (Some(from), Some(info)) = (message.address, info) else {
            return Ok(None);
        };
        Ok(Some(Arrival {
            len: message.bytes,
            from: SocketAddrV4::from(from),
            to: Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)),
            interface: u32::try_from(info.ipi_ifindex).unwrap_or(0),
        }))
    }
}

impl AsFd for PktInfo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PktInfo {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        let control = nix::cmsg_space!(libc::in_pktinfo);
        Outbox {
            headers: MultiHeaders::preallocate(1, Some(control)),
        }
    }

    /// Sends one datagram out of `interface` with `source` as our address. Never waits: when answers to
    /// dead relays and forged sources have filled the socket's memory, others may lose a packet, not the thread.
    ///
    /// # Errors
    /// The system's answer; the caller counts it and goes on.
    pub(crate) fn send(
        &mut self,
        socket: &PktInfo,
        datagram: &[u8],
        to: SocketAddrV4,
        interface: u32,
        source: Ipv4Addr,
    ) -> io::Result<()> {
        let info = pktinfo(interface, source);
        let slices = [[IoSlice::new(datagram)]];
        let to = [Some(SockaddrIn::from(to))];
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        sendmmsg(fd, &mut self.headers, &slices, to, control, flags)?;
        Ok(())
    }
}

/// Says what a host without the privilege gives, for its admin can change it.
fn note_short_queue(socket: &UdpSocket, port: u16) {
    // Linux reports twice what it was asked for.
    let queue = SockRef::from(socket).recv_buffer_size().unwrap_or(0) / 2;
    if queue < RECEIVE_QUEUE {
        tracing::info!(
            "udp/{port}: the receive queue is {} KiB, a storm of more than some {} machines at once may lose requests; \
             'sysctl net.core.rmem_max={RECEIVE_QUEUE} net.core.wmem_max={SEND_MEMORY}' allows {} KiB",
            queue / 1024,
            queue / 1024,
            RECEIVE_QUEUE / 1024,
        );
    }
}

fn pktinfo(interface: u32, source: Ipv4Addr) -> libc::in_pktinfo {
    libc::in_pktinfo {
        ipi_ifindex: i32::try_from(interface).unwrap_or(0),
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from(source).to_be(),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionRefused | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable
    )
}

/// Takes every datagram but the copies of what this host has broadcast: load the type of the
/// packet, take nothing of it if that is `PACKET_LOOPBACK`, else all.
const NOT_OUR_OWN: [SockFilter; 4] = [
    SockFilter::new(
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        0,
        0,
        (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32,
    ),
    SockFilter::new(
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        0,
        1,
        libc::PACKET_LOOPBACK as u32,
    ),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
];

/// Bytes asked for as receive queue; see [`PktInfo::open`].
const RECEIVE_QUEUE: usize = 4 << 20;
/// Bytes asked for as memory of what is not sent yet.
const SEND_MEMORY: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_where_a_datagram_was_sent_and_answers_from_there() {
        let mut server = PktInfo::bind(0, "").expect("a free port");
        server.set_blocking().expect("possible");
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let asked = Ipv4Addr::new(127, 0, 0, 2);
        let mut outbox = Outbox::new();
        for _ in 0..2 {
            client
                .send_to(b"hello", (asked, server.port()))
                .expect("sent");
            let mut buffer = [0; 64];
            let arrival = server.wait(&mut buffer).expect("usable").expect("there");
            assert_eq!(&buffer[..arrival.len], b"hello");
            assert_eq!(arrival.to, asked);
            assert!(arrival.interface > 0);

            let (to, interface) = (arrival.from, arrival.interface);
            outbox
                .send(&server, b"hi", to, interface, asked)
                .expect("sent");
            let (len, from) = client.recv_from(&mut buffer).expect("answered");
            assert_eq!((&buffer[..len], from.ip()), (&b"hi"[..], asked.into()));
        }
    }

    #[test]
    fn a_bound_socket_takes_what_is_there_and_never_waits() {
        let mut server = PktInfo::bind(0, "").expect("a free port");
        let mut buffer = [0; 64];
        assert_eq!(server.recv(&mut buffer).expect("usable"), None);
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        for n in [b'a', b'b'] {
            client
                .send_to(&[n], (Ipv4Addr::LOCALHOST, server.port()))
                .expect("sent");
        }
        // Loopback delivers before `send_to` returns.
        for n in [b'a', b'b'] {
            let arrival = server.recv(&mut buffer).expect("usable").expect("there");
            assert_eq!(&buffer[..arrival.len], [n]);
        }
        assert_eq!(server.recv(&mut buffer).expect("usable"), None);
    }

    #[test]
    fn a_taken_port_names_its_holder_and_the_way_out() {
        let first = PktInfo::bind(0, "").expect("a free port");
        let error = PktInfo::bind(first.port(), "stop one of the two")
            .err()
            .expect("taken");
        let message = error.to_string();
        assert!(
            message.contains(&format!("udp/{} is held by", first.port())),
            "{message}"
        );
        assert!(
            message.contains(&format!("(pid {})", std::process::id())),
            "{message}"
        );
        assert!(message.ends_with("stop one of the two"), "{message}");
    }
}
