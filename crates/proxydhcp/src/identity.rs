//! Who is asking: class, architecture, iPXE or firmware, Raspberry Pi (protocol.md A.4, A.5,
//! A.9, A.13 and B).

use crate::options::{Note, Options, code};
use bootplan::{Arch, BootClient, ClientClass, IpxeFeatures, MacAddr, Platform, Stage, SystemUuid};
use std::net::Ipv4Addr;

/// The class family of option 60: prefix, case-sensitive. iPXE boot-server requests and
/// chain-loaded builds send the bare nine octets, so `:Arch:` is not demanded.
pub(crate) fn class(options: &Options<'_>) -> Option<ClientClass> {
    let value = options.get(code::CLASS)?;
    if value.starts_with(PXE_CLASS) {
        Some(ClientClass::Pxe)
    } else if value.starts_with(HTTP_CLASS) {
        Some(ClientClass::Http)
    } else {
        None
    }
}

/// The class text we answer with: bare, of the family that asked.
pub(crate) fn class_text(class: ClientClass) -> &'static [u8] {
    match class {
        ClientClass::Pxe => PXE_CLASS,
        ClientClass::Http => HTTP_CLASS,
    }
}

/// Puts together what the packet claims.
pub(crate) fn client(
    mac: MacAddr,
    class: ClientClass,
    relay: Option<Ipv4Addr>,
    options: &Options<'_>,
    notes: &mut Vec<Note>,
) -> BootClient {
    let (arch, used) = architecture(class, options, notes);
    let ipxe = ipxe(options);
    let stage = match ipxe {
        Some(_) => Stage::Ipxe,
        None => Stage::Firmware,
    };
    let pi = stage == Stage::Firmware
        && class == ClientClass::Pxe
        && is_raspberry_pi(mac, used, options.get(code::UUID));
    BootClient {
        mac,
        uuid: options.get(code::UUID).and_then(SystemUuid::from_option97),
        arch: Some(arch),
        platform: if pi {
            Some(Platform::RaspberryPi)
        } else {
            used.platform()
        },
        stage,
        class,
        ipxe,
        relay,
        circuit: None,
        place: None,
    }
}

/// The ROM of a Pi 3 (or 2), which wants its own option 43 text: by OUI or by its UUID of
/// sixteen 0x44, unless option 97 names a later model.
pub(crate) fn is_pi_3(mac: MacAddr, uuid: Option<&[u8]>) -> bool {
    let uuid = uuid.unwrap_or_default();
    let old_uuid = uuid.len() == 17 && uuid[1..].iter().all(|b| *b == 0x44);
    !names_pi_model(uuid) && (old_uuid || mac.0.starts_with(&PI_3_OUI))
}

/// The code as sent (of a list: the first one we know) and the code we answer by.
fn architecture(class: ClientClass, options: &Options<'_>, notes: &mut Vec<Note>) -> (Arch, Arch) {
    let listed = options.get(code::ARCH).and_then(|raw| {
        let well_formed = raw.len() >= 2 && raw.len() % 2 == 0;
        if !well_formed {
            notes.push(Note::BadArch);
        }
        well_formed.then_some(raw)
    });
    let sent = match listed {
        Some(raw) => {
            let codes = raw
                .chunks_exact(2)
                .map(|c| Arch(u16::from_be_bytes([c[0], c[1]])));
            let known = codes
                .clone()
                .find(|a| for_class(*a, class).platform().is_some());
            known.or_else(|| codes.clone().next()).unwrap_or(Arch(0))
        }
        // Without 93: what option 60 spells, else a BIOS (protocol.md A.4).
        None => class_digits(options).unwrap_or(Arch(0)),
    };
    let used = for_class(sent, class);
    if used != sent {
        notes.push(Note::ArchAgainstClass {
            sent: sent.0,
            used: used.0,
        });
    }
    (sent, used)
}

/// When class and code disagree the class wins and the code becomes its partner.
fn for_class(arch: Arch, class: ClientClass) -> Arch {
    let code = HTTP_PARTNERS.iter().find_map(|(http, pxe)| match class {
        ClientClass::Pxe => (arch.0 == *http).then_some(*pxe),
        ClientClass::Http => (arch.0 == *pxe).then_some(*http),
    });
    code.map_or(arch, Arch)
}

/// The five digits of `PXEClient:Arch:00007:…`.
fn class_digits(options: &Options<'_>) -> Option<Arch> {
    let value = options.get(code::CLASS)?;
    let at = value.windows(6).position(|w| w == b":Arch:")? + 6;
    let digits = value.get(at..at + 5)?;
    let text = std::str::from_utf8(digits).ok()?;
    let plain = digits.iter().all(u8::is_ascii_digit);
    if plain {
        text.parse().ok().map(Arch)
    } else {
        None
    }
}

