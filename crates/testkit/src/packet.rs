//! DHCP packets put together octet by octet, apart from the code under test.

use crate::firmware::walk;
use std::net::Ipv4Addr;

/// A DHCP packet as a sender means it. Options keep the order they were added in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// 1 request, 2 reply.
    pub op: u8,
    /// Hardware type.
    pub htype: u8,
    /// Octets of the hardware address.
    pub hlen: u8,
    /// Relays passed.
    pub hops: u8,
    /// Transaction number.
    pub xid: u32,
    /// Seconds, or what the client makes of them.
    pub secs: u16,
    /// 0x8000 asks for broadcasts.
    pub flags: u16,
    /// The client's address.
    pub ciaddr: Ipv4Addr,
    /// The address given.
    pub yiaddr: Ipv4Addr,
    /// The next server.
    pub siaddr: Ipv4Addr,
    /// The relay.
    pub giaddr: Ipv4Addr,
    /// Hardware address.
    pub mac: [u8; 6],
    /// `file`, without the zeros.
    pub file: Vec<u8>,
    /// The magic cookie.
    pub cookie: u32,
    /// Options in order, without END.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Zeros are added after END up to this length.
    pub pad_to: usize,
}

impl Packet {
    /// A request with an empty header and no options.
    pub fn request(mac: [u8; 6], xid: u32) -> Packet {
        Packet {
            op: 1,
            htype: 1,
            hlen: 6,
            hops: 0,
            xid,
            secs: 0,
            flags: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            mac,
            file: Vec::new(),
            cookie: COOKIE,
            options: Vec::new(),
            pad_to: 0,
        }
    }

    /// D0 of protocol.md H.0: the DISCOVER of an x64 UEFI machine, 319 octets.
    pub fn d0() -> Packet {
        Packet::request(MAC, 0x1122_3344)
            .with(53, &[1])
            .with(57, &[0x05, 0xc0])
            .with(93, &[0, 7])
            .with(94, &[1, 3, 0])
            .with(97, &UUID)
            .with(60, b"PXEClient:Arch:00007:UNDI:003000")
            .with(55, &[1, 3, 0x0c, 0x2b, 0x3c, 0x42, 0x43])
    }

    /// R0 of protocol.md H.0: the same machine's REQUEST to port 4011, from 192.168.77.50.
    pub fn r0() -> Packet {
        let mut packet = Packet::d0().with(53, &[3]);
        packet.xid = 0x5566_7788;
        packet.ciaddr = LEASE;
        packet
    }

    /// Reads a well-formed packet, so that a test can spoil one thing in it. `sname` is lost.
    ///
    /// # Panics
    /// When it is shorter than a header.
    pub fn decode(bytes: &[u8]) -> Packet {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let [op, htype, hlen, hops] = word(0);
        let [a, b, c, d] = word(8);
        let [m, n, o, p] = word(28);
        let mut packet = Packet {
            op,
            htype,
            hlen,
            hops,
            xid: u32::from_be_bytes(word(4)),
            secs: u16::from_be_bytes([a, b]),
            flags: u16::from_be_bytes([c, d]),
            ciaddr: word(12).into(),
            yiaddr: word(16).into(),
            siaddr: word(20).into(),
            giaddr: word(24).into(),
            mac: [m, n, o, p, bytes[32], bytes[33]],
            file: bytes[108..236]
                .split(|b| *b == 0)
                .next()
                .unwrap_or_default()
                .to_vec(),
            cookie: u32::from_be_bytes(word(236)),
            options: Vec::new(),
            pad_to: bytes.len(),
        };
        walk(&bytes[240..], |code, value| {
            packet.options.push((code, value.to_vec()))
        });
        packet
    }

    /// Sets an option: in its place when it is there, else at the end.
    #[must_use]
    pub fn with(mut self, code: u8, value: &[u8]) -> Packet {
        match self.options.iter_mut().find(|(c, _)| *c == code) {
            Some((_, held)) => *held = value.to_vec(),
            None => self.options.push((code, value.to_vec())),
        }
        self
    }

    /// Removes an option.
    #[must_use]
    pub fn without(mut self, code: u8) -> Packet {
        self.options.retain(|(c, _)| *c != code);
        self
    }

    /// The octets.
    ///
    /// # Panics
    /// When an option is longer than 255 octets, or `file` longer than 128.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.op, self.htype, self.hlen, self.hops];
        out.extend(self.xid.to_be_bytes());
        out.extend(self.secs.to_be_bytes());
        out.extend(self.flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            out.extend(address.octets());
        }
        out.extend(self.mac);
        out.extend([0; 10 + 64]);
        out.extend(&self.file);
        assert!(self.file.len() <= 128, "file is a field of 128 octets");
        out.resize(236, 0);
        out.extend(self.cookie.to_be_bytes());
        for (code, value) in &self.options {
            let length = u8::try_from(value.len()).expect("one option holds 255 octets");
            out.extend([*code, length]);
            out.extend(value);
        }
        out.push(255);
        if out.len() < self.pad_to {
            out.resize(self.pad_to, 0);
        }
        out
    }
}

/// The MAC of the vectors.
pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Option 97 of the vectors.
pub const UUID: [u8; 17] = [
    0, 0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
    0x88,
];
/// The address the site's DHCP server gives out in the vectors.
pub const LEASE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 50);
/// The site's DHCP server in the vectors.
pub const SITE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// Our own address in the vectors, `S`.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
const COOKIE: u32 = 0x6382_5363;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::octets;

    #[test]
    fn d0_is_the_packet_of_the_brief() {
        let zeros = |n: usize| "00".repeat(n);
        let expected = octets(&format!(
            "01010600 11223344 0000 0000 {} 525400123456 {} 63825363 350101 390205c0 5d020007 \
             5e03010300 61110078563412bc9af0de1122334455667788 \
             3c20505845436c69656e743a417263683a30303030373a554e44493a303033303030 \
             370701030c2b3c4243 ff",
            zeros(16),
            zeros(10 + 64 + 128)
        ));
        assert_eq!(expected.len(), 319);
        assert_eq!(Packet::d0().encode(), expected);
        assert_eq!(Packet::decode(&expected).encode(), expected);
    }
}
