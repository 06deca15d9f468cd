//! TFTP between honest clients and the program: ports, addresses, repeated requests.

use crate::common::farrier::content;
use crate::common::wire::{receive, receive_all, receive_block, rrq, tftp_file, tftp_get, udp};
use crate::common::{Farrier, Lan, SERVER, eventually};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;
use tftp::{Ask, OutcomeKind};

/// protocol.md H31: without any option, block by block.
#[test]
fn a_plain_client_is_served_from_a_port_of_its_own() {
    let lan = Lan::new();
    let farrier = Farrier::prepared(&lan.server);
    farrier.put("images/f1500", &[7; 1500]);
    farrier.put("images/f1024", &[8; 1024]);
    farrier.put("images/f0", &[]);
    let mut farrier = farrier;
    farrier.start();
    lan.client.run(|| {
        for (name, sizes) in [
            ("images/f1500", vec![512, 512, 476]),
            ("images/f1024", vec![512, 512, 0]),
            ("images/f0", vec![0]),
        ] {
            let socket = udp(0);
            socket
                .send_to(&rrq(name.as_bytes(), &[]), (SERVER, 69))
                .expect("sent");
            let mut ports = BTreeSet::new();
            for (n, size) in (1u8..).zip(&sizes) {
                let (data, from) = receive(&socket, PATIENCE).expect("the next block");
                assert_eq!(data[..4], [0, 3, 0, n], "{name}");
                assert_eq!(data.len(), 4 + size, "{name}, block {n}");
                assert_eq!(*from.ip(), SERVER);
                ports.insert(from.port());
                socket.send_to(&[0, 4, 0, n], from).expect("sent");
            }
            assert_eq!(
                receive_all(&socket, Duration::from_millis(100)),
                [],
                "{name}: more"
            );
            assert_eq!(ports.len(), 1, "{name}: {ports:?}");
            assert!(!ports.contains(&69), "{name}: from the well-known port");
        }
    });
}

#[test]
fn many_clients_at_once_each_get_their_own_file_whole() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    let names = ["undionly.kpxe", "snponly.efi", "pxelinux.0", "shimx64.efi"];
    std::thread::scope(|scope| {
        for n in 0..24 {
            let client = &lan.client;
            scope.spawn(move || {
                let name = names[n % names.len()];
                let get = Ask {
                    blksize: Some(if n % 2 == 0 { 1468 } else { 1024 }),
                    windowsize: (n % 3 == 0).then_some(8),
                    tsize: true,
                    ..Ask::plain(name)
                };
                let (bytes, outcome) = client.run(|| tftp_get(SERVER, get, || {}));
                assert_eq!(outcome.kind, OutcomeKind::Completed, "{name}");
                assert!(bytes == content(name), "{name} is another file than ours");
            });
        }
    });
}

/// protocol.md H44, reliability.md R11.
#[test]
fn strangers_on_the_transfers_port_do_not_disturb_it() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    let expected = content("pxelinux.0");
    lan.client.run(|| {
        let socket = udp(0);
        let stranger = udp(0);
        socket
            .send_to(&rrq(b"pxelinux.0", &[]), (SERVER, 69))
            .expect("sent");
        let mut file: Vec<u8> = Vec::new();
        for block in 1u16.. {
            let (data, from) = receive(&socket, PATIENCE).expect("the next block");
            let [a, b] = block.to_be_bytes();
            assert_eq!(data[..4], [0, 3, a, b]);
            file.extend(&data[4..]);
            // An ACK, an abort and a request of somebody else.
            for noise in [
                vec![0, 4, a, b],
                b"\0\x05\0\0stop\0".to_vec(),
                rrq(b"x", &[]),
            ] {
                // ICMP may already have told this socket that it is refused.
                let _ = stranger.send_to(&noise, from);
            }
            socket.send_to(&[0, 4, a, b], from).expect("sent");
            if data.len() < 516 {
                break;
            }
        }
        assert!(file == expected, "the file was disturbed");
        for (answer, _) in receive_all(&stranger, Duration::from_millis(100)) {
            assert_eq!(
                answer[..4],
                [0, 5, 0, 5],
                "a stranger hears ERROR 5 or nothing"
            );
        }
    });
}

/// protocol.md D.2: iPXE repeats its request after 0.26 s from the same port; a second sender
/// would answer it from a second port.
#[test]
fn a_repeated_request_joins_its_transfer() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        let socket = udp(0);
        let request = rrq(b"pxelinux.0", &[("blksize", "1024"), ("tsize", "0")]);
        for _ in 0..3 {
            socket.send_to(&request, (SERVER, 69)).expect("sent");
            std::thread::sleep(Duration::from_millis(50));
        }
        let heard = receive_all(&socket, Duration::from_millis(200));
        let ports: BTreeSet<u16> = heard.iter().map(|(_, from)| from.port()).collect();
        assert_eq!(ports.len(), 1, "one transfer, one port: {heard:?}");
        assert!((1..=3).contains(&heard.len()), "{heard:?}");
        assert!(
            heard.iter().all(|(oack, _)| oack == &heard[0].0),
            "{heard:?}"
        );
        finish(&socket, heard[0].1, 1024, &content("pxelinux.0"));
    });
}

