//! Any request, then any sequence of datagrams and waits, to a transfer: no panic, bounded sending, right octets,
//! completion only when all was acknowledged, and an end when left alone.
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tftp::limits::{UNPROVED_BYTES, UNPROVED_PACKETS};
use tftp::options::Rollover;
use tftp::{Limits, Mode, OutcomeKind, Sender, parse_request};

const LEN: usize = 3_000;

fn content() -> Vec<u8> {
    (0..LEN).map(|at| (at * 31 % 251) as u8).collect()
}

fuzz_target!(|data: &[u8]| {
    let (mut rest, mut now) = (data, Instant::now());
    let Ok(request) = parse_request(take(&mut rest)) else {
        return;
    };
    let source = content();
    let Ok(mut sender) = Sender::start(
        &request,
        Bytes::from(source.clone()),
        &Limits::default(),
        now,
    ) else {
        return;
    };
    let octets = (request.mode == Mode::Octet).then_some(source.as_slice());
    let mut unproved = (0, 0);
    check(&mut sender, now, octets, &mut unproved);
    while let Some((&kind, after)) = rest.split_first() {
        rest = after;
        match kind % 4 {
            0 => sender.repeat_first(),
            1 => {
                now += Duration::from_millis(u64::from(kind) * 16);
                sender.handle_timeout(now);
            }
            2 => {
                // What random octets seldom hit: an ACK near the window.
                let block = sender.acknowledged() + u64::from(kind / 4);
                let number = sender.agreed().rollover.wire(block).to_be_bytes();
                sender.handle_datagram(now, &[&[0, 4], &number[..]].concat());
            }
            _ => sender.handle_datagram(now, take(&mut rest)),
        }
        check(&mut sender, now, octets, &mut unproved);
    }
    let mut turns = 0;
    while let Some(due) = sender.poll_timeout() {
        now = now.max(due);
        sender.handle_timeout(now);
        check(&mut sender, now, octets, &mut unproved);
        turns += 1;
        assert!(turns < 100, "left alone it does not end");
    }
    assert!(sender.is_closed() && sender.outcome().is_some());
});

/// The next datagram: its length in two octets, then itself.
fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk::<2>() else {
        return std::mem::take(rest);
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
    let (datagram, after) = after.split_at(length);
    *rest = after;
    datagram
}

/// Takes all there is to send and checks it; `octets` is what DATA must hold, where blocks are plain pieces of it.
fn check(
    sender: &mut Sender<Bytes>,
    now: Instant,
    octets: Option<&[u8]>,
    unproved: &mut (u32, usize),
) {
    let (base, agreed) = (sender.acknowledged(), sender.agreed().clone());
    let (window, size) = (u64::from(agreed.windowsize), usize::from(agreed.blksize));
    let (mut datagram, mut count) = (Vec::new(), 0);
    while sender.poll_transmit(now, &mut datagram) {
        count += 1;
        assert!(count <= window + 1, "more than a window at once");
        if !sender.is_proved() {
            unproved.0 += 1;
            unproved.1 += datagram.len();
            assert!(unproved.0 <= UNPROVED_PACKETS && unproved.1 <= UNPROVED_BYTES);
        }
        if let [0, 3, high, low, content @ ..] = datagram.as_slice() {
            let ahead = agreed
                .rollover
                .distance(base, u16::from_be_bytes([*high, *low]));
            let block = match ahead {
                Some(ahead) if (1..=window).contains(&ahead) => base + ahead,
                _ => 1, // the first one again
            };
            let start = (block - 1) as usize * size;
            if let Some(octets) = octets {
                assert_eq!(content, &octets[start..octets.len().min(start + size)]);
            }
        }
    }
    if let Some(outcome) = sender.outcome()
        && outcome.kind == OutcomeKind::Completed
        && octets.is_some()
    {
        assert_eq!(outcome.stats.bytes, LEN as u64);
        assert_eq!(outcome.stats.blocks, (LEN / size) as u64 + 1);
    }
    assert!(agreed.rollover == Rollover::Zero || agreed.options);
}
