//! DHCP options as raw octets: a scan that survives anything, and the encoding of one option.
//!
//! No library's decoder: dhcproto's stops silently at the first option it dislikes, so one host
//! name that is not UTF-8 would hide a PXE client (protocol.md I.1, vector H28).

use std::borrow::Cow;

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

/// The options of one packet, parts of the same code joined (RFC 3396). Borrows from the packet:
/// of a packet without oddities (split options, more than [`INLINE`] of them) nothing is copied.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    first: [(u8, Cow<'a, [u8]>); INLINE],
    more: Vec<(u8, Cow<'a, [u8]>)>,
    /// How many there are.
    count: usize,
    /// By code, which one it is, counted from 1; 0 is not there. A packet of tens of thousands of
    /// options must not cost a search for each.
    places: [u8; 256],
    relay_info: Cow<'a, [u8]>,
    notes: Vec<Note>,
}

impl<'a> Options<'a> {
    fn none() -> Options<'a> {
        Options {
            first: [const { (code::PAD, Cow::Borrowed(&[])) }; INLINE],
            more: Vec::new(),
            count: 0,
            places: [0; 256],
            relay_info: Cow::Borrowed(&[]),
            notes: Vec::new(),
        }
    }

    /// The value of an option; an option sent with no octets is `Some(&[])`.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.find(code).map(AsRef::as_ref)
    }

    /// The same, to be kept as long as the packet.
    pub(crate) fn keep(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        self.find(code).cloned()
    }

    fn find(&self, code: u8) -> Option<&Cow<'a, [u8]>> {
        let place = usize::from(self.places[usize::from(code)]).checked_sub(1)?;
        let held = self.first.get(place);
        held.or_else(|| self.more.get(place - INLINE))
            .map(|(_, value)| value)
    }

    /// Every option, in the order of their first parts.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let held = self.first.iter().chain(&self.more).take(self.count);
        held.map(|(code, value)| (*code, &**value))
    }

    /// Option 82 exactly as sent, with code and length octets, to be echoed (RFC 3046 2.2).
    pub fn relay_info(&self) -> &Cow<'a, [u8]> {
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
                        join(&mut self.relay_info, &rest[..sent]);
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
        let place = &mut self.places[usize::from(code)];
        match usize::from(*place).checked_sub(1) {
            Some(held) if held < INLINE => join(&mut self.first[held].1, value),
            Some(held) => join(&mut self.more[held - INLINE].1, value),
            None => {
                let found = (code, Cow::Borrowed(value));
                match self.first.get_mut(self.count) {
                    Some(free) => *free = found,
                    None => self.more.push(found),
                }
                self.count += 1;
                // There are fewer codes than this can count: 0 and 255 are no options.
                *place = self.count as u8;
            }
        }
    }
}

/// Appends a further part; the first one alone is not copied.
fn join<'a>(held: &mut Cow<'a, [u8]>, part: &'a [u8]) {
    match held.is_empty() {
        true => *held = Cow::Borrowed(part),
        false => held.to_mut().extend_from_slice(part),
    }
}

/// Reads the options of a whole packet: the options area, then `file` and `sname` when option 52
/// says so (RFC 2131 4.1 in this order). Never fails: what cannot be read is noted and left out.
pub fn scan(packet: &[u8]) -> Options<'_> {
    let mut options = Options::none();
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
        out.extend([code, 0]);
    }
    for part in value.chunks(255) {
        out.extend([code, part.len() as u8]);
        out.extend_from_slice(part);
    }
}

/// Octets that [`encode`] appends for a value of this length.
pub(crate) fn encoded_length(value: usize) -> usize {
    value + 2 * value.div_ceil(255).max(1)
}

/// Options that are kept without a heap: EDK2 sends 9, iPXE 20.
const INLINE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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
        assert_eq!(scan(&packet).relay_info()[..], [82, 2, 1, 0, 82, 1, 9]);
    }

    proptest! {
        #[test]
        fn scan_reads_back_what_encode_wrote(
            values in btree_map((1u8..=254).prop_filter("52 has a meaning", |c| *c != 52),
                                vec(any::<u8>(), 0..600), 0..60),
            pads in 0usize..50,
        ) {
            let mut area = vec![0; pads];
            for (code, value) in &values {
                let before = area.len();
                encode(*code, value, &mut area);
                prop_assert_eq!(area.len() - before, encoded_length(value.len()));
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
