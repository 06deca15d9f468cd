//! Known exchanges octet by octet, H31 to H45a of the protocol notes: a failure here means that some firmware
//! no longer boots. Root of all: `f1500` (1500 octets), `f1024`, `f0` and `big` (100 MiB).

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Pattern, Served, ack, beginning, data, error, numbers, oack, rrq, shape};
use tftp::admission::{Admission, Caps, Sessions};
use tftp::{ErrorCode, ErrorPacket, OutcomeKind, Source, parse_request};

const F1500: Pattern = Pattern(1500);
const BIG: Pattern = Pattern(100 * 1024 * 1024);

fn kind(served: &Served<Pattern>) -> Option<OutcomeKind> {
    served.sender.outcome().map(|outcome| outcome.kind)
}

#[test]
fn h31_plain_read() {
    let request = b"\x00\x01f1500\0octet\0";
    let mut served = Served::start(request, F1500);
    assert_eq!(shape(&served.transmit()), [(1, 512)]);
    let second = served.receive(&ack(1));
    assert_eq!(shape(&second), [(2, 512)]);
    assert_eq!(data(&second[0]).1, F1500.octets(512, 512));
    assert_eq!(shape(&served.receive(&ack(2))), [(3, 476)]);
    assert!(served.receive(&ack(3)).is_empty());
    let outcome = served.sender.outcome().expect("it is over");
    assert_eq!(outcome.kind, OutcomeKind::Completed);
    assert_eq!(
        (
            outcome.stats.bytes,
            outcome.stats.blocks,
            outcome.stats.retransmits
        ),
        (1500, 3, 0)
    );
    assert!(served.wait(Duration::from_secs(60)).is_empty());
    assert!(served.sender.is_closed());
}

#[test]
fn h32_options_and_a_window() {
    let request = rrq("f1500", "octet", "tsize=0 blksize=1468 windowsize=4");
    let mut served = Served::start(&request, F1500);
    assert_eq!(
        served.transmit(),
        [b"\x00\x06tsize\x001500\0blksize\x001468\0windowsize\x004\0".to_vec()]
    );
    let window = served.receive(&ack(0));
    assert_eq!(shape(&window), [(1, 1468), (2, 32)]);
    assert!(served.receive(&ack(2)).is_empty());
    assert_eq!(kind(&served), Some(OutcomeKind::Completed));
}

#[test]
fn h33_size_probe_is_a_normal_end() {
    for code in [8, 0] {
        let request = rrq("f1500", "octet", "tsize=0 blksize=1468 windowsize=4");
        let mut served = Served::start(&request, F1500);
        assert_eq!(served.transmit().len(), 1);
        assert!(
            served
                .receive(&error(code, "User aborted the transfer"))
                .is_empty()
        );
        let outcome = served.sender.outcome().expect("it is over");
        let code = ErrorCode::from_wire(code);
        assert_eq!(outcome.kind, OutcomeKind::SizeProbe { code });
        assert!(outcome.is_normal());
        assert!(served.sender.is_closed(), "nothing to dally for");
        assert!(served.wait(Duration::from_secs(60)).is_empty());
    }
}

#[test]
fn h34_exact_multiple_ends_in_an_empty_block() {
    let mut served = Served::start(&rrq("f1024", "octet", ""), Pattern(1024));
    assert_eq!(shape(&served.transmit()), [(1, 512)]);
    assert_eq!(shape(&served.receive(&ack(1))), [(2, 512)]);
    assert_eq!(served.receive(&ack(2)), [vec![0, 3, 0, 3]]);
    assert!(served.receive(&ack(3)).is_empty());
    let outcome = served.sender.outcome().expect("it is over");
    assert_eq!((outcome.stats.bytes, outcome.stats.blocks), (1024, 3));

    let mut empty = Served::start(&rrq("f0", "octet", ""), Pattern(0));
    assert_eq!(empty.transmit(), [vec![0, 3, 0, 1]]);
    assert!(empty.receive(&ack(1)).is_empty());
    assert_eq!(kind(&empty), Some(OutcomeKind::Completed));
}

#[test]
fn h35_caps_apply_and_unknown_options_are_left_out() {
    let request = rrq("big", "octet", "blksize=65464 windowsize=100 foo=bar");
    let mut served = Served::start(&request, BIG);
    assert_eq!(served.transmit(), [oack("blksize=1468 windowsize=16")]);
}

#[test]
fn h36_nothing_accepted_means_no_oack() {
    for options in ["foo=bar", "blksize=7", "blksize=abc"] {
        let mut served = Served::start(&rrq("f1500", "octet", options), F1500);
        assert_eq!(shape(&served.transmit()), [(1, 512)], "{options}");
    }
}

#[test]
fn h37_timeout_is_echoed_to_the_letter_or_left_out() {
    let mut served = Served::start(&rrq("f1500", "octet", "timeout=5"), F1500);
    assert_eq!(served.transmit(), [oack("timeout=5")]);
    let mut served = Served::start(&rrq("f1500", "octet", "timeout=256"), F1500);
    assert_eq!(shape(&served.transmit()), [(1, 512)]);
}

/// Which files there are is the caller's knowledge; what goes over the wire for a missing one is this.
#[test]
fn h38_missing_file() {
    let request = parse_request(&rrq("nofile", "octet", "tsize=0 blksize=1468"));
    assert_eq!(request.expect("it is well-formed").name, b"nofile");
    let answer = ErrorPacket::new(ErrorCode::FileNotFound, "file not found");
    assert_eq!(answer.to_datagram(), b"\x00\x05\x00\x01file not found\0");
}

