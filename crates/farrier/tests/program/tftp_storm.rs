//! Many machines at once at the real program: while it is stopped, killed and started again, and while it is flooded.

use crate::common::farrier::content;
use crate::common::wire::{receive, rrq, udp};
use crate::common::{Farrier, Lan, SERVER, eventually};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tftp::admission::{PER_CLIENT_CAP, SESSIONS_CAP};
use tftp::{Ask, Limits, OutcomeKind, Receiver};

/// Where a storm stands.
#[derive(Default)]
struct Stage {
    /// Machines whose transfer is well under way.
    begun: AtomicUsize,
    /// They may go on.
    on: AtomicBool,
}

impl Stage {
    fn wait(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + PATIENCE;
        while !self.on.load(Ordering::Relaxed) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Fetches [`FILE`] at the pace of a slow machine, and again from another port when nothing comes, as its user or its
/// firmware would. How often it asked.
fn machine(stage: &Stage, windowsize: u16) -> usize {
    // Firmware waits longer; the order of things is the same.
    let limits = Limits {
        first_interval: Duration::from_millis(300),
        tries: 2,
        patience: Duration::from_millis(900),
        ..Limits::default()
    };
    for attempt in 1..=20 {
        let get = Ask {
            blksize: Some(1428),
            windowsize: (windowsize > 1).then_some(windowsize),
            ..Ask::plain(FILE)
        };
        let socket = udp(0);
        let mut receiver = Receiver::start(get, &limits, Instant::now());
        let mut peer = SocketAddrV4::new(SERVER, 69);
        let (mut datagram, mut file, mut told) = (Vec::new(), Vec::new(), attempt > 1);
        while receiver.outcome().is_none() {
            while receiver.poll_transmit(&mut datagram) {
                // With nobody there this is an ICMP error of the datagram before.
                let _ = socket.send_to(&datagram, peer);
            }
            let now = Instant::now();
            let until = receiver.poll_timeout().unwrap_or(now);
            match receive(&socket, until.saturating_duration_since(now)) {
                Some((bytes, from)) => {
                    peer = from;
                    receiver.handle_datagram(Instant::now(), &bytes, &mut file);
                }
                None => receiver.handle_timeout(Instant::now()),
            }
            if !told && file.len() > 20_000 {
                told = true;
                stage.wait();
            }
            std::thread::sleep(Duration::from_micros(2_000 / u64::from(windowsize)));
        }
        while receiver.poll_transmit(&mut datagram) {
            let _ = socket.send_to(&datagram, peer);
        }
        let kind = receiver.outcome().expect("it has ended").kind;
        if kind == OutcomeKind::Completed {
            assert!(file == content("linux"), "another file than ours");
            return attempt;
        }
    }
    panic!("twenty times in vain");
}

/// Runs so many machines, has `meanwhile` done as soon as all are well under way; how often each asked.
fn storm(lan: &Lan, machines: usize, meanwhile: impl FnOnce()) -> Vec<usize> {
    let stage = Stage::default();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..machines)
            .map(|n| {
                let stage = &stage;
                scope.spawn(move || lan.client.run(|| machine(stage, [1, 4][n % 2])))
            })
            .collect();
        let end = Instant::now() + PATIENCE;
        while stage.begun.load(Ordering::Relaxed) < machines {
            assert!(Instant::now() < end, "they never got under way");
            std::thread::sleep(Duration::from_millis(1));
        }
        stage.on.store(true, Ordering::Relaxed);
        meanwhile();
        let join = |machine: std::thread::ScopedJoinHandle<'_, usize>| machine.join();
        all.into_iter()
            .map(|machine| join(machine).expect("it got its file"))
            .collect()
    })
}

#[test]
fn a_storm_that_is_under_way_ends_well_before_the_server_does() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    let asked = storm(&lan, 32, || farrier.signal(Signal::SIGTERM));
    assert_eq!(asked, [1; 32], "somebody was cut off");
    assert!(farrier.wait_exit(Duration::from_secs(8)).success());
    let log = farrier.log();
    assert!(log.contains("stopping") && log.contains("stopped"), "{log}");
}

#[test]
fn machines_that_ask_again_get_their_file_after_kill_9() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    let asked = storm(&lan, 32, || {
        farrier.kill();
        farrier.start();
    });
    assert!(asked.iter().all(|times| *times > 1), "{asked:?}");
    let transfers = farrier.json(&["status"])["transfers"].clone();
    assert_eq!(transfers, serde_json::json!([]), "all have ended");
}

