//! TFTP clients that mean harm, or are broken: over real sockets, each followed by a proof that
//! the server is still there.

use crate::common::farrier::content;
use crate::common::wire::{receive, receive_all, receive_block, rrq, tftp_file, udp};
use crate::common::{Farrier, Lan, SERVER, eventually};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What is to come back for one datagram to port 69.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    Silence,
    Error(u8),
}

/// protocol.md H39, H40 and G.2; reliability.md R18.
#[test]
fn no_name_reaches_a_file_outside_the_served_tree() {
    let lan = Lan::new();
    let farrier = Farrier::prepared(&lan.server);
    std::fs::write(farrier.home().join("secret"), SECRET).expect("written");
    std::fs::write(farrier.data().join("secret"), SECRET).expect("written");
    farrier.put("loaders/packaged/.hidden", SECRET);
    farrier.put("loaders/packaged/EFI/BCD", b"a boot configuration");
    let link = |target: &str, name: &str| {
        let path = farrier.data().join("loaders/packaged").join(name);
        std::os::unix::fs::symlink(target, path).expect("linked");
    };
    link("../../secret", "out.efi");
    link("/etc/passwd", "abs.efi");
    link("../..", "dir");
    link("snponly.efi", "inside.efi");
    let fifo = farrier.data().join("loaders/packaged/fifo.efi");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let mut farrier = farrier;
    farrier.start();

    let absolute = farrier.home().join("secret").display().to_string();
    let mut names: Vec<Vec<u8>> = OUTSIDE.iter().map(|n| n.as_bytes().to_vec()).collect();
    names.push(absolute.clone().into_bytes());
    names.push(format!("/{absolute}").into_bytes());
    names.push(b"..\xc0\xaf..\xc0\xafsecret".to_vec());
    names.push(b"\xc0\xae\xc0\xae/secret".to_vec());
    names.push(b"\xff\xfe\x80".to_vec());
    lan.client.run(|| {
        for name in names {
            let printed = name.escape_ascii().to_string();
            let socket = udp(0);
            let asked = Instant::now();
            socket
                .send_to(&rrq(&name, &[]), (SERVER, 69))
                .expect("sent");
            let (answer, _) = receive(&socket, PATIENCE).expect("refusals are told");
            // A FIFO must not hold the server until somebody writes into it.
            assert!(asked.elapsed() < Duration::from_secs(2), "{printed}");
            assert_eq!(
                answer[..3],
                [0, 5, 0],
                "{printed}: {}",
                answer.escape_ascii()
            );
            let text = String::from_utf8_lossy(&answer[4..]);
            assert!(matches!(answer[3], 1 | 2), "{printed}: code {}", answer[3]);
            assert!(
                ["file not found\0", "not allowed\0"].contains(&&*text),
                "{printed}: {text}"
            );
        }
        for (name, code) in [
            (r"..\..\etc\passwd", 2),
            ("/../etc/passwd", 2),
            ("a/../../etc/passwd", 2),
        ] {
            let answer = answer_to(&rrq(name.as_bytes(), &[]));
            assert_eq!(answer, Wanted::Error(code), "H39 {name}");
        }
        for name in [r"\EFI\BCD", "/efi/bcd", "EFI//BCD", "boot/EFI/BCD"] {
            assert_eq!(
                tftp_file(SERVER, name),
                b"a boot configuration",
                "H40 {name}"
            );
        }
        alive();
    });
}

