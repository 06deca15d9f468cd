//! Machines that are switched on at once and ask by DHCP what to boot, as UEFI firmware does:
//! DISCOVER, a lease from the site's own server, port 4011 where the OFFER has it asked.
//!
//! The site's server is played here, and answers at once. Firmware collects offers for four
//! seconds whatever comes, and answers from port 4011 for one; these waits are skipped as soon as
//! the boot server's answer is there, because they are the same for all. A server that does not
//! answer in time costs the machine the whole of them.

use super::dhcp::{self, mac_of};
use crate::net::Path;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use testkit::Datagram;
use testkit::firmware::{self, Edk2};
use testkit::packet::Packet;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedOutcome {
    /// From power-on until the last machine knew, or had given up.
    pub wall: Duration,
    /// Machines that were told to fetch `file` from `server`.
    pub told: usize,
    /// Why another was not.
    pub first_failure: Option<String>,
}

/// Has so many machines ask at once by way of `interface`; they should be told to fetch `file`
/// from `server`. To be called in the load's network.
///
/// # Errors
/// When a socket fails. A machine that is not told is no error.
pub(crate) fn run(
    interface: &str,
    machines: usize,
    server: Ipv4Addr,
    file: &str,
) -> Result<AskedOutcome> {
    let mut storm = Storm {
        all: dhcp::socket(interface)?,
        machines: Vec::with_capacity(machines),
    };
    storm.all.set_nonblocking(true).context("O_NONBLOCK")?;
    for n in 0..machines {
        storm.machines.push(Machine::new(n)?);
    }
    let began = Instant::now();
    let mut buffer = [0u8; 2048];
    while storm
        .machines
        .iter()
        .any(|m| m.firmware.outcome().is_none())
    {
        let now = began.elapsed();
        let mut moved = false;
        for machine in &mut storm.machines {
            moved |= machine.step(now, &storm.all, &mut buffer)?;
        }
        moved |= storm.receive(now, &mut buffer)?;
        if !moved {
            std::thread::sleep(PAUSE);
        }
    }
    let mut outcome = AskedOutcome {
        wall: began.elapsed(),
        ..AskedOutcome::default()
    };
    let right = firmware::Outcome::Tftp {
        server,
        file: file.to_owned(),
    };
    for end in storm.machines.iter().filter_map(|m| m.firmware.outcome()) {
        match *end == right {
            true => outcome.told += 1,
            false => {
                outcome.first_failure.get_or_insert(format!("{end:?}"));
            }
        }
    }
    Ok(outcome)
}

struct Storm {
    /// Port 68 of all machines: the server broadcasts.
    all: UdpSocket,
    machines: Vec<Machine>,
}

struct Machine {
    firmware: Edk2,
    /// The address that the site leases it.
    lease: Ipv4Addr,
    mac: [u8; 6],
    /// Its port 4011.
    own: UdpSocket,
    /// How far its clock was put forward.
    skipped: Duration,
}

impl Storm {
    /// Hands out what came to port 68.
    fn receive(&mut self, now: Duration, buffer: &mut [u8]) -> Result<bool> {
        let mut moved = false;
        while let Some((length, from)) = received(&self.all, buffer)? {
            moved = true;
            let bytes = buffer[..length].to_vec();
            let mac = bytes.get(28..34).unwrap_or_default();
            let Some(machine) = self.machines.iter_mut().find(|m| m.mac == mac) else {
                continue;
            };
            let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
            machine.hear(now, Datagram { from, to, bytes });
        }
        Ok(moved)
    }
}

impl Machine {
    fn new(n: usize) -> Result<Self> {
        let lease = Path::Veth.client(n);
        let own = UdpSocket::bind((lease, 4011)).with_context(|| format!("bind {lease}:4011"))?;
        own.set_nonblocking(true).context("O_NONBLOCK")?;
        let mac = mac_of(n);
        Ok(Self {
            firmware: Edk2::new(mac, X64),
            lease,
            mac,
            own,
            skipped: Duration::ZERO,
        })
    }

    /// Does what is due; true when anything was.
    fn step(&mut self, now: Duration, all: &UdpSocket, buffer: &mut [u8]) -> Result<bool> {
        let mut moved = false;
        let due = |at: Option<Duration>, now| at.is_some_and(|at| at <= now);
        if due(self.firmware.poll_timeout(), now + self.skipped) {
            self.firmware.handle_timeout(now + self.skipped);
            moved = true;
        }
        while let Some(datagram) = self.firmware.poll_transmit() {
            moved = true;
            let socket = match datagram.to.port() {
                67 => all,
                _ => &self.own,
            };
            let sent = socket.send_to(&datagram.bytes, datagram.to);
            sent.with_context(|| format!("send to {}", datagram.to))?;
            if let Some(answer) = site(&datagram, self.lease) {
                self.firmware.handle_datagram(now + self.skipped, &answer);
            }
        }
        while let Some((length, from)) = received(&self.own, buffer)? {
            moved = true;
            let bytes = buffer[..length].to_vec();
            let to = SocketAddrV4::new(self.lease, 4011);
            self.hear(now, Datagram { from, to, bytes });
        }
        Ok(moved)
    }

