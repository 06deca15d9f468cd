//! testkit's pretend firmware on a real wire: it begins without an address, as real ones do.

use super::wire::{receive, reopened, udp};
use super::{Lan, Netns, SERVER};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use testkit::Datagram;
use testkit::firmware::{Firmware, Outcome, Rules, Seen};
use testkit::packet::Packet;

/// What came of one firmware's questions.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What it would fetch.
    pub(crate) outcome: Outcome,
    /// Every reply that it could hear.
    pub(crate) heard: Vec<Seen>,
}

/// A socket on `eth0` that can send before there is an address.
pub(crate) fn on_eth0(port: u16) -> UdpSocket {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("made");
    socket.bind_device(Some(b"eth0")).expect("eth0 is there");
    socket.set_broadcast(true).expect("allowed");
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    reopened(|| socket.bind(&any.into()));
    socket.into()
}

/// What the machine behind a packet is answered within `patience`, when this relay forwards it.
pub(crate) fn relayed(
    lan: &Lan,
    mut packet: Packet,
    relay: Ipv4Addr,
    patience: Duration,
) -> Option<Packet> {
    packet.giaddr = relay;
    packet.hops = 1;
    lan.client.run(|| {
        let socket = udp(67);
        socket
            .send_to(&packet.encode(), (SERVER, 67))
            .expect("sent");
        let (answer, _) = receive(&socket, patience)?;
        Some(Packet::decode(&answer))
    })
}

/// Switches a machine on and lets its firmware ask until it knows what to fetch. The lease it gets
/// is the host's address from then on.
pub(crate) fn ask<R: Rules + Send>(host: &Netns, mac: [u8; 6], mut firmware: Firmware<R>) -> Asked {
    let [a, b, c, d, e, f] = mac;
    // Whose address a packet came from is also learned from the Ethernet below.
    host.ip(&format!(
        "addr flush dev eth0\nlink set eth0 address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
    ));
    host.run(|| {
        let sockets = [on_eth0(68), on_eth0(4011)];
        let started = Instant::now();
        let mut heard: Vec<Seen> = Vec::new();
        loop {
            firmware.handle_timeout(started.elapsed());
            while let Some(datagram) = firmware.poll_transmit() {
                let socket = &sockets[usize::from(datagram.from.port() == 4011)];
                socket.send_to(&datagram.bytes, datagram.to).expect("sent");
            }
            if let Some(outcome) = firmware.outcome() {
                let outcome = outcome.clone();
                return Asked { outcome, heard };
            }
            for (socket, port) in sockets.iter().zip([68, 4011]) {
                let Some((bytes, from)) = receive(socket, Duration::from_millis(10)) else {
                    continue;
                };
                let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, port);
                let datagram = Datagram { from, to, bytes };
                let Some(seen) = Seen::parse(&datagram) else {
                    continue;
                };
                if seen.kind == Some(5) && !seen.yiaddr.is_unspecified() {
                    host.ip(&format!("addr replace {}/24 dev eth0", seen.yiaddr));
                }
                heard.push(seen);
                firmware.handle_datagram(started.elapsed(), &datagram);
            }
        }
    })
}

/// The first DISCOVER of a firmware.
pub(crate) fn discover<R: Rules>(mut firmware: Firmware<R>) -> Vec<u8> {
    firmware.handle_timeout(Duration::ZERO);
    firmware.poll_transmit().expect("it begins by asking").bytes
}

/// Broadcasts a DISCOVER from `eth0` and gathers what is heard on port 68 within `limit`; with
/// `first`, no more than the first reply.
pub(crate) fn broadcast(host: &Netns, packet: &[u8], limit: Duration, first: bool) -> Vec<Seen> {
    host.run(|| {
        let socket = on_eth0(68);
        socket
            .send_to(packet, (Ipv4Addr::BROADCAST, 67))
            .expect("sent");
        listen(&socket, limit, first)
    })
}

/// Gathers what is heard on `eth0`, port 68.
pub(crate) fn overhear(host: &Netns, limit: Duration, ready: impl FnOnce() + Send) -> Vec<Seen> {
    host.run(|| {
        let socket = on_eth0(68);
        ready();
        listen(&socket, limit, false)
    })
}

/// Gathers the replies that come to a socket; with `first`, no more than one.
pub(crate) fn listen(socket: &UdpSocket, limit: Duration, first: bool) -> Vec<Seen> {
    let end = Instant::now() + limit;
    let mut heard = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let Some((bytes, from)) = receive(socket, left) else {
            continue;
        };
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
        heard.extend(Seen::parse(&Datagram { from, to, bytes }));
        if first && !heard.is_empty() {
            break;
        }
    }
    heard
}
