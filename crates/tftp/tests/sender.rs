//! A server's transfer in what the vectors leave open: budgets, timers, endings, batches.

mod common;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Pattern, Served, ack, data, error, numbers, oack, rrq, shape};
use tftp::limits::{FIRST_REPEATS, INTERVAL_FLOOR, REPEATS_BASE, REPEATS_PER_BLOCK, UNPROVED_LIFE};
use tftp::{Batch, ErrorCode, OutcomeKind, Source};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn kind<S: Source>(served: &Served<S>) -> Option<OutcomeKind> {
    served.sender.outcome().map(|outcome| outcome.kind)
}

/// When, in milliseconds, and what was sent.
fn times(sent: &[(Duration, Vec<u8>)]) -> Vec<u128> {
    sent.iter().map(|(after, _)| after.as_millis()).collect()
}

#[test]
fn a_silent_client_gets_three_packets() {
    for (options, cap) in [
        ("", 1_600),
        (
            "blksize=8 tsize=0 timeout=1 windowsize=9 utimeout=10000 rollover=0",
            400,
        ),
        ("tsize=0", 90),
        ("timeout=255", 105),
    ] {
        let request = rrq("f", "octet", options);
        let mut served = Served::start(&request, Pattern(u64::MAX));
        let mut sent = served.transmit();
        for _ in 0..20 {
            served.sender.repeat_first(); // forged requests for the same file come in as well
            sent.extend(served.transmit());
        }
        sent.extend(served.wait(UNPROVED_LIFE).into_iter().map(|(_, sent)| sent));
        let bytes: usize = sent.iter().map(Vec::len).sum();
        assert!(sent.len() <= 3, "{options}: {} packets", sent.len());
        assert!(bytes <= cap && bytes <= 1_600, "{options}: {bytes} octets");
        if !options.is_empty() {
            assert!(bytes <= 5 * request.len(), "{options}: {bytes} octets");
        }
        assert_eq!(kind(&served), Some(OutcomeKind::TimedOut), "{options}");
        assert!(served.sender.is_closed());
    }
}

#[test]
fn the_first_datagram_is_repeated_by_the_timer() {
    for (options, expected) in [("", vec![1_000, 3_000]), ("timeout=2", vec![2_000, 4_000])] {
        let mut served = Served::start(&rrq("f", "octet", options), Pattern(9));
        let first = served.transmit();
        let sent = served.wait(UNPROVED_LIFE);
        assert_eq!(times(&sent), expected, "{options}");
        assert!(sent.iter().all(|(_, datagram)| *datagram == first[0]));
    }
}

#[test]
fn repeats_double_and_end() {
    let mut served = Served::start(&rrq("f", "octet", "windowsize=2"), Pattern(5_000));
    served.transmit();
    served.now += 100 * MILLI;
    assert_eq!(numbers(&served.receive(&ack(0))), [1, 2]);
    let sent = served.wait(60 * SECOND);
    let expected = [400, 1_200, 2_800, 6_000, 12_400, 20_400, 28_400];
    assert_eq!(times(&sent), expected.map(|at| [at, at]).concat());
    let outcome = served.sender.outcome().expect("it is over");
    assert_eq!(outcome.kind, OutcomeKind::TimedOut);
    assert_eq!((outcome.stats.bytes, outcome.stats.retransmits), (0, 14));
    assert!(served.sender.is_closed());
}

/// The file `f` of many blocks asked for with `options`, its OACK acknowledged after a `round_trip`.
fn under_way(options: &str, round_trip: Duration) -> Served<Pattern> {
    let mut served = Served::start(&rrq("f", "octet", options), Pattern(u64::MAX));
    served.transmit();
    served.now += round_trip;
    served.receive(&ack(0));
    served
}