/// iPXE by user class (raw as iPXE sends it, or length-prefixed as RFC 3004 wants) or by option
/// 175, which builds with a user class of their own still send.
fn ipxe(options: &Options<'_>) -> Option<IpxeFeatures> {
    let user_class = options.get(code::USER_CLASS).unwrap_or_default();
    let features = options.get(code::IPXE);
    let known = user_class == b"iPXE" || prefixed(user_class).any(|c| c == b"iPXE");
    if !known && features.is_none() {
        return None;
    }
    let mut found = IpxeFeatures::default();
    let mut rest = features.unwrap_or_default();
    loop {
        match rest {
            [0, tail @ ..] => rest = tail,
            [] | [255, ..] | [_] => return Some(found),
            [tag, len, tail @ ..] => {
                let Some(after) = tail.get(usize::from(*len)..) else {
                    return Some(found);
                };
                match tag {
                    19 => found.http = true,
                    24 => found.bzimage = true,
                    36 => found.efi = true,
                    _ => {}
                }
                rest = after;
            }
        }
    }
}

/// The user classes of RFC 3004: each with a length octet. Stops where the lengths do not fit.
fn prefixed(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, tail) = rest.split_first()?;
        let (value, after) = tail.split_at_checked(usize::from(*len))?;
        rest = after;
        Some(value)
    })
}

/// A Pi announces "x86 BIOS"; UEFI firmware on a Pi announces ARM64 and is no case for this.
fn is_raspberry_pi(mac: MacAddr, arch: Arch, uuid: Option<&[u8]>) -> bool {
    let oui = || PI_OUIS.iter().any(|oui| mac.0.starts_with(oui));
    match arch.0 {
        41 => true,
        0 => oui() || names_pi_model(uuid.unwrap_or_default()),
        _ => false,
    }
}

/// Option 97 with `RPi4` or `RPi5` where others have their UUID.
fn names_pi_model(uuid: &[u8]) -> bool {
    matches!(uuid, [0, b'R', b'P', b'i', b'4' | b'5', ..])
}

const PXE_CLASS: &[u8] = b"PXEClient";
const HTTP_CLASS: &[u8] = b"HTTPClient";

/// HTTP Boot codes and their PXE partners (IANA registry; protocol.md B rule 3).
const HTTP_PARTNERS: [(u16, u16); 13] = [
    (15, 6),
    (16, 7),
    (17, 9),
    (18, 10),
    (19, 11),
    (20, 0),
    (23, 21),
    (24, 22),
    (26, 25),
    (28, 27),
    (30, 29),
    (38, 37),
    (40, 39),
];

