//! DHCP packets that no firmware in good order sends, relays, and several addresses.

use crate::common::firmware::{broadcast, discover, listen, on_eth0};
use crate::common::wire::udp;
use crate::common::{Farrier, Lan, SERVER};
use std::net::Ipv4Addr;
use std::time::Duration;
use testkit::firmware::{BiosRom, Seen};
use testkit::packet::Packet;

/// reliability.md R12 and R17: silence, and the next machine is served.
#[test]
fn what_is_not_a_boot_request_gets_silence() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    let good = Packet::d0().encode();
    let spoiled = |at: usize, octets: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + octets.len()].copy_from_slice(octets);
        bytes
    };
    let mut hostile: Vec<Vec<u8>> = [0, 1, 43, 235, 236, 239, 240]
        .map(|length| good[..length].to_vec())
        .into();
    hostile.extend([
        spoiled(0, &[2]),
        spoiled(0, &[255]),
        spoiled(2, &[0]),
        spoiled(2, &[255]),
        spoiled(3, &[255]),
        spoiled(236, &[0x63, 0x82, 0x53, 0x64]),
        vec![0xff; 60_000],
        Packet::d0().without(53).encode(),
        Packet::d0().with(53, &[]).encode(),
        Packet::d0().with(53, &[18]).encode(),
        // An ordinary DHCP client, in all its moods.
        Packet::d0().without(60).encode(),
        Packet::d0().with(60, b"MSFT 5.0").encode(),
        Packet::d0().with(53, &[3]).without(60).encode(),
        Packet::d0().with(53, &[4]).encode(),
        Packet::d0().with(53, &[7]).encode(),
        Packet::d0().with(53, &[8]).without(60).encode(),
    ]);
    let heard = lan.client.run(|| {
        let (dhcp, boot_server) = (on_eth0(68), on_eth0(4011));
        for bytes in &hostile {
            for port in [67, 4011] {
                dhcp.send_to(bytes, (SERVER, port)).expect("sent");
                boot_server.send_to(bytes, (SERVER, port)).expect("sent");
            }
        }
        let mut heard = listen(&dhcp, Duration::from_millis(400), false);
        heard.extend(listen(&boot_server, Duration::from_millis(50), false));
        heard
    });
    assert_eq!(heard, [], "something was answered that asks for nothing");
    let served = broadcast(&lan.client, &good, Duration::from_secs(3), true);
    assert_eq!(served.first().map(|offer| offer.siaddr), Some(SERVER));
    let log = farrier.log();
    assert!(!log.contains("panicked"), "{log}");
    let ignored = &farrier.json(&["status"])["ignored"];
    let reasons = ignored.as_object().expect("counted by reason");
    assert!(reasons.len() >= 5, "{ignored}");
}

/// reliability.md R14: nobody may be made to talk to a service by a forged source.
#[test]
fn ports_and_addresses_of_other_services_are_never_answered() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    lan.client.run(|| {
        for port in [7, 19, 53, 69, 1024] {
            let socket = on_eth0(port);
            let request = Packet::r0().encode();
            socket.send_to(&request, (SERVER, 4011)).expect("sent");
            let heard = listen(&socket, Duration::from_millis(200), false);
            assert_eq!(heard, [], "port {port}");
        }
        let socket = on_eth0(68);
        for bad in [
            [127, 0, 0, 1],
            [255, 255, 255, 255],
            [224, 0, 0, 1],
            SERVER.octets(),
        ] {
            let mut packet = Packet::d0();
            packet.giaddr = bad.into();
            socket
                .send_to(&packet.encode(), (SERVER, 67))
                .expect("sent");
        }
        let heard = listen(&socket, Duration::from_millis(200), false);
        assert_eq!(heard, [], "a relay that cannot be one");
    });
}