/// reliability.md R01 and R03 (protocol.md H38, H45 among them).
#[test]
fn malformed_datagrams_get_silence_or_one_error_and_harm_nobody() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let long = |n: usize| rrq(&vec![b'A'; n], &[]);
    let cases: Vec<(Vec<u8>, Wanted)> = vec![
        (b"".to_vec(), Wanted::Silence),
        (b"\0".to_vec(), Wanted::Silence),
        (b"\0\x01".to_vec(), Wanted::Silence),
        (b"\0\0a\0octet\0".to_vec(), Wanted::Silence),
        (b"\0\x07a\0octet\0".to_vec(), Wanted::Silence),
        (b"\xff\xffa\0octet\0".to_vec(), Wanted::Silence),
        (b"\0\x01abc".to_vec(), Wanted::Silence),
        (b"\0\x01abc\0".to_vec(), Wanted::Silence),
        (b"\0\x01abc\0octet".to_vec(), Wanted::Silence),
        (b"\0\x01\0octet\0".to_vec(), Wanted::Silence),
        (b"\0\x01abc\0\0".to_vec(), Wanted::Silence),
        (long(5_000), Wanted::Silence),
        (long(60_000), Wanted::Silence),
        (b"\0\x03\0\x01data".to_vec(), Wanted::Silence),
        (b"\0\x04\0\x01".to_vec(), Wanted::Silence),
        (b"\0\x05\0\x01text\0".to_vec(), Wanted::Silence),
        (b"\0\x05\0\x01".to_vec(), Wanted::Silence),
        (b"\0\x05".to_vec(), Wanted::Silence),
        (b"\0\x06blksize\x00512\0".to_vec(), Wanted::Silence),
        (long(500), Wanted::Error(1)),
        (
            rrq(b"nofile", &[("tsize", "0"), ("blksize", "1468")]),
            Wanted::Error(1),
        ),
        (rrq(b"\x0a\x1b[31m", &[]), Wanted::Error(1)),
        (rrq(b"%s%n%x", &[]), Wanted::Error(1)),
        (b"\0\x01snponly.efi\0mail\0".to_vec(), Wanted::Error(4)),
        (b"\0\x01snponly.efi\0bogus\0".to_vec(), Wanted::Error(4)),
        (b"\0\x02x\0octet\0".to_vec(), Wanted::Error(2)),
        (b"\0\x02snponly.efi\0octet\0".to_vec(), Wanted::Error(2)),
    ];
    lan.client.run(|| {
        // All silent ones at once, so that silence is waited for only once.
        let socket = udp(0);
        for (bytes, _) in cases
            .iter()
            .filter(|(_, wanted)| *wanted == Wanted::Silence)
        {
            socket.send_to(bytes, (SERVER, 69)).expect("sent");
        }
        let heard = receive_all(&socket, Duration::from_millis(700));
        assert_eq!(heard, [], "something malformed was answered");
        for (bytes, wanted) in cases.iter().filter(|(_, w)| *w != Wanted::Silence) {
            assert_eq!(answer_to(bytes), *wanted, "{}", bytes.escape_ascii());
        }
        alive();
    });
    assert!(!farrier.data().join("loaders/local/x").exists());
    let log = farrier.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// reliability.md R03: two servers must never be made to talk to each other.
#[test]
fn ports_of_other_services_are_never_answered() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        for port in [67, 69, 4011] {
            let socket = udp(port);
            for bytes in [
                rrq(b"snponly.efi", &[]),
                rrq(b"nofile", &[]),
                b"\0\x02x\0octet\0".to_vec(),
            ] {
                socket.send_to(&bytes, (SERVER, 69)).expect("sent");
            }
            assert_eq!(
                receive_all(&socket, Duration::from_millis(300)),
                [],
                "source port {port}"
            );
        }
        alive();
    });
}

/// atftpd overflowed here (CVE-2021-41054): the OACK is longer than a block, and windows go out in pieces of 12 octets.
#[test]
fn the_smallest_blocks_with_every_option() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    let expected = content("pxelinux.0");
    let size = expected.len().to_string();
    lan.client.run(|| {
        let socket = udp(0);
        let request = rrq(
            b"pxelinux.0",
            &[
                ("multicast", ""),
                ("BLKSIZE", "8"),
                ("tsize", "0"),
                ("msftwindow", "31416"),
                ("timeout", "255"),
                ("blksize", "1468"),
                ("utimeout", "200000"),
                ("rollover", "0"),
                ("junk", &"x".repeat(900)),
                ("windowsize", "65535"),
            ],
        );
        socket.send_to(&request, (SERVER, 69)).expect("sent");
        let (oack, from) = receive(&socket, PATIENCE).expect("an OACK");
        let offered = format!(
            "\0\x06BLKSIZE\x008\0tsize\0{size}\0timeout\x00255\0utimeout\x00200000\0rollover\x000\0windowsize\x0016\0"
        );
        assert_eq!(oack.escape_ascii().to_string(), offered.as_bytes().escape_ascii().to_string());
        let mut file: Vec<u8> = Vec::new();
        let mut ack = 0u16;
        while file.len().is_multiple_of(8) {
            let [a, b] = ack.to_be_bytes();
            socket.send_to(&[0, 4, a, b], from).expect("sent");
            for _ in 0..16 {
                ack += 1;
                let (data, _) = receive_block(&socket, ack);
                file.extend(&data[4..]);
                if data.len() < 12 {
                    break;
                }
            }
        }
        let [a, b] = ack.to_be_bytes();
        socket.send_to(&[0, 4, a, b], from).expect("sent");
        assert!(file == expected, "{} of {size} bytes", file.len());
        alive();
    });
}

/// reliability.md R05: what is spent on an address that never proves itself.
#[test]
fn before_the_first_acknowledgement_little_is_sent() {
    let lan = Lan::new();
    let _farrier = Farrier::started(&lan.server);
    let plain = rrq(b"snponly.efi", &[]);
    let wide = rrq(
        b"snponly.efi",
        &[("blksize", "1468"), ("windowsize", "16"), ("tsize", "0")],
    );
    lan.client.run(|| {
        let asked: Vec<_> = [&plain, &wide]
            .map(|request| {
                let socket = udp(0);
                socket.send_to(request, (SERVER, 69)).expect("sent");
                (request, socket)
            })
            .into();
        // Repeats come after 1, 2, 4 s: by then a third and a fourth would be there.
        std::thread::sleep(Duration::from_millis(7_500));
        let heard = asked
            .iter()
            .map(|(_, s)| receive_all(s, Duration::from_millis(50)));
        let bytes: Vec<Vec<usize>> = heard
            .map(|all| all.iter().map(|(b, _)| b.len()).collect())
            .collect();
        let total = |n: usize| bytes[n].iter().sum::<usize>();
        assert!(
            (1..=3).contains(&bytes[0].len()) && total(0) <= 1_600,
            "plain: {bytes:?}"
        );
        assert!((1..=3).contains(&bytes[1].len()), "with options: {bytes:?}");
        assert!(
            total(1) <= 5 * wide.len(),
            "with options: {bytes:?} for {} octets",
            wide.len()
        );
        alive();
    });
}

