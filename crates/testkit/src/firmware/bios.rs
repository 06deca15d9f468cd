//! A BIOS PXE ROM in the manner of Intel's (PXE 2.1; protocol.md A.3, A.13).

use super::{BiosRom, Choice, Outcome, Rules, Seen, Step};
use crate::packet::Packet;
use std::time::Duration;

/// Rules of a BIOS PXE ROM.
#[derive(Clone, Debug)]
pub struct Bios {
    uuid: [u8; 17],
}

impl BiosRom {
    /// A ROM with this hardware address; its UUID ends in it.
    pub fn new(mac: [u8; 6]) -> BiosRom {
        let uuid = super::uuid_of(mac);
        BiosRom::with_rules(mac, Bios { uuid })
    }
}

impl Rules for Bios {
    fn packet(&self, base: Packet) -> Packet {
        base.with(57, &[0x05, 0xc0])
            .with(93, &[0, 0])
            .with(94, &[1, 2, 1])
            .with(60, b"PXEClient:Arch:00000:UNDI:002001")
            .with(55, &[1, 3, 6, 12, 15, 43, 54, 60, 66, 67])
            .with(97, &self.uuid)
    }

    fn discover_waits(&self) -> &'static [u64] {
        &[4000, 8000, 16000, 32000]
    }

    fn secs(&self, elapsed: Duration, _tries: u16, _offers: &[Seen]) -> u16 {
        elapsed.as_secs() as u16
    }

    /// Old ROMs drop replies under 300 octets.
    fn hears(&self, seen: &Seen) -> bool {
        seen.length >= 300 && !seen.malformed
    }

    fn choose(&self, offers: &[Seen], waited: Option<Duration>) -> Choice {
        let lease = offers.iter().find(|o| !o.is_proxy());
        let (Some(waited), Some(lease)) = (waited, lease) else {
            return Choice::Wait;
        };
        let Some(boot) = offers.iter().find(|o| o.is_pxe()) else {
            // A plain lease: on through the 4 and 8 second slots, in case a proxy is slow.
            if waited < Duration::from_secs(12) {
                return Choice::Wait;
            }
            if lease.file.is_empty() {
                return Choice::GiveUp("PXE-E53: No boot filename received".to_owned());
            }
            return take(lease, Step::End(fetch(lease)));
        };
        let step = if boot.tags.is_direct() && !boot.name_by_header().is_empty() {
            Step::End(fetch(boot))
        } else if let Some((kind, server)) = boot.tags.first_item() {
            match (kind, server) {
                (0, _) => return Choice::GiveUp("local boot chosen".to_owned()),
                (kind, server) => Step::Ask {
                    server: server.unwrap_or(boot.identity()),
                    item: Some(kind),
                },
            }
        } else if boot.tags.is_pxe10() {
            return Choice::GiveUp(
                "PXE-E74: Bad or missing PXE menu and/or prompt information".to_owned(),
            );
        } else {
            Step::Ask {
                server: boot.identity(),
                item: None,
            }
        };
        take(lease, step)
    }

    fn no_offer(&self, offers: &[Seen]) -> &'static str {
        if offers.is_empty() {
            "PXE-E51: No DHCP or proxyDHCP offers were received"
        } else {
            "PXE-E52: proxyDHCP offers were received. No DHCP offers were received"
        }
    }

    /// Kept.
    fn boot_server_xid(&self, discover: u32, _item: Option<u16>) -> u32 {
        discover
    }

    fn boot_server_port(&self) -> u16 {
        68
    }

    fn boot_server_waits(&self) -> (&'static [u64], bool) {
        (&[1000, 2000, 3000, 4000], false)
    }

    fn acknowledged(&self, seen: &Seen, item: Option<u16>) -> Option<Outcome> {
        let usable = seen.is_pxe() && seen.tags.item == item && !seen.name_by_header().is_empty();
        usable.then(|| fetch(seen))
    }

    fn boot_server_silent(&self) -> &'static str {
        "PXE-E55: proxyDHCP service did not reply to request on port 4011"
    }
}

fn take(lease: &Seen, step: Step) -> Choice {
    Choice::Take {
        lease: Box::new(lease.clone()),
        steps: vec![step],
    }
}

/// By `siaddr` alone: seen to fail with 0 there, whatever option 54 says.
fn fetch(boot: &Seen) -> Outcome {
    if boot.siaddr.is_unspecified() {
        return Outcome::GaveUp("PXE-E32: TFTP open timeout (no server address)".to_owned());
    }
    Outcome::Tftp {
        server: boot.siaddr,
        file: boot.name_by_header().to_owned(),
    }
}
