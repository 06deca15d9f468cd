//! Ports that somebody else has (reliability.md R32).

use crate::boot::Dnsmasq;
use crate::common::farrier::content;
use crate::common::firmware::ask;
use crate::common::wire::tftp_file;
use crate::common::{Farrier, Lan, SERVER};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;
use testkit::firmware::{Edk2, Outcome};

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
    let lan = Lan::new();
    for (port, way_out) in TAKEN {
        let (protocol, number) = port.split_once('/').expect("two parts");
        let address = ("0.0.0.0", number.parse::<u16>().expect("a port"));
        let held = lan.server.run(|| match protocol {
            "udp" => Held::Udp(UdpSocket::bind(address).expect("free")),
            _ => Held::Tcp(TcpListener::bind(address).expect("free")),
        });
        let (words, took) = Farrier::prepared(&lan.server).start_refused();
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
    // Nothing was left behind that keeps the next one from starting.
    Farrier::started(&lan.server);
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
