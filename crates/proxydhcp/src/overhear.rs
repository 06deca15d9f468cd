//! What other servers of the LAN say to clients.

use crate::identity;
use crate::options::{self, code};
use std::net::Ipv4Addr;

/// An OFFER or ACK of some DHCP or boot server, seen on port 68.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignOffer {
    /// Its address: option 54, else `siaddr`. May be one of our own; the caller knows.
    pub server: Ipv4Addr,
    /// True when it offers boot files, not only addresses.
    pub boots: bool,
}

/// Reads a datagram seen on port 68; `None` for anything but an OFFER or ACK with a server.
pub fn overhear(bytes: &[u8]) -> Option<ForeignOffer> {
    let fixed = bytes.first_chunk::<{ options::HEADER }>()?;
    let is_reply = fixed[0] == 2 && fixed[236..] == [0x63, 0x82, 0x53, 0x63];
    if !is_reply {
        return None;
    }
    let options = options::scan(bytes);
    if !matches!(options.get(code::MESSAGE_TYPE), Some([2 | 5])) {
        return None;
    }
    let siaddr = [fixed[20], fixed[21], fixed[22], fixed[23]];
    let id = options
        .get(code::SERVER_ID)
        .and_then(|raw| raw.try_into().ok());
    let server = Ipv4Addr::from(id.unwrap_or(siaddr));
    if server.is_unspecified() || server.is_broadcast() || server.is_multicast() {
        return None;
    }
    let overloaded = matches!(options.get(code::OVERLOAD), Some([bits]) if bits & 1 != 0);
    let named = fixed[108] != 0 && !overloaded
        || options
            .get(code::BOOT_FILE)
            .is_some_and(|name| !name.is_empty());
    Some(ForeignOffer {
        server,
        boots: named || identity::class(&options).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(kind: u8, siaddr: [u8; 4], values: &[(u8, &[u8])]) -> Vec<u8> {
        let mut packet = vec![0; options::HEADER];
        packet[0] = 2;
        packet[20..24].copy_from_slice(&siaddr);
        packet[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        options::encode(53, &[kind], &mut packet);
        for (code, value) in values {
            options::encode(*code, value, &mut packet);
        }
        packet.push(255);
        packet
    }

    #[test]
    fn a_plain_lease_server_does_not_boot() {
        let heard = overhear(&reply(2, [192, 168, 77, 1], &[(54, &[192, 168, 77, 1])]));
        let server = Ipv4Addr::new(192, 168, 77, 1);
        assert_eq!(
            heard,
            Some(ForeignOffer {
                server,
                boots: false
            })
        );
    }

    #[test]
    fn a_boot_server_is_known_by_class_or_by_a_file_name() {
        let id: (u8, &[u8]) = (54, &[10, 0, 0, 9]);
        let mut named = reply(5, [0; 4], &[id]);
        named[108] = b'x';
        for packet in [
            reply(2, [0; 4], &[id, (60, b"PXEClient")]),
            reply(2, [0; 4], &[id, (67, b"x")]),
            named,
        ] {
            assert!(overhear(&packet).expect("heard").boots);
        }
    }

    #[test]
    fn anything_else_is_not_heard() {
        let mut request = reply(2, [10, 0, 0, 9], &[]);
        request[0] = 1;
        for packet in [
            Vec::new(),
            request,
            reply(6, [10, 0, 0, 9], &[]),
            reply(2, [0; 4], &[]),
            reply(2, [0; 4], &[(54, &[255; 4])]),
        ] {
            assert_eq!(overhear(&packet), None);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = overhear(&bytes);
        }
    }
}