/// protocol.md H45a: GRUB sends its repeated request to the transfer's own port.
#[test]
fn a_request_repeated_to_the_transfers_port_is_answered_from_there() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        let socket = udp(0);
        let request = rrq(b"grubx64.efi", &[("blksize", "1024"), ("tsize", "0")]);
        socket.send_to(&request, (SERVER, 69)).expect("sent");
        let (first, port) = receive(&socket, PATIENCE).expect("an OACK");
        assert_eq!(first[..2], [0, 6]);
        socket.send_to(&request, port).expect("sent");
        let (second, from) = receive(&socket, PATIENCE).expect("the OACK again");
        assert_eq!((second, from), (first, port));
        finish(&socket, port, 1024, &content("grubx64.efi"));
    });
}

/// protocol.md H33: EDK2 asks for the size, aborts with ERROR 8, and comes back.
#[test]
fn a_size_probe_ends_quietly_and_the_next_request_is_served() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        let socket = udp(0);
        let probe = rrq(b"snponly.efi", &[("tsize", "0"), ("blksize", "1468")]);
        socket.send_to(&probe, (SERVER, 69)).expect("sent");
        let (oack, from) = receive(&socket, PATIENCE).expect("an OACK");
        let size = content("snponly.efi").len().to_string();
        let expected = [b"\0\x06tsize\0", size.as_bytes(), b"\0blksize\x001468\0"].concat();
        assert_eq!(oack, expected);
        let abort = b"\0\x05\0\x08User aborted the transfer\0";
        socket.send_to(abort, from).expect("sent");
        assert_eq!(receive_all(&socket, Duration::from_millis(300)), []);
        assert!(tftp_file(SERVER, "snponly.efi") == content("snponly.efi"));
    });
    let log = farrier.log();
    assert!(
        !log.contains("WARN") || !log.contains("snponly.efi"),
        "a probe is normal: {log}"
    );
    let totals = &farrier.json(&["status"])["transfer_totals"];
    let read = totals
        .as_array()
        .expect("a list")
        .iter()
        .find(|t| t["transport"] == "tftp" && t["direction"] == "read");
    assert_eq!(read.map(|t| &t["size_probes"]), Some(&1.into()), "{totals}");
}

/// A ROM that does not count its ports on, or a machine that was reset: its second request ends the first transfer.
#[test]
fn a_transfer_that_is_begun_anew_is_told() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let _open = lan.client.run(|| {
        let socket = udp(2070);
        for name in [&b"snponly.efi"[..], b"undionly.kpxe"] {
            socket.send_to(&rrq(name, &[]), (SERVER, 69)).expect("sent");
            let (_, from) = receive(&socket, PATIENCE).expect("block 1");
            socket.send_to(&[0, 4, 0, 1], from).expect("sent");
            receive(&socket, PATIENCE).expect("block 2");
        }
        socket
    });
    farrier.log_line("TFTP snponly.efi: the client began anew after 512 bytes");
    farrier.signal(nix::sys::signal::Signal::SIGTERM);
    let words = "TFTP undionly.kpxe: the server was stopped after 512 bytes";
    eventually(Duration::from_secs(20), words, || {
        farrier.log().contains(words).then_some(())
    });
}

/// ROMs use port 2070 again and again: for the same file as well, as soon as it is there.
#[test]
fn the_same_port_fetches_file_after_file() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        let socket = udp(2070);
        let mut ports = BTreeSet::new();
        let mut before: Option<SocketAddrV4> = None;
        for name in ["snponly.efi", "snponly.efi", "undionly.kpxe", "snponly.efi"] {
            let request = rrq(name.as_bytes(), &[("blksize", "1024"), ("tsize", "0")]);
            socket.send_to(&request, (SERVER, 69)).expect("sent");
            // A late ACK of the transfer before.
            if let Some(before) = before {
                socket.send_to(&[0, 4, 0, 1], before).expect("sent");
            }
            let (oack, from) = loop {
                let answer = receive(&socket, PATIENCE).expect("an OACK");
                // A busy machine may have repeated the last block of the transfer before.
                if Some(answer.1) != before {
                    break answer;
                }
            };
            assert_eq!(oack[..2], [0, 6], "{name}: {}", oack.escape_ascii());
            finish(&socket, from, 1024, &content(name));
            ports.insert(from.port());
            before = Some(from);
        }
        assert_eq!(ports.len(), 4, "each transfer has a port of its own");
    });
}

