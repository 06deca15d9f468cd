//! Inputs that must never crash, hang or be sent on to somebody (protocol.md G.4, R12 to R14,
//! R17), and the properties behind them.

mod common;

use bootplan::EfiStyle;
use common::{Verdict, broadcast, endpoint, serve, unicast};
use proptest::collection::vec;
use proptest::prelude::*;
use proxydhcp::{Answer, BootItem, Port, Received, overhear, parse, respond};
use std::net::{Ipv4Addr, SocketAddrV4};
use testkit::hex::octets;
use testkit::packet::{LEASE, Packet, SERVER, SITE};
use testkit::site::std_catalog;

/// What a datagram comes to: the file offered, or the reason for silence.
fn outcome(received: &Received<'_>) -> String {
    match serve(received, &std_catalog()) {
        Verdict::Ignored(why) => why.slug().to_owned(),
        Verdict::NoBoot => "no boot".to_owned(),
        Verdict::Reply(reply) => {
            let file = &reply.bytes[108..236];
            let end = file.iter().position(|b| *b == 0).unwrap_or(file.len());
            format!("offers {}", String::from_utf8_lossy(&file[..end]))
        }
    }
}

fn on_67(bytes: &[u8]) -> String {
    outcome(&broadcast(bytes, SERVER))
}

/// D0 with its options area replaced.
fn raw(options: &[u8]) -> Vec<u8> {
    let mut packet = Packet::d0();
    packet.options.clear();
    let mut bytes = packet.encode();
    bytes.truncate(240);
    bytes.extend(options);
    bytes
}

/// D0 with one octet of its header changed.
fn poked(at: usize, value: u8) -> Vec<u8> {
    let mut bytes = Packet::d0().encode();
    bytes[at] = value;
    bytes
}

#[test]
fn packets_that_are_no_dhcp_request() {
    let d0 = Packet::d0().encode();
    for length in [0, 1, 43, 235, 236, 239] {
        assert_eq!(on_67(&d0[..length]), "too-short", "{length}");
    }
    assert_eq!(on_67(&d0[..240]), "no-message-type");
    assert_eq!(on_67(&[0; 65507]), "not-a-request");
    // The load-balancer probe that crashed Windows Deployment Services (KB3073881).
    assert_eq!(on_67(b"default send string"), "too-short");
    for op in [0, 2, 0x64, 255] {
        assert_eq!(on_67(&poked(0, op)), "not-a-request");
    }
    assert_eq!(on_67(&poked(239, 0x64)), "cookie");
}

#[test]
fn hardware_addresses_of_any_shape() {
    for hlen in [0, 5, 7, 16, 17, 255] {
        assert_eq!(on_67(&poked(2, hlen)), "hardware", "{hlen}");
    }
    for htype in [0, 6, 32, 255] {
        assert_eq!(on_67(&poked(1, htype)), "offers snponly.efi", "{htype}");
    }
    assert_eq!(on_67(&poked(3, 16)), "offers snponly.efi");
    assert_eq!(on_67(&poked(3, 17)), "hops");
    assert_eq!(on_67(&poked(3, 255)), "hops");
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let packet = Packet {
            mac,
            ..Packet::d0()
        };
        assert_eq!(on_67(&packet.encode()), "hardware-address", "{mac:02x?}");
    }
}

#[test]
fn options_of_any_length() {
    let offered = "offers snponly.efi";
    let table: &[(u8, &[u8], &str)] = &[
        (53, &[], "no-message-type"),
        (53, &[1, 1], "no-message-type"),
        (53, &[0], "message-type"),
        (53, &[18], "message-type"),
        (53, &[255], "message-type"),
        (60, &[], "not-network-boot"),
        (60, b"PXEClien", "not-network-boot"),
        (60, b"PXEClient", offered),
        (60, b"PXEClient\x1b[2J\r\n\0\xff", offered),
        (60, &[0x41; 255], "not-network-boot"),
        (93, &[], offered),
        (93, &[0], offered),
        (93, &[0, 7, 0], offered),
        (93, &[0; 64], "offers undionly.kpxe"),
        (93, &[0xff; 254], "no boot"),
        (94, &[], offered),
        (94, &[1, 3], offered),
        (94, &[0; 255], offered),
        (97, &[], offered),
        (97, &[0], offered),
        (97, &[0; 16], offered),
        (97, &[9; 17], offered),
        (97, &[0; 18], offered),
        (97, &[0; 255], offered),
        (77, b"\xffiPXE", offered),
        (55, &[], offered),
        (55, &[1; 255], offered),
        (57, &[], offered),
        (57, &[0], offered),
        (57, &[0, 0], offered),
        (57, &[0, 1], offered),
        (57, &[2, 0x3f], offered),
        (57, &[0xff, 0xff], offered),
        (61, &[], offered),
        (61, &[0; 255], offered),
        (50, &[1], offered),
        (54, &[1, 2, 3], offered),
        (43, b"\x47\xff\x80", offered),
        (43, &[6; 255], offered),
        (43, &[255; 255], offered),
        (82, b"\x01\xff\0", offered),
        (175, b"\x13\xff", "offers boot.ipxe"),
        (12, b"\xff\xfe\0\n", offered),
    ];
    for (code, value, expected) in table {
        let packet = Packet::d0().with(*code, value).encode();
        assert_eq!(on_67(&packet), *expected, "option {code} of {value:02x?}");
    }
}

