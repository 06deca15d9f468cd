//! A configuration that changes while the program runs, and a second program.

use crate::common::firmware::{broadcast, discover};
use crate::common::wire::tftp_file;
use crate::common::{Farrier, Lan, Netns, SERVER, eventually};
use nix::sys::signal::Signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::firmware::BiosRom;

/// reliability.md R31.
#[test]
fn a_bad_file_keeps_the_old_configuration_serving_and_says_where_it_is_wrong() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply("kind: site\nunassigned: menu\n");
    let bad = [
        (
            "tfpt:\n  enabled: false\n",
            ":2:1: unknown key 'tfpt', did you mean 'tftp'?",
        ),
        (
            "dhcp: {mode: sometimes}\n",
            ":2:14: dhcp.mode: unknown variant `sometimes`",
        ),
        ("http: {listen: '10.0.0.300:80'}\n", ":2:16: http.listen: "),
        ("interfaces: [eth0\n", ":3:1: "),
    ];
    for (yaml, fault) in bad {
        farrier.configure(yaml);
        farrier.signal(Signal::SIGHUP);
        let fault = format!("{}{fault}", farrier.config().display());
        let line = farrier.log_line(&fault);
        assert!(
            line.contains("the old configuration stays in force"),
            "{line}"
        );
        let status = eventually(Duration::from_secs(3), "the status says so", || {
            let status = farrier.ok(&["status"]);
            status.contains(&fault).then_some(status)
        });
        assert!(status.contains("Configuration"), "{status}");
        assert!(is_answered(&lan.client), "{yaml}");
        lan.client.run(|| tftp_file(SERVER, "undionly.kpxe"));
    }
    // Without a signal: the saved file is seen by itself, and the fault is over.
    farrier.configure("interfaces: [eth0]\n");
    farrier.log_line("configuration reloaded");
    let status = farrier.ok(&["status"]);
    assert!(!status.contains("Configuration"), "{status}");
}

#[test]
fn a_good_file_changes_the_interfaces_without_a_dropped_packet() {
    let lan = Lan::new();
    let second = Netns::new();
    lan.server.wire("eth1", &second, "eth0");
    lan.server.ip("addr add 10.88.0.2/24 brd + dev eth1");
    second.ip("addr add 10.88.0.50/24 brd + dev eth0");
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.configure("interfaces: [eth0]\n");
    farrier.start();
    farrier.apply("kind: site\nunassigned: menu\n");
    assert!(!is_answered_soon(&second), "eth1 is not served yet");

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut asked, mut answered) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                asked += 1;
                answered += u32::from(is_answered(&lan.client));
            }
            (asked, answered)
        });
        for interfaces in ["[eth0, eth1]", "[eth0]", "[eth1, eth0]"] {
            farrier.configure(&format!("interfaces: {interfaces}\n"));
            farrier.signal(Signal::SIGHUP);
            let wanted = interfaces.contains("eth1");
            eventually(Duration::from_secs(5), interfaces, || {
                (is_answered_soon(&second) == wanted).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        let (asked, answered) = asking.join().expect("no panic");
        assert!(asked > 10, "only {asked} questions: too few to drop one");
        assert_eq!(answered, asked, "questions answered, questions asked");
    });
}

/// A service manager may reload right after the start.
#[test]
fn a_hangup_while_it_starts_does_not_end_it() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.start_with(|farrier| {
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(3));
            if farrier.data().join("farrier.db").exists() {
                farrier.signal(Signal::SIGHUP);
            }
        }
    });
    farrier.ok(&["status"]);
}

#[test]
fn what_needs_a_restart_is_named_and_stays_as_it_was() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.configure("tftp: {enabled: false}\nui: {listen: '0.0.0.0:8081'}\n");
    farrier.signal(Signal::SIGHUP);
    farrier.log_line("tftp, ui: changed, and takes effect at the next start");
    lan.client.run(|| tftp_file(SERVER, "undionly.kpxe"));
}

#[test]
fn a_loader_put_into_the_directory_is_offered_without_a_restart() {
    let lan = Lan::new();
    let farrier = Farrier::prepared(&lan.server);
    std::fs::remove_file(farrier.data().join("loaders/packaged/undionly.kpxe")).expect("removed");
    std::fs::remove_file(farrier.data().join("loaders/packaged/ipxe.pxe")).expect("removed");
    std::fs::remove_file(farrier.data().join("loaders/packaged/pxelinux.0")).expect("removed");
    let mut farrier = farrier;
    farrier.start();
    farrier.apply("kind: site\nunassigned: menu\n");
    assert!(
        !is_answered_soon(&lan.client),
        "there is no loader for a BIOS"
    );
    farrier.put("loaders/local/undionly.kpxe", b"mine");
    eventually(Duration::from_secs(5), "the loader is offered", || {
        is_answered_soon(&lan.client).then_some(())
    });
    let bytes = lan.client.run(|| tftp_file(SERVER, "undionly.kpxe"));
    assert_eq!(bytes, b"mine");
}

#[test]
fn a_second_server_on_the_same_data_directory_is_refused() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    // By the same configuration, and by one whose ports are all free.
    let elsewhere = Netns::new();
    for host in [&lan.server, &elsewhere] {
        let mut command = farrier.command(&["serve"]);
        let started = Instant::now();
        let output = host.run(|| command.output()).expect("it starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words}");
        assert!(started.elapsed() < Duration::from_secs(2), "{words}");
        assert!(words.contains("another farrier is using this"), "{words}");
        assert!(words.contains("stop it first"), "{words}");
    }
    assert!(farrier.is_listening(), "the first one was disturbed");
    farrier.ok(&["status"]);
}

/// Asks as a machine that has never asked before; whether an offer came. Waits long enough that a
/// busy host is not taken for silence.
fn is_answered(host: &Netns) -> bool {
    asks(host, Duration::from_secs(3))
}

/// The same with less patience, where silence is the likely answer.
fn is_answered_soon(host: &Netns) -> bool {
    asks(host, Duration::from_millis(300))
}

fn asks(host: &Netns, patience: Duration) -> bool {
    static ASKED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let [_, a, b, c] = ASKED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let rom = discover(BiosRom::new([2, 0, 4, a, b, c]));
    !broadcast(host, &rom, patience, true).is_empty()
}
