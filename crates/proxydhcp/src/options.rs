//! DHCP options as raw octets: a scan that survives anything, and the encoding of one option.
//!
//! dhcproto's decoder is not used on what strangers send: it stops silently at the first option
//! it dislikes, so one host name that is not UTF-8 would hide a PXE client (protocol.md I.1,
//! vector H28).

use dhcproto::v4::{DhcpOption, OptionCode, UnknownOption};
use dhcproto::{Encodable, Encoder};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Option codes that we read or write.
pub mod code {
    /// Vendor-specific information: PXE sub-options.
    pub const VENDOR: u8 = 43;
    /// Options continue in `file` and/or `sname`.
    pub const OVERLOAD: u8 = 52;
    /// DHCP message type.
    pub const MESSAGE_TYPE: u8 = 53;
    /// Server identifier.
    pub const SERVER_ID: u8 = 54;
    /// Largest datagram the client takes.
    pub const MAX_SIZE: u8 = 57;
    /// Vendor class identifier.
    pub const CLASS: u8 = 60;
    /// Boot file name.
    pub const BOOT_FILE: u8 = 67;
    /// User class.
    pub const USER_CLASS: u8 = 77;
    /// Relay agent information.
    pub const RELAY_INFO: u8 = 82;
    /// Client system architectures.
    pub const ARCH: u8 = 93;
    /// Client machine identifier: the SMBIOS UUID.
    pub const UUID: u8 = 97;
    /// iPXE's encapsulated options.
    pub const IPXE: u8 = 175;
    /// Filler.
    pub const PAD: u8 = 0;
    /// The last option.
    pub const END: u8 = 255;
}

/// Octets of a BOOTP header and the magic cookie; options begin here.
pub const HEADER: usize = 240;

/// Something odd about a packet that did not keep us from reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// An option reaches past the end of its area; it and what follows are not seen.
    Truncated {
        /// Its code.
        code: u8,
    },
    /// An area ends without END.
    NoEnd,
    /// Option 52 is not one octet of 1, 2 or 3; it is ignored.
    BadOverload,
    /// Option 93 is empty or of odd length; it counts as absent.
    BadArch,
    /// Option 93 says HTTP while the class says PXE, or the other way; the class wins.
    ArchAgainstClass {
        /// The code as sent.
        sent: u16,
        /// Its partner, by which we answer.
        used: u16,
    },
}

/// The options of one packet, parts of the same code joined (RFC 3396).
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    values: BTreeMap<u8, Cow<'a, [u8]>>,
    relay_info: Vec<u8>,
    notes: Vec<Note>,
}

impl<'a> Options<'a> {
    /// The value of an option; an option sent with no octets is `Some(&[])`.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.values.get(&code).map(AsRef::as_ref)
    }

    /// Every option, by code.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.values.iter().map(|(code, value)| (*code, &**value))
    }

    /// Option 82 exactly as sent, with code and length octets, to be echoed (RFC 3046 2.2).
    pub fn relay_info(&self) -> &[u8] {
        &self.relay_info
    }

    /// What was odd.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    fn area(&mut self, mut rest: &'a [u8], overloaded: bool) {
        loop {
            match rest {
                [] => {
                    self.notes.push(Note::NoEnd);
                    return;
                }
                [code::END, ..] => return,
                [code::PAD, tail @ ..] => rest = tail,
                [code, len, tail @ ..] if tail.len() >= usize::from(*len) => {
                    let (value, after) = tail.split_at(usize::from(*len));
                    // Overload is only read where it cannot send us in circles.
                    if !(overloaded && *code == code::OVERLOAD) {
                        self.add(*code, value);
                    }
                    if *code == code::RELAY_INFO {
                        let sent = rest.len() - after.len();
                        self.relay_info.extend_from_slice(&rest[..sent]);
                    }
                    rest = after;
                }
                [code, ..] => {
                    self.notes.push(Note::Truncated { code: *code });
                    return;
                }
            }
        }
    }

    fn add(&mut self, code: u8, value: &'a [u8]) {
        self.values
            .entry(code)
            .and_modify(|held| held.to_mut().extend_from_slice(value))
            .or_insert(Cow::Borrowed(value));
    }
}

