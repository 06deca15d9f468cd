//! Vectors H1 to H30 of the protocol brief, octet for octet: what firmware in the field was seen
//! to accept. A failure here means "revert the change", not "update the test".

mod common;

use bootplan::{BootMethod, Catalog, EfiStyle, FileRef, Profile};
use common::{Verdict, broadcast, endpoint, serve, unicast};
use proxydhcp::{Answer, BootItem, Ignored, Port, Received, Reply, parse, respond};
use std::net::{Ipv4Addr, SocketAddrV4};
use testkit::hex::octets;
use testkit::packet::{LEASE, MAC, Packet, SERVER, SITE, UUID};
use testkit::site::{one_machine, std_catalog};

/// Our address on eth1.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);

/// A reply as the brief writes it: 300 octets of `S`, xid of D0, broadcast flag, bare class.
#[derive(Clone)]
struct Expected {
    kind: u8,
    xid: &'static str,
    flags: &'static str,
    ciaddr: Ipv4Addr,
    server: Ipv4Addr,
    giaddr: Ipv4Addr,
    mac: [u8; 6],
    file: String,
    class: &'static [u8],
    uuid: Option<Vec<u8>>,
    /// Octets after option 97: 43, 67, 82 ...
    more: Vec<u8>,
}

fn o0() -> Expected {
    Expected {
        kind: 2,
        xid: "11223344",
        flags: "8000",
        ciaddr: Ipv4Addr::UNSPECIFIED,
        server: SERVER,
        giaddr: Ipv4Addr::UNSPECIFIED,
        mac: MAC,
        file: "snponly.efi".to_owned(),
        class: b"PXEClient",
        uuid: Some(UUID.to_vec()),
        more: Vec::new(),
    }
}

fn a0() -> Expected {
    Expected {
        kind: 5,
        xid: "55667788",
        flags: "0000",
        ciaddr: LEASE,
        ..o0()
    }
}

impl Expected {
    fn octets(&self) -> Vec<u8> {
        let mut out = octets(&format!("02010600 {} 0000 {}", self.xid, self.flags));
        for address in [self.ciaddr, Ipv4Addr::UNSPECIFIED, self.server, self.giaddr] {
            out.extend(address.octets());
        }
        out.extend(self.mac);
        out.resize(108, 0);
        out.extend(self.file.bytes());
        out.resize(236, 0);
        out.extend(octets("63825363 3501"));
        out.push(self.kind);
        out.extend([54, 4]);
        out.extend(self.server.octets());
        out.extend([60, self.class.len() as u8]);
        out.extend(self.class);
        if let Some(uuid) = &self.uuid {
            out.extend([97, uuid.len() as u8]);
            out.extend(uuid);
        }
        out.extend(&self.more);
        out.push(255);
        if out.len() < 300 {
            out.resize(300, 0);
        }
        out
    }

    fn broadcast(&self) -> Verdict {
        self.sent_to(SocketAddrV4::new(Ipv4Addr::BROADCAST, 68), Port::Dhcp)
    }

    fn sent_to(&self, to: SocketAddrV4, from_port: Port) -> Verdict {
        Verdict::Reply(Reply {
            bytes: self.octets(),
            to,
            from_port,
        })
    }
}

/// What comes of a broadcast on eth0 with the profile "std".
fn discover(packet: &Packet) -> Verdict {
    serve(&broadcast(&packet.encode(), SERVER), &std_catalog())
}

/// What comes of a REQUEST to 4011 from L with the profile "std".
fn boot_server(packet: &Packet, source_port: u16) -> Verdict {
    let from = SocketAddrV4::new(LEASE, source_port);
    serve(&unicast(&packet.encode(), from, SERVER), &std_catalog())
}

fn ignored(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ignored(why) => why.slug(),
        other => panic!("expected silence, got {other:?}"),
    }
}

fn bios(packet: Packet) -> Packet {
    packet
        .with(93, &[0, 0])
        .with(94, &[1, 2, 1])
        .with(60, b"PXEClient:Arch:00000:UNDI:002001")
}

fn http() -> Packet {
    Packet::d0()
        .with(93, &[0, 0x10])
        .with(60, b"HTTPClient:Arch:00016:UNDI:003000")
}

