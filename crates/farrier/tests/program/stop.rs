//! The program's end: asked for, and not (reliability.md R35).

use crate::common::farrier::content;
use crate::common::wire::{http_ask, http_get, http_parse, tftp_file, tftp_get};
use crate::common::{Farrier, Lan, SERVER, eventually};
use nix::sys::signal::Signal;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tftp::{Ask, OutcomeKind};

#[test]
fn a_tftp_transfer_and_a_download_under_way_finish_before_it_ends() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    // More than the socket buffers of both sides take in at once.
    let big: Vec<u8> = (0..24_000_000u32).map(|n| (n % 251) as u8).collect();
    farrier.put("images/big", &big);
    farrier.start();
    let (begun, both_begun) = mpsc::channel();
    std::thread::scope(|scope| {
        let tell = begun.clone();
        let transfer = scope.spawn(|| lan.client.run(|| slow_tftp(tell)));
        let download = scope.spawn(|| lan.client.run(|| slow_http(begun)));
        for _ in 0..2 {
            both_begun
                .recv_timeout(Duration::from_secs(5))
                .expect("begun");
        }
        let told = Instant::now();
        farrier.signal(Signal::SIGTERM);
        farrier.log_line("stopping: no new requests");
        eventually(
            Duration::from_secs(2),
            "new connections are refused",
            || {
                lan.client.run(|| {
                    let address = SocketAddr::from((SERVER, 80));
                    TcpStream::connect_timeout(&address, Duration::from_secs(1)).err()
                })
            },
        );
        let running = !transfer.is_finished() && !download.is_finished();
        assert!(running, "both were over too soon to prove anything");
        assert!(
            transfer.join().expect("no panic") == content("pxelinux.0"),
            "cut off"
        );
        assert!(
            download.join().expect("no panic") == big,
            "the download was cut off"
        );
        let status = farrier.wait_exit(Duration::from_secs(6));
        assert!(status.success(), "{status}");
        assert!(
            told.elapsed() < Duration::from_secs(6),
            "{:?}",
            told.elapsed()
        );
    });
    assert!(farrier.log().contains("stopped"), "{}", farrier.log());
    assert!(
        !farrier.control_socket().exists(),
        "the control socket was left behind"
    );
}

/// 137 blocks, one in 15 ms.
fn slow_tftp(begun: mpsc::Sender<()>) -> Vec<u8> {
    let mut sent = 0;
    let (bytes, outcome) = tftp_get(SERVER, Ask::plain("pxelinux.0"), || {
        sent += 1;
        if sent == 20 {
            begun.send(()).expect("the test waits");
        }
        std::thread::sleep(Duration::from_millis(15));
    });
    assert_eq!(outcome.kind, OutcomeKind::Completed);
    bytes
}

/// 24 MB in pieces, for some two seconds.
fn slow_http(begun: mpsc::Sender<()>) -> Vec<u8> {
    let mut stream = http_ask(SERVER, "/images/big");
    let mut begun = Some(begun);
    let (mut all, mut piece) = (Vec::new(), vec![0; 128 << 10]);
    loop {
        match stream.read(&mut piece).expect("not cut off") {
            0 => break,
            n => all.extend(&piece[..n]),
        }
        if let Some(begun) = begun.take() {
            begun.send(()).expect("the test waits");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    http_parse(&all).body
}

#[test]
fn with_nothing_under_way_it_ends_at_once() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    lan.client.run(|| http_get(SERVER, "/boot.ipxe"));
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let told = Instant::now();
        farrier.signal(signal);
        assert!(farrier.wait_exit(Duration::from_secs(5)).success());
        assert!(
            told.elapsed() < Duration::from_secs(2),
            "{signal}: {:?}",
            told.elapsed()
        );
        farrier.start();
    }
}

#[test]
fn a_client_that_is_gone_does_not_hold_up_the_end() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        let get = Ask::plain("pxelinux.0");
        let silent = crate::common::wire::udp(0);
        let request = crate::common::wire::rrq(&get.name, &[]);
        silent.send_to(&request, (SERVER, 69)).expect("sent");
        crate::common::wire::receive(&silent, Duration::from_secs(3)).expect("a block");
        let _reader_that_never_reads = http_ask(SERVER, "/images/test/linux");
        let told = Instant::now();
        farrier.signal(Signal::SIGTERM);
        assert!(farrier.wait_exit(Duration::from_secs(8)).success());
        assert!(
            told.elapsed() < Duration::from_secs(7),
            "{:?}",
            told.elapsed()
        );
    });
}

#[test]
fn after_kill_9_it_starts_again_and_has_lost_nothing() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    for round in 1..=3 {
        let mac = format!("52:54:00:bb:00:0{round}");
        farrier.assign(&[&mac]);
        farrier.kill();
        assert!(
            farrier.control_socket().exists(),
            "a killed server cannot clean up"
        );
        assert!(!farrier.is_listening());
        let down = farrier.cli(&["status"]);
        assert_eq!(down.code, Some(1));
        assert!(
            down.stderr.contains("is 'farrier serve' running?"),
            "{}",
            down.stderr
        );
        farrier.start();
        let explained = farrier.ok(&["explain", "--mac", &mac, "--arch", "bios"]);
        assert!(explained.contains("test"), "round {round}: {explained}");
    }
    lan.client.run(|| {
        assert!(tftp_file(SERVER, "snponly.efi") == content("snponly.efi"));
        let script = http_get(SERVER, "/52-54-00-bb-00-03/boot.ipxe");
        assert!(String::from_utf8_lossy(&script).contains("images/test/linux"));
    });
}
