//! Block numbers past 65,535 where the way is bad just then, and where the client wants 1 after 65,535.

mod common;

use bytes::Bytes;
use common::network::{Weather, exchange};
use common::upload::{Disk, upload};
use common::{Pattern, Served, ack, beginning, block, data, rrq, wrq};
use tftp::options::Rollover;
use tftp::{Ask, Limits, Mode, OutcomeKind, Put, Receiver, Writer, parse_request};

const BAD: Weather = Weather {
    loss: 3,
    duplicates: 5,
    reorder: 5,
};

/// Past the border twice.
const BLOCKS: u64 = 131_100;

fn ask(windowsize: u16) -> Ask {
    Ask {
        blksize: Some(8),
        windowsize: Some(windowsize),
        tsize: true,
        ..Ask::plain("file")
    }
}

#[test]
fn downloads_wrap_on_a_bad_way() {
    for windowsize in [1, 16] {
        let limits = Limits::default();
        let source = Pattern(8 * BLOCKS + 3);
        let client = Receiver::start(ask(windowsize), &limits, beginning());
        let ran = exchange(client, &source, &limits, BAD, 1);
        let outcome = ran.client.outcome().expect("it is closed");
        assert_eq!(outcome.kind, OutcomeKind::Completed);
        assert_eq!(outcome.stats.blocks, BLOCKS + 1);
        assert!(ran.received == source.octets(0, usize::try_from(source.0).expect("small")));
    }
}

#[test]
fn uploads_wrap_on_a_bad_way() {
    for windowsize in [1, 16] {
        let limits = Limits::default();
        let source = Pattern(8 * BLOCKS);
        let client = Put::start(ask(windowsize), source, &limits, beginning());
        let ran = upload(client, Disk::default(), &limits, BAD, 1);
        assert_eq!(ran.client.kind, OutcomeKind::Completed);
        let server = ran.server.expect("it was asked");
        assert_eq!(server.stats.blocks, BLOCKS + 1);
        assert!(ran.kept == Some(source.octets(0, usize::try_from(source.0).expect("small"))));
    }
}

/// Where a block of text begins is remembered only while it is in flight.
#[test]
fn text_wraps_on_a_bad_way() {
    let text = Bytes::from(b"\n\r\nline\n\n\r\rx".repeat(28_000));
    let limits = Limits::default();
    let get = Ask {
        mode: Mode::Netascii,
        ..ask(16)
    };
    let client = Receiver::start(get, &limits, beginning());
    let ran = exchange(client, &text, &limits, BAD, 1);
    let outcome = ran.client.outcome().expect("it is closed");
    assert_eq!(outcome.kind, OutcomeKind::Completed);
    assert!(outcome.stats.blocks > 65_536, "{}", outcome.stats.blocks);
    assert!(ran.received == text);
}

/// Both ways to count, with windows of which the client acknowledges a part: the server goes back across the border, and
/// stale ACKs from before it mean nothing.
#[test]
fn windows_with_gaps_wrap_either_way() {
    for (option, rollover) in [
        ("rollover=0", Rollover::Zero),
        ("rollover=1", Rollover::One),
    ] {
        let source = Pattern(8 * BLOCKS + 3);
        let request = rrq("f", "octet", &format!("blksize=8 windowsize=16 {option}"));
        let mut served = Served::start(&request, source);
        served.transmit();
        let (mut base, mut answer) = (0, served.receive(&ack(0)));
        let mut windows = 0_u32;
        while served.sender.outcome().is_none() {
            assert!(!answer.is_empty(), "{option}: stuck after block {base}");
            for (block, datagram) in (base + 1..).zip(&answer) {
                let (number, content) = data(datagram);
                assert_eq!(number, rollover.wire(block), "{option}: block {block}");
                let size = 8.min(usize::try_from(source.0 - 8 * (block - 1)).expect("small"));
                assert_eq!(content, source.octets(8 * (block - 1), size));
            }
            // Every fourth window loses a block somewhere.
            windows += 1;
            let came = answer.len() as u64;
            let taken = match windows % 4 {
                0 => u64::from(windows / 4) % came + 1,
                _ => came,
            };
            // An ACK from before, which the network had kept.
            let stale = ack(rollover.wire(base.saturating_sub(3)));
            base += taken;
            served.now += std::time::Duration::from_millis(1);
            answer = served.receive(&ack(rollover.wire(base)));
            if base > 3 && served.sender.outcome().is_none() {
                assert!(served.receive(&stale).is_empty(), "{option}: block {base}");
            }
            // What is sent in pieces goes on after a pause.
            while answer.is_empty() && served.sender.outcome().is_none() {
                let sent = served.wait(std::time::Duration::from_millis(1));
                answer.extend(sent.into_iter().map(|(_, datagram)| datagram));
            }
        }
        let outcome = served.sender.outcome().expect("it is over");
        assert_eq!(outcome.kind, OutcomeKind::Completed, "{option}");
        assert_eq!(outcome.stats.blocks, BLOCKS + 1, "{option}");
    }
}

/// The same where the client writes: tftp-hpa may ask for either.
#[test]
fn what_is_written_is_counted_either_way() {
    for (option, rollover) in [
        ("rollover=0", Rollover::Zero),
        ("rollover=1", Rollover::One),
    ] {
        let request = wrq("f", "octet", &format!("blksize=8 windowsize=4 {option}"));
        let request = parse_request(&request).expect("a request");
        let now = beginning();
        let writer = Writer::start(&request, u64::MAX, &Limits::default(), now);
        let mut writer = writer.expect("it is taken");
        let (mut received, mut out) = (Vec::new(), Vec::new());
        assert!(writer.poll_transmit(&mut out), "the OACK");
        for number in 1..=BLOCKS {
            let datagram = block(rollover.wire(number), &number.to_be_bytes());
            writer.handle_datagram(now, &datagram, &mut received);
            let is_answered = writer.poll_transmit(&mut out);
            assert_eq!(is_answered, number % 4 == 0, "{option}: block {number}");
            if is_answered {
                assert_eq!(out, ack(rollover.wire(number)), "{option}: block {number}");
            }
        }
        writer.handle_datagram(now, &block(rollover.wire(BLOCKS + 1), b""), &mut received);
        writer.committed(now);
        assert!(writer.poll_transmit(&mut out));
        assert_eq!(out, ack(rollover.wire(BLOCKS + 1)), "{option}");
        let sent: Vec<u8> = (1..=BLOCKS).flat_map(u64::to_be_bytes).collect();
        assert!(received == sent, "{option}");
    }
}
