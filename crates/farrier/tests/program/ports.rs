//! Ports that somebody else has (reliability.md R32).

use crate::boot::Dnsmasq;
use crate::common::farrier::content;
use crate::common::firmware::{ask, broadcast, on_eth0};
use crate::common::wire::{receive, tftp_file};
use crate::common::{Farrier, Lan, Netns, SERVER, eventually};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::time::Duration;
use testkit::firmware::{Edk2, Outcome};
use testkit::packet::Packet;

/// What is held, and what the message must tell the admin to do.
const TAKEN: [(&str, &str); 4] = [
    ("udp/67", "boot-server-only"),
    ("udp/4011", "stop one of the two"),
    ("udp/69", "tftp: {enabled: false}"),
    ("tcp/80", "http.listen"),
];

enum Held {
    Udp(#[expect(dead_code, reason = "held open")] UdpSocket),
    Tcp(#[expect(dead_code, reason = "held open")] TcpListener),
}

#[test]
fn a_taken_port_is_named_with_its_holder_and_the_way_out() {
    for (port, way_out) in TAKEN {
        let host = Netns::new();
        let (protocol, number) = port.split_once('/').expect("two parts");
        let address = ("0.0.0.0", number.parse::<u16>().expect("a port"));
        let held = host.run(|| match protocol {
            "udp" => Held::Udp(UdpSocket::bind(address).expect("free")),
            _ => Held::Tcp(TcpListener::bind(address).expect("free")),
        });
        let (words, took) = Farrier::prepared(&host).start_refused();
        drop(held);
        assert!(
            took < Duration::from_secs(2),
            "{port}: refused after {took:?}"
        );
        let pid = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").expect("ours");
        let holder = format!("{port} is held by {} (pid {pid})", name.trim());
        assert!(words.contains(&holder), "no '{holder}' in: {words}");
        assert!(
            words.contains(way_out),
            "{port}: no '{way_out}' in: {words}"
        );
    }
}

/// The way out that the message names, walked: a DHCP server on the same host that sends option
/// 60 to PXE clients, and Farrier on port 4011 alone.
#[test]
fn beside_a_dhcp_server_on_the_same_host_machines_boot_by_port_4011() {
    let lan = Lan::new();
    let options = [
        "--dhcp-vendorclass=set:pxe,PXEClient",
        "--dhcp-option-force=tag:pxe,60,PXEClient",
    ];
    let dnsmasq = Dnsmasq::start(&lan.server, "eth0", &options);
    let mut farrier = Farrier::prepared(&lan.server);
    let (words, _) = farrier.start_refused();
    let holder = format!("udp/67 is held by dnsmasq (pid {})", dnsmasq.pid());
    assert!(words.contains(&holder), "no '{holder}' in: {words}");

    farrier.configure("dhcp: {mode: boot-server-only}\n");
    farrier.start();
    farrier.apply("kind: site\nunassigned: menu\n");
    let mac = [2, 0, 0, 0, 3, 1];
    let uefi = ask(&lan.client, mac, Edk2::new(mac, 7));
    let snponly = Outcome::Tftp {
        server: SERVER,
        file: "snponly.efi".to_owned(),
    };
    assert_eq!(uefi.outcome, snponly, "{:?}", uefi.heard);
    let loader = lan.client.run(|| tftp_file(SERVER, "snponly.efi"));
    assert!(loader == content("snponly.efi"), "another file than ours");
}

/// The kernel hands a host copies of its own broadcasts; being woken by them would cost as much as
/// answering (docs/PERFORMANCE.md). They are counted as dropped by the socket's filter.
#[test]
fn our_own_offers_are_not_overheard() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    let offers = broadcast(
        &lan.client,
        &Packet::d0().encode(),
        Duration::from_secs(3),
        true,
    );
    assert_eq!(offers.first().map(|offer| offer.siaddr), Some(SERVER));
    let dropped = eventually(Duration::from_secs(5), "the copy is left out", || {
        let sockets = lan
            .server
            .run(|| std::fs::read_to_string("/proc/thread-self/net/udp"));
        let sockets = sockets.expect("readable");
        let ear = sockets.lines().find(|l| l.contains(" FFFFFFFF:0044 "))?;
        let dropped: u64 = ear.split_whitespace().last()?.parse().ok()?;
        (dropped > 0).then_some(dropped)
    });
    assert_eq!(dropped, 1, "one answer, one copy");
}

/// Farrier listens to other servers' broadcasts on port 68, which belongs to the host's own DHCP
/// client: it must get its port, and its lease's renewal by unicast, whichever starts first.
#[test]
fn the_hosts_own_dhcp_client_keeps_its_port_and_its_answers() {
    let lan = Lan::new();
    let client_port = || {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("made");
        // As dhclient, udhcpc, dhcpcd and systemd-networkd do.
        socket.set_reuse_address(true).expect("allowed");
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        socket
            .bind(&any.into())
            .expect("Farrier keeps it from them");
        UdpSocket::from(socket)
    };
    let before = lan.server.run(client_port);
    let farrier = Farrier::started(&lan.server);
    let ports = farrier.ok(&["status"]);
    assert!(!ports.contains("Overhearing"), "{ports}");
    drop(before);
    let after = lan.server.run(client_port);

    let mut offer = Packet::d0().with(53, &[2]).with(54, &[10, 77, 0, 50]);
    offer.op = 2;
    offer.yiaddr = Ipv4Addr::new(10, 77, 0, 99);
    let site = lan.client.run(|| on_eth0(67));
    let offer = offer.encode();
    for _ in 0..5 {
        site.send_to(&offer, (SERVER, 68)).expect("sent");
        let (heard, _) = receive(&after, Duration::from_secs(2)).expect("renewals reach it");
        assert_eq!(heard, offer);
    }
    let broadcast = (Ipv4Addr::BROADCAST, 68);
    eventually(Duration::from_secs(5), "broadcasts are overheard", || {
        site.send_to(&offer, broadcast).expect("sent");
        let status = farrier.json(&["status"]);
        let first = status["foreign_servers"].get(0)?.clone();
        (first["address"] == "10.77.0.50" && first["boots"] == true).then_some(())
    });
    assert!(
        receive(&after, Duration::from_secs(1)).is_some(),
        "shared by both"
    );
}