#[test]
fn option_areas_of_any_shape() {
    let class = octets("350101 3c09505845436c69656e74");
    let bios = "offers undionly.kpxe";
    let with = |tail: &[u8]| on_67(&raw(&[&class, tail].concat()));
    assert_eq!(with(&[0; 200]), bios, "no END");
    assert_eq!(with(&[&[0; 1000][..], &[255]].concat()), bios, "1000 pads");
    assert_eq!(with(&[[12, 1, b'x']; 400].concat()), bios, "400 host names");
    assert_eq!(with(&[[0u8; 60], [12u8; 60]].concat()), bios, "overrun");
    assert_eq!(with(&[93]), bios, "a code as the last octet");
    for bits in [1, 2, 3, 7] {
        let mut bytes = raw(&[&class[..], &[52, 1, bits], &[0; 60]].concat());
        bytes[44..236].fill(255);
        assert_eq!(on_67(&bytes), bios, "overload {bits} over a field of ENDs");
        bytes[44..236].copy_from_slice(&[52, 1, 3].repeat(64));
        assert_eq!(on_67(&bytes), bios, "overload {bits} over itself");
    }
    // The class only in the overloaded field, the type only in the other.
    let mut bytes = raw(&[&[52, 1, 3, 255][..], &[0; 60]].concat());
    bytes[108..120].copy_from_slice(&octets("3c09505845436c69656e74 ff"));
    bytes[44..48].copy_from_slice(&[53, 1, 1, 255]);
    assert_eq!(on_67(&bytes), bios);
}

#[test]
fn nothing_is_sent_to_addresses_and_ports_that_are_no_clients() {
    let senseless = [
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(0, 0, 0, 1),
        SERVER,
    ];
    for address in senseless {
        let relayed = Packet {
            giaddr: address,
            ..Packet::d0()
        };
        assert_eq!(on_67(&relayed.encode()), "address", "giaddr {address}");
        let packet = Packet {
            ciaddr: address,
            ..Packet::r0()
        }
        .encode();
        let from = SocketAddrV4::new(LEASE, 68);
        assert_eq!(
            outcome(&unicast(&packet, from, SERVER)),
            "address",
            "ciaddr {address}"
        );
    }
    for address in &senseless[..3] {
        let packet = Packet::r0().encode();
        let from = SocketAddrV4::new(*address, 68);
        assert_eq!(
            outcome(&unicast(&packet, from, SERVER)),
            "address",
            "source {address}"
        );
    }
    let packet = Packet::r0().encode();
    for port in [0, 7, 19, 53, 69, 1023, 1024] {
        let from = SocketAddrV4::new(LEASE, port);
        assert_eq!(
            outcome(&unicast(&packet, from, SERVER)),
            "source-port",
            "{port}"
        );
    }
    for port in [67, 68, 1025, 4011] {
        let from = SocketAddrV4::new(LEASE, port);
        assert_eq!(
            outcome(&unicast(&packet, from, SERVER)),
            "offers snponly.efi",
            "{port}"
        );
        let own = SocketAddrV4::new(SERVER, port);
        assert_eq!(outcome(&unicast(&packet, own, SERVER)), "own-packet");
    }
}

