//! What holds whatever anybody sends.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Pattern, Served, ack, data, rrq};
use proptest::prelude::*;
use tftp::limits::INTERVAL_FLOOR;
use tftp::limits::{UNPROVED_BYTES, UNPROVED_PACKETS};
use tftp::{Limits, Mode, OutcomeKind, Receiver, options::Rollover};

/// One thing that happens to a transfer.
#[derive(Debug, Clone)]
enum Event {
    /// An ACK of the block so many after the one before the highest acknowledged.
    Ack(i8),
    Datagram(Vec<u8>),
    RequestAgain,
    RequestElsewhere,
    Wait(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (-3_i8..20).prop_map(Event::Ack),
        2 => datagram().prop_map(Event::Datagram),
        1 => Just(Event::RequestAgain),
        1 => Just(Event::RequestElsewhere),
        2 => (0_u32..3_000).prop_map(Event::Wait),
    ]
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        (0_u8..9, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(opcode, rest)| [
            &[0, opcode],
            rest.as_slice()
        ]
        .concat()),
    ]
}

fn options() -> impl Strategy<Value = String> {
    prop::sample::subsequence(
        vec![
            "tsize=0",
            "blksize=8",
            "blksize=64",
            "windowsize=5",
            "timeout=1",
            "rollover=1",
            "junk=1",
        ],
        0..7,
    )
    .prop_map(|options| options.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_sender_keeps_its_bounds(
        options in options(),
        len in 0_u64..3_000,
        events in prop::collection::vec(event(), 0..120),
    ) {
        let source = Pattern(len);
        let request = rrq("f", "octet", &options);
        let mut served = Served::start(&request, source);
        let mut unproved = (0, 0);
        let mut sent = served.transmit();
        for event in std::iter::once(Event::Wait(0)).chain(events) {
            let proved_before = served.sender.is_proved();
            match event {
                Event::Ack(ahead) => {
                    let base = i64::try_from(served.sender.acknowledged()).expect("small");
                    let block = u64::try_from((base + i64::from(ahead)).max(0)).expect("not negative");
                    sent.extend(served.receive(&ack(served.sender.agreed().rollover.wire(block))));
                }
                Event::Datagram(datagram) => sent.extend(served.receive(&datagram)),
                Event::RequestAgain => sent.extend(served.receive(&request)),
                Event::RequestElsewhere => {
                    served.sender.repeat_first();
                    sent.extend(served.transmit());
                }
                Event::Wait(millis) => {
                    let sent_now = served.wait(Duration::from_millis(millis.into()));
                    sent.extend(sent_now.into_iter().map(|(_, datagram)| datagram));
                }
            }
            let agreed = served.sender.agreed();
            let (base, window) = (served.sender.acknowledged(), u64::from(agreed.windowsize));
            if !proved_before && !served.sender.is_proved() {
                unproved.0 += sent.len();
                unproved.1 += sent.iter().map(Vec::len).sum::<usize>();
                prop_assert!(unproved.0 <= UNPROVED_PACKETS as usize);
                prop_assert!(unproved.1 <= UNPROVED_BYTES);
            }
            for datagram in sent.drain(..).filter(|datagram| datagram[1] == 3) {
                let (number, content) = data(&datagram);
                let ahead = agreed.rollover.distance(base, number);
                // The first block may come again; all others are of the window.
                let block = match ahead {
                    Some(ahead) if (1..=window).contains(&ahead) => base + ahead,
                    _ => 1,
                };
                prop_assert_eq!(agreed.rollover.wire(block), number, "base {}", base);
                let size = u64::from(agreed.blksize);
                prop_assert_eq!(content, source.octets((block - 1) * size, agreed.blksize.into()));
            }
            if let Some(outcome) = served.sender.outcome() {
                let complete = outcome.kind == OutcomeKind::Completed;
                prop_assert_eq!(complete, outcome.stats.blocks == len / u64::from(agreed.blksize) + 1);
                prop_assert!(!complete || outcome.stats.bytes == len);
            }
        }
        // Left alone it ends.
        served.wait(Duration::from_secs(200));
        prop_assert!(served.sender.is_closed());
        prop_assert!(served.transmit().is_empty());
    }

    #[test]
    fn a_receiver_takes_only_what_comes_in_order(
        windowsize in 1_u16..6,
        with_oack: bool,
        blocks in prop::collection::vec((0_u64..30, 0_usize..4), 0..100),
        junk in prop::collection::vec(datagram(), 0..20),
    ) {
        let mut now = common::beginning();
        let get = tftp::Ask {
            blksize: Some(8),
            windowsize: Some(windowsize),
            ..tftp::Ask::plain("f")
        };
        let mut receiver = Receiver::start(get, &Limits::default(), now);
        let (mut received, mut out) = (Vec::new(), Vec::new());
        let source = Pattern(8 * 25 + 3);
        if with_oack {
            receiver.handle_datagram(now, &common::oack(&format!("blksize=8 windowsize={windowsize}")), &mut received);
        }
        let mut junk = junk.into_iter();
        for (block, turn) in blocks {
            match turn {
                0 => {
                    // Junk that looks like content is content to any client: leave those out.
                    if let Some(junk) = junk.next().filter(|junk| !junk.starts_with(&[0, 3])) {
                        receiver.handle_datagram(now, &junk, &mut received);
                    }
                }
                1 => {
                    now += Duration::from_millis(700);
                    receiver.handle_timeout(now);
                }
                _ => {
                    let next = received.len() as u64 / 8 + 1;
                    let block = if turn == 2 { next } else { block };
                    let content = source.octets(block.saturating_sub(1) * 8, 8);
                    let number = Rollover::Zero.wire(block).to_be_bytes();
                    let datagram = [&[0, 3], &number[..], &content].concat();
                    receiver.handle_datagram(now, &datagram, &mut received);
                }
            }
            let mut count = 0;
            while receiver.poll_transmit(&mut out) {
                count += 1;
                prop_assert!(count <= 1, "one answer at most");
            }
            let expected = source.octets(0, 8 * 26);
            prop_assert!(expected.starts_with(&received));
            if receiver.outcome().is_some_and(|outcome| outcome.kind == OutcomeKind::Completed) {
                prop_assert!(received == expected || !with_oack);
            }
        }
    }
}

#[test]
fn what_a_receiver_refuses_in_an_oack() {
    let get = tftp::Ask {
        blksize: Some(1024),
        windowsize: Some(8),
        timeout: Some(3),
        ..tftp::Ask::plain("f")
    };
    for (offer, accepted) in [
        ("blksize=1024 windowsize=8 timeout=3", true),
        ("blksize=8 windowsize=1", true),
        ("WindowSize=4 BLKSIZE=512", true),
        ("blksize=1025", false),
        ("blksize=7", false),
        ("windowsize=9", false),
        ("windowsize=0", false),
        ("timeout=4", false),
        ("timeout=2", false),
        ("tsize=100", false),
        ("made-up=1", false),
        ("blksize=abc", false),
    ] {
        let now = common::beginning();
        let mut receiver = Receiver::start(get.clone(), &Limits::default(), now);
        let mut out = Vec::new();
        assert!(receiver.poll_transmit(&mut out));
        receiver.handle_datagram(now, &common::oack(offer), &mut Vec::new());
        assert!(receiver.poll_transmit(&mut out));
        if accepted {
            assert_eq!(out, ack(0), "{offer}");
        } else {
            assert_eq!(out[..4], [0, 5, 0, 8], "{offer}");
            let kind = receiver.outcome().expect("it is over").kind;
            assert!(
                matches!(kind, OutcomeKind::BadOack { .. }),
                "{offer}: {kind:?}"
            );
            assert!(receiver.is_closed());
        }
    }
}

#[test]
fn a_receiver_notices_a_wrong_length_and_a_refusal() {
    let now = common::beginning();
    let get = tftp::Ask {
        tsize: true,
        ..tftp::Ask::plain("f")
    };
    let mut received = Vec::new();
    let mut receiver = Receiver::start(get.clone(), &Limits::default(), now);
    receiver.handle_datagram(now, &common::oack("tsize=99999999999"), &mut received);
    receiver.handle_datagram(now, b"\0\x03\0\x01short", &mut received);
    let announced = 99_999_999_999;
    let outcome = receiver.outcome().expect("it is over");
    assert_eq!(outcome.kind, OutcomeKind::WrongLength { announced });

    let mut receiver = Receiver::start(get, &Limits::default(), now);
    receiver.handle_datagram(now, &common::error(1, "file not found"), &mut received);
    let outcome = receiver.outcome().expect("it is over");
    assert!(matches!(outcome.kind, OutcomeKind::ClientAborted { .. }));
    assert_eq!(receiver.poll_timeout(), None);
}

/// The server repeats what was not acknowledged: the ACK of the OACK, or the last one, was lost.
#[test]
fn a_receiver_acknowledges_again_what_comes_again() {
    let now = common::beginning();
    let ask = tftp::Ask {
        blksize: Some(8),
        ..tftp::Ask::plain("f")
    };
    let mut receiver = Receiver::start(ask, &Limits::default(), now);
    let mut answer = |now, datagram: &[u8]| {
        let (mut received, mut out) = (Vec::new(), Vec::new());
        while receiver.poll_timeout().is_some_and(|due| due <= now) {
            receiver.handle_timeout(now);
        }
        receiver.handle_datagram(now, datagram, &mut received);
        receiver.poll_transmit(&mut out).then_some(out)
    };
    let offer = common::oack("blksize=8");
    let last = common::block(1, b"end");
    answer(now, &[]);
    assert_eq!(answer(now, &offer), Some(ack(0)));
    assert_eq!(answer(now, &offer), Some(ack(0)));
    assert_eq!(answer(now, &last), Some(ack(1)));
    let second = Duration::from_secs(1);
    for after in [1, 3] {
        assert_eq!(
            answer(now + second * after, &last),
            Some(ack(1)),
            "{after} s"
        );
    }
    assert_eq!(
        answer(now + second * 4, &last),
        None,
        "its port is given back"
    );
}

/// netascii with the window going back and forth: the same block is the same octets each time.
#[test]
fn netascii_blocks_can_be_sent_again() {
    let text = b"\n\r\nline\n\n\r\rx".repeat(40);
    let mut served = Served::start(
        &rrq("f", "netascii", "blksize=8 windowsize=4"),
        Bytes::from(text),
    );
    served.transmit();
    let first = served.receive(&ack(0));
    assert_eq!(first.len(), 4);
    let again = served.receive(&ack(2));
    assert_eq!(again[..2], first[2..]);
    // Silence: the last block, for it or its ACK may be all that is missing; then the whole window.
    let once_more: Vec<_> = served.wait(INTERVAL_FLOOR * 2);
    let once_more: Vec<_> = once_more
        .into_iter()
        .map(|(_, datagram)| datagram)
        .collect();
    assert_eq!(once_more[0], again[3]);
    assert_eq!(once_more[1..], again);
    assert_eq!(served.sender.agreed().tsize, None);
    assert_eq!(Mode::Netascii.as_str(), "netascii");
}