/// Reads the options of a whole packet: the options area, then `file` and `sname` when option 52
/// says so (RFC 2131 4.1 in this order). Never fails: what cannot be read is noted and left out.
pub fn scan(packet: &[u8]) -> Options<'_> {
    let mut options = Options::default();
    let Some(area) = packet.get(HEADER..) else {
        return options;
    };
    options.area(area, false);
    let overload = match options.get(code::OVERLOAD) {
        None => 0,
        Some([bits @ 1..=3]) => *bits,
        Some(_) => {
            options.notes.push(Note::BadOverload);
            0
        }
    };
    if overload & 1 != 0 {
        options.area(&packet[108..236], true);
    }
    if overload & 2 != 0 {
        options.area(&packet[44..108], true);
    }
    options
}

/// Appends one option, in parts of 255 octets when it is longer (RFC 3396).
pub fn encode(code: u8, value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() {
        // dhcproto leaves such an option out altogether.
        out.extend([code, 0]);
    }
    for part in value.chunks(255) {
        let option = UnknownOption::new(OptionCode::from(code), part.to_vec());
        append(&DhcpOption::Unknown(option), out);
    }
}

/// Appends one option as dhcproto encodes it.
pub(crate) fn append(option: &DhcpOption, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    option
        .encode(&mut Encoder::new(&mut bytes))
        .expect("a growing buffer takes every option");
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn packet(options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet.extend_from_slice(options);
        packet
    }

    #[test]
    fn parts_of_one_option_are_joined_even_apart() {
        let packet = packet(b"\x3c\x03PXE\x0c\x01x\x3c\x06Client\xff");
        let options = scan(&packet);
        assert_eq!(options.get(60), Some(b"PXEClient".as_slice()));
        assert_eq!(options.get(12), Some(b"x".as_slice()));
        assert_eq!(options.notes(), []);
    }

    #[test]
    fn a_truncated_option_ends_the_walk_and_keeps_what_came_before() {
        for (options, code) in [
            (&b"\x35\x01\x01\x3c\x09PXE"[..], 60),
            (b"\x35\x01\x01\x61", 97),
        ] {
            let packet = packet(options);
            let options = scan(&packet);
            assert_eq!(options.get(53), Some([1].as_slice()));
            assert_eq!(options.notes(), [Note::Truncated { code }]);
        }
    }

    #[test]
    fn overloaded_fields_are_read_file_first_and_only_once() {
        let mut packet = packet(&[52, 1, 3, 12, 1, b'a', 255]);
        packet[108..117].copy_from_slice(&[12, 1, b'b', 52, 1, 3, 60, 0, 255]);
        packet[44..48].copy_from_slice(&[12, 1, b'c', 255]);
        let options = scan(&packet);
        assert_eq!(options.get(12), Some(b"abc".as_slice()));
        assert_eq!(options.get(60), Some([].as_slice()));
        assert_eq!(options.get(52), Some([3].as_slice()));
    }

    #[test]
    fn senseless_overload_is_noted() {
        for value in [&[][..], &[0], &[4], &[7], &[1, 1]] {
            let mut area = Vec::new();
            encode(52, value, &mut area);
            area.push(255);
            assert_eq!(
                scan(&packet(&area)).notes(),
                [Note::BadOverload],
                "{value:?}"
            );
        }
    }

    #[test]
    fn relay_information_is_kept_as_sent() {
        let packet = packet(&[82, 2, 1, 0, 12, 0, 82, 1, 9, 255]);
        assert_eq!(scan(&packet).relay_info(), [82, 2, 1, 0, 82, 1, 9]);
    }

    proptest! {
        #[test]
        fn scan_reads_back_what_encode_wrote(
            values in btree_map((1u8..=254).prop_filter("52 has a meaning", |c| *c != 52),
                                vec(any::<u8>(), 0..600), 0..20),
            pads in 0usize..50,
        ) {
            let mut area = vec![0; pads];
            for (code, value) in &values {
                encode(*code, value, &mut area);
            }
            area.push(255);
            let packet = packet(&area);
            let options = scan(&packet);
            let read: BTreeMap<u8, Vec<u8>> =
                options.iter().map(|(code, value)| (code, value.to_vec())).collect();
            prop_assert_eq!(read, values);
            prop_assert_eq!(options.notes(), []);
        }

        #[test]
        fn any_octets_are_handled(bytes in vec(any::<u8>(), 0..2000)) {
            let seen: usize = scan(&bytes).iter().map(|(_, value)| value.len()).sum();
            prop_assert!(seen <= bytes.len());
        }
    }
}
