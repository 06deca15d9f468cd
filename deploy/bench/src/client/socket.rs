//! A client's socket: unconnected until the first answer says which port the server speaks from,
//! then connected, so that the kernel keeps strangers away.

use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType,
    SockaddrIn, bind, connect, recv, recvmmsg, recvmsg, send, sendto, setsockopt, socket, sockopt,
};
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// One fetch's socket.
pub(crate) struct ClientSocket {
    fd: OwnedFd,
    /// The server's port, once it has answered.
    peer: Option<SocketAddrV4>,
    gro: bool,
}

/// Where datagrams are received; one set for all clients of a thread.
#[derive(Default)]
pub(crate) struct Buffers {
    memory: Vec<u8>,
    headers: Option<MultiHeaders<()>>,
    control: Vec<u8>,
    /// Start and length of each datagram that was received last.
    found: Vec<(usize, usize)>,
}

impl ClientSocket {
    /// A socket on a fresh port, of this address if it matters.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn open(own: Option<Ipv4Addr>, gro: bool) -> Result<Self> {
        let fd = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::Udp,
        )
        .context("socket")?;
        // Windows of a loaded host must not be lost here: what is measured is the server.
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER).context("SO_RCVBUF")?;
        }
        if gro {
            setsockopt(&fd, sockopt::UdpGroSegment, &true).context("UDP_GRO")?;
        }
        if let Some(own) = own {
            let address = SockaddrIn::from(SocketAddrV4::new(own, 0));
            bind(fd.as_raw_fd(), &address).with_context(|| format!("bind {own}"))?;
        }
        Ok(Self {
            fd,
            peer: None,
            gro,
        })
    }

    /// Sends the request to the server's well-known port.
    ///
    /// # Errors
    /// When the kernel refuses for another reason than a full queue.
    pub(crate) fn ask(&mut self, server: Ipv4Addr, request: &[u8]) -> Result<()> {
        if self.peer.is_some() {
            self.send(request);
            return Ok(());
        }
        let to = SockaddrIn::from(SocketAddrV4::new(server, 69));
        match sendto(self.fd.as_raw_fd(), request, &to, MsgFlags::empty()) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("send to {server}")),
        }
    }

    /// Sends to the server's port. What the kernel cannot take is lost, as on a cable.
    pub(crate) fn send(&self, bytes: &[u8]) {
        if self.peer.is_some() {
            let _ = send(self.fd.as_raw_fd(), bytes, MsgFlags::empty());
        }
    }

    /// Connects to the port that the first answer came from; false for answers from elsewhere.
    /// A raw server speaks from its well-known port.
    pub(crate) fn lock(&mut self, from: SocketAddrV4, raw: bool) -> bool {
        match self.peer {
            Some(peer) => peer == from,
            None if from.port() == 69 && !raw => false,
            None => {
                self.peer = Some(from);
                connect(self.fd.as_raw_fd(), &SockaddrIn::from(from)).is_ok()
            }
        }
    }

    /// Receives into `buffers`: one datagram, or as many as there are when `many`. The sender is
    /// told while it is not locked.
    pub(crate) fn receive(&self, buffers: &mut Buffers, many: bool) -> Option<SocketAddrV4> {
        buffers.found.clear();
        if self.peer.is_none() {
            return self.receive_merged(buffers);
        }
        let fd = self.fd.as_raw_fd();
        match (self.gro, many) {
            (true, _) => return self.receive_merged(buffers),
            (false, true) => buffers.receive_many(fd),
            (false, false) => {
                if let Ok(length) = recv(fd, &mut buffers.memory, MsgFlags::MSG_DONTWAIT) {
                    buffers.found.push((0, length));
                }
            }
        }
        None
    }

    /// A datagram, or several that the kernel merged, each as long as it says.
    fn receive_merged(&self, buffers: &mut Buffers) -> Option<SocketAddrV4> {
        let mut slices = [IoSliceMut::new(&mut buffers.memory)];
        let received = recvmsg::<SockaddrIn>(
            self.fd.as_raw_fd(),
            &mut slices,
            Some(&mut buffers.control),
            MsgFlags::MSG_DONTWAIT,
        )
        .ok()?;
        let mut segment = received.bytes;
        for message in received.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::UdpGroSegments(size) = message {
                segment = usize::try_from(size).unwrap_or(segment);
            }
        }
        let from = received.address.map(SocketAddrV4::from);
        let length = received.bytes;
        let starts = (0..length).step_by(segment.max(1));
        buffers
            .found
            .extend(starts.map(|start| (start, segment.min(length - start))));
        from
    }
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Buffers {
    /// Buffers for one kind of receiving.
    pub(crate) fn new(gro: bool) -> Self {
        Self {
            memory: vec![0; BATCH * DATAGRAM],
            headers: (!gro).then(|| MultiHeaders::preallocate(BATCH, None)),
            control: cmsg_space!(i32),
            found: Vec::with_capacity(BATCH),
        }
    }

    /// The datagrams received last.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.found
            .iter()
            .map(|&(start, length)| &self.memory[start..start + length])
    }

    fn receive_many(&mut self, fd: i32) {
        let Some(headers) = &mut self.headers else {
            return;
        };
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = self
            .memory
            .chunks_exact_mut(DATAGRAM)
            .map(|chunk| [IoSliceMut::new(chunk)])
            .collect();
        let Ok(received) = recvmmsg(fd, headers, &mut slices, MsgFlags::MSG_DONTWAIT, None) else {
            return;
        };
        let lengths = received.map(|message| message.bytes).enumerate();
        self.found
            .extend(lengths.map(|(n, length)| (n * DATAGRAM, length)));
    }
}

/// What one receiving takes at most, without GRO.
const BATCH: usize = 64;
/// Room for one datagram: more than any block asked for; together more than a merged one.
const DATAGRAM: usize = 2048;
/// A storm's windows, and then some.
const RECEIVE_BUFFER: usize = 4 << 20;
