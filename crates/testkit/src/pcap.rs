//! Just enough of the pcap file format to get UDP datagrams out of a capture.

use crate::Datagram;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The UDP datagrams of a capture, in order; everything else is left out. Little-endian files of
/// link type Ethernet only, which is what `tcpdump -w` writes here.
///
/// # Panics
/// When the file is no such capture.
pub fn datagrams(file: &[u8]) -> Vec<Datagram> {
    assert_eq!(
        &file[..4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        "a little-endian pcap file"
    );
    assert_eq!(file[20], 1, "link type Ethernet");
    let mut rest = &file[24..];
    let mut found = Vec::new();
    while rest.len() >= 16 {
        let length = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        let frame = &rest[16..16 + length];
        found.extend(udp(frame));
        rest = &rest[16 + length..];
    }
    found
}

fn udp(frame: &[u8]) -> Option<Datagram> {
    let ip = frame
        .strip_prefix(frame.get(..12)?)?
        .strip_prefix(&[8, 0])?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    if *ip.get(9)? != UDP {
        return None;
    }
    let address = |at: usize| {
        Some(Ipv4Addr::new(
            *ip.get(at)?,
            ip[at + 1],
            ip[at + 2],
            *ip.get(at + 3)?,
        ))
    };
    let udp = ip.get(header..)?;
    let word = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    Some(Datagram {
        from: SocketAddrV4::new(address(12)?, word(0)?),
        to: SocketAddrV4::new(address(16)?, word(2)?),
        bytes: udp.get(8..usize::from(word(4)?))?.to_vec(),
    })
}

const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::octets;

    #[test]
    fn a_datagram_comes_out_and_an_arp_frame_does_not() {
        let header = "d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000";
        let ethernet = "ffffffffffff 525400123456";
        let arp = format!("00000000 00000000 10000000 10000000 {ethernet} 0806 0001");
        let udp = "0044 0043 000b 0000 616263";
        let ip = format!("4500 001f 0000 0000 4011 0000 00000000 ffffffff {udp}");
        let frame = format!("00000000 00000000 2d000000 2d000000 {ethernet} 0800 {ip}");
        let file = octets(&format!("{header} {arp} {frame}"));
        let expected = Datagram {
            from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 67),
            bytes: b"abc".to_vec(),
        };
        assert_eq!(datagrams(&file), [expected]);
    }
}
