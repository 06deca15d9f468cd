//! Option 43 as PXE uses it (protocol.md A.11): the values we send, and the one we read.

use crate::BootItem;
use std::net::Ipv4Addr;

/// Sub-option 71: which line of a boot menu a client chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemChoice {
    /// The item type.
    pub(crate) kind: u16,
    /// The layer; bit 15 asks for credentials.
    pub(crate) layer: u16,
}

impl ItemChoice {
    /// Finds sub-option 71; anything malformed counts as absent.
    pub(crate) fn find(vendor: &[u8]) -> Option<ItemChoice> {
        let mut rest = vendor;
        loop {
            match rest {
                [PAD, tail @ ..] => rest = tail,
                [] | [END, ..] => return None,
                [BOOT_ITEM, 4, a, b, c, d, ..] => {
                    return Some(ItemChoice {
                        kind: u16::from_be_bytes([*a, *b]),
                        layer: u16::from_be_bytes([*c, *d]),
                    });
                }
                [_, len, tail @ ..] => rest = tail.get(usize::from(*len)..)?,
                [_] => return None,
            }
        }
    }

    /// The same choice, repeated: iPXE drops an acknowledgement without it.
    pub(crate) fn echo(self) -> [u8; 7] {
        let [a, b] = self.kind.to_be_bytes();
        let [c, d] = self.layer.to_be_bytes();
        [BOOT_ITEM, 4, a, b, c, d, END]
    }
}

/// "Just boot the file", with a harmless prompt as dnsmasq sends it: some BIOS ROMs want one.
pub(crate) const DIRECT_BIOS: &[u8] = b"\x06\x01\x08\x0a\x04\0PXE\xff";

/// "Just boot the file" for UEFI (seen booting, protocol.md A.12 packet 2).
pub(crate) const DIRECT_EFI: &[u8] = b"\x06\x01\x08\xff";

/// The text Raspberry Pi 4 and 5 look for.
pub(crate) const RASPBERRY_PI: &[u8] =
    b"\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff";

/// The same for the ROM of the Pi 3, which wants three trailing blanks.
pub(crate) const RASPBERRY_PI_3: &[u8] =
    b"\x06\x01\x03\x0a\x04\0PXE\x09\x17\0\0\x14Raspberry Pi Boot   \xff";

/// A firmware menu: discovery by unicast to ourselves only, the items in order, first item at
/// once when nobody presses a key. Items that no longer fit the 255 octets are left out.
pub(crate) fn menu(items: &[BootItem], server: Ipv4Addr) -> Vec<u8> {
    let mut servers = Vec::new();
    let mut lines = Vec::new();
    for item in items {
        let title: Vec<u8> = item
            .title
            .bytes()
            .filter(|c| matches!(c, b' '..=b'~'))
            .take(64)
            .collect();
        let fits = servers.len() + lines.len() + title.len() + 10 <= MENU_ROOM;
        if !fits {
            break;
        }
        servers.extend(item.kind.to_be_bytes());
        servers.push(1);
        servers.extend(server.octets());
        lines.extend(item.kind.to_be_bytes());
        lines.push(title.len() as u8);
        lines.extend(title);
    }
    let mut out = vec![DISCOVERY_CONTROL, 1, 3];
    out.extend([BOOT_SERVERS, servers.len() as u8]);
    out.extend(servers);
    out.extend([BOOT_MENU, lines.len() as u8]);
    out.extend(lines);
    out.extend([PROMPT, 4, 0]);
    out.extend(b"PXE");
    out.push(END);
    out
}

const PAD: u8 = 0;
const DISCOVERY_CONTROL: u8 = 6;
const BOOT_SERVERS: u8 = 8;
const BOOT_MENU: u8 = 9;
const PROMPT: u8 = 10;
const BOOT_ITEM: u8 = 71;
const END: u8 = 255;
/// 255 octets of option 43 less control (3), two heads (4), prompt (6) and END (1).
const MENU_ROOM: usize = 255 - 14;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(kind: u16, title: &str) -> BootItem {
        BootItem {
            kind,
            title: title.to_owned(),
            file: String::new(),
        }
    }

    #[test]
    fn a_one_item_menu_has_the_octets_seen_working() {
        // protocol.md A.11, accepted by EDK2 and iPXE.
        let bytes = menu(&[item(0x8000, "netboot1")], Ipv4Addr::new(192, 168, 77, 2));
        let expected = b"\x06\x01\x03\x08\x07\x80\0\x01\xc0\xa8\x4d\x02\x09\x0b\x80\0\x08netboot1\x0a\x04\0PXE\xff";
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), 0x20);
    }

    #[test]
    fn the_raspberry_blocks_have_the_lengths_of_the_brief() {
        assert_eq!(RASPBERRY_PI.len(), 0x20);
        assert_eq!(RASPBERRY_PI_3.len(), 0x23);
        assert_eq!(DIRECT_BIOS.len(), 0x0a);
    }

    #[test]
    fn sub_option_71_is_found_behind_others() {
        let found = Some(ItemChoice {
            kind: 0x8000,
            layer: 1,
        });
        assert_eq!(ItemChoice::find(b"\x47\x04\x80\0\0\x01\xff"), found);
        assert_eq!(
            ItemChoice::find(b"\0\x06\x01\x08\x47\x04\x80\0\0\x01"),
            found
        );
        for bad in [
            &b""[..],
            b"\xff\x47\x04\x80\0\0\x01",
            b"\x47",
            b"\x47\x04\x80",
            b"\x47\x03\x80\0\0",
            b"\x06\xff\x08",
        ] {
            assert_eq!(ItemChoice::find(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_choice_reads_back(kind: u16, layer: u16) {
            let choice = ItemChoice { kind, layer };
            prop_assert_eq!(ItemChoice::find(&choice.echo()), Some(choice));
        }

        #[test]
        fn a_menu_always_fits_one_option(titles in proptest::collection::vec(".{0,80}", 0..40)) {
            let items: Vec<BootItem> = titles.iter().map(|t| item(0x8000, t)).collect();
            let bytes = menu(&items, Ipv4Addr::LOCALHOST);
            prop_assert!(bytes.len() <= 255);
            prop_assert_eq!(bytes.last(), Some(&END));
        }

        #[test]
        fn any_octets_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ItemChoice::find(&bytes);
        }
    }
}
