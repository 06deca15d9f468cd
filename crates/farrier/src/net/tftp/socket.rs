//! The socket of one transfer.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::uio::writev;
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use tftp::Batch;

/// An ephemeral port (the transfer's TID), connected to the client: the kernel refuses strangers, tells when the
/// client's port is closed, and looks the route up once.
pub(super) struct TransferSocket {
    socket: UdpSocket,
    /// Octets of a datagram when the kernel cuts what we send into datagrams (`UDP_SEGMENT`); 0 when it does not.
    segment: usize,
    /// Whether a worker's epoll knows it.
    watched: bool,
}

impl TransferSocket {
    /// Opens a port on the address the request was sent to.
    ///
    /// # Errors
    /// When the system is out of ports or descriptors, or the address has just gone.
    pub(super) fn open(local: Ipv4Addr, peer: SocketAddrV4) -> io::Result<TransferSocket> {
        let kind = Type::DGRAM.nonblocking();
        let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::UDP))?;
        socket.bind(&SocketAddrV4::new(local, 0).into())?;
        // No "don't fragment": a path with a smaller MTU would be a black hole (protocol.md D.9).
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
        socket.connect(&peer.into())?;
        Ok(TransferSocket {
            socket: socket.into(),
            segment: 0,
            watched: false,
        })
    }

    /// The same port for another client. What the former one's system said about us is forgotten; what the former one
    /// sent may still be in the queue.
    ///
    /// # Errors
    /// When there is no way to that client.
    pub(super) fn connected_to(mut self, peer: SocketAddrV4) -> io::Result<TransferSocket> {
        self.socket.connect(peer)?;
        self.socket.take_error()?;
        if self.segment != 0 {
            self.segment = 0;
            setsockopt(&self.socket, sockopt::UdpGsoSegment, &0)?;
        }
        Ok(self)
    }

    /// Tells `epoll` by which key it is to report that something came.
    ///
    /// # Errors
    /// When the system is out of memory for that.
    pub(super) fn watch(&mut self, epoll: &Epoll, key: u64) -> nix::Result<()> {
        let mut readable = EpollEvent::new(EpollFlags::EPOLLIN, key);
        if self.watched {
            return epoll.modify(&self.socket, &mut readable);
        }
        epoll.add(&self.socket, readable)?;
        self.watched = true;
        Ok(())
    }

    /// As a socket of the asynchronous runtime.
    ///
    /// # Errors
    /// When the system is out of descriptors to watch.
    pub(super) fn into_tokio(self) -> io::Result<tokio::net::UdpSocket> {
        tokio::net::UdpSocket::from_std(self.socket)
    }

    /// Lets the kernel cut windows into datagrams of `size` octets (generic segmentation offload): one system
    /// call and one way through the network stack for a whole window. Not for datagrams that become IP
    /// fragments, nor for blocks so small that the kernel would cut an OACK or an ERROR as well. Where it is refused,
    /// datagrams go one by one.
    pub(super) fn cut_into(&mut self, size: usize) {
        const IP_AND_UDP: usize = 28;
        if size < LEAST_CUT {
            return;
        }
        let mtu = nix::sys::socket::getsockopt(&self.socket, sockopt::IpMtu).unwrap_or(0);
        let fits = usize::try_from(mtu).is_ok_and(|mtu| size + IP_AND_UDP <= mtu);
        let Ok(wanted) = libc_int(size) else { return };
        if fits && setsockopt(&self.socket, sockopt::UdpGsoSegment, &wanted).is_ok() {
            self.segment = size;
        }
    }

    /// Whether windows go out in one piece.
    pub(super) fn cuts(&self) -> bool {
        self.segment != 0
    }

    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).map(drop)
    }

    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer)
    }

    pub(super) fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }

    /// Sends all datagrams of the batch; `scratch` is used where they go one by one.
    pub(super) fn send_batch(&mut self, batch: &Batch, scratch: &mut Vec<u8>) -> io::Result<()> {
        if batch.count() > 1 && self.segment == batch.segment_size() {
            match self.send_cut(batch) {
                // The card cannot add checksums (EIO), or a route has changed to a smaller MTU.
                Err(error) if is_refusal(&error) => self.stop_cutting(&error),
                other => return other,
            }
        }
        for index in 0..batch.count() {
            batch.copy_datagram(index, scratch);
            self.socket.send(scratch)?;
        }
        Ok(())
    }

    fn send_cut(&self, batch: &Batch) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for slice in batch.io_slices() {
            // Never seen; a send without its last piece would be a wrong block.
            *slices.get_mut(count).ok_or(Errno::EINVAL)? = slice;
            count += 1;
        }
        let sent = writev(&self.socket, &slices[..count])?;
        debug_assert_eq!(sent, batch.octets(), "a datagram goes whole or not at all");
        Ok(())
    }

    fn stop_cutting(&mut self, error: &io::Error) {
        tracing::debug!(%error, "segmentation offload refused, datagrams go one by one");
        self.segment = 0;
        let _ = setsockopt(&self.socket, sockopt::UdpGsoSegment, &0);
    }
}

fn libc_int(size: usize) -> Result<nix::libc::c_int, std::num::TryFromIntError> {
    nix::libc::c_int::try_from(size)
}

fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::EOPNOTSUPP)
    )
}

/// Octets that a datagram which is no block never has: an OACK with every option has some 130, an ERROR at most 133.
const LEAST_CUT: usize = 256;

/// Pieces of memory in one send: each datagram's header and content, and room for contents that lie across the
/// border of two pieces of a file.
const SLICES: usize = 2 * MAX_SEGMENTS + 8;

/// Datagrams in one segmented send: what every kernel that has it takes (`UDP_MAX_SEGMENTS`).
pub(super) const MAX_SEGMENTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::ip_mtu_discover;

    #[test]
    fn a_router_may_cut_what_does_not_fit() {
        let peer = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2070);
        let transfer = TransferSocket::open(Ipv4Addr::LOCALHOST, peer).expect("loopback");
        let discovery = ip_mtu_discover(&transfer.socket).expect("known");
        assert_eq!(discovery, Ipv4PathMtuDiscovery::DONT);
    }

    /// The kernel cuts whatever is longer than a block, and an OACK may be longer than a small one.
    #[test]
    fn only_blocks_are_cut() {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let Ok(SocketAddr::V4(peer)) = client.local_addr() else {
            panic!("no address");
        };
        let mut buffer = [0; 2000];
        for (blksize, cuts) in [(8, false), (200, false), (512, true), (1468, true)] {
            let mut transfer = TransferSocket::open(Ipv4Addr::LOCALHOST, peer).expect("loopback");
            transfer.cut_into(blksize + 4);
            assert_eq!(transfer.cuts(), cuts, "{blksize}");
            let offer = [b'o'; 250];
            transfer.send(&offer).expect("sent");
            let (came, _) = client.recv_from(&mut buffer).expect("it came");
            assert_eq!(came, offer.len(), "{blksize}");
        }
    }
}