/// A hundred thousand requests with forged sources: what they cost is bounded, and a machine beside them is served.
#[test]
fn a_flood_of_forged_requests_costs_little_and_stops_nobody() {
    let lan = Lan::new();
    // Whatever is sent to 10.96.0.0/12 ends at the client, which answers nothing.
    lan.client.ip("route add local 10.96.0.0/12 dev lo");
    lan.server
        .ip("route add 10.96.0.0/12 via 10.77.0.50 dev eth0");
    let farrier = Farrier::started(&lan.server);
    let before = (memory(&farrier), farrier.descriptors());
    let over = AtomicBool::new(false);
    let alone = Stage::default();
    alone.on.store(true, Ordering::Relaxed);
    let (mut fetches, mut most) = (0, before);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            lan.client.run(flood);
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            lan.client.run(|| machine(&alone, 4));
            fetches += 1;
            most.0 = most.0.max(memory(&farrier));
            most.1 = most.1.max(farrier.descriptors());
        }
    });
    assert!(fetches > 0);
    let (kib, descriptors) = (most.0 - before.0, most.1 - before.1);
    // 1,024 half-open transfers, and what a hundred thousand lines of logs and counters would be many times of.
    assert!(kib < 32 * 1024, "{kib} KiB more");
    assert!(descriptors <= 1_100, "{descriptors} descriptors more");
    let running = farrier.ok(&["status"]);
    assert!(
        !running.contains("10.96."),
        "a forged address is no transfer: {running}"
    );
}

/// Clients that answer once and then never again have all places there are: whoever asks gets one of them.
#[test]
fn places_that_silent_clients_hold_go_to_those_who_ask() {
    let lan = Lan::new();
    lan.client.ip("route add local 10.96.0.0/12 dev lo");
    lan.server
        .ip("route add 10.96.0.0/12 via 10.77.0.50 dev eth0");
    let farrier = Farrier::started(&lan.server);
    let crowd = |n: usize| Ipv4Addr::new(10, 96, 0, 1 + u8::try_from(n).expect("few"));
    lan.client.run(|| {
        many_descriptors();
        let mut silent = Vec::new();
        for n in 0..SESSIONS_CAP {
            let socket = UdpSocket::bind((crowd(n / PER_CLIENT_CAP), 0)).expect("opened");
            ask(&socket);
            let (_, from) = receive(&socket, PATIENCE).expect("block 1");
            socket.send_to(&[0, 4, 0, 1], from).expect("sent");
            silent.push(socket);
        }
        // The crowd may not be quiet for long enough yet: a machine asks again.
        for address in [crowd(0), Ipv4Addr::new(10, 77, 0, 50)] {
            let socket = UdpSocket::bind((address, 0)).expect("opened");
            let (block, from) = eventually(PATIENCE, "a place", || {
                ask(&socket);
                receive(&socket, Duration::from_millis(250))
            });
            assert_eq!(block[..4], [0, 3, 0, 1]);
            socket.send_to(&[0, 4, 0, 1], from).expect("sent");
            let (block, _) = receive(&socket, PATIENCE).expect("block 2");
            assert_eq!(block[..4], [0, 3, 0, 2]);
        }
        // Of that address the first has been silent for longest, and it is told.
        let told = eventually(PATIENCE, "an ERROR", || {
            let (bytes, _) = receive(&silent[0], PATIENCE)?;
            (bytes[1] == 5).then_some(bytes)
        });
        assert_eq!(told, b"\0\x05\0\0silent while others wait\0");
    });
    let ignored = &farrier.json(&["status"])["ignored"];
    assert_eq!(ignored["tftp-quiet-pushed-out"], 2, "{ignored}");
    farrier.log_line("the client was silent while others had no place after 512 bytes");
}

fn ask(socket: &UdpSocket) {
    let request = rrq(FILE.as_bytes(), &[]);
    socket.send_to(&request, (SERVER, 69)).expect("sent");
}

/// As many as this process may have.
fn many_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is one");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("allowed");
}

fn flood() {
    let socket = udp(0);
    let to = SockaddrIn::from(SocketAddrV4::new(SERVER, 69));
    let request = [b"\0\x01", FILE.as_bytes(), b"\0octet\0blksize\x001428\0"].concat();
    for n in 0..FORGED {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 1).to_bits() + n);
        let from = nix::libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: nix::libc::in_addr {
                s_addr: u32::from_ne_bytes(address.octets()),
            },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        };
        sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&request)],
            &[ControlMessage::Ipv4PacketInfo(&from)],
            MsgFlags::empty(),
            Some(&to),
        )
        .expect("sent");
    }
}

/// Memory of its own, KiB.
fn memory(farrier: &Farrier<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", farrier.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|n| n.parse().ok())
        .expect("a number of KiB")
}

/// For all machines to be under way, on a busy host.
const PATIENCE: Duration = Duration::from_secs(20);
const FILE: &str = "images/test/linux";
const FORGED: u32 = 100_000;