#[test]
fn the_interval_is_four_round_trips() {
    for (round_trip, expected) in [
        (0, [20, 60, 140]),
        (4, [20, 60, 140]),
        (6, [24, 72, 168]),
        (90, [360, 1_080, 2_520]),
        (700, [1_000, 3_000, 7_000]), // never longer than without measuring
    ] {
        let mut served = under_way("tsize=0", round_trip * MILLI);
        let sent = times(&served.wait(8 * SECOND));
        assert_eq!(sent[..3], expected, "{round_trip} ms");
    }
}

#[test]
fn a_silence_of_half_a_minute_is_survived_however_fast_the_client_was() {
    let mut served = under_way("tsize=0", Duration::from_micros(100));
    let sent = served.wait(30 * SECOND);
    assert!(sent.len() <= 12, "{} repeats", sent.len());
    assert_eq!(numbers(&served.receive(&ack(1))), [2]);
    served.wait(31 * SECOND);
    assert_eq!(kind(&served), Some(OutcomeKind::TimedOut));
}

/// A client that answers the OACK at once and needs 60 ms for a block: without a longer interval after a needless
/// repeat, each of its blocks would go out twice and none could be measured.
#[test]
fn a_client_slower_than_its_first_answer_is_learned() {
    let mut served = under_way("tsize=0", MILLI);
    let repeats: Vec<usize> = (1..=6)
        .map(|block| {
            let repeated = served.wait(60 * MILLI).len();
            assert_eq!(numbers(&served.receive(&ack(block))), [block + 1]);
            repeated
        })
        .collect();
    assert_eq!(repeats, [2, 0, 0, 0, 0, 0]);
    assert!(served.sender.stats().round_trip > Some(5 * MILLI));
}

#[test]
fn what_was_sent_twice_is_not_measured() {
    let mut served = under_way("tsize=0", 10 * MILLI);
    assert_eq!(served.sender.stats().round_trip, Some(10 * MILLI));
    assert_eq!(times(&served.wait(41 * MILLI)), [40]);
    served.receive(&ack(1)); // of the first copy, or a millisecond after the second
    assert_eq!(served.sender.stats().round_trip, Some(10 * MILLI));
}

#[test]
fn progress_restores_the_timer() {
    let mut served = under_way("tsize=0", 50 * MILLI);
    assert_eq!(times(&served.wait(700 * MILLI)), [200, 600]);
    served.receive(&ack(1));
    served.now += 50 * MILLI;
    served.receive(&ack(2)); // without a repeat: the interval is what was measured
    assert_eq!(times(&served.wait(700 * MILLI)), [200, 600]);
}

#[test]
fn a_negotiated_interval_is_the_longest_but_impatience_is_not_fatal() {
    // Nothing measured: it is the interval.
    let mut served = Served::start(&rrq("f", "octet", "timeout=3"), Pattern(5_000));
    served.transmit();
    assert_eq!(times(&served.wait(10 * SECOND)), [3_000, 6_000]);

    let mut served = under_way("timeout=3", 100 * MILLI);
    let sent = served.wait(60 * SECOND);
    let expected = [400, 1_200, 2_800, 5_800, 8_800, 11_800, 17_600];
    assert_eq!(times(&sent)[..5], expected[..5]);
    assert_eq!(kind(&served), Some(OutcomeKind::TimedOut));

    let mut served = under_way("utimeout=10000", MILLI);
    assert_eq!(
        times(&served.wait(SECOND)),
        [10, 20, 30, 40, 50, 60, 80, 120, 200, 360, 680],
        "as agreed while somebody may be there, then more slowly"
    );
    assert_eq!(kind(&served), None, "50 ms of silence end nothing");
    assert_eq!(numbers(&served.receive(&ack(1))), [2]);
    served.wait(6 * SECOND);
    assert_eq!(kind(&served), Some(OutcomeKind::TimedOut));

    let mut served = under_way("timeout=255", 100 * SECOND / 1_000);
    let sent = served.wait(600 * SECOND);
    assert!(sent.last().is_some_and(|(at, _)| *at > 255 * SECOND));
    assert_eq!(kind(&served), Some(OutcomeKind::TimedOut));
}

