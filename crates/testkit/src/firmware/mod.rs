//! Pretend firmware: state machines that ask for an address and a boot file the way real ones do.
//!
//! Sans-io. Bytes and `now` (time since power-on) go in, datagrams come out, so a test can drive
//! one in memory (see [`crate::lan`]) or over real sockets:
//!
//! 1. send everything [`Firmware::poll_transmit`] returns, each to its `to` address and port;
//! 2. wait for a datagram or until [`Firmware::poll_timeout`], whichever is first;
//! 3. call [`Firmware::handle_datagram`] or [`Firmware::handle_timeout`];
//!    (a test whose sockets are on other ports fills in the ones the firmware means: 68 or 4011
//!    in `to`, 67 or 4011 in `from`);
//! 4. stop when [`Firmware::outcome`] says what it would fetch, or why it gives up.
//!
//! What each one accepts comes from captures and sources of the real ones, not from our server.

mod bios;
mod edk2;
mod ipxe;
mod seen;

pub use bios::Bios;
pub use edk2::{Edk2Http as Edk2HttpRules, Edk2Pxe};
pub use ipxe::{Features, IpxeRules};
pub(crate) use seen::walk;
pub use seen::{PxeTags, Seen};

use crate::Datagram;
use crate::packet::Packet;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A PXE ROM of a BIOS network card, in the manner of Intel's.
pub type BiosRom = Firmware<Bios>;
/// UEFI network boot as in EDK2, OVMF and AAVMF.
pub type Edk2 = Firmware<Edk2Pxe>;
/// UEFI HTTP Boot as in EDK2.
pub type Edk2Http = Firmware<Edk2HttpRules>;
/// iPXE, as a ROM or chain-loaded.
pub type Ipxe = Firmware<IpxeRules>;

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Would fetch this file by TFTP.
    Tftp {
        /// From here.
        server: Ipv4Addr,
        /// This name.
        file: String,
    },
    /// Would fetch this URL.
    Http {
        /// The URL.
        url: String,
    },
    /// Does not boot from the network, and says this on the screen.
    GaveUp(String),
}

/// What to do once the lease is there; several are tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Done.
    End(Outcome),
    /// Ask a boot server on port 4011.
    Ask {
        /// Where.
        server: Ipv4Addr,
        /// The menu item chosen.
        item: Option<u16>,
    },
}

/// What a set of offers means to a firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing usable yet.
    Wait,
    /// Take this lease, then do this.
    Take {
        /// The offer whose address is taken.
        lease: Box<Seen>,
        /// Then, in order until one works.
        steps: Vec<Step>,
    },
    /// Stop here.
    GiveUp(String),
}