fn expected_bios() -> Expected {
    Expected {
        file: "undionly.kpxe".to_owned(),
        more: octets("2b0a 060108 0a0400505845 ff"),
        ..o0()
    }
}

#[test]
fn h1_a_uefi_machine_is_offered_its_loader() {
    assert_eq!(o0().octets().len(), 300);
    assert_eq!(discover(&Packet::d0()), o0().broadcast());
}

#[test]
fn h2_flags_are_kept_and_secs_are_not() {
    let mut packet = Packet::d0();
    packet.flags = 0x8000;
    packet.secs = 28;
    packet.pad_to = 548;
    assert_eq!(discover(&packet), o0().broadcast());
}

#[test]
fn h3_a_bios_machine_is_told_to_boot_directly() {
    assert_eq!(discover(&bios(Packet::d0())), expected_bios().broadcast());
}

#[test]
fn h4_the_efi_byte_code_number_is_x64() {
    assert_eq!(discover(&Packet::d0().with(93, &[0, 9])), o0().broadcast());
}

#[test]
fn h5_arm64() {
    let packet = Packet::d0()
        .with(93, &[0, 11])
        .with(60, b"PXEClient:Arch:00011:UNDI:003000");
    let expected = Expected {
        file: "snponly-arm64.efi".to_owned(),
        ..o0()
    };
    assert_eq!(discover(&packet), expected.broadcast());
}

#[test]
fn h6_http_boot_is_offered_a_url_with_a_literal_address() {
    let expected = Expected {
        file: "http://192.168.77.2/boot/snponly.efi".to_owned(),
        class: b"HTTPClient",
        ..o0()
    };
    assert_eq!(discover(&http()), expected.broadcast());
}

#[test]
fn h7_an_ipxe_with_http_is_offered_the_script() {
    let packet = Packet::d0()
        .with(77, b"iPXE")
        .with(175, &octets("130101 180101 240101"));
    let expected = Expected {
        file: "http://192.168.77.2/boot.ipxe".to_owned(),
        ..o0()
    };
    assert_eq!(discover(&packet), expected.broadcast());
}

#[test]
fn h8_an_ipxe_without_http_is_offered_the_script_by_tftp() {
    let packet = Packet::d0()
        .with(77, b"iPXE")
        .with(175, &octets("170101 150101 180101"))
        .with(93, &[0, 0]);
    let expected = Expected {
        file: "boot.ipxe".to_owned(),
        ..o0()
    };
    assert_eq!(discover(&packet), expected.broadcast());
}

#[test]
fn h9_no_vendor_class_no_answer() {
    assert_eq!(
        ignored(discover(&Packet::d0().without(60))),
        "not-network-boot"
    );
}

#[test]
fn h10_an_ordinary_client_no_answer() {
    let packet = Packet::d0().with(60, b"MSFT 5.0");
    assert_eq!(ignored(discover(&packet)), "not-network-boot");
}

#[test]
fn h11_a_lease_request_belongs_to_the_dhcp_server_and_names_it() {
    let packet = Packet::d0()
        .with(53, &[3])
        .with(54, &SITE.octets())
        .with(50, &LEASE.octets());
    let why = Ignored::LeaseRequest { server: Some(SITE) };
    assert_eq!(discover(&packet), Verdict::Ignored(why));
}

#[test]
fn h12_no_uuid_no_echo() {
    let expected = Expected { uuid: None, ..o0() };
    assert_eq!(discover(&Packet::d0().without(97)), expected.broadcast());
}

#[test]
fn h13_the_class_text_stands_in_for_option_93() {
    assert_eq!(discover(&Packet::d0().without(93)), o0().broadcast());
}

#[test]
fn h14_option_93_wins_over_the_class_text() {
    assert_eq!(
        discover(&Packet::d0().with(93, &[0, 0])),
        expected_bios().broadcast()
    );
}

#[test]
fn h15_an_unassigned_architecture_is_never_guessed_at() {
    assert_eq!(
        discover(&Packet::d0().with(93, &[0, 0x2a])),
        Verdict::NoBoot
    );
}

#[test]
fn h16_a_reply_is_no_request() {
    let mut packet = Packet::d0();
    packet.op = 2;
    assert_eq!(ignored(discover(&packet)), "not-a-request");
}

