//! UEFI network boot as in EDK2 (protocol.md A.10, firmware-facts).

use super::{Choice, Edk2, Edk2Http as Edk2HttpFirmware, Outcome, Rules, Seen, Step};
use crate::packet::Packet;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Rules of EDK2's PXE.
#[derive(Clone, Debug)]
pub struct Edk2Pxe {
    arch: u16,
    uuid: [u8; 17],
}

/// Rules of EDK2's HTTP Boot.
#[derive(Clone, Debug)]
pub struct Edk2Http {
    arch: u16,
    uuid: [u8; 17],
}

impl Edk2 {
    /// A machine of this architecture code: 7 is x64, 6 IA32, 11 ARM64.
    pub fn new(mac: [u8; 6], arch: u16) -> Edk2 {
        let uuid = super::uuid_of(mac);
        Edk2::with_rules(mac, Edk2Pxe { arch, uuid })
    }
}

impl Edk2HttpFirmware {
    /// A machine of this architecture code: 16 is x64, 19 ARM64.
    pub fn new(mac: [u8; 6], arch: u16) -> Edk2HttpFirmware {
        let uuid = super::uuid_of(mac);
        Edk2HttpFirmware::with_rules(mac, Edk2Http { arch, uuid })
    }
}

impl Rules for Edk2Pxe {
    fn packet(&self, base: Packet) -> Packet {
        packet(base, "PXEClient", self.arch, &self.uuid)
    }

    fn discover_waits(&self) -> &'static [u64] {
        SLOTS
    }

    fn secs(&self, elapsed: Duration, _tries: u16, _offers: &[Seen]) -> u16 {
        elapsed.as_secs() as u16
    }

    fn hears(&self, seen: &Seen) -> bool {
        hears(seen)
    }

    fn choose(&self, offers: &[Seen], waited: Option<Duration>) -> Choice {
        if waited.is_none() {
            return Choice::Wait;
        }
        let class = |wanted: Class, proxy: bool| {
            let fits = move |o: &&Seen| Class::of(o) == wanted && o.is_proxy() == proxy;
            offers.iter().filter(fits)
        };
        let plain = class(Class::Plain, false).next();
        let named = class(Class::Plain, false).find(|o| !o.name_by_option().is_empty());
        if let Some(lease) = class(Class::Pxe10, false).next() {
            return pxe10(lease, lease);
        }
        if let (Some(lease), Some(proxy)) = (plain, class(Class::Pxe10, true).next()) {
            return pxe10(lease, proxy);
        }
        if let Some(lease) = class(Class::Binl, false).next() {
            return ask(lease, [lease]);
        }
        match (plain, class(Class::Binl, true).next(), named) {
            (Some(lease), Some(_), _) => ask(lease, class(Class::Binl, true)),
            (_, None, Some(lease)) => take(lease, vec![Step::End(fetch(lease))]),
            _ => Choice::Wait,
        }
    }

    fn no_offer(&self, _offers: &[Seen]) -> &'static str {
        "PXE-E16: No valid offer received."
    }

    /// A new one.
    fn boot_server_xid(&self, discover: u32, _item: Option<u16>) -> u32 {
        discover.rotate_left(13) ^ 0x5bd1_e995
    }

    fn boot_server_port(&self) -> u16 {
        4011
    }

    fn boot_server_waits(&self) -> (&'static [u64], bool) {
        (&[1000, 2000, 3000, 4000], true)
    }

    /// The message type is not looked at; a name is.
    fn acknowledged(&self, seen: &Seen, item: Option<u16>) -> Option<Outcome> {
        let usable =
            !seen.name_by_option().is_empty() && (item.is_none() || seen.tags.item == item);
        usable.then(|| fetch(seen))
    }

    fn boot_server_silent(&self) -> &'static str {
        "PXE-E18: Server response timeout."
    }
}

impl Rules for Edk2Http {
    fn packet(&self, base: Packet) -> Packet {
        packet(base, "HTTPClient", self.arch, &self.uuid)
    }

