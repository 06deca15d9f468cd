//! Whole exchanges between sender and receiver in virtual time, over a network that loses, doubles, delays and
//! reorders by a seed. A failure names its seed; `run(seed)` repeats it exactly.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::firmware::{Firmware, Habit};
use common::network::{Exchange, Random, Weather, exchange};
use common::{Pattern, beginning};
use tftp::limits::{REPEATS_BASE, REPEATS_PER_BLOCK};
use tftp::{Ask, Limits, Mode, Outcome, OutcomeKind, Receiver};

/// Longest that a transfer of 40 blocks takes at a loss of half.
const BOUND: Duration = Duration::from_secs(300);

fn any_get(random: &mut Random) -> Ask {
    let pick = |random: &mut Random, values: &[u16]| {
        values[usize::try_from(random.below(values.len() as u64)).expect("small")]
    };
    Ask {
        tsize: random.percent(50),
        blksize: random
            .percent(80)
            .then(|| pick(random, &[8, 100, 512, 1024, 1428, 1468])),
        windowsize: random
            .percent(70)
            .then(|| pick(random, &[1, 2, 3, 4, 8, 16, 64])),
        timeout: random.percent(20).then_some(2),
        ..Ask::plain("file")
    }
}

fn receiver(get: &Ask) -> Receiver {
    Receiver::start(get.clone(), &Limits::default(), beginning())
}

fn outcome(exchange: &Exchange<Receiver>) -> Outcome {
    exchange.client.outcome().expect("it is closed")
}

fn run(seed: u64, weather: Weather) -> Exchange<Receiver> {
    let mut random = Random(seed ^ 0x5eed);
    let get = any_get(&mut random);
    let blksize = u64::from(get.blksize.unwrap_or(512));
    let len = match random.below(4) {
        0 => blksize * random.below(20), // exact multiples and the empty file
        _ => random.below(blksize * 40),
    };
    let source = Pattern(len);
    let exchange = exchange(receiver(&get), &source, &Limits::default(), weather, seed);
    let expected = source.octets(0, usize::try_from(len).expect("small"));
    assert!(
        exchange.took < BOUND,
        "seed {seed} took {:?}",
        exchange.took
    );
    assert!(
        expected.starts_with(&exchange.received),
        "seed {seed}: wrong octets"
    );
    if let Some(server) = &exchange.server {
        let (stats, window) = (server.stats, u64::from(server.agreed.windowsize));
        let slowly = window * (exchange.took.as_secs() + 1);
        assert!(
            stats.retransmits <= REPEATS_BASE + REPEATS_PER_BLOCK * stats.blocks + slowly,
            "seed {seed}: {stats:?}"
        );
    }
    let server_completed = exchange
        .server
        .as_ref()
        .is_some_and(|server| server.kind == OutcomeKind::Completed);
    if outcome(&exchange).kind == OutcomeKind::Completed || server_completed {
        assert_eq!(exchange.received, expected, "seed {seed}: {get:?}");
    } else {
        assert_eq!(
            outcome(&exchange).kind,
            OutcomeKind::TimedOut,
            "seed {seed}"
        );
    }
    exchange
}

/// Runs the seeds and returns how many completed.
fn completed(seeds: std::ops::Range<u64>, weather: Weather) -> usize {
    seeds
        .filter(|seed| outcome(&run(*seed, weather)).kind == OutcomeKind::Completed)
        .count()
}

#[test]
fn a_good_network_repeats_nothing() {
    for seed in 0..300 {
        let exchange = run(seed, Weather::default());
        assert_eq!(
            outcome(&exchange).kind,
            OutcomeKind::Completed,
            "seed {seed}"
        );
        let server = exchange.server.expect("it was asked");
        assert_eq!(server.kind, OutcomeKind::Completed, "seed {seed}");
        assert_eq!(server.stats.retransmits, 0, "seed {seed}");
    }
}

#[test]
fn loss_up_to_5_percent_always_completes() {
    for loss in [1, 5] {
        let weather = Weather {
            loss,
            ..Weather::default()
        };
        assert_eq!(completed(0..700, weather), 700, "at {loss} %");
    }
}

#[test]
fn loss_of_20_percent_completes_or_ends() {
    let weather = Weather {
        loss: 20,
        ..Weather::default()
    };
    let completed = completed(0..1_600, weather);
    assert!(completed >= 1_598, "{completed} of 1,600");
}

