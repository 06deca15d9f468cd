//! What is sent again, and what is not: the sender before clients that are silent, insist, or acknowledge what they need not.

mod common;

use std::time::Duration;

use common::{Pattern, Served, ack, numbers, rrq};
use tftp::limits::INTERVAL_FLOOR;

const ROUND_TRIP: Duration = Duration::from_millis(2);

/// A transfer whose first window of 8 is in flight, and its round trip known.
fn under_way() -> Served<Pattern> {
    let request = rrq("f", "octet", "windowsize=8");
    let mut served = Served::start(&request, Pattern(1_000_000));
    served.transmit();
    served.now += ROUND_TRIP;
    assert_eq!(numbers(&served.receive(&ack(0))), [1, 2, 3, 4, 5, 6, 7, 8]);
    served
}

fn sent_in(served: &mut Served<Pattern>, time: Duration) -> Vec<u16> {
    let sent = served.wait(time).into_iter().map(|(_, datagram)| datagram);
    numbers(&sent.collect::<Vec<_>>())
}

/// What the client is told after a round trip, the pauses between pieces included.
fn answered(served: &mut Served<Pattern>, block: u16) -> Vec<u16> {
    served.now += ROUND_TRIP;
    let mut all = numbers(&served.receive(&ack(block)));
    while all.len() < 8 {
        let more = sent_in(served, ROUND_TRIP * 3 / 2);
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    all
}

#[test]
fn silence_is_answered_by_the_window_and_later_by_its_last_block_first() {
    let mut served = under_way();
    let again = sent_in(&mut served, INTERVAL_FLOOR);
    assert_eq!(again, [1, 2, 3, 4, 5, 6, 7, 8], "nothing was lost before");
    assert_eq!(answered(&mut served, 8).last(), Some(&16));
    // The interval is still the doubled one: nothing was measured since.
    assert_eq!(sent_in(&mut served, INTERVAL_FLOOR * 2), [16]);
    let whole = sent_in(&mut served, INTERVAL_FLOOR * 2);
    assert_eq!(whole, [9, 10, 11, 12, 13, 14, 15, 16]);
}

#[test]
fn a_lost_ack_costs_one_block() {
    let mut served = under_way();
    assert_eq!(answered(&mut served, 3).last(), Some(&11));
    // The client has all of it and said so, in vain. The last block has it say so again.
    assert_eq!(sent_in(&mut served, INTERVAL_FLOOR), [11]);
    assert_eq!(answered(&mut served, 11).first(), Some(&12));
}

#[test]
fn blocks_that_arrived_before_the_going_back_are_not_sent_again() {
    let mut served = under_way();
    answered(&mut served, 3);
    let retransmits = served.sender.stats().retransmits;
    sent_in(&mut served, INTERVAL_FLOOR);
    // The timer went back to block 4, and the first piece of the window brings an ACK of what was sent long ago.
    served.now += INTERVAL_FLOOR;
    served.sender.handle_timeout(served.now);
    let mut first = Vec::new();
    assert!(served.sender.poll_transmit(served.now, &mut first));
    assert_eq!(numbers(&[first]), [4]);
    assert_eq!(served.sender.stats().retransmits, retransmits + 2);
    assert_eq!(answered(&mut served, 9).first(), Some(&10));
    assert_eq!(served.sender.acknowledged(), 9);
}

#[test]
fn a_gap_in_what_was_sent_again_stops_the_window() {
    let mut served = under_way();
    served.now += ROUND_TRIP;
    let piece = numbers(&served.receive(&ack(3)));
    assert!(piece.len() < 8, "the window goes out in pieces");
    served.now += ROUND_TRIP;
    assert!(served.receive(&ack(3)).is_empty(), "once for each base");
    assert_eq!(
        sent_in(&mut served, INTERVAL_FLOOR - ROUND_TRIP * 2),
        [],
        "what is behind the gap would be in vain"
    );
    assert_eq!(sent_in(&mut served, ROUND_TRIP * 2)[0], 4);
}

/// EDK2 acknowledges the second copy of a block that the network doubled. The first time that is taken for a gap.
#[test]
fn acks_for_doubled_blocks_are_seen_through() {
    let mut served = under_way();
    served.now += ROUND_TRIP;
    served.receive(&ack(2));
    assert_eq!(served.sender.stats().windows_repeated, 1);
    // It moves on before it can have seen block 3 a second time: there was no gap.
    served.receive(&ack(6));
    let mut base = 6;
    for step in [3, 2, 5, 1, 8, 4] {
        served.now += ROUND_TRIP * 4;
        base += step;
        served.receive(&ack(base));
        served.receive(&ack(base));
    }
    assert_eq!(served.sender.stats().windows_repeated, 1);
    // A gap is believed when it is said often enough.
    served.now += ROUND_TRIP * 4;
    let again: Vec<u16> = (0..3)
        .flat_map(|_| numbers(&served.receive(&ack(base))))
        .collect();
    assert_eq!(again.first(), Some(&(base + 1)));
    assert_eq!(served.sender.stats().windows_repeated, 2);
}

/// The same with a client that says it once, and then waits: the timer ends the doubt.
#[test]
fn a_doubted_client_that_falls_silent_is_trusted_again() {
    let mut served = under_way();
    served.now += ROUND_TRIP;
    served.receive(&ack(2));
    served.receive(&ack(6));
    served.now += ROUND_TRIP * 4;
    served.receive(&ack(8));
    assert_eq!(served.sender.stats().windows_repeated, 1);
    sent_in(&mut served, INTERVAL_FLOOR * 4);
    let before = served.sender.stats().windows_repeated;
    answered(&mut served, 9);
    assert_eq!(served.sender.stats().windows_repeated, before + 1);
}