    /// Takes the boot server's answer, and does not wait for others.
    fn hear(&mut self, now: Duration, answer: Datagram) {
        self.firmware.handle_datagram(now + self.skipped, &answer);
        if let Some(at) = self.firmware.poll_timeout() {
            self.skipped = self.skipped.max(at.saturating_sub(now));
        }
    }
}

/// The site's own DHCP server: leases, and nothing about booting.
fn site(asked: &Datagram, lease: Ipv4Addr) -> Option<Datagram> {
    if asked.to.port() != 67 {
        return None;
    }
    let question = Packet::decode(&asked.bytes);
    let (_, kind) = question.options.iter().find(|(code, _)| *code == 53)?;
    let kind = match kind[..] {
        [1] => 2,
        [3] => 5,
        _ => return None,
    };
    let mut answer = Packet::request(question.mac, question.xid)
        .with(53, &[kind])
        .with(54, &SITE.octets())
        .with(51, &3600u32.to_be_bytes());
    answer.op = 2;
    answer.yiaddr = lease;
    answer.pad_to = 300;
    Some(Datagram {
        from: SocketAddrV4::new(SITE, 67),
        to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
        bytes: answer.encode(),
    })
}

fn received(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddrV4)>> {
    match socket.recv_from(buffer) {
        Ok((length, SocketAddr::V4(from))) => Ok(Some((length, from))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("receive"),
    }
}

/// The architecture code of UEFI x64.
const X64: u16 = 7;
/// Nobody has this address; the site's server is played here.
const SITE: Ipv4Addr = Ipv4Addr::new(10, 89, 255, 254);
/// Between two looks when nothing moves.
const PAUSE: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot server's answer to `question`, of this kind, with discovery control 8 or without.
    fn answer(question: &Datagram, kind: u8, direct: bool) -> Datagram {
        let asked = Packet::decode(&question.bytes);
        let server = Ipv4Addr::LOCALHOST;
        let mut answer = Packet::request(asked.mac, asked.xid)
            .with(53, &[kind])
            .with(54, &server.octets())
            .with(60, b"PXEClient");
        if direct {
            answer = answer.with(43, &[6, 1, 8, 255]);
        }
        answer.op = 2;
        answer.siaddr = server;
        answer.file = b"loader".to_vec();
        Datagram {
            from: SocketAddrV4::new(server, 67),
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
            bytes: answer.encode(),
        }
    }

    /// A machine on loopback.
    fn machine() -> Result<Machine> {
        let own = UdpSocket::bind("127.0.0.1:0")?;
        own.set_nonblocking(true)?;
        let mac = mac_of(3);
        Ok(Machine {
            firmware: Edk2::new(mac, X64),
            lease: Ipv4Addr::LOCALHOST,
            mac,
            own,
            skipped: Duration::ZERO,
        })
    }

    #[test]
    fn the_wait_for_other_offers_is_skipped_once_ours_is_there() -> Result<()> {
        let mut machine = machine()?;
        let now = Duration::from_millis(1);
        machine.firmware.handle_timeout(now);
        let discover = machine.firmware.poll_transmit().context("a DISCOVER")?;
        let lease = site(&discover, machine.lease).context("a lease")?;
        machine.firmware.handle_datagram(now, &lease);
        assert!(machine.firmware.poll_timeout() > Some(Duration::from_secs(3)));

        machine.hear(now, answer(&discover, 2, true));
        assert_eq!(machine.firmware.poll_timeout(), Some(now + machine.skipped));
        machine.firmware.handle_timeout(now + machine.skipped);
        let request = machine.firmware.poll_transmit().context("a REQUEST")?;
        let ack = site(&request, machine.lease).context("an ACK")?;
        machine
            .firmware
            .handle_datagram(now + machine.skipped, &ack);
        let told = firmware::Outcome::Tftp {
            server: Ipv4Addr::LOCALHOST,
            file: "loader".into(),
        };
        assert_eq!(machine.firmware.outcome(), Some(&told));
        Ok(())
    }

    #[test]
    fn the_site_leases_and_leaves_port_4011_alone() -> Result<()> {
        let mut machine = machine()?;
        machine.firmware.handle_timeout(Duration::ZERO);
        let mut question = machine.firmware.poll_transmit().context("a DISCOVER")?;
        let offer = Packet::decode(&site(&question, machine.lease).context("a lease")?.bytes);
        assert_eq!((offer.op, offer.yiaddr), (2, machine.lease));
        question.to.set_port(4011);
        assert_eq!(site(&question, machine.lease), None);
        Ok(())
    }
}