#[test]
fn loss_of_half_ends_in_bounded_time() {
    let weather = Weather {
        loss: 50,
        ..Weather::default()
    };
    completed(0..200, weather);
}

#[test]
fn duplicates_and_reordering_complete_without_a_storm() {
    let weather = Weather {
        loss: 0,
        duplicates: 20,
        reorder: 20,
    };
    for seed in 0..700 {
        let exchange = run(seed, weather);
        assert_eq!(
            outcome(&exchange).kind,
            OutcomeKind::Completed,
            "seed {seed}"
        );
    }
}

#[test]
fn everything_at_once() {
    let weather = Weather {
        loss: 10,
        duplicates: 10,
        reorder: 20,
    };
    let completed = completed(0..700, weather);
    assert!(completed >= 699, "{completed} of 700");
}

/// What the server sent, as a multiple of the file, over some seeds.
fn sent_ratio(kind: Kind, octets: u64, windowsize: u16, weather: Weather) -> f64 {
    let (mut sent, mut length) = (0, 0);
    for seed in 0..12 {
        let source = Pattern(octets + seed * 317);
        let (bytes, completed) = match kind {
            Kind::Ours => {
                let get = Ask {
                    blksize: Some(1468),
                    windowsize: Some(windowsize),
                    ..Ask::plain("file")
                };
                let ran = exchange(receiver(&get), &source, &Limits::default(), weather, seed);
                let completed = outcome(&ran).kind == OutcomeKind::Completed;
                (ran.sent_bytes, completed)
            }
            Kind::Firmware(habit) => {
                let client = Firmware::start(habit, 1468, windowsize, beginning());
                let ran = exchange(client, &source, &Limits::default(), weather, seed);
                (ran.sent_bytes, ran.client.completed)
            }
        };
        assert!(completed, "{kind:?} {weather:?} seed {seed}");
        sent += bytes;
        length += source.0;
    }
    sent as f64 / length as f64
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ours,
    Firmware(Habit),
}

/// With a timer of whole seconds each lost block costs one: 7 s at 1 %, 37 s and more at 5 %.
#[test]
fn a_lost_block_costs_milliseconds() {
    for (loss, windowsize, bound) in [(1, 1, 1_000), (5, 1, 3_500), (1, 16, 400), (5, 16, 1_500)] {
        let weather = Weather {
            loss,
            ..Weather::default()
        };
        let mut took: Vec<Duration> = (0..32)
            .map(|seed| {
                let client = Firmware::start(Habit::Edk2, 1428, windowsize, beginning());
                let ran = exchange(client, &Pattern(1 << 20), &Limits::default(), weather, seed);
                assert!(ran.client.completed, "seed {seed}");
                ran.arrived
            })
            .collect();
        took.sort();
        assert!(
            took[16] < Duration::from_millis(bound),
            "{loss} %, window {windowsize}: half need {:?}",
            took[16]
        );
    }
}

/// The least that has to be sent to a client that keeps nothing behind a gap, as a multiple of the file, when every
/// datagram of either side is lost (or overtaken) by the chance `q`.
///
/// A block is sent 1 / (1 - q) times. One that is lost shows only by another one behind it, which is in vain, or if it was
/// the last of its window by being sent again; and so does the loss of the ACK that ends the window.
fn floor(q: f64) -> f64 {
    (1.0 + q) / (1.0 - q)
}

/// What may be sent: the floor, what a client's habit costs above it, two windows until it is known how much is lost, and
/// a twentieth.
fn allowed(kind: Kind, windowsize: u16, blocks: u64, weather: Weather) -> f64 {
    let chance = |percent: u64| percent as f64 / 100.0;
    let window = f64::from(windowsize);
    let q = chance(weather.loss + weather.reorder);
    let habit = match kind {
        // It mentions a gap once: if that is lost, or what is sent again, the rest of the window is in vain.
        Kind::Ours => 2.0 * q * chance(weather.loss) * window,
        // It mentions each doubled block, too: some are taken for gaps until it is known that it does.
        Kind::Firmware(_) => chance(weather.duplicates) / 10.0,
    };
    floor(q) + habit + 2.0 * window / blocks as f64 + 0.05
}