/// No machine, and no rack of them, asks so often; who does is not answered, and everybody else is.
#[test]
fn an_address_that_asks_too_fast_is_not_answered() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    lan.client.ip("addr add 10.77.0.51/24 dev eth0");
    let ignored = lan.client.run(|| {
        let other = std::net::UdpSocket::bind((Ipv4Addr::new(10, 77, 0, 51), 0)).expect("bound");
        let socket = udp(0);
        let request = rrq(b"snponly.efi", &[("tsize", "0")]);
        let begun = Instant::now();
        for _ in 0..20_000 {
            socket.send_to(&request, (SERVER, 69)).expect("sent");
        }
        // What is in the queue comes first, and when that is full its request is lost.
        let (oack, _) = eventually(PATIENCE, "the other one's OACK", || {
            other.send_to(&request, (SERVER, 69)).expect("sent");
            receive(&other, Duration::from_millis(200))
        });
        assert_eq!(oack[..2], [0, 6]);
        let heard = receive_all(&socket, Duration::from_millis(300));
        // Three for one asking; what is repeated after 3.5 s is another one.
        let most = 3 * (1 + begun.elapsed().as_millis() as usize / 3_500);
        assert!((1..=most).contains(&heard.len()), "{} answers", heard.len());
        farrier.json(&["status"])["ignored"].clone()
    });
    let too_fast = ignored["client_rate"].as_u64().unwrap_or_default();
    assert!(too_fast > 1_000, "{ignored}");
}

/// protocol.md F.5, RFC 1123 section 4.2.3.1.
#[test]
fn a_request_to_a_broadcast_address_is_ignored() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    lan.client.run(|| {
        let socket = udp(0);
        socket.bind_to_eth0();
        for to in [Ipv4Addr::new(10, 77, 0, 255), Ipv4Addr::BROADCAST] {
            socket
                .send_to(&rrq(b"snponly.efi", &[]), (to, 69))
                .expect("sent");
        }
        assert_eq!(receive_all(&socket, Duration::from_millis(500)), []);
        alive();
    });
    let ignored = &farrier.json(&["status"])["ignored"];
    assert_eq!(ignored["tftp-broadcast"], 2, "{ignored}");
}

trait BindToDevice {
    fn bind_to_eth0(&self);
}

impl BindToDevice for std::net::UdpSocket {
    fn bind_to_eth0(&self) {
        let socket = socket2::SockRef::from(self);
        socket.bind_device(Some(b"eth0")).expect("eth0 is there");
    }
}

/// The one answer to a datagram, from a fresh port.
fn answer_to(bytes: &[u8]) -> Wanted {
    let socket = udp(0);
    socket.send_to(bytes, (SERVER, 69)).expect("sent");
    let Some((answer, _)) = receive(&socket, PATIENCE) else {
        return Wanted::Silence;
    };
    assert_eq!(answer[..3], [0, 5, 0], "{}", answer.escape_ascii());
    let text = String::from_utf8_lossy(&answer[4..]);
    assert!(!text.contains('/'), "a path in an answer: {text}");
    let more = receive_all(&socket, Duration::from_millis(30));
    assert_eq!(more, [], "an ERROR is sent once");
    Wanted::Error(answer[3])
}

/// The oracle after every abuse: an honest client is served.
fn alive() {
    assert!(tftp_file(SERVER, "snponly.efi") == content("snponly.efi"));
}

const PATIENCE: Duration = Duration::from_secs(3);
const SECRET: &[u8] = b"password hashes";
const OUTSIDE: [&str; 34] = [
    "../secret",
    "../../secret",
    "../../../secret",
    "/../secret",
    "./../secret",
    "..//secret",
    "....//secret",
    r"..\secret",
    r"..\..\secret",
    "a/../../secret",
    r"boot\..\..\secret",
    "images/../secret",
    "images/../../secret",
    "..%2fsecret",
    "%2e%2e/secret",
    "%252e%252e/secret",
    "..;/secret",
    "/etc/passwd",
    "//etc/passwd",
    r"\etc\passwd",
    r"C:\secret",
    "C:secret",
    r"\\host\share\secret",
    "file:///etc/passwd",
    ".",
    "..",
    "/",
    "snponly.efi/",
    "EFI",
    ".hidden",
    "out.efi",
    "abs.efi",
    "dir/secret",
    "fifo.efi",
];
