//! Ways that are long, and on which datagrams take times of their own: relays, tunnels, congested links. The timer begins
//! with a second and does not know them.

mod common;

use std::time::Duration;

use common::firmware::{Firmware, Habit};
use common::network::{Exchange, Network, Weather, exchange_over};
use common::{Pattern, beginning};
use tftp::{Ask, Limits, OutcomeKind, Receiver};

const MILLI: Duration = Duration::from_millis(1);

/// Of this file's length.
const FILE: Pattern = Pattern(60_000);

/// One fetch over such a way; what was sent, as a multiple of the file.
fn ratio(windowsize: u16, network: Network) -> f64 {
    let get = Ask {
        blksize: Some(1428),
        windowsize: (windowsize > 1).then_some(windowsize),
        tsize: true,
        ..Ask::plain("file")
    };
    let limits = Limits::default();
    let client = Receiver::start(get, &limits, beginning());
    let ran = exchange_over(network, client, &FILE, &limits);
    let kind = ran.client.outcome().expect("it is closed").kind;
    assert_eq!(kind, OutcomeKind::Completed);
    check(&ran)
}

/// The same with firmware, which acknowledges what it did not expect, and waits for 4 s.
fn ratio_of_firmware(windowsize: u16, network: Network) -> f64 {
    let client = Firmware::start(Habit::Edk2, 1428, windowsize, beginning());
    let ran = exchange_over(network, client, &FILE, &Limits::default());
    assert!(ran.client.completed);
    check(&ran)
}

fn check<C>(ran: &Exchange<C>) -> f64 {
    assert!(ran.received == FILE.octets(0, 60_000));
    ran.sent_bytes as f64 / FILE.0 as f64
}

#[test]
fn a_long_way_is_learned_and_nothing_goes_out_twice() {
    let fair = Weather::default();
    for delay in [1, 40, 200, 450] {
        for windowsize in [1, 4, 16] {
            let network = |seed| Network::far(fair, delay * MILLI, Duration::ZERO, seed);
            for sent in [
                ratio(windowsize, network(1)),
                ratio_of_firmware(windowsize, network(2)),
            ] {
                assert!(sent < 1.02, "{delay} ms, window {windowsize}: {sent:.2}");
            }
        }
    }
}

/// The timer never waits for longer than a second (and firmware not for longer than its own 4 s): everything is sent
/// again before its answer can be here. It arrives all the same, and no repeat makes another one.
#[test]
fn a_way_longer_than_the_timer_completes_without_a_storm() {
    for delay in [600, 900, 1_400] {
        for windowsize in [1, 4, 16] {
            let network =
                |seed| Network::far(Weather::default(), delay * MILLI, Duration::ZERO, seed);
            for sent in [
                ratio(windowsize, network(1)),
                ratio_of_firmware(windowsize, network(2)),
            ] {
                assert!(sent < 3.1, "{delay} ms, window {windowsize}: {sent:.2}");
            }
        }
    }
}

#[test]
fn datagrams_that_take_times_of_their_own_complete() {
    let losing = |loss| Weather {
        loss,
        ..Weather::default()
    };
    // What may be sent of the file at most, on average.
    for (jitter, loss, most) in [
        (5, 0, 1.02),
        (100, 0, 1.02),
        (400, 0, 1.2),
        (100, 5, 1.8),
        (400, 5, 1.8),
        (1_500, 2, 3.1), // longer than the timer, see above
    ] {
        for windowsize in [1, 4, 16] {
            let mut sent = 0.0;
            for seed in 0..40 {
                let network = |seed| Network::far(losing(loss), MILLI, jitter * MILLI, seed);
                sent += ratio(windowsize, network(seed));
                sent += ratio_of_firmware(windowsize, network(seed));
            }
            let sent = sent / 80.0;
            assert!(
                sent < most,
                "jitter {jitter} ms, loss {loss} %, window {windowsize}: {sent:.2}"
            );
        }
    }
}
