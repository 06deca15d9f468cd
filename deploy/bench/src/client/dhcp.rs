//! A proxyDHCP load: machines that ask for an OFFER, a few at a time or so many a second.

use crate::servers::known_mac;
use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// One load.
#[derive(Clone, Debug)]
pub(crate) struct DhcpLoad {
    /// The load's interface towards the server.
    pub interface: String,
    /// How many machines ask, each once: one that asks too often is slowed down by some servers.
    pub asks: usize,
    /// How they ask.
    pub pace: Pace,
}

/// How machines ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So many wait at once; the next asks when one has its OFFER.
    AtOnce(usize),
    /// So many a second, whatever becomes of them.
    EachSecond(u32),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DhcpOutcome {
    /// From the first DISCOVER to the last OFFER.
    pub wall: Duration,
    /// From each DISCOVER to its OFFER.
    pub times: Vec<Duration>,
    /// DISCOVERs without an OFFER.
    pub lost: usize,
}

/// Runs it; to be called in the load's network.
///
/// # Errors
/// When the socket fails. A DISCOVER without an OFFER is no error but counted.
pub(crate) fn run(load: &DhcpLoad) -> Result<DhcpOutcome> {
    let socket = socket(&load.interface)?;
    let mut state = State {
        socket,
        waiting: HashMap::new(),
        sent: 0,
        outcome: DhcpOutcome::default(),
    };
    let began = Instant::now();
    let mut last = began;
    let mut buffer = [0u8; 1500];
    while state.sent < load.asks || !state.waiting.is_empty() {
        let now = Instant::now();
        while state.sent < load.asks && state.is_due(load.pace, now - began) {
            state.ask()?;
        }
        let pause = match load.pace {
            Pace::EachSecond(_) if state.sent < load.asks => Duration::from_micros(100),
            _ => Duration::from_millis(20),
        };
        state
            .socket
            .set_read_timeout(Some(pause))
            .context("SO_RCVTIMEO")?;
        match state.socket.recv(&mut buffer) {
            Ok(length) => {
                let now = Instant::now();
                if state.take(&buffer[..length], now) {
                    last = now;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                state.forget(Instant::now());
            }
            Err(error) => return Err(error).context("receive an OFFER"),
        }
    }
    state.outcome.wall = last - began;
    Ok(state.outcome)
}

struct State {
    socket: UdpSocket,
    /// By xid: which machine asked, and when.
    waiting: HashMap<u32, (usize, Instant)>,
    sent: usize,
    outcome: DhcpOutcome,
}

impl State {
    fn is_due(&self, pace: Pace, passed: Duration) -> bool {
        match pace {
            Pace::AtOnce(most) => self.waiting.len() < most,
            Pace::EachSecond(rate) => (self.sent as f64) < passed.as_secs_f64() * f64::from(rate),
        }
    }

    fn ask(&mut self) -> Result<()> {
        let xid = XID + self.sent as u32;
        let all = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
        let packet = discover(xid, self.sent);
        self.waiting.insert(xid, (self.sent, Instant::now()));
        self.sent += 1;
        self.socket
            .send_to(&packet, all)
            .context("send a DISCOVER")?;
        Ok(())
    }

    /// True when this is the OFFER that a machine waits for: its xid and its own address. An
    /// OFFER with somebody else's address is none, and its machine is counted as without one.
    fn take(&mut self, packet: &[u8], now: Instant) -> bool {
        let Some((xid, mac)) = offered(packet) else {
            return false;
        };
        match self.waiting.get(&xid) {
            Some((machine, sent)) if mac == mac_of(*machine) => {
                self.outcome.times.push(now - *sent);
                self.waiting.remove(&xid);
                true
            }
            _ => false,
        }
    }

    fn forget(&mut self, now: Instant) {
        let before = self.waiting.len();
        self.waiting.retain(|_, (_, sent)| now - *sent < PATIENCE);
        self.outcome.lost += before - self.waiting.len();
    }
}

/// Port 68 of machines that have no address yet.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn socket(interface: &str) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).context("socket")?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(4 << 20))
        .context("SO_RCVBUFFORCE")?;
    socket
        .bind_device(Some(interface.as_bytes()))
        .context("SO_BINDTODEVICE")?;
    socket.set_broadcast(true).context("SO_BROADCAST")?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68));
    socket.bind(&address.into()).context("bind port 68")?;
    Ok(socket.into())
}

