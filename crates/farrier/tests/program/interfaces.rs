//! Several networks, and interfaces that come, go and change while the program runs.

use crate::common::farrier::content;
use crate::common::firmware::{broadcast, discover, overhear};
use crate::common::wire::{http_get, tftp_file};
use crate::common::{Farrier, Lan, Netns, SERVER};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use testkit::firmware::{BiosRom, Ipxe, Seen};

/// protocol.md H19, over real sockets.
#[test]
fn each_network_is_told_its_own_address_and_hears_only_its_own_answers() {
    let lan = Lan::new();
    let second = Netns::new();
    lan.server.wire("eth1", &second, "eth0");
    lan.server.ip("addr add 10.88.0.2/24 brd + dev eth1");
    second.ip("addr add 10.88.0.50/24 brd + dev eth0");
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");

    let networks = [
        (&lan.client, &second, SERVER, 1),
        (&second, &lan.client, Ipv4Addr::new(10, 88, 0, 2), 2),
    ];
    for (asking, other, ours, number) in networks {
        let rom = discover(BiosRom::new([2, 0, 0, 0, 1, number]));
        let mut heard = Vec::new();
        let leaked = overhear(other, Duration::from_millis(600), || {
            heard = broadcast(asking, &rom, Duration::from_millis(500), false);
        });
        let [offer] = heard.as_slice() else {
            panic!("one offer, not {heard:?}");
        };
        told(offer, ours);
        assert_eq!(offer.file, "undionly.kpxe");
        assert_eq!(leaked, [], "the other network heard it, too");

        let ipxe = discover(Ipxe::new([2, 0, 0, 0, 2, number], 0));
        let heard = broadcast(asking, &ipxe, Duration::from_secs(3), true);
        let offer = heard.first().expect("iPXE is answered");
        told(offer, ours);
        assert_eq!(offer.file, format!("http://{ours}/boot.ipxe"));
        let script = asking.run(|| http_get(ours, "/02-00-00-00-02-01/boot.ipxe"));
        let script = String::from_utf8(script).expect("text");
        assert!(script.contains(&format!("http://{ours}")), "{script}");
    }
}

fn told(offer: &Seen, ours: Ipv4Addr) {
    assert_eq!(*offer.from.ip(), ours, "source address");
    assert_eq!(offer.from.port(), 67, "source port");
    assert_eq!(offer.siaddr, ours, "siaddr");
    assert_eq!(offer.server_id, Some(ours), "option 54");
}

/// reliability.md R33.
#[test]
fn an_interface_that_is_made_anew_with_another_address_is_served_again() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    answered_within(&lan.client, SERVER, Duration::from_secs(3));
    lan.client.run(|| tftp_file(SERVER, "undionly.kpxe"));

    lan.server.ip("link del eth0");
    lan.server.wire("eth0", &lan.client, "eth0");
    let fresh = Ipv4Addr::new(10, 99, 0, 7);
    lan.server.ip("addr add 10.99.0.7/24 brd + dev eth0");
    answered_within(&lan.client, fresh, R33);
    lan.client.ip("addr add 10.99.0.50/24 dev eth0");
    let (loader, script) = lan.client.run(|| {
        let loader = tftp_file(fresh, "undionly.kpxe");
        (loader, http_get(fresh, "/02-00-00-00-00-01/boot.ipxe"))
    });
    assert!(loader == content("undionly.kpxe"), "another file than ours");
    let script = String::from_utf8(script).expect("text");
    assert!(script.contains("http://10.99.0.7"), "{script}");
    assert!(!script.contains("10.77.0.2"), "{script}");
}

#[test]
fn a_changed_address_and_a_new_interface_are_taken_up() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    answered_within(&lan.client, SERVER, Duration::from_secs(3));

    lan.server
        .ip("addr add 10.77.0.9/24 dev eth0\naddr del 10.77.0.2/24 dev eth0");
    // The last of the subnet takes the others with it.
    lan.server.ip("addr replace 10.77.0.9/24 brd + dev eth0");
    answered_within(&lan.client, Ipv4Addr::new(10, 77, 0, 9), R33);

    let late = Netns::new();
    lan.server.wire("late0", &late, "eth0");
    lan.server.ip("addr add 10.66.0.2/24 brd + dev late0");
    answered_within(&late, Ipv4Addr::new(10, 66, 0, 2), R33);

    lan.server.ip("link set eth0 down");
    std::thread::sleep(Duration::from_millis(200));
    answered_within(&late, Ipv4Addr::new(10, 66, 0, 2), R33);
    lan.server.ip("link set eth0 up");
    answered_within(&lan.client, Ipv4Addr::new(10, 77, 0, 9), R33);
}

#[test]
fn twenty_flaps_leave_no_descriptor_behind() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    let flap = |number: u8| {
        lan.server.ip("link del eth0");
        lan.server.wire("eth0", &lan.client, "eth0");
        lan.server
            .ip(&format!("addr add 10.77.{number}.2/24 brd + dev eth0"));
    };
    flap(100);
    answered_within(&lan.client, Ipv4Addr::new(10, 77, 100, 2), R33);
    let before = farrier.descriptors();
    for number in 101..=120 {
        flap(number);
    }
    answered_within(&lan.client, Ipv4Addr::new(10, 77, 120, 2), R33);
    // Connections of the store's pool may come and go; twenty leaks are more than those.
    let after = farrier.descriptors();
    assert!(
        after < before + 5,
        "{before} descriptors before, {after} after"
    );
}

/// A ROM asks five times a second until an offer names this address.
fn answered_within(host: &Netns, ours: Ipv4Addr, limit: Duration) {
    let started = Instant::now();
    let mut last = None;
    for n in 0u8.. {
        let rom = discover(BiosRom::new([
            2,
            0,
            1,
            n,
            ours.octets()[1],
            ours.octets()[2],
        ]));
        let heard = broadcast(host, &rom, Duration::from_millis(200), true);
        let waited = started.elapsed();
        if let Some(offer) = heard.first() {
            if offer.siaddr == ours {
                assert!(waited < limit, "answered after {waited:?}");
                return told(offer, ours);
            }
            last = Some(offer.siaddr);
        }
        assert!(
            waited < limit,
            "not served as {ours} within {limit:?}; last named {last:?}"
        );
    }
}

/// How soon an interface is served again.
const R33: Duration = Duration::from_secs(5);
