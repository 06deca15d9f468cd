//! Whole exchanges between sender and receiver in virtual time, over a network that loses, doubles, delays and
//! reorders by a seed. A failure names its seed; `run(seed)` repeats it exactly.

mod common;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use common::{Pattern, beginning};
use tftp::{Get, Limits, Mode, Outcome, OutcomeKind, Receiver, Sender, Source, parse_request};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What the network does to each datagram.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    loss: u64,
    duplicates: u64,
    /// Chance of an extra delay of up to 4 ms, so that others overtake.
    reorder: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Server,
    Client,
}

type Flight = Reverse<(Instant, u64, Side, Vec<u8>)>;

struct Network {
    weather: Weather,
    random: Random,
    flights: BinaryHeap<Flight>,
    count: u64,
}

impl Network {
    fn send(&mut self, now: Instant, to: Side, datagram: &[u8]) {
        let copies = 1 + u64::from(self.random.percent(self.weather.duplicates));
        for _ in 0..copies {
            if self.random.percent(self.weather.loss) {
                continue;
            }
            let mut delay = Duration::from_micros(200);
            if self.random.percent(self.weather.reorder) {
                delay += Duration::from_micros(self.random.below(4_000));
            }
            self.count += 1;
            self.flights
                .push(Reverse((now + delay, self.count, to, datagram.to_vec())));
        }
    }
}

/// What came of one exchange.
struct Exchange {
    received: Vec<u8>,
    client: Outcome,
    /// `None` when no request ever arrived.
    server: Option<Outcome>,
    sent_bytes: u64,
    took: Duration,
}

