//! Content that is long, and content that has to be waited for.

mod common;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use common::{Pattern, Served, ack, data, error, numbers, rrq};
use tftp::{Batch, Limits, OutcomeKind, Source};

/// Sends the whole of `octets` to a client that acknowledges each window; checks headers, lengths and the first octets
/// of each block. The number of blocks.
fn serve(octets: u64, options: &str, limits: &Limits) -> u64 {
    let source = Pattern(octets);
    let mut served = Served::with_limits(&rrq("f", "octet", options), source, limits);
    let (mut batch, mut block, mut number) = (Batch::new(), 0_u64, 0_u16);
    assert!(served.sender.poll_batch(served.now, &mut batch, 64));
    let blksize = u64::from(served.sender.agreed().blksize);
    while served.sender.outcome().is_none() {
        let before = block;
        served.now += Duration::from_micros(100);
        served.sender.handle_datagram(served.now, &ack(number));
        while served.sender.poll_batch(served.now, &mut batch, 64) {
            let mut header = [0; 4];
            let mut slices = batch.io_slices();
            for _ in 0..batch.count() {
                header.copy_from_slice(&slices.next().expect("a header"));
                number = u16::from_be_bytes([header[2], header[3]]);
                assert_eq!(u64::from(number), (block + 1) % 65_536);
                let due = blksize.min(octets - block * blksize);
                let mut sent = 0;
                while sent < due {
                    let slice = slices.next().expect("content");
                    let expected = source.octets(block * blksize + sent, 4);
                    assert!(slice.starts_with(&expected[..slice.len().min(expected.len())]));
                    sent += slice.len() as u64;
                }
                assert_eq!(sent, due);
                block += 1;
            }
        }
        assert!(block > before || served.sender.outcome().is_some());
    }
    let outcome = served.sender.outcome().expect("it is over");
    assert_eq!(outcome.kind, OutcomeKind::Completed);
    assert_eq!(
        (outcome.stats.bytes, outcome.stats.retransmits),
        (octets, 0)
    );
    assert_eq!(outcome.stats.blocks, block);
    block
}

#[test]
fn sixteen_gib_in_the_largest_blocks() {
    let limits = Limits {
        blksize_cap: 65_464,
        windowsize_cap: 64,
        in_flight_cap: 8 << 20,
        ..Limits::default()
    };
    let blocks = serve(16 << 30, "blksize=65464 windowsize=64 tsize=0", &limits);
    assert_eq!(blocks, 262_433);
}

#[test]
fn block_numbers_wrap_twice_at_512_octets() {
    let blocks = serve(512 * 131_100, "windowsize=16", &Limits::default());
    assert_eq!(blocks, 131_101, "an exact multiple ends in an empty block");
}

/// One piece of the file is in memory at a time.
struct OnePiece {
    file: Pattern,
    piece: u64,
    at: u64,
}

impl Source for OnePiece {
    fn len(&self) -> u64 {
        self.file.0
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        if offset / self.piece != self.at {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let left = usize::try_from(self.piece - offset % self.piece).expect("small");
        self.file.bytes_at(offset, max.min(left))
    }
}

/// Pieces of any size against blocks of any size, and each read has to be waited for.
#[test]
fn every_read_is_waited_for() {
    for piece in [1, 7, 512, 513, 1_000, 4_096] {
        for (mode, windowsize) in [("octet", 1), ("octet", 4), ("octet", 16), ("netascii", 4)] {
            let request = rrq("f", mode, &format!("windowsize={windowsize}"));
            let source = OnePiece {
                file: Pattern(9_000),
                piece,
                at: u64::MAX,
            };
            let mut served = Served::start(&request, source);
            let mut whole = Served::start(&request, Pattern(9_000));
            assert_eq!(served.transmit(), whole.transmit());
            let mut number = 0;
            while whole.sender.outcome().is_none() {
                let expected = whole.receive(&ack(number));
                let mut sent = served.receive(&ack(number));
                let mut waits = 0;
                while let Some(offset) = served.sender.wants() {
                    assert!(served.transmit().is_empty(), "before it is there");
                    served.sender.source_mut().at = offset / piece;
                    served.now += Duration::from_micros(50);
                    served.sender.source_ready();
                    sent.extend(served.transmit());
                    waits += 1;
                    assert!(waits < 20_000, "it never gets what it wants");
                }
                assert_eq!(
                    sent, expected,
                    "pieces of {piece}, {mode}, window {windowsize}"
                );
                if let Some(last) = expected.last() {
                    number = data(last).0;
                }
            }
            let outcome = served.sender.outcome().expect("it is over");
            assert_eq!(outcome.kind, OutcomeKind::Completed);
            assert_eq!(outcome.stats.retransmits, 0);
        }
    }
}

#[test]
fn the_time_of_the_disk_is_not_the_clients() {
    let source = OnePiece {
        file: Pattern(9_000),
        piece: 1_024,
        at: 0,
    };
    let mut served = Served::start(&rrq("f", "octet", "windowsize=4"), source);
    served.transmit();
    assert_eq!(numbers(&served.receive(&ack(0))), [1, 2]);
    // A disk wakes up for 50 s: nothing is repeated, and the client is not given up.
    assert!(served.wait(Duration::from_secs(50)).is_empty());
    assert_eq!(served.sender.wants(), Some(1_024));
    served.sender.source_mut().at = 1;
    served.sender.source_ready();
    assert_eq!(numbers(&served.transmit()), [3, 4]);
    assert_eq!(served.sender.outcome(), None);
    // One that never wakes up ends in an ERROR.
    served.receive(&ack(4));
    let sent = served.wait(Duration::from_secs(61));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1, error(0, "the file could not be read to its end"));
    let kind = served.sender.outcome().map(|outcome| outcome.kind);
    assert!(matches!(kind, Some(OutcomeKind::ReadFailed { .. })));
}

#[test]
fn errors_cut_short() {
    for (datagram, ends) in [
        (&b""[..], false),
        (b"\0", false),
        (b"\0\x05", false),
        (b"\0\x05\0", false),
        (b"\0\x05\0\0", true),
        (b"\0\x05\0\x08", true),
        (b"\0\x05\xff\xffno such code, no end", true),
    ] {
        let mut served = Served::start(&rrq("f", "octet", ""), Pattern(9_000));
        served.transmit();
        served.receive(&ack(1));
        assert!(served.receive(datagram).is_empty(), "never answered");
        let kind = served.sender.outcome().map(|outcome| outcome.kind);
        let aborted = matches!(kind, Some(OutcomeKind::ClientAborted { .. }));
        assert_eq!(aborted, ends, "{}", datagram.escape_ascii());
        assert_eq!(served.sender.is_closed(), ends);
    }
}
