//! iPXE as a DHCP client (protocol.md A.9).

use super::{Choice, Ipxe, Outcome, Rules, Seen, Step};
use crate::packet::Packet;
use std::time::Duration;

/// Rules of iPXE.
#[derive(Clone, Debug)]
pub struct IpxeRules {
    arch: u16,
    features: Features,
    mac: [u8; 6],
    uuid: [u8; 17],
}

/// What a build can do.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Fetch over HTTP.
    pub http: bool,
    /// Boot a Linux kernel. VirtualBox's built-in ROM cannot.
    pub bzimage: bool,
}

impl Ipxe {
    /// A build for this architecture code (0 is BIOS, 7 UEFI x64) with everything in it.
    pub fn new(mac: [u8; 6], arch: u16) -> Ipxe {
        let all = Features {
            http: true,
            bzimage: true,
        };
        Ipxe::with_features(mac, arch, all)
    }

    /// A build with only these features.
    pub fn with_features(mac: [u8; 6], arch: u16, features: Features) -> Ipxe {
        let rules = IpxeRules {
            arch,
            features,
            mac,
            uuid: super::uuid_of(mac),
        };
        Ipxe::with_rules(mac, rules)
    }
}

impl Rules for IpxeRules {
    fn packet(&self, base: Packet) -> Packet {
        let undi = if self.arch == 0 { "002001" } else { "003010" };
        let class = format!("PXEClient:Arch:{:05}:UNDI:{undi}", self.arch);
        let mut features = vec![0xb1, 5, 1, 0x80, 0x86, 0x10, 0x0e, 33, 1, 1, 21, 1, 1];
        if self.features.http {
            features.extend([19, 1, 1]);
        }
        if self.features.bzimage {
            features.extend([24, 1, 1]);
        }
        if self.arch != 0 {
            features.extend([36, 1, 1]);
        }
        let mut id = vec![1];
        id.extend(self.mac);
        base.with(57, &[0x05, 0xc0])
            .with(93, &self.arch.to_be_bytes())
            .with(94, &[1, 2, 1])
            .with(60, class.as_bytes())
            .with(77, b"iPXE")
            .with(
                55,
                &[1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 175, 203],
            )
            .with(175, &features)
            .with(61, &id)
            .with(97, &self.uuid)
    }

    fn discover_waits(&self) -> &'static [u64] {
        &[1000, 2000, 4000, 8000, 10000]
    }

    /// Not seconds: tries, and which offers are held.
    fn secs(&self, _elapsed: Duration, tries: u16, offers: &[Seen]) -> u16 {
        let lease = offers.iter().any(|o| !o.is_proxy());
        let proxy = offers.iter().any(Seen::is_pxe);
        (tries + 1) << 2 | u16::from(lease) << 1 | u16::from(proxy)
    }

    fn hears(&self, seen: &Seen) -> bool {
        matches!(seen.from.port(), 67 | 4011) && !seen.malformed
    }

    fn choose(&self, offers: &[Seen], waited: Option<Duration>) -> Choice {
        // The newest of each kind; a lease that echoes PXEClient counts as both.
        let lease = offers.iter().rev().find(|o| !o.is_proxy());
        let proxy = offers.iter().rev().find(|o| o.is_pxe());
        let tired = waited.is_some_and(|w| w > Duration::from_secs(2));
        let (Some(lease), true) = (lease, proxy.is_some() || tired) else {
            return Choice::Wait;
        };
        let boot = proxy.unwrap_or(lease);
        let complete = !boot.siaddr.is_unspecified() && !boot.name_by_header().is_empty();
        let step = match boot.tags.first_item() {
            Some((kind, server)) if !(boot.tags.is_direct() && complete) => Step::Ask {
                server: server.unwrap_or(boot.identity()),
                item: Some(kind),
            },
            _ if complete => Step::End(fetch(boot)),
            _ if proxy.is_some() => Step::Ask {
                server: boot.identity(),
                item: None,
            },
            _ => Step::End(nothing()),
        };
        Choice::Take {
            lease: Box::new(lease.clone()),
            steps: vec![step],
        }
    }

    fn no_offer(&self, _offers: &[Seen]) -> &'static str {
        "No configuration methods succeeded"
    }

    /// Kept, and never set at all for boot-server discovery.
    fn boot_server_xid(&self, discover: u32, item: Option<u16>) -> u32 {
        if item.is_some() { 0 } else { discover }
    }

    fn boot_server_port(&self) -> u16 {
        68
    }

    fn boot_server_waits(&self) -> (&'static [u64], bool) {
        (&[250, 500, 1000, 2000], false)
    }

    fn acknowledged(&self, seen: &Seen, item: Option<u16>) -> Option<Outcome> {
        let taken = seen.from.port() == 4011 && (item.is_none() || seen.tags.item == item);
        let complete = !seen.siaddr.is_unspecified() && !seen.name_by_header().is_empty();
        match (taken, complete) {
            (false, _) => None,
            (true, true) => Some(fetch(seen)),
            (true, false) => Some(nothing()),
        }
    }

    fn boot_server_silent(&self) -> &'static str {
        "Nothing to boot: No such file or directory"
    }
}

/// An absolute URL is used as such, anything else comes from `siaddr` by TFTP.
fn fetch(boot: &Seen) -> Outcome {
    let name = boot.name_by_header();
    if name.starts_with("http://") || name.starts_with("https://") {
        return Outcome::Http {
            url: name.to_owned(),
        };
    }
    Outcome::Tftp {
        server: boot.siaddr,
        file: name.to_owned(),
    }
}

fn nothing() -> Outcome {
    Outcome::GaveUp("Nothing to boot: No such file or directory".to_owned())
}