#[test]
fn a_forged_ciaddr_gets_no_discovery_answer() {
    let mut packet = Packet::r0().with(43, &octets("4704 8000 0000 ff"));
    packet.flags = 0x8000;
    let bytes = packet.encode();
    let sent_from = |from: Ipv4Addr| Received {
        from: SocketAddrV4::new(from, 68),
        ..broadcast(&bytes, SERVER)
    };
    let answer = menu_answer();
    let reply = |from| {
        let request = parse(&sent_from(from)).expect("a boot-server discovery");
        respond(&request, &answer, &endpoint(SERVER))
    };
    let honest = reply(LEASE).expect("answered");
    assert_eq!(honest.to, SocketAddrV4::new(LEASE, 68));
    assert_eq!(honest.from_port, Port::Dhcp);
    let forged = reply(Ipv4Addr::new(192, 168, 77, 99)).expect_err("refused");
    assert_eq!(forged.slug(), "address");
    let unknown = reply(Ipv4Addr::UNSPECIFIED).expect("answered");
    assert_eq!(unknown.to, SocketAddrV4::new(Ipv4Addr::BROADCAST, 68));
}

#[test]
fn messages_of_ordinary_clients_are_never_answered() {
    for kind in 2..=18 {
        let packet = Packet::d0().with(53, &[kind]).encode();
        let expected = if kind == 3 {
            "lease-request"
        } else {
            "message-type"
        };
        assert_eq!(on_67(&packet), expected, "type {kind}");
        if !matches!(kind, 3 | 8) {
            let from = SocketAddrV4::new(LEASE, 68);
            assert_eq!(outcome(&unicast(&packet, from, SERVER)), "message-type");
        }
    }
    for class in [
        &b"udhcp 1.36"[..],
        b"d-i",
        b"U-Boot.armv8",
        b"AAPLBSDPC/i386/x",
        b"android-dhcp-14",
    ] {
        assert_eq!(
            on_67(&Packet::d0().with(60, class).encode()),
            "not-network-boot"
        );
    }
    let to_another = Packet::d0().with(54, &SITE.octets()).encode();
    assert_eq!(on_67(&to_another), "other-server");
}

#[test]
fn items_that_are_not_offered_or_want_credentials_are_left_to_others() {
    let ask = |choice: &str| {
        let packet = Packet::r0().with(43, &octets(choice)).encode();
        let from = SocketAddrV4::new(LEASE, 68);
        let request = parse(&unicast(&packet, from, SERVER)).expect("ours");
        respond(&request, &menu_answer(), &endpoint(SERVER)).map_err(|why| why.slug())
    };
    assert!(ask("4704 8000 0000 ff").is_ok());
    assert_eq!(ask("4704 8001 0000 ff"), Err("unknown-item"));
    assert_eq!(ask("4704 8000 8000 ff"), Err("unknown-item"));
}

#[test]
fn a_short_forged_request_is_not_turned_into_a_larger_packet() {
    let short = raw(&octets("350101 3c09505845436c69656e74 ff"));
    assert!(short.len() < 300);
    let request = parse(&broadcast(&short, SERVER)).expect("ours");
    let answer = |file: &str| Answer {
        file: file.to_owned(),
        items: Vec::new(),
        ..menu_answer()
    };
    let reply = |file: &str| respond(&request, &answer(file), &endpoint(SERVER));
    assert_eq!(reply("a").map(|r| r.bytes.len()), Ok(300));
    let long = reply(&"a".repeat(200)).expect_err("refused");
    assert_eq!(long.slug(), "amplifies");
}

#[test]
fn names_and_sizes_that_fit_nowhere_are_refused() {
    let packet = Packet::d0()
        .with(57, &576u16.to_be_bytes())
        .with(82, &[7; 200]);
    let bytes = packet.encode();
    let request = parse(&broadcast(&bytes, SERVER)).expect("ours");
    let reply = |file: String| {
        let answer = Answer {
            file,
            items: Vec::new(),
            ..menu_answer()
        };
        respond(&request, &answer, &endpoint(SERVER)).map_err(|why| why.slug())
    };
    assert!(reply("a".repeat(127)).is_ok());
    assert_eq!(reply("a".repeat(200)), Err("too-long"));
    assert_eq!(reply("a".repeat(255)), Err("boot-file-name"));
    assert_eq!(reply("a\0b".to_owned()), Err("boot-file-name"));
    assert_eq!(reply(String::new()), Err("no-boot-file"));
}

fn menu_answer() -> Answer {
    Answer {
        file: "snponly.efi".to_owned(),
        efi_style: EfiStyle::Direct,
        items: vec![BootItem {
            kind: 0x8000,
            title: "netboot1".to_owned(),
            file: "pxelinux.0".to_owned(),
        }],
        raspberry_pi: false,
    }
}

