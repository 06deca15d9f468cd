//! A network in memory: one firmware, some servers, virtual time, seeded loss.

use crate::Datagram;
use crate::firmware::{Firmware, Outcome, Rules, walk};
use crate::packet::{LEASE, Packet, SITE};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A server on the LAN: takes a datagram, returns answers with how late each one leaves.
pub trait Host {
    /// A datagram that is broadcast or for this host's address.
    fn handle(&mut self, datagram: &Datagram) -> Vec<(Duration, Datagram)>;
}

impl<F: FnMut(&Datagram) -> Vec<(Duration, Datagram)>> Host for F {
    fn handle(&mut self, datagram: &Datagram) -> Vec<(Duration, Datagram)> {
        self(datagram)
    }
}

/// The LAN.
#[derive(Default)]
pub struct Lan<'a> {
    hosts: Vec<Box<dyn Host + 'a>>,
    loss_percent: u64,
    random: u64,
}

/// One boot from power-on to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Duration,
    /// Everything the firmware sent.
    pub sent: Vec<(Duration, Datagram)>,
}

impl<'a> Lan<'a> {
    /// A LAN on which nothing is lost.
    pub fn new() -> Self {
        Lan::default()
    }

    /// Adds a server.
    #[must_use]
    pub fn with(mut self, host: impl Host + 'a) -> Self {
        self.hosts.push(Box::new(host));
        self
    }

    /// Loses this share of all datagrams, the same ones for the same seed.
    #[must_use]
    pub fn lossy(mut self, percent: u64, seed: u64) -> Self {
        self.loss_percent = percent;
        // Odd, so never the zero that xorshift stays at.
        self.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self
    }

    /// Runs a firmware to its end.
    ///
    /// # Panics
    /// When it comes to no end: firmware that hangs is a bug of the pretence.
    pub fn run<R: Rules>(&mut self, firmware: &mut Firmware<R>) -> Run {
        let mut now = Duration::ZERO;
        let mut sent = Vec::new();
        // Answers under way; few enough to search.
        let mut wire: Vec<(Duration, Datagram)> = Vec::new();
        loop {
            while let Some(datagram) = firmware.poll_transmit() {
                if !self.loses() {
                    for host in &mut self.hosts {
                        let answers = host.handle(&datagram);
                        wire.extend(answers.into_iter().map(|(late, d)| (now + late, d)));
                    }
                }
                sent.push((now, datagram));
            }
            if let Some(outcome) = firmware.outcome() {
                return Run {
                    outcome: outcome.clone(),
                    at: now,
                    sent,
                };
            }
            let timeout = firmware.poll_timeout().expect("it waits for something");
            let next = (0..wire.len()).min_by_key(|i| wire[*i].0);
            match next.filter(|i| wire[*i].0 <= timeout) {
                Some(index) => {
                    let (at, datagram) = wire.remove(index);
                    now = at.max(now);
                    if !self.loses() {
                        firmware.handle_datagram(now, &datagram);
                    }
                }
                None => {
                    now = timeout;
                    firmware.handle_timeout(now);
                }
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < self.loss_percent
    }
}

/// The site's ordinary DHCP server: one address, no boot file, and `siaddr` as it likes (dnsmasq
/// sets it to itself, busybox udhcpd leaves it 0).
#[derive(Clone, Copy, Debug)]
pub struct SiteDhcp {
    /// What it puts into `siaddr`.
    pub siaddr: Ipv4Addr,
}

impl Host for SiteDhcp {
    fn handle(&mut self, datagram: &Datagram) -> Vec<(Duration, Datagram)> {
        let bytes = &datagram.bytes;
        if datagram.to.port() != 67 || bytes.len() < 240 {
            return Vec::new();
        }
        let (mut kind, mut server) = (0, None);
        walk(&bytes[240..], |code, value| match (code, value) {
            (53, [value]) => kind = *value,
            (54, value) => server = Some(value.to_vec()),
            _ => {}
        });
        let mine = server.is_none_or(|id| id == SITE.octets());
        let answer = match kind {
            1 => 2,
            3 if mine => 5,
            _ => return Vec::new(),
        };
        let mac = [
            bytes[28], bytes[29], bytes[30], bytes[31], bytes[32], bytes[33],
        ];
        let xid = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let mut packet = Packet::request(mac, xid)
            .with(53, &[answer])
            .with(54, &SITE.octets())
            .with(51, &3600u32.to_be_bytes())
            .with(1, &[255, 255, 255, 0]);
        packet.op = 2;
        packet.yiaddr = LEASE;
        packet.siaddr = self.siaddr;
        packet.pad_to = 300;
        let datagram = Datagram {
            from: SocketAddrV4::new(SITE, 67),
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
            bytes: packet.encode(),
        };
        vec![(Duration::from_millis(2), datagram)]
    }
}