/// It gets 16 blocks for each ACK of one: four times what it acknowledges, and a base, are repeated. The rest is
/// left to the timer, a second each.
#[test]
fn a_client_that_acknowledges_a_part_of_each_window_has_a_budget() {
    let mut served = under_way("blksize=8 windowsize=16", MILLI);
    let mut acknowledged = 0;
    while acknowledged < 5_000 {
        acknowledged += 1;
        served.now += 2 * MILLI;
        served.receive(&ack(acknowledged));
    }
    let repeated = served.sender.stats().retransmits;
    let budget = REPEATS_BASE + REPEATS_PER_BLOCK * u64::from(acknowledged);
    assert!(repeated <= budget + 16, "{repeated} of {budget}");
}

#[test]
fn stale_and_impossible_acks_are_ignored() {
    let mut served = Served::start(&rrq("f", "octet", "windowsize=4"), Pattern(100_000));
    served.transmit();
    for early in [1, 4, 65_535] {
        assert!(
            served.receive(&ack(early)).is_empty(),
            "ACK {early} to the OACK"
        );
    }
    served.receive(&ack(0));
    assert_eq!(numbers(&served.receive(&ack(4))), [5, 6, 7, 8]);
    for bogus in [0, 3, 9, 5_000, 65_535] {
        assert!(served.receive(&ack(bogus)).is_empty(), "ACK {bogus}");
    }
    for odd in [
        &b""[..],
        b"\0\x04",
        b"\0\x04\x08",
        b"\0\x03\0\x01x",
        b"\0\x06",
        b"\xff\xff\0\0",
    ] {
        assert!(served.receive(odd).is_empty(), "{}", odd.escape_ascii());
    }
    assert_eq!(numbers(&served.receive(&ack(8))), [9, 10, 11, 12]);
}

#[test]
fn a_timeout_too_early_does_not_double_every_window() {
    let mut served = Served::start(&rrq("f", "octet", "windowsize=4"), Pattern(100_000));
    served.transmit();
    served.receive(&ack(0));
    // The ACK is late: the window goes out twice, and is acknowledged twice.
    assert_eq!(served.wait(INTERVAL_FLOOR).len(), 4);
    assert_eq!(numbers(&served.receive(&ack(4))), [5, 6, 7, 8]);
    assert!(served.receive(&ack(4)).is_empty(), "that was for the copy");
    // A second duplicate cannot be for the copy: it tells of a loss, once.
    assert_eq!(numbers(&served.receive(&ack(4))), [5, 6, 7, 8]);
    assert!(served.receive(&ack(4)).is_empty());
    let retransmits = served.sender.outcome();
    assert_eq!(retransmits, None);
}

#[test]
fn acks_of_first_copies_do_not_send_a_third() {
    let mut served = Served::start(&rrq("f", "octet", "windowsize=8"), Pattern(100_000));
    served.transmit();
    let round_trip = Duration::from_millis(2);
    served.now += round_trip;
    assert_eq!(served.receive(&ack(0)).len(), 8);
    served.now += round_trip;
    assert_eq!(
        numbers(&served.receive(&ack(2))),
        [3, 4, 5],
        "in pieces now"
    );
    // Sooner than a round trip after: the client has not seen the second copies yet, what it says is of the first.
    served.now += round_trip / 4;
    assert_eq!(numbers(&served.receive(&ack(3))), []);
    assert!(served.receive(&ack(3)).is_empty());
    // Later it has, and tells of a new gap.
    served.now += round_trip;
    assert_eq!(numbers(&served.receive(&ack(4)))[0], 5);
}

