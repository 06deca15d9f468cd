//! A network in virtual time that loses, doubles, delays and reorders by a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use tftp::admission::JOIN_FOR;
use tftp::{Limits, Outcome, Receiver, Sender, Source, parse_request};

use super::beginning;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What the network does to each datagram.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Chances in percent.
    pub loss: u64,
    pub duplicates: u64,
    /// Chance of an extra delay of up to 4 ms, so that others overtake.
    pub reorder: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Server,
    Client,
}

pub(super) type Flight = Reverse<(Instant, u64, Side, Vec<u8>)>;

/// The way between both sides.
pub struct Network {
    weather: Weather,
    random: Random,
    /// Time that every datagram takes, and most that chance adds to it.
    delay: Duration,
    jitter: Duration,
    /// When the newest datagram to each side arrives: queues keep the order, however long they are.
    newest: [Option<Instant>; 2],
    pub(super) flights: BinaryHeap<Flight>,
    count: u64,
}

impl Network {
    /// A room away.
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self::far(weather, Duration::from_micros(200), Duration::ZERO, seed)
    }

    /// Each datagram takes `delay`, and up to `jitter` more; or longer, for it stays behind those before it.
    pub fn far(weather: Weather, delay: Duration, jitter: Duration, seed: u64) -> Self {
        Self {
            weather,
            random: Random(seed),
            delay,
            jitter,
            newest: [None; 2],
            flights: BinaryHeap::new(),
            count: 0,
        }
    }

    pub(super) fn send(&mut self, now: Instant, to: Side, datagram: &[u8]) {
        let copies = 1 + u64::from(self.random.percent(self.weather.duplicates));
        for _ in 0..copies {
            if self.random.percent(self.weather.loss) {
                continue;
            }
            let mut due = now + self.delay;
            if !self.jitter.is_zero() {
                let most = u64::try_from(self.jitter.as_micros()).expect("short");
                due += Duration::from_micros(self.random.below(most));
                let newest = &mut self.newest[to as usize];
                due = newest.map_or(due, |newest| newest.max(due));
                *newest = Some(due);
            }
            if self.random.percent(self.weather.reorder) {
                due += Duration::from_micros(self.random.below(4_000));
            }
            self.count += 1;
            self.flights
                .push(Reverse((due, self.count, to, datagram.to_vec())));
        }
    }
}

/// The client's end: ours, or a pretended firmware's.
pub trait Client {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool;
    fn poll_timeout(&self) -> Option<Instant>;
}

impl Client for Receiver {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>) {
        Receiver::handle_datagram(self, now, datagram, received);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Receiver::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        Receiver::poll_transmit(self, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Receiver::poll_timeout(self)
    }
}

/// What came of one exchange.
pub struct Exchange<C> {
    pub client: C,
    /// The octets the client took in order.
    pub received: Vec<u8>,
    /// `None` when no request ever arrived.
    pub server: Option<Outcome>,
    /// Octets the server sent.
    pub sent_bytes: u64,
    /// Until both sides were closed.
    pub took: Duration,
    /// Until the last octet of content was taken.
    pub arrived: Duration,
}

/// Runs an exchange a room away.
pub fn exchange<C: Client, S: Source + Clone>(
    client: C,
    source: &S,
    limits: &Limits,
    weather: Weather,
    seed: u64,
) -> Exchange<C> {
    exchange_over(Network::new(weather, seed), client, source, limits)
}

/// Runs an exchange until both sides are closed. A request that arrives again repeats the first datagram, or begins anew,
/// as admission would have it.
pub fn exchange_over<C: Client, S: Source + Clone>(
    mut network: Network,
    mut client: C,
    source: &S,
    limits: &Limits,
) -> Exchange<C> {
    let from = beginning();
    let mut now = from;
    let mut server: Option<Sender<S>> = None;
    let mut asked = now;
    let mut arrived = Duration::ZERO;
    let (mut received, mut datagram, mut sent_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..5_000_000_u64 {
        while client.poll_transmit(&mut datagram) {
            network.send(now, Side::Server, &datagram);
        }
        if let Some(server) = &mut server {
            while server.poll_transmit(now, &mut datagram) {
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
            return Exchange {
                client,
                received,
                server: server.map(|server| server.outcome().expect("it is closed")),
                sent_bytes,
                took: now - from,
                arrived,
            };
        };
        now = now.max(due);
        if flight != Some(due) {
            client.handle_timeout(now);
            if let Some(server) = &mut server {
                server.handle_timeout(now);
            }
            continue;
        }
        let Reverse((_, _, to, bytes)) = network.flights.pop().expect("it was peeked");
        match (to, &mut server) {
            (Side::Client, _) => {
                let before = received.len();
                client.handle_datagram(now, &bytes, &mut received);
                if received.len() > before {
                    arrived = now - from;
                }
            }
            (Side::Server, Some(server))
                if bytes.starts_with(&[0, 1])
                    && server.outcome().is_none()
                    && now - asked < JOIN_FOR =>
            {
                server.repeat_first();
            }
            (Side::Server, server) if bytes.starts_with(&[0, 1]) => {
                let request = parse_request(&bytes).expect("clients ask well");
                let started = Sender::start(&request, source.clone(), limits, now);
                *server = Some(started.expect("it is served"));
                asked = now;
            }
            (Side::Server, Some(server)) => server.handle_datagram(now, &bytes),
            (Side::Server, None) => {}
        }
    }
    panic!("no end after {:?} of virtual time", now - from);
}
