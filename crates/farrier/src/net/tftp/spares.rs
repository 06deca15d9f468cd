//! Sockets of ended transfers, for those that begin next.
//!
//! A socket costs the kernel more than a block does: opening, binding, watching and closing one is about a tenth of all that a
//! small file costs. Connected to the next client it does as well.
//!
//! Never to the same client again: ROMs ask for one file after the other from one port, and a late ACK for the last
//! file would count for the next.

use super::slots::Key;
use super::socket::TransferSocket;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One worker's spare sockets.
#[derive(Default)]
pub(super) struct Spares(VecDeque<Spare>);

/// A socket whose transfer is over. The worker's epoll still knows it by the transfer's key.
pub(super) struct Spare {
    pub(super) key: Key,
    pub(super) local: Ipv4Addr,
    /// Whom it served.
    pub(super) peer: Ipv4Addr,
    pub(super) socket: TransferSocket,
}

impl Spares {
    /// Keeps a socket, if there are not enough of them.
    pub(super) fn put(&mut self, spare: Spare) {
        if self.0.len() < SPARES_CAP {
            self.0.push_back(spare);
        }
    }

    /// A socket with the port it had, now connected to `peer`: the one that has rested for longest.
    pub(super) fn take(&mut self, local: Ipv4Addr, peer: SocketAddrV4) -> Option<TransferSocket> {
        let fits = |spare: &Spare| spare.local == local && spare.peer != *peer.ip();
        let Some(at) = self.0.iter().take(LOOKED_AT).position(fits) else {
            // Of an address that nobody asks any more: it would stand in the way for good.
            if self.0.front().is_some_and(|spare| spare.local != local) {
                self.0.pop_front();
            }
            return None;
        };
        self.0.remove(at)?.socket.connected_to(peer).ok()
    }

    /// Something came to the socket of a transfer that is over: it would come up again and again.
    pub(super) fn close(&mut self, key: Key) {
        self.0.retain(|spare| spare.key != key);
    }
}

/// Sockets kept at most. In a storm of small files each transfer that begins takes the one of a transfer that ended, so
/// few are enough.
const SPARES_CAP: usize = 64;

/// Spares that are looked at. Where none of these fits there is one client, which is in no hurry, or several addresses of ours.
const LOOKED_AT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn spare(number: u64, peer: SocketAddrV4) -> Spare {
        Spare {
            key: Key::from_bits(number),
            local: LOCAL,
            peer: *peer.ip(),
            socket: TransferSocket::open(LOCAL, peer).expect("loopback"),
        }
    }

    fn client(host: u8) -> (UdpSocket, SocketAddrV4) {
        let address = Ipv4Addr::new(127, 0, 0, host);
        let socket = UdpSocket::bind((address, 0)).expect("loopback");
        let port = socket.local_addr().expect("bound").port();
        (socket, SocketAddrV4::new(address, port))
    }

    #[test]
    fn a_spare_serves_another_client_from_the_same_port() {
        let ((first, former), (second, next)) = (client(2), client(3));
        let mut spares = Spares::default();
        let spare = spare(1, former);
        spare.socket.send(b"to the first").expect("sent");
        let mut buffer = [0; 16];
        let (_, port) = first.recv_from(&mut buffer).expect("it came");
        spares.put(spare);
        assert!(spares.take(LOCAL, former).is_none(), "the same client");
        let socket = spares.take(LOCAL, next).expect("one that fits");
        socket.send(b"to the second").expect("sent");
        assert_eq!(second.recv_from(&mut buffer).expect("it came"), (13, port));
        assert!(spares.take(LOCAL, next).is_none(), "taken");
    }

    #[test]
    fn spares_of_an_address_that_is_not_asked_any_more_make_room() {
        let ((_first, former), (_second, next)) = (client(2), client(3));
        let mut spares = Spares::default();
        for number in 0..LOOKED_AT as u64 {
            spares.put(spare(number, former));
        }
        let mut other = spare(99, former);
        other.local = Ipv4Addr::new(127, 0, 0, 9);
        spares.put(other);
        let asked = Ipv4Addr::new(127, 0, 0, 9);
        assert!(spares.take(asked, next).is_none(), "four are before it");
        assert!(spares.take(asked, next).is_some());
    }

    #[test]
    fn what_the_former_client_left_behind_does_not_reach_the_next() {
        let ((first, former), (_second, next)) = (client(2), client(3));
        let spare = spare(1, former);
        spare.socket.send(b"x").expect("sent");
        let mut buffer = [0; 16];
        let (_, port) = first.recv_from(&mut buffer).expect("it came");
        drop(first);
        // Refused: the client's port is closed.
        spare.socket.send(b"x").expect("sent");
        let mut spares = Spares::default();
        spares.put(spare);
        let socket = spares.take(LOCAL, next).expect("one that fits");
        let refused = socket.recv(&mut buffer).map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::WouldBlock));
        let stranger = UdpSocket::bind(SocketAddrV4::new(*former.ip(), 0)).expect("loopback");
        stranger.send_to(b"late", port).expect("sent");
        let unheard = socket.recv(&mut buffer).map_err(|error| error.kind());
        assert_eq!(unheard, Err(std::io::ErrorKind::WouldBlock));
    }

    #[test]
    fn few_are_kept_and_one_that_is_spoken_to_is_closed() {
        let (_client, peer) = client(2);
        let mut spares = Spares::default();
        for number in 0..SPARES_CAP as u64 + 5 {
            spares.put(spare(number, peer));
        }
        assert_eq!(spares.0.len(), SPARES_CAP);
        spares.close(Key::from_bits(3));
        spares.close(Key::from_bits(9_999));
        assert_eq!(spares.0.len(), SPARES_CAP - 1);
    }
}