#[test]
fn h17_a_wrong_cookie() {
    let mut packet = Packet::d0();
    packet.cookie = 0x6382_5364;
    assert_eq!(ignored(discover(&packet)), "cookie");
}

#[test]
fn h18_through_a_relay_with_option_82_last_and_as_sent() {
    let relay = Ipv4Addr::new(10, 9, 0, 1);
    let mut packet = Packet::d0().with(82, &octets("0104000a0001 0206aabbccddeeff"));
    packet.giaddr = relay;
    packet.hops = 1;
    let received = packet.encode();
    let received = Received {
        bytes: &received,
        from: SocketAddrV4::new(relay, 67),
        to: SERVER,
        port: Port::Dhcp,
        local: SERVER,
    };
    let expected = Expected {
        giaddr: relay,
        more: octets("520e 0104000a0001 0206aabbccddeeff"),
        ..o0()
    };
    let to = SocketAddrV4::new(relay, 67);
    assert_eq!(
        serve(&received, &std_catalog()),
        expected.sent_to(to, Port::Dhcp)
    );
}

#[test]
fn h19_each_network_is_told_its_own_address() {
    let on_eth1 = |packet: Packet| serve(&broadcast(&packet.encode(), OTHER), &std_catalog());
    let expected = Expected {
        server: OTHER,
        ..o0()
    };
    assert_eq!(on_eth1(Packet::d0()), expected.broadcast());
    let expected = Expected {
        file: "http://10.20.0.2/boot/snponly.efi".to_owned(),
        class: b"HTTPClient",
        ..expected
    };
    assert_eq!(on_eth1(http()), expected.broadcast());
}

#[test]
fn h20_port_4011_repeats_the_answer_to_port_4011() {
    let to = SocketAddrV4::new(LEASE, 4011);
    assert_eq!(
        boot_server(&Packet::r0(), 4011),
        a0().sent_to(to, Port::BootServer)
    );
}

#[test]
fn h21_port_4011_answers_to_the_source_port() {
    let to = SocketAddrV4::new(LEASE, 68);
    assert_eq!(
        boot_server(&Packet::r0(), 68),
        a0().sent_to(to, Port::BootServer)
    );
}

#[test]
fn h22_meant_for_another_boot_server() {
    let packet = Packet::r0().with(54, &[192, 168, 77, 9]);
    assert_eq!(ignored(boot_server(&packet, 4011)), "other-server");
    let packet = Packet::r0().with(54, &SERVER.octets());
    let to = SocketAddrV4::new(LEASE, 4011);
    assert_eq!(
        boot_server(&packet, 4011),
        a0().sent_to(to, Port::BootServer)
    );
}

#[test]
fn h23_an_inform_is_acknowledged_like_a_request() {
    let to = SocketAddrV4::new(LEASE, 4011);
    let packet = Packet::r0().with(53, &[8]);
    assert_eq!(
        boot_server(&packet, 4011),
        a0().sent_to(to, Port::BootServer)
    );
}

#[test]
fn h24_a_disabled_profile_is_silent_on_both_ports() {
    let catalog = |enabled| one_machine(MAC, profile(enabled));
    let ask = |catalog: &Catalog| {
        let from = SocketAddrV4::new(LEASE, 4011);
        [
            serve(&broadcast(&Packet::d0().encode(), SERVER), catalog),
            serve(&unicast(&Packet::r0().encode(), from, SERVER), catalog),
        ]
    };
    assert_eq!(ask(&catalog(false)), [Verdict::NoBoot, Verdict::NoBoot]);
    // The same machine with the profile switched on boots, so the silence above has one cause.
    assert_eq!(ask(&catalog(true))[0], o0().broadcast());
}

