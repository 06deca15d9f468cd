//! Whole uploads in virtual time: a client's `put` and the server's writer, with a disk that takes its time.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use tftp::{Limits, Outcome, Put, Source, Writer, parse_request};

use super::beginning;
use super::network::{Network, Side, Weather};

/// How the server's caller keeps what comes.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Content octets that may lie in memory before the writer is held; the disk then takes `pause` for them.
    pub buffer: usize,
    pub pause: Duration,
    /// Until all is durable.
    pub commit: Duration,
    pub cap: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            buffer: usize::MAX,
            pause: Duration::ZERO,
            commit: Duration::ZERO,
            cap: u64::MAX,
        }
    }
}

/// What came of one upload.
pub struct Upload {
    pub client: Outcome,
    /// `None` when no request ever arrived.
    pub server: Option<Outcome>,
    /// What the server kept: `None` unless it was committed.
    pub kept: Option<Vec<u8>>,
    /// Most octets that lay in memory at once.
    pub in_memory: usize,
    /// Octets the client sent.
    pub sent_bytes: u64,
    pub took: Duration,
}

/// The server's end with its disk.
#[derive(Default)]
struct Server {
    writer: Option<Writer>,
    received: Vec<u8>,
    file: Vec<u8>,
    /// When the disk has taken what was held, or has made all durable.
    disk_done: Option<Instant>,
    kept: bool,
    in_memory: usize,
}

impl Server {
    fn timeout(&self) -> Option<Instant> {
        let timer = self.writer.as_ref().and_then(Writer::poll_timeout);
        timer.into_iter().chain(self.disk_done).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        writer.handle_timeout(now);
        if self.disk_done.is_some_and(|done| now >= done) {
            self.disk_done = None;
            self.file.append(&mut self.received);
            writer.release(now);
            if writer.needs_commit() {
                self.kept = true;
                writer.committed(now);
            }
        }
    }

    /// After each datagram: does the disk have to work?
    fn look(&mut self, now: Instant, disk: &Disk) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        self.in_memory = self.in_memory.max(self.received.len());
        if writer.needs_commit() && !self.kept {
            self.disk_done.get_or_insert(now + disk.commit);
        } else if self.received.len() >= disk.buffer && self.disk_done.is_none() {
            writer.hold();
            self.disk_done = Some(now + disk.pause);
        }
    }
}

/// Runs an upload until both sides are closed.
pub fn upload<S: Source>(
    mut client: Put<S>,
    disk: Disk,
    limits: &Limits,
    weather: Weather,
    seed: u64,
) -> Upload {
    let from = beginning();
    let mut now = from;
    let mut network = Network::new(weather, seed);
    let mut server = Server::default();
    let (mut datagram, mut sent_bytes) = (Vec::new(), 0);
    for _ in 0..5_000_000_u64 {
        while client.poll_transmit(now, &mut datagram) {
            sent_bytes += datagram.len() as u64;
            network.send(now, Side::Server, &datagram);
        }
        if let Some(writer) = &mut server.writer {
            while writer.poll_transmit(&mut datagram) {
                network.send(now, Side::Client, &datagram);
            }
        }
        let flight = network.flights.peek().map(|Reverse((due, ..))| *due);
        let timers = [client.poll_timeout(), server.timeout()];
        let Some(due) = timers.into_iter().flatten().chain(flight).min() else {
            return Upload {
                client: client.outcome().expect("it is closed"),
                server: server.writer.map(|w| w.outcome().expect("it is closed")),
                kept: server.kept.then_some(server.file),
                in_memory: server.in_memory,
                sent_bytes,
                took: now - from,
            };
        };
        now = now.max(due);
        if flight != Some(due) {
            client.handle_timeout(now);
            server.handle_timeout(now);
            continue;
        }
        let Reverse((_, _, to, bytes)) = network.flights.pop().expect("it was peeked");
        match (to, &mut server.writer) {
            (Side::Client, _) => client.handle_datagram(now, &bytes),
            (Side::Server, Some(writer)) if bytes.starts_with(&[0, 2]) => writer.repeat_first(),
            (Side::Server, Some(writer)) => {
                writer.handle_datagram(now, &bytes, &mut server.received);
                server.look(now, &disk);
            }
            (Side::Server, none) => {
                if let Ok(request) = parse_request(&bytes) {
                    let started = Writer::start(&request, disk.cap, limits, now);
                    *none = Some(started.expect("it is taken"));
                }
            }
        }
    }
    panic!("seed {seed}: no end after {:?} of virtual time", now - from);
}