#[test]
fn what_is_sent_stays_near_what_has_to_be() {
    let none = Weather::default();
    let loss = |loss| Weather { loss, ..none };
    let weathers = [
        loss(1),
        loss(5),
        Weather {
            duplicates: 20,
            ..none
        },
        Weather { reorder: 2, ..none },
        Weather {
            duplicates: 10,
            reorder: 10,
            ..none
        },
        Weather {
            duplicates: 20,
            reorder: 20,
            ..none
        },
    ];
    const LENGTH: u64 = 1 << 20;
    for kind in [Kind::Ours, Kind::Firmware(Habit::Edk2)] {
        for weather in weathers {
            for windowsize in [1, 4, 16] {
                let ratio = sent_ratio(kind, LENGTH, windowsize, weather);
                let allowed = allowed(kind, windowsize, LENGTH / 1468, weather);
                assert!(
                    ratio < allowed,
                    "{kind:?}, window {windowsize}, {weather:?}: {ratio:.3} of the file was sent, {allowed:.3} may be"
                );
            }
        }
    }
}

#[test]
fn block_numbers_wrap_on_both_sides() {
    let get = Ask {
        blksize: Some(8),
        windowsize: Some(16),
        tsize: true,
        ..Ask::plain("file")
    };
    let source = Pattern(8 * 66_000 + 3);
    let weather = Weather {
        reorder: 0,
        loss: 0,
        duplicates: 0,
    };
    let exchange = exchange(receiver(&get), &source, &Limits::default(), weather, 1);
    assert_eq!(outcome(&exchange).kind, OutcomeKind::Completed);
    assert_eq!(outcome(&exchange).stats.blocks, 66_001);
    assert!(exchange.received == source.octets(0, 8 * 66_000 + 3));
}

#[test]
fn netascii_arrives_as_it_was() {
    let pieces: [&[u8]; 6] = [b"a", b"\n", b"\r", b"\r\n", b"\0", b"line of text"];
    let weather = Weather {
        loss: 5,
        duplicates: 5,
        reorder: 5,
    };
    for seed in 0..300 {
        let mut random = Random(seed);
        let text: Vec<u8> = (0..random.below(200))
            .flat_map(|_| pieces[usize::try_from(random.below(6)).expect("small")].to_vec())
            .collect();
        let get = Ask {
            mode: Mode::Netascii,
            blksize: random.percent(70).then_some(8),
            windowsize: random.percent(50).then_some(4),
            tsize: true,
            ..Ask::plain("file")
        };
        let exchange = exchange(
            receiver(&get),
            &Bytes::from(text.clone()),
            &Limits::default(),
            weather,
            seed,
        );
        assert_eq!(
            outcome(&exchange).kind,
            OutcomeKind::Completed,
            "seed {seed}"
        );
        assert_eq!(exchange.received, text, "seed {seed}");
        assert_eq!(
            outcome(&exchange).agreed.tsize,
            None,
            "not known in netascii"
        );
    }
}

/// A client that acknowledges far more than it should gets the file, and not many times the file.
#[test]
fn firmware_that_acknowledges_everything_causes_no_storm() {
    let fair = Weather::default();
    let losing = Weather { loss: 5, ..fair };
    let doubling = Weather {
        duplicates: 20,
        ..fair
    };
    for habit in [Habit::Edk2, Habit::Eager] {
        for windowsize in [1, 4, 16] {
            for weather in [fair, losing, doubling] {
                let (mut sent, mut length) = (0, 0);
                for seed in 0..20 {
                    let source = Pattern(100_000 + seed * 317);
                    let client = Firmware::start(habit, 512, windowsize, beginning());
                    let exchange = exchange(client, &source, &Limits::default(), weather, seed);
                    assert!(
                        exchange.client.completed,
                        "{habit:?} {windowsize} seed {seed}"
                    );
                    let expected = source.octets(0, usize::try_from(source.0).expect("small"));
                    assert!(exchange.received == expected, "{habit:?} seed {seed}");
                    sent += exchange.sent_bytes;
                    length += source.0;
                }
                let ratio = sent as f64 / length as f64;
                // One that acknowledges every block shows a gap no differently: it is believed at the third ACK.
                let most = if habit == Habit::Eager { 1.6 } else { 1.3 };
                assert!(
                    ratio < most,
                    "{habit:?}, window {windowsize}, {weather:?}: {ratio:.2}"
                );
            }
        }
    }
}
