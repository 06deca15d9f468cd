//! DHCP requests of real firmware, as captured (`fixtures/*.hex`, see `examples/`).

use crate::{Datagram, hex};

/// One capture: its name and the requests in it, in order.
pub struct Capture {
    /// What booted there.
    pub name: &'static str,
    /// Its requests to ports 67 and 4011.
    pub requests: Vec<Datagram>,
}

/// Every capture kept here: OVMF, AAVMF, iPXE of 2019 and 2025, U-Boot, on QEMU, beside dnsmasq
/// as site DHCP on 10.77.0.2 and as boot server on 10.77.0.3.
pub fn captures() -> Vec<Capture> {
    FILES
        .iter()
        .map(|(name, text)| Capture {
            name,
            requests: blocks(text),
        })
        .collect()
}

/// Blocks of `# from -> to` and hexadecimal lines.
fn blocks(text: &str) -> Vec<Datagram> {
    let mut found: Vec<(Datagram, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(|l| l.split_once(" -> ")) {
            Some((from, to)) => {
                let datagram = Datagram {
                    from: from.parse().expect("an address with a port"),
                    to: to.parse().expect("an address with a port"),
                    bytes: Vec::new(),
                };
                found.push((datagram, String::new()));
            }
            None => {
                if let Some((_, digits)) = found.last_mut() {
                    digits.push_str(line);
                }
            }
        }
    }
    let filled = |(datagram, digits): (Datagram, String)| Datagram {
        bytes: hex::octets(&digits),
        ..datagram
    };
    found.into_iter().map(filled).collect()
}

const FILES: [(&str, &str); 8] = [
    ("arm64-ipxe", include_str!("../fixtures/arm64-ipxe.hex")),
    (
        "bios-ipxerom-pxelinux",
        include_str!("../fixtures/bios-ipxerom-pxelinux.hex"),
    ),
    (
        "bios-lpxelinux-http",
        include_str!("../fixtures/bios-lpxelinux-http.hex"),
    ),
    ("uboot-arm64", include_str!("../fixtures/uboot-arm64.hex")),
    (
        "uefi-http-proxy",
        include_str!("../fixtures/uefi-http-proxy.hex"),
    ),
    (
        "uefi-ia32-grub",
        include_str!("../fixtures/uefi-ia32-grub.hex"),
    ),
    (
        "uefi-shim-grub",
        include_str!("../fixtures/uefi-shim-grub.hex"),
    ),
    ("uefi-snponly", include_str!("../fixtures/uefi-snponly.hex")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixture_holds_whole_requests() {
        for capture in captures() {
            assert!(!capture.requests.is_empty(), "{}", capture.name);
            for request in capture.requests {
                assert_eq!(request.bytes[236..240], [0x63, 0x82, 0x53, 0x63]);
                assert!(matches!(request.to.port(), 67 | 4011), "{}", request.to);
            }
        }
    }
}