/// What a name may reach is the caller's grammar; here it must arrive as it was sent, not "cleaned".
#[test]
fn h39_hostile_names_arrive_untouched() {
    for name in [
        "..\\..\\etc\\passwd",
        "/../etc/passwd",
        "a/../../etc/passwd",
    ] {
        let request = parse_request(&rrq(name, "octet", "")).expect("it is well-formed");
        assert_eq!(request.name, name.as_bytes());
    }
    let answer = ErrorPacket::new(ErrorCode::AccessViolation, "access denied");
    assert_eq!(answer.to_datagram(), b"\x00\x05\x00\x02access denied\0");
}

/// As H39: the spellings of firmware reach the caller's grammar octet for octet.
#[test]
fn h40_firmware_spellings_arrive_untouched() {
    for name in ["\\Boot\\BCD", "/boot/bcd", "Boot//BCD"] {
        let request = parse_request(&rrq(name, "OcTeT", "")).expect("it is well-formed");
        assert_eq!(request.name, name.as_bytes());
        assert_eq!(request.refusal(), None);
    }
}

#[test]
fn h41_a_gap_sends_the_window_again_once() {
    let mut served = Served::start(&rrq("big", "octet", "blksize=1468 windowsize=4"), BIG);
    served.transmit();
    assert_eq!(numbers(&served.receive(&ack(0))), [1, 2, 3, 4]);
    // Block 3 got lost, block 4 came: EDK2 acknowledges 2 for everything unexpected.
    assert_eq!(numbers(&served.receive(&ack(2))), [3, 4, 5, 6]);
    assert!(served.receive(&ack(2)).is_empty());
    assert!(served.receive(&ack(2)).is_empty());
    assert_eq!(numbers(&served.receive(&ack(6))), [7, 8, 9, 10]);
}

#[test]
fn h42_duplicate_ack_of_a_single_block_sends_nothing() {
    let mut served = Served::start(&rrq("big", "octet", "blksize=1468"), BIG);
    served.transmit();
    for block in 0..6 {
        served.now += Duration::from_millis(100);
        assert_eq!(numbers(&served.receive(&ack(block))), [block + 1]);
    }
    for _ in 0..5 {
        served.now += Duration::from_millis(50);
        assert!(served.receive(&ack(5)).is_empty());
    }
    // The duplicates did not restart the timer: four round trips after ACK 5, not after the last of them.
    let sent = served.wait(Duration::from_millis(400));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, Duration::from_millis(150));
    assert_eq!(data(&sent[0].1).0, 6);
}

#[test]
fn h43_block_numbers_wrap_to_0() {
    let mut served = Served::start(&rrq("big", "octet", "blksize=1468"), BIG);
    assert_eq!(served.transmit(), [oack("blksize=1468")]);
    let (mut block, mut offset) = (0_u16, 0_u64);
    let mut answer = served.receive(&ack(0));
    while let [datagram] = answer.as_slice() {
        let (number, content) = data(datagram);
        assert_eq!(number, block.wrapping_add(1));
        assert!(
            content == BIG.octets(offset, 1468),
            "content at octet {offset}"
        );
        offset += content.len() as u64;
        block = number;
        answer = served.receive(&ack(block));
    }
    assert_eq!(offset, BIG.len());
    let outcome = served.sender.outcome().expect("it is over");
    assert_eq!(outcome.kind, OutcomeKind::Completed);
    assert_eq!(
        (outcome.stats.bytes, outcome.stats.blocks),
        (BIG.len(), BIG.len() / 1468 + 1)
    );
}

/// The transfer's socket is connected, so the stranger's datagram never gets here; what a caller with an
/// unconnected one would answer is ERROR 5.
#[test]
fn h44_strangers_get_error_5() {
    let answer = ErrorPacket::new(ErrorCode::UnknownTransferId, "unknown transfer id");
    assert_eq!(
        answer.to_datagram(),
        b"\x00\x05\x00\x05unknown transfer id\0"
    );
}

#[test]
fn h45_writing_and_mail_are_refused() {
    let mut write = rrq("x", "octet", "");
    write[1] = 2;
    for (datagram, code) in [
        (write, ErrorCode::AccessViolation),
        (rrq("f1500", "mail", ""), ErrorCode::IllegalOperation),
        (rrq("f1500", "bogus", ""), ErrorCode::IllegalOperation),
    ] {
        let request = parse_request(&datagram).expect("it is well-formed");
        let refusal = request.refusal().expect("it is refused");
        assert_eq!(refusal.code, code);
        let limits = tftp::Limits::default();
        let started = tftp::Sender::start(&request, F1500, &limits, beginning());
        assert_eq!(started.err(), Some(refusal));
    }
}

#[test]
fn h45a_request_repeated_to_the_transfer_port() {
    let request = rrq("f1500", "octet", "blksize=1024 tsize=0");
    let mut served = Served::start(&request, F1500);
    let offer = oack("blksize=1024 tsize=1500");
    assert_eq!(served.transmit(), std::slice::from_ref(&offer));
    assert_eq!(served.receive(&request), [offer]);
    assert_eq!(shape(&served.receive(&ack(0))), [(1, 1024)]);
    assert_eq!(shape(&served.receive(&ack(1))), [(2, 476)]);

    // To the well-known port it is no second session either.
    let mut sessions = Sessions::new(Caps::default());
    let peer = SocketAddr::from(([10, 0, 0, 9], 2070));
    let parsed = parse_request(&request).expect("it is well-formed");
    let first = sessions.admit(beginning(), peer, &parsed);
    let Admission::Start { id, .. } = first else {
        panic!("not admitted: {first:?}");
    };
    assert_eq!(
        sessions.admit(beginning(), peer, &parsed),
        Admission::Join(id)
    );
    assert_eq!(sessions.len(), 1);
}
