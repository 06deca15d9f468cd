//! Wake-on-LAN: the address sixteen times, where everybody on its network hears it.

use super::PowerError;
use bootplan::MacAddr;
use std::net::{Ipv4Addr, SocketAddrV4};
use tokio::net::UdpSocket;

/// One of our own networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lan {
    /// Our address there.
    pub address: Ipv4Addr,
    /// Bits of its prefix.
    pub prefix: u8,
}

impl Lan {
    /// The network's own broadcast address; the general one where there is none of its own.
    pub fn broadcast(&self) -> Ipv4Addr {
        match self.prefix {
            0 | 31.. => Ipv4Addr::BROADCAST,
            bits => Ipv4Addr::from(u32::from(self.address) | (u32::MAX >> bits)),
        }
    }
}

/// Six octets of ones and sixteen times the address.
pub fn magic_packet(mac: MacAddr) -> [u8; 102] {
    let mut packet = [0xff; 102];
    for copy in packet[6..].chunks_exact_mut(6) {
        copy.copy_from_slice(&mac.0);
    }
    packet
}

/// Sends a packet for each address to each network, by its own broadcast address and by the general
/// one: cards differ in which they hear, and a socket bound to our address there sends both there.
pub(super) async fn wake(macs: &[MacAddr], lans: &[Lan]) -> Result<(), PowerError> {
    wake_at(PORT, macs, lans).await
}

async fn wake_at(port: u16, macs: &[MacAddr], lans: &[Lan]) -> Result<(), PowerError> {
    if macs.is_empty() || lans.is_empty() {
        let what = if macs.is_empty() {
            "the machine has no MAC"
        } else {
            "no interface is up and has an address"
        };
        return Err(PowerError::Wake(what.to_owned()));
    }
    let mut problem = None;
    let mut sent = 0;
    for lan in lans {
        for mac in macs {
            match send(port, *lan, *mac).await {
                Ok(()) => sent += 1,
                Err(cause) => problem = Some(format!("from {}: {cause}", lan.address)),
            }
        }
    }
    // One network may be down while the machine is on another.
    match problem {
        Some(problem) if sent == 0 => Err(PowerError::Wake(problem)),
        _ => Ok(()),
    }
}

async fn send(port: u16, lan: Lan, mac: MacAddr) -> std::io::Result<()> {
    let socket = UdpSocket::bind(SocketAddrV4::new(lan.address, 0)).await?;
    socket.set_broadcast(true)?;
    let packet = magic_packet(mac);
    let directed = socket
        .send_to(&packet, SocketAddrV4::new(lan.broadcast(), port))
        .await;
    let general = socket
        .send_to(&packet, SocketAddrV4::new(Ipv4Addr::BROADCAST, port))
        .await;
    directed.or(general).map(drop)
}

/// "Discard": nobody answers there, and cards look at the packet's content only.
const PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_what_cards_look_for() {
        let packet = magic_packet("52:54:00:12:34:56".parse().expect("a MAC"));
        assert_eq!(packet[..6], [0xff; 6]);
        assert!(
            packet[6..]
                .chunks(6)
                .all(|copy| copy == [0x52, 0x54, 0, 0x12, 0x34, 0x56])
        );
        assert_eq!(packet.len(), 6 + 16 * 6);
    }

    #[test]
    fn broadcast_addresses() {
        let broadcast = |address: [u8; 4], prefix| {
            Lan {
                address: address.into(),
                prefix,
            }
            .broadcast()
            .to_string()
        };
        assert_eq!(broadcast([10, 1, 2, 3], 24), "10.1.2.255");
        assert_eq!(broadcast([10, 1, 2, 3], 8), "10.255.255.255");
        assert_eq!(broadcast([10, 1, 2, 3], 30), "10.1.2.3");
        assert_eq!(broadcast([10, 1, 2, 3], 32), "255.255.255.255");
        assert_eq!(broadcast([10, 1, 2, 3], 0), "255.255.255.255");
    }

    #[tokio::test]
    async fn everybody_on_the_network_hears_it() {
        let ear = UdpSocket::bind("0.0.0.0:0").await.expect("a socket");
        let port = ear.local_addr().expect("bound").port();
        let macs: Vec<MacAddr> = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
            .map(|mac| mac.parse().expect("a MAC"))
            .into();
        let loopback = Lan {
            address: Ipv4Addr::LOCALHOST,
            prefix: 8,
        };
        // A network that is not ours does not keep it from the others.
        let lost = Lan {
            address: Ipv4Addr::new(203, 0, 113, 1),
            prefix: 24,
        };
        wake_at(port, &macs, &[lost, loopback])
            .await
            .expect("sent on one of them");
        let mut heard = Vec::new();
        while !macs
            .iter()
            .all(|mac| heard.contains(&magic_packet(*mac).to_vec()))
        {
            let mut packet = [0; 200];
            let (len, from) = ear.recv_from(&mut packet).await.expect("heard");
            assert_eq!(from.ip(), Ipv4Addr::LOCALHOST);
            heard.push(packet[..len].to_vec());
        }
        let error = wake_at(port, &macs, &[lost]).await.expect_err("not ours");
        assert!(error.to_string().contains("from 203.0.113.1"), "{error}");
        assert!(wake_at(port, &macs, &[]).await.is_err());
    }
}