/// Answers to neighbours that are not there lie in the kernel until ARP gives up, three seconds, and fill the socket's
/// memory. That is their misfortune.
#[test]
fn dead_relays_do_not_keep_the_others_waiting() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    lan.client.run(|| {
        let relay = udp(67);
        for round in 0..8 {
            for host in 60..250 {
                let mut packet = Packet::decode(&discover(BiosRom::new([2, 0, 0, 1, round, host])));
                packet.giaddr = Ipv4Addr::new(10, 77, 0, host);
                packet.hops = 1;
                let sent = relay.send_to(&packet.encode(), (SERVER, 67));
                sent.expect("sent");
            }
        }
    });
    let good = discover(BiosRom::new([2, 0, 0, 2, 0, 0]));
    let served = broadcast(&lan.client, &good, Duration::from_secs(3), true);
    assert_eq!(served.first().map(|offer| offer.siaddr), Some(SERVER));
}

/// protocol.md F.4: by unicast to the relay, with its own option 82 back.
#[test]
fn a_relayed_request_is_answered_to_the_relay() {
    let lan = Lan::new();
    // The relay's far side: a network that the server knows only by a route.
    lan.client.ip("addr add 10.44.0.1/24 dev eth0");
    lan.server.ip("route add 10.44.0.0/24 via 10.77.0.50");
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    let relay_agent = b"\x01\x04port";
    let mut packet = Packet::decode(&discover(BiosRom::new([2, 0, 0, 0, 5, 1])));
    packet.giaddr = Ipv4Addr::new(10, 44, 0, 1);
    packet.hops = 1;
    let packet = packet.with(82, relay_agent).encode();
    let (answers, on_68) = lan.client.run(|| {
        let relay = udp(67);
        let client = on_eth0(68);
        relay.send_to(&packet, (SERVER, 67)).expect("sent");
        let mut buffer = [0; 1500];
        relay
            .set_read_timeout(Some(Duration::from_secs(3)))
            .expect("not zero");
        let (length, from) = relay.recv_from(&mut buffer).expect("answered");
        assert_eq!(from, (SERVER, 67).into());
        let on_68 = listen(&client, Duration::from_millis(200), false);
        (buffer[..length].to_vec(), on_68)
    });
    let offer = Packet::decode(&answers);
    assert_eq!(offer.siaddr, SERVER);
    assert_eq!(offer.giaddr, Ipv4Addr::new(10, 44, 0, 1));
    assert_eq!(offer.file, b"undionly.kpxe");
    assert_eq!(offer.options.last(), Some(&(82, relay_agent.to_vec())));
    assert_eq!(on_68, [], "the relay's own network heard it, too");
}

/// protocol.md F.5: whoever asked one of several addresses is answered from it, and by broadcast
/// from the one in the client's network.
#[test]
fn of_several_addresses_the_one_asked_answers() {
    let lan = Lan::new();
    let sibling = Ipv4Addr::new(10, 77, 0, 3);
    let second = Ipv4Addr::new(10, 55, 0, 2);
    lan.server
        .ip("addr add 10.77.0.3/24 dev eth0\naddr add 10.55.0.2/24 dev eth0");
    lan.client.ip("addr add 10.55.0.50/24 dev eth0");
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    for (number, asked) in [(1, SERVER), (2, sibling), (3, second)] {
        let mut packet = Packet::r0();
        packet.mac = [2, 0, 0, 0, 6, number];
        packet.ciaddr = match asked == second {
            true => Ipv4Addr::new(10, 55, 0, 50),
            false => Ipv4Addr::new(10, 77, 0, 50),
        };
        let heard = lan.client.run(|| {
            let socket = on_eth0(4011);
            let bytes = packet.encode();
            socket.send_to(&bytes, (asked, 4011)).expect("sent");
            listen(&socket, Duration::from_secs(3), true)
        });
        let ack: &Seen = heard.first().expect("port 4011 answers");
        assert_eq!(*ack.from.ip(), asked, "source address");
        assert_eq!(ack.from.port(), 4011, "source port");
        assert_eq!((ack.siaddr, ack.server_id), (asked, Some(asked)));
        assert_eq!(ack.file, "snponly.efi");
    }
}