/// Runs a `get` to the end of both sides. A request that arrives again repeats the first datagram, as
/// admission would have it.
fn exchange<S: Source + Clone>(
    get: &Get,
    source: &S,
    limits: &Limits,
    weather: Weather,
    seed: u64,
) -> Exchange {
    let from = beginning();
    let mut now = from;
    let mut network = Network {
        weather,
        random: Random(seed),
        flights: BinaryHeap::new(),
        count: 0,
    };
    let mut client = Receiver::start(get.clone(), &Limits::default(), now);
    let mut server: Option<Sender<S>> = None;
    let (mut received, mut datagram, mut sent_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..5_000_000_u64 {
        while client.poll_transmit(&mut datagram) {
            network.send(now, Side::Server, &datagram);
        }
        if let Some(server) = &mut server {
            while server.poll_transmit(&mut datagram) {
                sent_bytes += datagram.len() as u64;
                network.send(now, Side::Client, &datagram);
            }
        }
        let flight = network.flights.peek().map(|Reverse((due, ..))| *due);
        let timers = [
            client.poll_timeout(),
            server.as_ref().and_then(Sender::poll_timeout),
        ];
        let Some(due) = timers.into_iter().flatten().chain(flight).min() else {
            let client = client.outcome().expect("it is closed");
            let server = server.map(|server| server.outcome().expect("it is closed"));
            let took = now - from;
            return Exchange {
                received,
                client,
                server,
                sent_bytes,
                took,
            };
        };
        now = now.max(due);
        if flight == Some(due) {
            let Reverse((_, _, to, bytes)) = network.flights.pop().expect("it was peeked");
            match (to, &mut server) {
                (Side::Client, _) => client.handle_datagram(now, &bytes, &mut received),
                (Side::Server, Some(server)) if bytes.starts_with(&[0, 1]) => server.repeat_first(),
                (Side::Server, Some(server)) => server.handle_datagram(now, &bytes),
                (Side::Server, none) => {
                    if let Ok(request) = parse_request(&bytes) {
                        let started = Sender::start(&request, source.clone(), limits, now);
                        *none = Some(started.expect("it is served"));
                    }
                }
            }
        } else {
            client.handle_timeout(now);
            if let Some(server) = &mut server {
                server.handle_timeout(now);
            }
        }
    }
    panic!("seed {seed}: no end after {:?} of virtual time", now - from);
}

/// Longest a transfer may take when each of its windows needs all tries.
const BOUND: Duration = Duration::from_secs(3_600);

fn any_get(random: &mut Random) -> Get {
    let pick = |random: &mut Random, values: &[u16]| {
        values[usize::try_from(random.below(values.len() as u64)).expect("small")]
    };
    Get {
        tsize: random.percent(50),
        blksize: random
            .percent(80)
            .then(|| pick(random, &[8, 100, 512, 1024, 1428, 1468])),
        windowsize: random
            .percent(70)
            .then(|| pick(random, &[1, 2, 3, 4, 8, 16, 64])),
        timeout: random.percent(20).then_some(2),
        ..Get::plain("file")
    }
}

fn run(seed: u64, weather: Weather) -> Exchange {
    let mut random = Random(seed ^ 0x5eed);
    let get = any_get(&mut random);
    let blksize = u64::from(get.blksize.unwrap_or(512));
    let len = match random.below(4) {
        0 => blksize * random.below(20), // exact multiples and the empty file
        _ => random.below(blksize * 40),
    };
    let source = Pattern(len);
    let exchange = exchange(&get, &source, &Limits::default(), weather, seed);
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
    let server_completed = exchange
        .server
        .as_ref()
        .is_some_and(|server| server.kind == OutcomeKind::Completed);
    if exchange.client.kind == OutcomeKind::Completed || server_completed {
        assert_eq!(exchange.received, expected, "seed {seed}: {get:?}");
    } else {
        assert_eq!(exchange.client.kind, OutcomeKind::TimedOut, "seed {seed}");
    }
    exchange
}

/// Runs the seeds and returns how many completed.
fn completed(seeds: std::ops::Range<u64>, weather: Weather) -> usize {
    seeds
        .filter(|seed| run(*seed, weather).client.kind == OutcomeKind::Completed)
        .count()
}

#[test]
fn a_good_network_repeats_nothing() {
    for seed in 0..300 {
        let exchange = run(seed, Weather::default());
        assert_eq!(exchange.client.kind, OutcomeKind::Completed, "seed {seed}");
        let server = exchange.server.expect("it was asked");
        assert_eq!(server.kind, OutcomeKind::Completed, "seed {seed}");
        assert_eq!(server.retransmits, 0, "seed {seed}");
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
    let completed = completed(0..800, weather);
    assert!(completed >= 780, "{completed} of 800");
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
        assert_eq!(exchange.client.kind, OutcomeKind::Completed, "seed {seed}");
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
    assert!(completed >= 695, "{completed} of 700");
}

#[test]
fn what_is_sent_stays_near_the_file() {
    let doubling = Weather {
        duplicates: 20,
        ..Weather::default()
    };
    let losing = Weather {
        loss: 5,
        ..Weather::default()
    };
    let overtaking = Weather {
        reorder: 2,
        ..Weather::default()
    };
    for windowsize in [1, 4, 16] {
        for (weather, factor) in [(doubling, 1.6), (losing, 1.8), (overtaking, 1.8)] {
            let get = Get {
                blksize: Some(1468),
                windowsize: Some(windowsize),
                ..Get::plain("file")
            };
            let source = Pattern(1 << 20);
            let exchange = exchange(&get, &source, &Limits::default(), weather, 7);
            assert_eq!(exchange.client.kind, OutcomeKind::Completed);
            let ratio = exchange.sent_bytes as f64 / source.len() as f64;
            println!("{windowsize} {weather:?} {ratio:.2} {:?}", exchange.took);
            assert!(
                ratio < factor,
                "window {windowsize}, {weather:?}: {ratio:.2} of the file was sent"
            );
        }
    }
}

#[test]
fn block_numbers_wrap_on_both_sides() {
    let get = Get {
        blksize: Some(8),
        windowsize: Some(16),
        tsize: true,
        ..Get::plain("file")
    };
    let source = Pattern(8 * 66_000 + 3);
    let weather = Weather {
        reorder: 0,
        loss: 0,
        duplicates: 0,
    };
    let exchange = exchange(&get, &source, &Limits::default(), weather, 1);
    assert_eq!(exchange.client.kind, OutcomeKind::Completed);
    assert_eq!(exchange.client.blocks, 66_001);
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
        let get = Get {
            mode: Mode::Netascii,
            blksize: random.percent(70).then_some(8),
            windowsize: random.percent(50).then_some(4),
            tsize: true,
            ..Get::plain("file")
        };
        let exchange = exchange(&get, &text, &Limits::default(), weather, seed);
        assert_eq!(exchange.client.kind, OutcomeKind::Completed, "seed {seed}");
        assert_eq!(exchange.received, text, "seed {seed}");
        assert_eq!(exchange.client.agreed.tsize, None, "not known in netascii");
    }
}
