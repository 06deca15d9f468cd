//! Requests of real firmware: who is taken for whom, and that everybody is answered.

mod common;

use bootplan::{Arch, ClientClass, EfiStyle, Platform, Stage};
use common::{Verdict, endpoint, serve};
use proxydhcp::{Answer, BootItem, Ignored, Kind, Port, Received, Request, parse, respond};
use std::net::Ipv4Addr;
use testkit::Datagram;
use testkit::fixtures::captures;
use testkit::hex::octets;
use testkit::packet::{MAC, Packet, SERVER};
use testkit::site::std_catalog;

/// The boot server of the captures.
const LAB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

fn received(datagram: &Datagram) -> Received<'_> {
    Received {
        bytes: &datagram.bytes,
        from: datagram.from,
        to: *datagram.to.ip(),
        port: match datagram.to.port() {
            67 => Port::Dhcp,
            _ => Port::BootServer,
        },
        local: LAB,
    }
}

fn described(datagram: &Datagram) -> String {
    match parse(&received(datagram)) {
        Ok(request) => line(&request),
        Err(Ignored::LeaseRequest { server }) => format!("lease from {server:?}"),
        Err(why) => why.slug().to_owned(),
    }
}

fn line(request: &Request<'_>) -> String {
    let c = request.client();
    let ipxe = c.ipxe.map_or(String::new(), |f| {
        format!(" http={} bzimage={} efi={}", f.http, f.bzimage, f.efi)
    });
    let platform = c.platform.map_or("?", Platform::slug);
    format!(
        "{:?} {} {platform} {:?} arch {}{ipxe} notes {:?}",
        request.kind(),
        c.stage,
        c.class,
        c.arch.map_or(-1, |a| i32::from(a.0)),
        request.notes(),
    )
}

#[test]
fn every_request_of_every_capture_is_taken_for_what_it_is() {
    let told: String = captures()
        .iter()
        .map(|capture| {
            let lines: String = capture
                .requests
                .iter()
                .map(|d| format!("  {}\n", described(d)))
                .collect();
            format!("{}\n{lines}", capture.name)
        })
        .collect();
    insta::assert_snapshot!(told);
}

#[test]
fn every_client_is_answered() {
    for capture in captures() {
        let mut answered = 0;
        for datagram in &capture.requests {
            let received = received(datagram);
            let Ok(request) = parse(&received) else {
                continue;
            };
            match serve(&received, &std_catalog()) {
                Verdict::Reply(reply) => {
                    answered += 1;
                    let back = match request.kind() {
                        Kind::BootServer => datagram.from,
                        Kind::Discover | Kind::Discovery => {
                            "255.255.255.255:68".parse().expect("an address")
                        }
                    };
                    assert_eq!(reply.to, back, "{}", capture.name);
                }
                // dnsmasq's menu, which this catalog does not offer.
                Verdict::Ignored(Ignored::UnknownItem { kind: 0x8000 }) => {
                    let reply = respond(&request, &menu(), &endpoint(LAB)).expect("offered");
                    answered += 1;
                    assert_eq!(reply.to, datagram.from);
                    assert!(
                        reply
                            .bytes
                            .windows(9)
                            .any(|w| w == octets("2b07 4704 8000 0000 ff"))
                    );
                }
                other => panic!("{}: {other:?}", capture.name),
            }
        }
        let silent = capture.name.starts_with("uboot");
        assert_eq!(answered == 0, silent, "{}", capture.name);
    }
}

fn menu() -> Answer {
    Answer {
        file: String::new(),
        efi_style: EfiStyle::Binl,
        items: vec![BootItem {
            kind: 0x8000,
            title: "pxelinux".to_owned(),
            file: "pxelinux.0".to_owned(),
        }],
        raspberry_pi: false,
    }
}