/// Everything that must hold for one datagram, whatever is in it.
fn holds(bytes: &[u8], from: SocketAddrV4, answer: &Answer) -> Result<(), TestCaseError> {
    let _ = overhear(bytes);
    for port in [Port::Dhcp, Port::BootServer] {
        let received = Received {
            bytes,
            from,
            to: SERVER,
            port,
            local: SERVER,
        };
        let Ok(request) = parse(&received) else {
            continue;
        };
        let Ok(reply) = respond(&request, answer, &endpoint(SERVER)) else {
            continue;
        };
        prop_assert!((300..=1472).contains(&reply.bytes.len()));
        prop_assert!(reply.bytes.len() <= bytes.len().max(300) || bytes.len() >= 300);
        prop_assert_eq!(reply.bytes[0], 2);
        prop_assert_eq!(&reply.bytes[4..8], &bytes[4..8], "xid");
        prop_assert_eq!(&reply.bytes[16..20], &[0; 4], "yiaddr");
        prop_assert_eq!(&reply.bytes[20..24], &SERVER.octets(), "siaddr");
        prop_assert_eq!(&reply.bytes[28..34], &bytes[28..34], "chaddr");
        prop_assert_eq!(reply.bytes[235], 0, "file ends with NUL");
        well_formed(&reply.bytes)?;
        let heard = overhear(&reply.bytes);
        prop_assert!(
            heard.is_some_and(|h| h.boots),
            "our own answers are recognised"
        );
        // Whoever sends our answer back to us, from wherever, gets nothing.
        for port in [Port::Dhcp, Port::BootServer] {
            let reflected = Received {
                bytes: &reply.bytes,
                port,
                ..received
            };
            prop_assert!(parse(&reflected).is_err());
        }
        prop_assert!(matches!(reply.to.port(), 67 | 68 | 1025..));
        prop_assert!(!reply.to.ip().is_loopback() && *reply.to.ip() != SERVER);
    }
    Ok(())
}

/// Options end with END, lengths fit, nothing but zeros follow, and no lease is in it (P3).
fn well_formed(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut at = 240;
    while bytes[at] != 255 {
        prop_assert!(!matches!(
            bytes[at],
            0 | 1 | 3 | 6 | 15 | 51 | 58 | 59 | 121
        ));
        at += 2 + usize::from(bytes[at + 1]);
        prop_assert!(at < bytes.len());
    }
    prop_assert!(bytes[at + 1..].iter().all(|b| *b == 0));
    Ok(())
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let file = prop_oneof![Just(String::new()), ".{0,300}", "[a-z/.]{1,120}"];
    let items = vec((any::<u16>(), ".{0,40}", "[a-z.]{0,20}"), 0..8);
    (file, any::<bool>(), items, any::<bool>()).prop_map(|(file, direct, items, raspberry_pi)| {
        let item = |(kind, title, file)| BootItem { kind, title, file };
        Answer {
            file,
            efi_style: if direct {
                EfiStyle::Direct
            } else {
                EfiStyle::Binl
            },
            items: items.into_iter().map(item).collect(),
            raspberry_pi,
        }
    })
}

fn any_source() -> impl Strategy<Value = SocketAddrV4> {
    let address = prop_oneof![
        Just(Ipv4Addr::UNSPECIFIED),
        Just(LEASE),
        Just(SERVER),
        any::<u32>().prop_map(Ipv4Addr::from),
    ];
    let port = prop_oneof![Just(67), Just(68), Just(4011), any::<u16>()];
    (address, port).prop_map(|(ip, port)| SocketAddrV4::new(ip, port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_octets(bytes in vec(any::<u8>(), 0..1500), from in any_source(), answer in any_answer()) {
        holds(&bytes, from, &answer)?;
    }

    #[test]
    fn any_options_behind_a_proper_header(
        options in vec((any::<u8>(), vec(any::<u8>(), 0..80)), 0..20),
        kind in 0u8..10, from in any_source(), answer in any_answer(), ciaddr: u32, giaddr: u32,
    ) {
        let mut packet = Packet::d0().with(53, &[kind]);
        packet.ciaddr = ciaddr.into();
        packet.giaddr = giaddr.into();
        packet.options.extend(options);
        holds(&packet.encode(), from, &answer)?;
    }

    #[test]
    fn d0_with_octets_changed_and_an_end_cut_off(
        changes in vec((0usize..319, any::<u8>()), 0..12),
        length in 0usize..=319, from in any_source(), answer in any_answer(),
    ) {
        for packet in [Packet::d0(), Packet::r0().with(43, &octets("470480000000ff"))] {
            let mut bytes = packet.encode();
            for (at, value) in &changes {
                bytes[*at] = *value;
            }
            // Mostly whole, so that most cases get as far as an answer.
            if length < 100 {
                bytes.truncate(319 - length);
            }
            holds(&bytes, from, &answer)?;
        }
    }
}
