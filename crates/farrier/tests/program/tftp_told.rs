//! What people are told about transfers: events, metrics, the log.

use crate::common::farrier::content;
use crate::common::wire::{receive, rrq, tftp_file, udp};
use crate::common::{Farrier, Lan, SERVER, eventually};
use serde_json::Value;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};
use tftp::{Ask, Limits, OutcomeKind, Receiver};

/// Fetches a file over a wire that loses every seventh datagram of the server.
fn fetch_over_a_bad_wire(name: &str) -> Vec<u8> {
    let get = Ask {
        blksize: Some(1428),
        windowsize: Some(8),
        ..Ask::plain(name)
    };
    let socket = udp(0);
    let mut receiver = Receiver::start(get, &Limits::default(), Instant::now());
    let mut peer = SocketAddrV4::new(SERVER, 69);
    let (mut datagram, mut file, mut came) = (Vec::new(), Vec::new(), 0);
    while receiver.outcome().is_none() {
        while receiver.poll_transmit(&mut datagram) {
            socket.send_to(&datagram, peer).expect("sent");
        }
        let now = Instant::now();
        let until = receiver.poll_timeout().unwrap_or(now);
        match receive(&socket, until.saturating_duration_since(now)) {
            Some((bytes, from)) => {
                peer = from;
                came += 1;
                if came % 7 != 0 {
                    receiver.handle_datagram(Instant::now(), &bytes, &mut file);
                }
            }
            None => receiver.handle_timeout(Instant::now()),
        }
    }
    while receiver.poll_transmit(&mut datagram) {
        socket.send_to(&datagram, peer).expect("sent");
    }
    let kind = receiver.outcome().expect("it has ended").kind;
    assert_eq!(kind, OutcomeKind::Completed);
    file
}

/// The newest event about a name.
fn event_of(farrier: &Farrier<'_>, path: &str) -> Value {
    eventually(Duration::from_secs(5), "its event is stored", || {
        let history: Value = serde_json::from_str(&farrier.page("/api/v1/events")).expect("JSON");
        let events = history["events"].as_array().expect("a list").clone();
        events.into_iter().find(|event| event["path"] == path)
    })
}

/// One series of `/metrics`.
fn metric(metrics: &str, series: &str) -> Option<u64> {
    let values = metrics.lines().filter_map(|line| line.strip_prefix(series));
    values.filter_map(|value| value.trim().parse().ok()).next()
}

#[test]
fn a_bad_wire_shows_in_the_event_and_in_the_metrics() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let file = lan.client.run(|| {
        assert!(tftp_file(SERVER, "snponly.efi") == content("snponly.efi"));
        fetch_over_a_bad_wire("images/test/linux")
    });
    assert!(file == content("linux"));

    let good = event_of(&farrier, "snponly.efi");
    assert_eq!(good["event"], "file-served", "{good}");
    let headline = good["headline"].as_str().expect("text");
    assert!(!headline.contains("look at the cable"), "{headline}");
    // A busy machine may be slower than the server's timer.
    let of_good = |name: &str| good["transfer"][name].as_u64().expect("a number");

    let event = event_of(&farrier, "images/test/linux");
    let stats = &event["transfer"];
    let number = |value: &Value| {
        value
            .as_u64()
            .unwrap_or_else(|| panic!("no number: {event}"))
    };
    assert_eq!(event["event"], "file-served");
    assert_eq!(number(&event["bytes"]), file.len() as u64);
    assert!(number(&event["millis"]) > 0, "{event}");
    assert_eq!(
        (number(&stats["blksize"]), number(&stats["windowsize"])),
        (1428, 8)
    );
    assert!(number(&stats["round_trip_micros"]) > 0, "{event}");
    let (windows, repeated) = (
        number(&stats["windows"]),
        number(&stats["windows_repeated"]),
    );
    assert!(windows >= 211 / 8 && repeated >= 211 / 7 / 2, "{event}");
    assert!(number(&stats["retransmits"]) >= repeated, "{event}");
    let words = format!("{repeated} of {windows} windows repeated: look at the cable or the MTU");
    let headline = event["headline"].as_str().expect("text");
    assert!(headline.contains(&words), "{headline}");

    let metrics = farrier.page("/metrics");
    let labels = "transport=\"tftp\",direction=\"read\"";
    for (series, value) in [
        (
            format!("farrier_transfers_total{{{labels},outcome=\"completed\"}}"),
            2,
        ),
        (
            format!("farrier_transfer_bytes_total{{{labels}}}"),
            (content("snponly.efi").len() + file.len()) as u64,
        ),
        (
            "farrier_tftp_windows_repeated_total".to_owned(),
            repeated + of_good("windows_repeated"),
        ),
        (
            "farrier_tftp_retransmits_total".to_owned(),
            number(&stats["retransmits"]) + of_good("retransmits"),
        ),
        ("farrier_transfers_active".to_owned(), 0),
        ("farrier_tftp_half_open".to_owned(), 0),
    ] {
        assert_eq!(
            metric(&metrics, &series),
            Some(value),
            "{series}\n{metrics}"
        );
    }
}