#[test]
fn a_client_that_stops_early() {
    let mut served = Served::start(&rrq("f", "octet", "tsize=0"), Pattern(5_000));
    served.transmit();
    served.receive(&ack(0));
    assert!(served.receive(&error(0, "TFTP Aborted\n")).is_empty());
    let outcome = served.sender.outcome().expect("it is over");
    let (code, text) = (ErrorCode::Undefined, "TFTP Aborted?".to_owned());
    assert_eq!(outcome.kind, OutcomeKind::ClientAborted { code, text });
    assert!(!outcome.is_normal());
    assert!(served.sender.is_closed());

    // Other refusals of the offer are no size probes: EDK2's "Malformatted OACK packet".
    let mut served = Served::start(&rrq("f", "octet", "tsize=0"), Pattern(5_000));
    served.transmit();
    served.receive(&error(4, "Malformatted OACK packet"));
    assert!(matches!(
        kind(&served),
        Some(OutcomeKind::ClientAborted { .. })
    ));
}

#[test]
fn an_error_after_the_end_changes_nothing() {
    let mut served = Served::start(&rrq("f", "octet", ""), Pattern(5));
    served.transmit();
    served.receive(&ack(1));
    served.receive(&error(0, "done"));
    assert_eq!(kind(&served), Some(OutcomeKind::Completed));
    assert!(!served.sender.is_closed(), "it dallies");
    assert!(served.receive(&ack(1)).is_empty());
    served.wait(2 * SECOND);
    assert!(served.sender.is_closed());
}

#[test]
fn a_request_without_options_to_the_transfer_port_rejects_the_offer() {
    let mut served = Served::start(&rrq("f", "octet", "blksize=1024 tsize=0"), Pattern(700));
    served.transmit();
    assert_eq!(shape(&served.receive(&rrq("f", "octet", ""))), [(1, 512)]);
    assert_eq!(shape(&served.receive(&ack(1))), [(2, 188)]);
    served.receive(&ack(2));
    assert_eq!(kind(&served), Some(OutcomeKind::Completed));
}

#[test]
fn requests_to_the_transfer_port_are_answered_a_few_times() {
    for mode in ["octet", "netascii"] {
        let request = rrq("f", mode, "");
        let mut served = Served::start(&request, Pattern(5));
        let first = served.transmit();
        served.receive(&ack(1)); // GRUB acknowledges the one block and still repeats its request
        let mut answers = 0;
        for _ in 0..40 {
            let answer = served.receive(&request);
            assert!(answer.is_empty() || answer == first, "{mode}");
            answers += u32::try_from(answer.len()).expect("few");
        }
        assert_eq!(answers, FIRST_REPEATS, "{mode}");
    }
    let mut served = Served::start(&rrq("f", "octet", "tsize=0"), Pattern(5));
    served.transmit();
    assert!(served.receive(&rrq("other", "octet", "tsize=0")).is_empty());
    assert_eq!(kind(&served), None);
}

#[test]
fn repeated_requests_elsewhere_do_not_disturb_a_running_transfer() {
    let mut served = Served::start(&rrq("f", "octet", "tsize=0"), Pattern(5_000));
    served.transmit();
    served.sender.repeat_first();
    assert_eq!(served.transmit(), [oack("tsize=5000")]);
    served.receive(&ack(0));
    served.sender.repeat_first();
    assert!(served.transmit().is_empty());

    let mut served = Served::start(&rrq("f", "octet", ""), Pattern(5_000));
    let first = served.transmit();
    served.sender.repeat_first();
    assert_eq!(served.transmit(), first);
    served.receive(&ack(1));
    served.sender.repeat_first();
    assert!(served.transmit().is_empty());
}

/// Content that gets shorter, or unreadable, once so many octets were read.
struct Failing {
    len: u64,
    good: u64,
    broken: bool,
    read: AtomicU64,
}

impl Source for Failing {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        self.read.fetch_add(1, Ordering::Relaxed);
        let left = usize::try_from(self.good.saturating_sub(offset)).expect("small");
        if left == 0 && self.broken {
            return Err(io::Error::other("/srv/secret: input/output error"));
        }
        Ok(vec![7; left.min(max)].into())
    }
}