/// The full packets of protocol.md A.12.
#[test]
fn the_packets_of_the_brief_parse_as_it_says() {
    let uuid = "61110078563412bc9af0de1122334455667788";
    let class = "3c20505845436c69656e743a417263683a30303030373a554e44493a303033303030";
    let list = "37230102030405060c0d0f111216171c28292a2b3233363a3b3c4243618081828384858687";
    let packet = |xid, ciaddr: [u8; 4], flags, secs, options: String| {
        let mut packet = Packet::request(MAC, xid);
        (packet.ciaddr, packet.flags, packet.secs) = (ciaddr.into(), flags, secs);
        let mut bytes = packet.encode();
        bytes.truncate(240);
        bytes.extend(octets(&options));
        bytes
    };
    let lease = [192, 168, 77, 50];
    let edk2 = packet(
        0xca6e_12eb,
        [0; 4],
        0x8000,
        0,
        format!("350101 390205c0 {list} {uuid} 5e03010300 5d020007 {class} ff"),
    );
    let binl = packet(
        0x315d_1b50,
        lease,
        0,
        0,
        format!("350103 {list} 390205c0 {class} 5d020007 5e03010300 {uuid} ff"),
    );
    let item = packet(
        0x2751_5c71,
        lease,
        0,
        0,
        format!("2b07470480000000ff 350103 {list} 390205c0 {class} 5d020007 5e03010300 {uuid} ff"),
    );
    let ipxe = packet(
        0x589d_7b4f,
        [0; 4],
        0,
        4,
        format!(
            "350101 390205c0 5d020000 5e03010201 \
             3c20505845436c69656e743a417263683a30303030303a554e44493a303032303031 4d0469505845 \
             3717010306070c0f111a2b3c4243778081828384858687afcb \
             af30b105011af41000eb03010000170101220101130101110101270101190101290101100102210101\
             150101180101120101 3d0701525400123456 {uuid} ff"
        ),
    );
    let http = packet(
        0xf915_ddf0,
        [0; 4],
        0x8000,
        0,
        format!(
            "350101 390205c0 371b0102030405060c0d0f111216171c28292a2b3233363a3b3ceb4361 {uuid} \
             5e03010300 5d020010 \
             3c2148545450436c69656e743a417263683a30303031363a554e44493a303033303030 ff"
        ),
    );
    for (bytes, length) in [
        (&edk2, 347),
        (&binl, 347),
        (&item, 356),
        (&ipxe, 400),
        (&http, 340),
    ] {
        assert_eq!(bytes.len(), length);
    }
    let read = |bytes: &[u8], to: &str| {
        let datagram = Datagram {
            from: "192.168.77.50:4011".parse().expect("an address"),
            to: to.parse().expect("an address"),
            bytes: bytes.to_vec(),
        };
        let request = parse(&Received {
            local: SERVER,
            ..received(&datagram)
        })
        .expect("ours");
        let c = request.client().clone();
        let uuid = c.uuid.expect("a UUID").to_string();
        assert_eq!(uuid, "12345678-9abc-def0-1122-334455667788");
        (request.kind(), c.stage, c.class, c.arch)
    };
    let firmware = Stage::Firmware;
    let pxe = ClientClass::Pxe;
    assert_eq!(
        read(&edk2, "255.255.255.255:67"),
        (Kind::Discover, firmware, pxe, Some(Arch(7)))
    );
    assert_eq!(
        read(&binl, "192.168.77.2:4011"),
        (Kind::BootServer, firmware, pxe, Some(Arch(7)))
    );
    assert_eq!(
        read(&item, "192.168.77.2:4011"),
        (Kind::BootServer, firmware, pxe, Some(Arch(7)))
    );
    assert_eq!(
        read(&item, "255.255.255.255:67"),
        (Kind::Discovery, firmware, pxe, Some(Arch(7)))
    );
    assert_eq!(
        read(&ipxe, "255.255.255.255:67"),
        (Kind::Discover, Stage::Ipxe, pxe, Some(Arch(0)))
    );
    assert_eq!(
        read(&http, "255.255.255.255:67"),
        (Kind::Discover, firmware, ClientClass::Http, Some(Arch(16)))
    );
}

/// What each kind of client is offered with the profile "std" (protocol.md H.0).
#[test]
fn the_profile_std_offers_every_platform_its_loader() {
    let full = octets("130101 180101");
    let cut_down = octets("130101");
    type Row<'a> = (&'a [u8], u8, Option<&'a [u8]>, &'a str);
    let table: &[Row<'_>] = &[
        (b"PXEClient", 0, None, "undionly.kpxe"),
        (b"PXEClient", 6, None, "snponly-i386.efi"),
        (b"PXEClient", 7, None, "snponly.efi"),
        (b"PXEClient", 9, None, "snponly.efi"),
        (b"PXEClient", 11, None, "snponly-arm64.efi"),
        (
            b"HTTPClient",
            16,
            None,
            "http://192.168.77.2/boot/snponly.efi",
        ),
        (
            b"HTTPClient",
            17,
            None,
            "http://192.168.77.2/boot/snponly.efi",
        ),
        (
            b"HTTPClient",
            19,
            None,
            "http://192.168.77.2/boot/snponly-arm64.efi",
        ),
        (
            b"PXEClient",
            0,
            Some(&full),
            "http://192.168.77.2/boot.ipxe",
        ),
        (
            b"PXEClient",
            7,
            Some(&cut_down),
            "http://192.168.77.2/boot.ipxe",
        ),
        (b"PXEClient", 0, Some(&cut_down), "ipxe.pxe"),
    ];
    for (class, arch, ipxe, file) in table {
        let mut packet = Packet::d0().with(60, class).with(93, &[0, *arch]);
        if let Some(features) = ipxe {
            packet = packet.with(77, b"iPXE").with(175, features);
        }
        let bytes = packet.encode();
        let Verdict::Reply(reply) = serve(&common::broadcast(&bytes, SERVER), &std_catalog())
        else {
            panic!("arch {arch} is not answered");
        };
        let field = &reply.bytes[108..108 + file.len() + 1];
        assert_eq!(field, format!("{file}\0").as_bytes(), "arch {arch}");
    }
}