    fn discover_waits(&self) -> &'static [u64] {
        SLOTS
    }

    fn secs(&self, elapsed: Duration, _tries: u16, _offers: &[Seen]) -> u16 {
        elapsed.as_secs() as u16
    }

    fn hears(&self, seen: &Seen) -> bool {
        hears(seen)
    }

    fn choose(&self, offers: &[Seen], waited: Option<Duration>) -> Choice {
        let lease = offers.iter().find(|o| !o.is_proxy());
        let boot = offers.iter().find(|o| is_http_offer(o));
        match (waited, lease, boot) {
            (Some(_), Some(lease), Some(boot)) => {
                let url = boot.name_by_option().to_owned();
                take(lease, vec![Step::End(Outcome::Http { url })])
            }
            _ => Choice::Wait,
        }
    }

    fn no_offer(&self, _offers: &[Seen]) -> &'static str {
        "Error: Could not retrieve NBP file size from HTTP server. No HTTP boot offer."
    }

    fn boot_server_xid(&self, discover: u32, _item: Option<u16>) -> u32 {
        discover
    }

    fn boot_server_port(&self) -> u16 {
        68
    }

    fn boot_server_waits(&self) -> (&'static [u64], bool) {
        (&[], false)
    }

    fn acknowledged(&self, _seen: &Seen, _item: Option<u16>) -> Option<Outcome> {
        None
    }

    fn boot_server_silent(&self) -> &'static str {
        "HTTP Boot never asks port 4011"
    }
}

/// What EDK2 makes of an offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Pxe10,
    Binl,
    Plain,
    Discarded,
}

impl Class {
    fn of(offer: &Seen) -> Class {
        match (offer.is_pxe(), offer.tags.is_pxe10(), offer.tags.mtftp) {
            (_, _, 5) => Class::Discarded,
            (true, true, _) => Class::Pxe10,
            (true, false, _) => Class::Binl,
            (false, ..) => Class::Plain,
        }
    }
}

fn packet(base: Packet, class: &str, arch: u16, uuid: &[u8; 17]) -> Packet {
    let mut packet = base
        .with(57, &[0x05, 0xc0])
        .with(55, PARAMETERS)
        .with(97, uuid)
        .with(94, &[1, 3, 0])
        .with(93, &arch.to_be_bytes())
        .with(60, format!("{class}:Arch:{arch:05}:UNDI:003000").as_bytes());
    packet.flags = 0x8000;
    packet
}

/// Dropped whole: no option 54, a length that does not fit, more than one Ethernet frame.
fn hears(seen: &Seen) -> bool {
    let named = seen.server_id.is_some_and(|ip| !ip.is_unspecified());
    named && !seen.malformed && seen.length <= 1472
}

fn pxe10(lease: &Seen, boot: &Seen) -> Choice {
    let named = !boot.name_by_option().is_empty();
    if boot.tags.is_direct() {
        if !named {
            return Choice::GiveUp("hangs: discovery control 8 and no boot file".to_owned());
        }
        let mut outcome = fetch(boot);
        if let (Outcome::Tftp { server, .. }, Some((_, first))) =
            (&mut outcome, boot.tags.servers.first())
        {
            *server = *first;
        }
        return take(lease, vec![Step::End(outcome)]);
    }
    let Some((kind, server)) = boot.tags.first_item() else {
        return Choice::GiveUp("PXE-E21: Remote boot cancelled.".to_owned());
    };
    if kind == 0 {
        return Choice::GiveUp("PXE-E21: Remote boot cancelled (local boot chosen).".to_owned());
    }
    let server = server.or(boot.next_server()).unwrap_or(Ipv4Addr::BROADCAST);
    let item = Some(kind);
    take(lease, vec![Step::Ask { server, item }])
}

/// All BINL offers are asked in turn.
fn ask<'a>(lease: &Seen, offers: impl IntoIterator<Item = &'a Seen>) -> Choice {
    let step = |offer: &Seen| Step::Ask {
        server: offer.next_server().unwrap_or(Ipv4Addr::UNSPECIFIED),
        item: None,
    };
    take(lease, offers.into_iter().map(step).collect())
}

fn take(lease: &Seen, steps: Vec<Step>) -> Choice {
    Choice::Take {
        lease: Box::new(lease.clone()),
        steps,
    }
}

fn fetch(boot: &Seen) -> Outcome {
    match boot.next_server() {
        Some(server) => Outcome::Tftp {
            server,
            file: boot.name_by_option().to_owned(),
        },
        None => Outcome::GaveUp("PXE-E32: no server address".to_owned()),
    }
}

/// Class `HTTPClient` and a URL whose host is an address: the proxy's DNS servers are not used.
fn is_http_offer(offer: &Seen) -> bool {
    let host = offer
        .name_by_option()
        .strip_prefix("http://")
        .and_then(|rest| rest.split(['/', ':']).next());
    let literal = host.is_some_and(|host| host.parse::<Ipv4Addr>().is_ok());
    offer.class.starts_with(b"HTTPClient") && literal
}

const SLOTS: &[u64] = &[4000, 8000, 16000, 32000];
const PARAMETERS: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66,
    67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
];