/// Each reason for not serving is counted by its name.
#[test]
fn what_is_refused_and_ignored_is_counted_by_its_reason() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let metrics = lan.client.run(|| {
        for request in [
            rrq(b"nofile", &[]),
            rrq(b"../secret", &[]),
            b"\0\x02x\0octet\0".to_vec(),
            b"\0\x01snponly.efi\0mail\0".to_vec(),
        ] {
            let socket = udp(0);
            socket.send_to(&request, (SERVER, 69)).expect("sent");
            let (answer, _) = receive(&socket, Duration::from_secs(3)).expect("an ERROR");
            assert_eq!(answer[..2], [0, 5]);
        }
        for silent in [&b"\0\x04\0\x01"[..], b"\0\x01\0octet\0"] {
            udp(0).send_to(silent, (SERVER, 69)).expect("sent");
        }
        udp(67)
            .send_to(&rrq(b"snponly.efi", &[]), (SERVER, 69))
            .expect("sent");
        // One transfer whose client never answers, until all of these were seen.
        let half_open = udp(0);
        let request = rrq(b"snponly.efi", &[("tsize", "0")]);
        half_open.send_to(&request, (SERVER, 69)).expect("sent");
        receive(&half_open, Duration::from_secs(3)).expect("an OACK");
        farrier.page("/metrics")
    });
    for (series, value) in [
        (
            "farrier_requests_refused_total{transport=\"tftp\",reason=\"not-found\"}",
            1,
        ),
        (
            "farrier_requests_refused_total{transport=\"tftp\",reason=\"bad-name\"}",
            1,
        ),
        (
            "farrier_requests_refused_total{transport=\"tftp\",reason=\"write-off\"}",
            1,
        ),
        (
            "farrier_requests_refused_total{transport=\"tftp\",reason=\"bad-mode\"}",
            1,
        ),
        (
            "farrier_requests_ignored_total{port=\"69\",reason=\"not_a_request\"}",
            1,
        ),
        (
            "farrier_requests_ignored_total{port=\"69\",reason=\"name_empty\"}",
            1,
        ),
        (
            "farrier_requests_ignored_total{port=\"69\",reason=\"reserved_port\"}",
            1,
        ),
        ("farrier_tftp_half_open", 1),
    ] {
        assert_eq!(metric(&metrics, series), Some(value), "{series}\n{metrics}");
    }
}

/// Names and ERROR texts are the clients' own words (protocol.md G.2): each stays one printable piece of one line.
#[test]
fn no_client_can_write_a_line_of_the_log() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.configure("log: {level: debug}\n");
    farrier.start();
    const FORGED: &str = "\n2026-01-01T00:00:00Z  INFO boot: forged\r\x1b[2J\u{9b}31m%s%n";
    lan.client.run(|| {
        for (name, mode) in [("../a", "octet"), ("b", "bogus")] {
            let name = format!("{name}{FORGED}");
            let request = [b"\0\x01", name.as_bytes(), b"\0", mode.as_bytes(), b"\0"].concat();
            let socket = udp(0);
            socket.send_to(&request, (SERVER, 69)).expect("sent");
            let (answer, _) = receive(&socket, Duration::from_secs(3)).expect("an ERROR");
            assert!(
                answer[4..]
                    .iter()
                    .all(|octet| (32..127).contains(octet) || *octet == 0)
            );
        }
        let write = [b"\0\x02c", FORGED.as_bytes(), b"\0octet\0"].concat();
        udp(0).send_to(&write, (SERVER, 69)).expect("sent");
        let socket = udp(0);
        socket
            .send_to(&rrq(b"snponly.efi", &[]), (SERVER, 69))
            .expect("sent");
        let (_, from) = receive(&socket, Duration::from_secs(3)).expect("block 1");
        let error = [b"\0\x05\0\x04d", FORGED.as_bytes(), b"\0"].concat();
        socket.send_to(&error, from).expect("sent");
    });
    // The client's words are there, each on the line of what was done with them.
    for (name, done) in [
        ("TFTP ../a", "no such file"),
        ("TFTP b", "no such file"),
        ("TFTP c", "a write request; writing is off"),
        ("TFTP snponly.efi", "the client stopped after 0 bytes"),
    ] {
        eventually(Duration::from_secs(5), name, || {
            let log = farrier.log();
            let is_told = |line: &str| {
                [name, done, "forged"]
                    .iter()
                    .all(|part| line.contains(part))
            };
            log.lines().any(is_told).then_some(())
        });
    }
    let log = farrier.log();
    assert!(
        !log.lines().any(|line| line.starts_with("2026-01-01")),
        "{log}"
    );
    let is_plain = |c: char| c == '\n' || !c.is_control();
    assert!(log.chars().all(is_plain), "{}", log.escape_debug());
}