/// Address blocks of Raspberry Pi boards.
const PI_OUIS: [[u8; 3]; 7] = [
    PI_3_OUI,
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
    [0x28, 0xcd, 0xc1],
    [0xd8, 0x3a, 0xdd],
    [0x2c, 0xcf, 0x67],
    [0x88, 0xa2, 0x9e],
];
/// The only block of boards before the Pi 4.
const PI_3_OUI: [u8; 3] = [0xb8, 0x27, 0xeb];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{HEADER, encode, scan};

    fn claim(mac: [u8; 6], values: &[(u8, &[u8])]) -> (Option<BootClient>, Vec<Note>) {
        let mut packet = vec![0; HEADER];
        for (code, value) in values {
            encode(*code, value, &mut packet);
        }
        packet.push(255);
        let options = scan(&packet);
        let mut notes = Vec::new();
        let found = class(&options).map(|c| client(MacAddr(mac), c, None, &options, &mut notes));
        (found, notes)
    }

    fn platform(values: &[(u8, &[u8])]) -> Option<Platform> {
        let (client, _) = claim([0x52, 0x54, 0, 1, 2, 3], values);
        client.expect("a class").platform
    }

    #[test]
    fn only_the_two_families_are_network_boot_clients() {
        for (value, expected) in [
            (&b"PXEClient"[..], Some(ClientClass::Pxe)),
            (b"PXEClient:Arch:00000:UNDI:002001", Some(ClientClass::Pxe)),
            (b"HTTPClient", Some(ClientClass::Http)),
            (b"", None),
            (b"PXEClien", None),
            (b"pxeclient", None),
            (b"U-Boot.armv8", None),
            (b"AAPLBSDPC/i386/x", None),
            (&[0xff; 255], None),
        ] {
            let (client, _) = claim([2; 6], &[(60, value)]);
            assert_eq!(client.map(|c| c.class), expected, "{value:?}");
        }
    }

    #[test]
    fn the_architecture_list_is_read_in_preference_order() {
        let pxe: (u8, &[u8]) = (60, b"PXEClient:Arch:00007:UNDI:003000");
        for (arch, expected) in [
            (&[0u8, 7][..], Some(Platform::EfiX64)),
            (&[0, 0x2a, 0, 11, 0, 7], Some(Platform::EfiArm64)),
            (&[0, 6, 0, 7], Some(Platform::EfiIa32)),
            (&[0, 0], Some(Platform::Bios)),
            (&[0, 0x2a], None),
            (&[7, 0], None),
            // A bad length counts as absent: option 60 is asked instead.
            (&[], Some(Platform::EfiX64)),
            (&[0], Some(Platform::EfiX64)),
            (&[0, 0, 0], Some(Platform::EfiX64)),
        ] {
            assert_eq!(platform(&[pxe, (93, arch)]), expected, "{arch:?}");
        }
        assert_eq!(platform(&[pxe]), Some(Platform::EfiX64));
        assert_eq!(platform(&[(60, b"PXEClient")]), Some(Platform::Bios));
        assert_eq!(
            platform(&[(60, b"PXEClient:Arch:0000x:")]),
            Some(Platform::Bios)
        );
    }

    #[test]
    fn the_class_beats_the_code_and_that_is_noted() {
        let (client, notes) = claim([2; 6], &[(60, b"PXEClient"), (93, &[0, 16])]);
        assert_eq!(client.expect("a class").platform, Some(Platform::EfiX64));
        assert_eq!(notes, [Note::ArchAgainstClass { sent: 16, used: 7 }]);
        let (client, notes) = claim([2; 6], &[(60, b"HTTPClient"), (93, &[0, 11])]);
        assert_eq!(client.expect("a class").platform, Some(Platform::EfiArm64));
        assert_eq!(notes, [Note::ArchAgainstClass { sent: 11, used: 19 }]);
    }

    #[test]
    fn ipxe_is_known_by_user_class_or_by_its_own_option() {
        type Case = (&'static [(u8, &'static [u8])], Option<IpxeFeatures>);
        let cases: [Case; 9] = [
            (&[], None),
            (&[(77, b"iPXE")], Some(IpxeFeatures::default())),
            (&[(77, b"\x04iPXE")], Some(IpxeFeatures::default())),
            (&[(77, b"\x03foo\x04iPXE")], Some(IpxeFeatures::default())),
            (&[(77, b"\x09iPXE")], None),
            (&[(77, b"gPXE")], None),
            (&[(175, &[])], Some(IpxeFeatures::default())),
            (
                &[(175, &[19, 1, 1, 24, 1, 1, 36, 1, 1])],
                Some(IpxeFeatures {
                    http: true,
                    bzimage: true,
                    efi: true,
                }),
            ),
            // A TLV past the end: what came before counts.
            (
                &[(77, b"iPXE"), (175, &[0xb1, 1, 1, 19, 1, 1, 24, 9, 1])],
                Some(IpxeFeatures {
                    http: true,
                    ..IpxeFeatures::default()
                }),
            ),
        ];
        for (extra, expected) in cases {
            let mut values: Vec<(u8, &[u8])> = vec![(60, b"PXEClient"), (93, &[0, 7])];
            values.extend(extra);
            let (client, _) = claim([2; 6], &values);
            assert_eq!(client.expect("a class").ipxe, expected, "{extra:?}");
        }
    }

    #[test]
    fn a_raspberry_pi_is_never_taken_for_a_pc() {
        let pi4 = [0xdc, 0xa6, 0x32, 1, 2, 3];
        let pi3 = [0xb8, 0x27, 0xeb, 1, 2, 3];
        let other = [0x52, 0x54, 0, 1, 2, 3];
        let rpi5 = b"\0RPi5xxxxxxxxxxxx";
        let cases: [([u8; 6], u8, &[u8], Platform); 6] = [
            (pi4, 0, &[], Platform::RaspberryPi),
            (pi3, 0, &[], Platform::RaspberryPi),
            (other, 0, rpi5, Platform::RaspberryPi),
            (other, 41, &[], Platform::RaspberryPi),
            (other, 0, &[], Platform::Bios),
            // EDK2 on a Pi 4 is an ordinary ARM64 machine.
            (pi4, 11, &[], Platform::EfiArm64),
        ];
        for (mac, arch, uuid, expected) in cases {
            let values: [(u8, &[u8]); 3] = [(60, b"PXEClient"), (93, &[0, arch]), (97, uuid)];
            let (client, _) = claim(mac, &values);
            assert_eq!(
                client.expect("a class").platform,
                Some(expected),
                "{mac:02x?}"
            );
        }
        let mut old = [0x44; 17];
        old[0] = 0;
        assert!(is_pi_3(MacAddr(pi3), None));
        assert!(is_pi_3(MacAddr(other), Some(&old)));
        assert!(!is_pi_3(MacAddr(pi4), None));
        assert!(!is_pi_3(MacAddr(pi3), Some(rpi5)));
    }
}