#[test]
fn content_that_fails_ends_in_an_error_and_never_in_a_short_block() {
    for broken in [false, true] {
        for mode in ["octet", "netascii"] {
            let source = Failing {
                len: 4_000,
                good: 1_300,
                broken,
                read: AtomicU64::new(0),
            };
            let mut served = Served::start(&rrq("f", mode, "windowsize=4"), source);
            served.transmit();
            let sent = served.receive(&ack(0));
            assert_eq!(shape(&sent[..2]), [(1, 512), (2, 512)]);
            let text = "the file could not be read to its end";
            assert_eq!(
                sent[2..],
                [error(0, text)],
                "no path in it, and nothing after it"
            );
            let kind = kind(&served);
            assert!(
                matches!(kind, Some(OutcomeKind::ReadFailed { .. })),
                "{kind:?}"
            );
            assert!(served.sender.is_closed());
            assert!(served.receive(&ack(2)).is_empty());
        }
    }
}

#[test]
fn a_size_probe_reads_nothing() {
    let source = Failing {
        len: 4_000,
        good: 4_000,
        broken: false,
        read: AtomicU64::new(0),
    };
    let source = std::sync::Arc::new(source);
    let mut served = Served::start(&rrq("f", "octet", "tsize=0"), source.clone());
    served.transmit();
    served.receive(&error(8, ""));
    assert_eq!(source.read.load(Ordering::Relaxed), 0);
}

#[test]
fn a_window_in_one_piece_is_the_window_one_by_one() {
    for (len, windowsize, max_count, expected) in [
        (100_000, 16, 64, vec![(1_028, 16)]),
        (100_000, 16, 6, vec![(1_028, 6), (1_028, 6), (1_028, 4)]),
        (3_000, 16, 64, vec![(1_028, 3)]),
        (2_048, 16, 64, vec![(1_028, 3)]),
        (10, 16, 64, vec![(14, 1)]),
    ] {
        let request = rrq(
            "f",
            "octet",
            &format!("blksize=1024 windowsize={windowsize}"),
        );
        let mut single = Served::start(&request, Pattern(len));
        let mut batched = Served::start(&request, Pattern(len));
        let mut batch = Batch::new();
        single.transmit();
        assert!(
            batched
                .sender
                .poll_batch(batched.now, &mut batch, max_count)
        );
        assert_eq!((batch.count(), batch.segment_size()), (1, batch.octets()));
        assert!(
            !batched
                .sender
                .poll_batch(batched.now, &mut batch, max_count)
        );
        let window = single.receive(&ack(0));
        batched.sender.handle_datagram(batched.now, &ack(0));
        let (mut shapes, mut octets) = (Vec::new(), Vec::new());
        while batched
            .sender
            .poll_batch(batched.now, &mut batch, max_count)
        {
            shapes.push((batch.segment_size(), batch.count()));
            batch
                .io_slices()
                .for_each(|slice| octets.extend_from_slice(&slice));
        }
        assert_eq!(shapes, expected, "{len} octets, at most {max_count}");
        assert_eq!(octets, window.concat());
    }
}

#[test]
fn rollover_1_is_obeyed() {
    let request = rrq("f", "octet", "blksize=8 rollover=1");
    let mut served = Served::start(&request, Pattern(8 * 65_537));
    served.transmit();
    let mut answer = served.receive(&ack(0));
    let mut expected = 1;
    while let [datagram] = answer.as_slice() {
        assert_eq!(data(datagram).0, expected);
        answer = served.receive(&ack(expected));
        expected = if expected == 65_535 { 1 } else { expected + 1 };
    }
    assert_eq!(
        served.sender.outcome().expect("it is over").stats.blocks,
        65_538
    );
    assert_eq!(kind(&served), Some(OutcomeKind::Completed));
}