/// What differs between firmwares.
pub trait Rules {
    /// The options of every packet, and the header's flags.
    fn packet(&self, base: Packet) -> Packet;
    /// How long to wait after each DISCOVER, in milliseconds.
    fn discover_waits(&self) -> &'static [u64];
    /// `secs` of a packet on port 67.
    fn secs(&self, elapsed: Duration, tries: u16, offers: &[Seen]) -> u16;
    /// Whether a reply is taken notice of at all.
    fn hears(&self, seen: &Seen) -> bool;
    /// What the offers so far mean; `waited` is given at the end of a slot.
    fn choose(&self, offers: &[Seen], waited: Option<Duration>) -> Choice;
    /// What is on the screen when discovery ends without a choice.
    fn no_offer(&self, offers: &[Seen]) -> &'static str;
    /// The transaction number of questions to port 4011.
    fn boot_server_xid(&self, discover: u32, item: Option<u16>) -> u32;
    /// The source port of questions to port 4011, where the answer must arrive.
    fn boot_server_port(&self) -> u16;
    /// How long to wait after each question to port 4011, in milliseconds, and whether the whole
    /// time is waited even when an answer is there.
    fn boot_server_waits(&self) -> (&'static [u64], bool);
    /// What an answer from port 4011 means; `None` when it is not taken.
    fn acknowledged(&self, seen: &Seen, item: Option<u16>) -> Option<Outcome>;
    /// What is on the screen when port 4011 stays silent.
    fn boot_server_silent(&self) -> &'static str;
}

/// One firmware asking the network.
#[derive(Clone, Debug)]
pub struct Firmware<R> {
    rules: R,
    mac: [u8; 6],
    xid: u32,
    phase: Phase,
    tries: usize,
    started: Duration,
    deadline: Option<Duration>,
    offers: Vec<Seen>,
    steps: VecDeque<Step>,
    lease: Ipv4Addr,
    held: Option<Outcome>,
    out: VecDeque<Datagram>,
    outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
enum Phase {
    Off,
    Discovering,
    Leasing(Box<Seen>),
    Asking { server: Ipv4Addr, item: Option<u16> },
}

impl<R: Rules> Firmware<R> {
    /// Switched on at time zero: the first `handle_timeout` sends the first DISCOVER.
    pub fn with_rules(mac: [u8; 6], rules: R) -> Self {
        Firmware {
            rules,
            mac,
            xid: u32::from_be_bytes([0x1e, mac[3], mac[4], mac[5]]),
            phase: Phase::Off,
            tries: 0,
            started: Duration::ZERO,
            deadline: Some(Duration::ZERO),
            offers: Vec::new(),
            steps: VecDeque::new(),
            lease: Ipv4Addr::UNSPECIFIED,
            held: None,
            out: VecDeque::new(),
            outcome: None,
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// How it ended; `None` while it is still trying.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// A datagram arrived. Wrong ports, other machines' replies and garbage are ignored, as the
    /// real ones do.
    pub fn handle_datagram(&mut self, now: Duration, datagram: &Datagram) {
        let Some(seen) = Seen::parse(datagram) else {
            return;
        };
        let mine = seen.mac == self.mac && seen.xid == self.xid;
        if self.outcome.is_some() || !mine || !self.rules.hears(&seen) {
            return;
        }
        match self.phase.clone() {
            Phase::Discovering if datagram.to.port() == 68 && seen.kind == Some(OFFER) => {
                self.offers.push(seen);
                let choice = self.rules.choose(&self.offers, None);
                self.follow(choice, now);
            }
            Phase::Leasing(lease) => {
                let right = seen.kind == Some(ACK) && seen.server_id == lease.server_id;
                if right && datagram.to.port() == 68 && !seen.yiaddr.is_unspecified() {
                    self.lease = seen.yiaddr;
                    self.next_step(now);
                }
            }
            Phase::Asking { item, .. } if datagram.to.port() == self.rules.boot_server_port() => {
                let (_, whole_slot) = self.rules.boot_server_waits();
                let Some(outcome) = self.rules.acknowledged(&seen, item) else {
                    return;
                };
                if whole_slot {
                    self.held.get_or_insert(outcome);
                } else {
                    self.end(outcome);
                }
            }
            Phase::Off | Phase::Discovering | Phase::Asking { .. } => {}
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline.is_none_or(|at| now < at) || self.outcome.is_some() {
            return;
        }
        match self.phase.clone() {
            Phase::Off => {
                self.started = now;
                self.phase = Phase::Discovering;
                self.discover(now);
            }
            Phase::Discovering => {
                let waited = now - self.started;
                match self.rules.choose(&self.offers, Some(waited)) {
                    Choice::Wait => self.discover(now),
                    choice => self.follow(choice, now),
                }
            }
            Phase::Leasing(lease) => self.request_lease(now, &lease),
            Phase::Asking { server, item } => match self.held.take() {
                Some(outcome) => self.end(outcome),
                None => self.ask(now, server, item),
            },
        }
    }

    fn discover(&mut self, now: Duration) {
        let Some(wait) = self.rules.discover_waits().get(self.tries) else {
            let text = self.rules.no_offer(&self.offers);
            return self.end(Outcome::GaveUp(text.to_owned()));
        };
        let packet = self.packet(DISCOVER, now);
        self.send(packet, 68, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
        self.wait(now, *wait);
    }

    fn follow(&mut self, choice: Choice, now: Duration) {
        match choice {
            Choice::Wait => {}
            Choice::GiveUp(text) => self.end(Outcome::GaveUp(text)),
            Choice::Take { lease, steps } => {
                self.steps = steps.into();
                self.tries = 0;
                self.phase = Phase::Leasing(lease.clone());
                self.request_lease(now, &lease);
            }
        }
    }

    fn request_lease(&mut self, now: Duration, lease: &Seen) {
        let Some(wait) = LEASE_WAITS.get(self.tries) else {
            return self.end(Outcome::GaveUp("no ACK for the lease".to_owned()));
        };
        let mut packet = self.packet(REQUEST, now).with(50, &lease.yiaddr.octets());
        if let Some(server) = lease.server_id {
            packet = packet.with(54, &server.octets());
        }
        self.send(packet, 68, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
        self.wait(now, *wait);
    }

    fn next_step(&mut self, now: Duration) {
        self.tries = 0;
        match self.steps.pop_front() {
            Some(Step::End(outcome)) => self.end(outcome),
            Some(Step::Ask { server, item }) => {
                self.phase = Phase::Asking { server, item };
                self.xid = self.rules.boot_server_xid(self.xid, item);
                self.ask(now, server, item);
            }
            None => {
                let text = self.rules.boot_server_silent();
                self.end(Outcome::GaveUp(text.to_owned()));
            }
        }
    }

    fn ask(&mut self, now: Duration, server: Ipv4Addr, item: Option<u16>) {
        let (waits, _) = self.rules.boot_server_waits();
        let Some(wait) = waits.get(self.tries) else {
            return self.next_step(now);
        };
        let mut packet = self.packet(REQUEST, now);
        packet.ciaddr = self.lease;
        packet.flags = 0;
        // Seen byte-swapped on 4011 in EDK2; nobody may take it for a clock.
        packet.secs = (self.tries as u16).swap_bytes();
        if let Some(item) = item {
            let [a, b] = item.to_be_bytes();
            packet = packet.with(43, &[71, 4, a, b, 0, 0, 255]);
        }
        let port = self.rules.boot_server_port();
        self.send(packet, port, SocketAddrV4::new(server, 4011));
        self.wait(now, *wait);
    }

    fn packet(&self, kind: u8, now: Duration) -> Packet {
        let base = Packet::request(self.mac, self.xid).with(53, &[kind]);
        let mut packet = self.rules.packet(base);
        let elapsed = now - self.started;
        packet.secs = self.rules.secs(elapsed, self.tries as u16, &self.offers);
        packet
    }

    fn send(&mut self, packet: Packet, from_port: u16, to: SocketAddrV4) {
        self.out.push_back(Datagram {
            from: SocketAddrV4::new(packet.ciaddr, from_port),
            to,
            bytes: packet.encode(),
        });
    }

    fn wait(&mut self, now: Duration, millis: u64) {
        self.tries += 1;
        self.deadline = Some(now + Duration::from_millis(millis));
    }

    fn end(&mut self, outcome: Outcome) {
        self.deadline = None;
        self.outcome = Some(outcome);
    }
}

/// A UUID (option 97) that ends in the hardware address, so that machines differ.
fn uuid_of(mac: [u8; 6]) -> [u8; 17] {
    let mut uuid = [0x42; 17];
    uuid[0] = 0;
    uuid[11..].copy_from_slice(&mac);
    uuid
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
/// PXE 2.1: REQUESTs time out at 1, 2, 3 and 4 seconds.
const LEASE_WAITS: [u64; 4] = [1000, 2000, 3000, 4000];