/// The DISCOVER of a UEFI x64 machine that boots from the network, as EDK2 sends it.
fn discover(xid: u32, machine: usize) -> Vec<u8> {
    let [a, b, c] = known_mac(machine);
    let mut packet = vec![0u8; 236];
    packet[..4].copy_from_slice(&[1, 1, 6, 0]);
    packet[4..8].copy_from_slice(&xid.to_be_bytes());
    // Answers are to be broadcast.
    packet[10] = 0x80;
    packet[28..34].copy_from_slice(&mac_of(machine));
    packet.extend_from_slice(&[99, 130, 83, 99]);
    let mut option = |code: u8, value: &[u8]| {
        packet.push(code);
        packet.push(value.len() as u8);
        packet.extend_from_slice(value);
    };
    option(53, &[1]);
    option(57, &[0x05, 0xc0]);
    option(
        55,
        &[
            1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59,
            60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
        ],
    );
    let mut uuid = [0u8; 17];
    uuid[1..].copy_from_slice(&[
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, a, b, c,
    ]);
    option(97, &uuid);
    option(94, &[1, 3, 16]);
    option(93, &[0, 7]);
    option(60, b"PXEClient:Arch:00007:UNDI:003016");
    packet.push(255);
    packet.resize(packet.len().max(300), 0);
    packet
}

/// The hardware address of the n-th machine.
pub(crate) fn mac_of(machine: usize) -> [u8; 6] {
    let [a, b, c] = known_mac(machine);
    [0x52, 0x54, 0, a, b, c]
}

/// xid and hardware address of an OFFER that names itself one for PXE clients.
fn offered(packet: &[u8]) -> Option<(u32, [u8; 6])> {
    let options = packet.get(240..)?;
    let holds = |wanted: &[u8]| options.windows(wanted.len()).any(|w| w == wanted);
    let xid = packet[4..8].try_into().ok()?;
    let mac = packet[28..34].try_into().ok()?;
    (packet[0] == 2 && holds(&[53, 1, 2]) && holds(b"\x3c\x09PXEClient"))
        .then(|| (u32::from_be_bytes(xid), mac))
}

/// An OFFER that took longer is lost.
const PATIENCE: Duration = Duration::from_secs(1);
const XID: u32 = 0x4641_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_offer_for_pxe_clients_counts() {
        let mut offer = discover(7, 3);
        assert_eq!(offered(&offer), None, "a request is no answer");
        offer[0] = 2;
        assert_eq!(offered(&offer), None, "it says DISCOVER");
        offer[242] = 2;
        assert_eq!(offered(&offer), None, "option 60 is a machine's");
        assert_eq!(offered(&offer_to(7, 3)), Some((7, mac_of(3))));
    }

    /// An OFFER as the load reads it.
    fn offer_to(xid: u32, machine: usize) -> Vec<u8> {
        let mut offer = discover(xid, machine);
        offer[0] = 2;
        offer[242] = 2;
        offer.truncate(243);
        offer.extend_from_slice(b"\x3c\x09PXEClient\xff");
        offer
    }

    #[test]
    fn an_offer_must_have_its_machines_xid_and_address() {
        let mut state = state();
        let now = Instant::now();
        state.waiting.insert(7, (3, now));
        for (xid, machine) in [(8, 3), (7, 4)] {
            assert!(!state.take(&offer_to(xid, machine), now), "{xid} {machine}");
        }
        assert!(state.take(&offer_to(7, 3), now));
        assert!(!state.take(&offer_to(7, 3), now), "twice is once");
        assert_eq!(state.outcome.times.len(), 1);
    }

    fn state() -> State {
        State {
            socket: UdpSocket::bind("127.0.0.1:0").expect("a port"),
            waiting: HashMap::new(),
            sent: 0,
            outcome: DhcpOutcome::default(),
        }
    }

    #[test]
    fn asking_is_paced() {
        let mut state = state();
        let second = Duration::from_secs(1);
        assert!(state.is_due(Pace::AtOnce(1), second));
        assert!(!state.is_due(Pace::EachSecond(100), Duration::ZERO));
        state.waiting.insert(1, (0, Instant::now()));
        state.sent = 99;
        assert!(!state.is_due(Pace::AtOnce(1), second));
        assert!(state.is_due(Pace::AtOnce(2), second));
        assert!(state.is_due(Pace::EachSecond(100), second));
        state.sent = 100;
        assert!(!state.is_due(Pace::EachSecond(100), second));
        state.forget(Instant::now() + PATIENCE);
        assert_eq!(state.outcome.lost, 1);
    }
}