/// protocol.md D.3: a client that repeats its request without options has rejected the offer.
#[test]
fn a_client_that_rejects_the_offer_gets_plain_blocks() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        for error in [None, Some(&b"\0\x05\0\x08no options, please\0"[..])] {
            let socket = udp(0);
            let offer = rrq(b"pxelinux.0", &[("blksize", "1024"), ("windowsize", "4")]);
            socket.send_to(&offer, (SERVER, 69)).expect("sent");
            let (oack, first) = receive(&socket, PATIENCE).expect("an OACK");
            assert_eq!(oack[..2], [0, 6]);
            if let Some(error) = error {
                socket.send_to(error, first).expect("sent");
            }
            let plain = rrq(b"pxelinux.0", &[]);
            socket.send_to(&plain, (SERVER, 69)).expect("sent");
            let (block, from) = receive(&socket, PATIENCE).expect("block 1");
            assert_eq!((&block[..4], block.len()), (&[0, 3, 0, 1][..], 516));
            assert_ne!(from, first, "a new transfer");
            let rest = receive_all(&socket, Duration::from_millis(100));
            assert_eq!(rest, [], "nothing of the transfer that was rejected");
            let expected = content("pxelinux.0");
            assert!(expected.starts_with(&block[4..]));
            let mut file = block[4..].to_vec();
            for number in 1u16.. {
                let [a, b] = number.to_be_bytes();
                socket.send_to(&[0, 4, a, b], from).expect("sent");
                let (data, _) = receive_block(&socket, number + 1);
                let [a, b] = (number + 1).to_be_bytes();
                file.extend(&data[4..]);
                if data.len() < 516 {
                    socket.send_to(&[0, 4, a, b], from).expect("sent");
                    break;
                }
            }
            assert!(file == expected);
        }
    });
}

/// reliability.md R10: a tunnel comes up, a switch is changed. What was sent in one piece for the kernel to cut does not
/// fit any more.
#[test]
fn a_way_that_becomes_narrower_in_the_middle_is_survived() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    for windowsize in [1, 16] {
        for (mtu, at) in [(1500, 1), (1400, 5), (600, 9)] {
            let get = Ask {
                blksize: Some(1468),
                windowsize: Some(windowsize),
                ..Ask::plain("images/test/linux")
            };
            let mut sent = 0;
            let (bytes, outcome) = lan.client.run(|| {
                tftp_get(SERVER, get, || {
                    sent += 1;
                    if sent == at {
                        let line = format!("link set eth0 mtu {mtu}");
                        lan.server.ip(&line);
                        lan.client.ip(&line);
                    }
                })
            });
            assert_eq!(outcome.kind, OutcomeKind::Completed, "{windowsize}, {mtu}");
            assert!(bytes == content("linux"), "{windowsize}, {mtu}");
            assert!(sent > at, "it was over before");
        }
    }
}

/// protocol.md F.5: several ROMs drop what comes from a sibling address.
#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let lan = Lan::new();
    lan.server
        .ip("addr add 10.77.0.3/24 dev eth0\naddr add 10.55.0.2/24 dev eth0");
    lan.client.ip("addr add 10.55.0.50/24 dev eth0");
    let _farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        for server in [
            SERVER,
            Ipv4Addr::new(10, 77, 0, 3),
            Ipv4Addr::new(10, 55, 0, 2),
        ] {
            // tftp_get checks where every datagram comes from.
            assert!(
                tftp_file(server, "snponly.efi") == content("snponly.efi"),
                "{server}"
            );
            let socket = udp(0);
            socket
                .send_to(&rrq(b"nofile", &[]), (server, 69))
                .expect("sent");
            let (_, from) = receive(&socket, PATIENCE).expect("an ERROR");
            assert_eq!(*from.ip(), server, "the ERROR's source");
            let script = tftp_file(server, "autoexec.ipxe");
            let script = String::from_utf8(script).expect("text");
            assert!(
                script.contains(&format!("http://{server}")),
                "{server}: {script}"
            );
        }
    });
}

/// Acknowledges everything from the OACK on.
fn finish(socket: &UdpSocket, from: SocketAddrV4, blksize: usize, expected: &[u8]) {
    let mut file: Vec<u8> = Vec::new();
    socket.send_to(&[0, 4, 0, 0], from).expect("sent");
    for block in 1u16.. {
        let (data, port) = receive_block(socket, block);
        let [a, b] = block.to_be_bytes();
        assert_eq!(port, from);
        file.extend(&data[4..]);
        socket.send_to(&[0, 4, a, b], from).expect("sent");
        if data.len() < 4 + blksize {
            break;
        }
    }
    assert!(file == expected, "another file than ours");
}

const PATIENCE: Duration = Duration::from_secs(3);