#[test]
fn h25_a_menu_choice_is_acknowledged_with_its_own_file() {
    let choice = octets("4704 8000 0000 ff");
    let packet = bios(Packet::r0()).with(43, &choice).encode();
    let request = parse(&unicast(&packet, SocketAddrV4::new(LEASE, 68), SERVER)).expect("ours");
    let answer = Answer {
        file: "undionly.kpxe".to_owned(),
        efi_style: EfiStyle::Binl,
        items: vec![BootItem {
            kind: 0x8000,
            title: "netboot1".to_owned(),
            file: "pxelinux.0".to_owned(),
        }],
        raspberry_pi: false,
    };
    let reply = respond(&request, &answer, &endpoint(SERVER)).expect("offered");
    let expected = Expected {
        file: "pxelinux.0".to_owned(),
        more: octets("2b07 4704 8000 0000 ff"),
        ..a0()
    };
    let to = SocketAddrV4::new(LEASE, 68);
    assert_eq!(
        Verdict::Reply(reply),
        expected.sent_to(to, Port::BootServer)
    );
}

#[test]
fn h26_a_long_url_goes_to_option_67_with_a_nul() {
    let url = format!("http://192.168.77.2/{}.efi", "a".repeat(110));
    assert_eq!(url.len(), 134);
    let packet = http().encode();
    let request = parse(&broadcast(&packet, SERVER)).expect("ours");
    let answer = Answer {
        file: url.clone(),
        efi_style: EfiStyle::Binl,
        items: Vec::new(),
        raspberry_pi: false,
    };
    let reply = respond(&request, &answer, &endpoint(SERVER)).expect("fits");
    let mut more = octets("4387");
    more.extend(url.bytes());
    more.push(0);
    let expected = Expected {
        file: String::new(),
        class: b"HTTPClient",
        more,
        ..o0()
    };
    assert!((301..=548).contains(&reply.bytes.len()));
    assert_eq!(Verdict::Reply(reply), expected.broadcast());
}

#[test]
fn h27_a_raspberry_pi_is_told_what_its_rom_looks_for() {
    let mac = [0xdc, 0xa6, 0x32, 0x01, 0x36, 0xc2];
    let uuid = octets("00 52506934 30c03111 320136c2 0123456789");
    let uuid = [uuid, vec![0xab; 3]].concat();
    let mut packet = bios(Packet::d0()).with(97, &uuid);
    packet.mac = mac;
    let expected = Expected {
        mac,
        uuid: Some(uuid),
        file: String::new(),
        more: octets(
            "2b20 060103 0a0400505845 0914 0000 11 5261737062657272792050692 0426f6f74 ff",
        ),
        ..o0()
    };
    assert_eq!(discover(&packet), expected.broadcast());

    // The ROM of a Pi 3 wants three blanks more.
    let mac = [0xb8, 0x27, 0xeb, 1, 2, 3];
    let uuid = [vec![0], vec![0x44; 16]].concat();
    let mut packet = packet.with(97, &uuid);
    packet.mac = mac;
    let expected = Expected {
        mac,
        uuid: Some(uuid),
        more: octets(
            "2b23 060103 0a0400505845 0917 0000 14 5261737062657272792050692 0426f6f74 202020 ff",
        ),
        ..expected
    };
    assert_eq!(discover(&packet), expected.broadcast());
}

#[test]
fn h28_a_host_name_that_is_not_text_hides_nothing() {
    let mut packet = Packet::d0();
    packet.options.insert(2, (12, vec![0xff, 0xfe]));
    assert_eq!(discover(&packet), o0().broadcast());
}

#[test]
fn h29_cut_packets() {
    let whole = Packet::d0().encode();
    for length in [239, 0] {
        let verdict = serve(&broadcast(&whole[..length], SERVER), &std_catalog());
        assert_eq!(verdict, Verdict::Ignored(Ignored::TooShort { length }));
    }
}

#[test]
fn h30_the_same_question_gets_the_same_octets() {
    for secs in [0, 4, 8] {
        let mut packet = Packet::d0();
        packet.secs = secs;
        assert_eq!(discover(&packet), o0().broadcast());
    }
}

fn profile(enabled: bool) -> Profile {
    Profile {
        name: "std".parse().expect("a slug"),
        title: "Standard".to_owned(),
        description: String::new(),
        enabled,
        in_menu: false,
        platforms: Vec::new(),
        loader: None,
        labels: Default::default(),
        efi_style: EfiStyle::Binl,
        boot: BootMethod::Chain {
            url: FileRef::Url("http://192.168.77.2/x".to_owned()),
        },
        extras: Default::default(),
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
    }
}
