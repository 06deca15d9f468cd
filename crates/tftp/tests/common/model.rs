//! A model of what a transfer may do, whatever its client sends: bounded sending, right octets, completion only
//! when all was sent and acknowledged, and an end when left alone. The fuzz target `tftp_sender` runs it on octets of its
//! own choice, `tests/model.rs` on thousands made from seeds.

use std::io;
use std::time::{Duration, Instant};

use super::model_parts::{Sent, check_budget, check_whole, file, take};
use bytes::Bytes;
use tftp::limits::{UNPROVED_BYTES, UNPROVED_PACKETS};
use tftp::options::Rollover;
use tftp::{Limits, Mode, OutcomeKind, Sender, Source, parse_request};

/// The file, of which a part may have to be waited for.
struct Content {
    bytes: Bytes,
    /// From here on it is not in memory.
    loaded: u64,
}

impl Source for Content {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        if offset >= self.loaded && offset < self.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let left = usize::try_from(self.loaded - offset).unwrap_or(usize::MAX);
        self.bytes.bytes_at(offset, max.min(left))
    }
}

struct Model {
    sender: Sender<Content>,
    now: Instant,
    mode: Mode,
    sent: Sent,
    unproved: (u32, usize),
    fired: u64,
}

/// Runs `data`: a request, then steps of a client and of time, each a datagram or an octet. How it ended; `None`
/// when it was no request that is served.
pub fn run(data: &[u8], now: Instant) -> Option<OutcomeKind> {
    let mut rest = data;
    let request = parse_request(take(&mut rest)).ok()?;
    let content = Content {
        bytes: file(),
        loaded: u64::MAX,
    };
    let sender = Sender::start(&request, content, &Limits::default(), now).ok()?;
    let mut model = Model {
        sender,
        now,
        mode: request.mode,
        sent: Sent::of(request.mode),
        unproved: (0, 0),
        fired: 0,
    };
    model.check();
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        model.step(step, &mut rest);
        model.check();
    }
    model.leave_alone();
    model.sender.outcome().map(|outcome| outcome.kind)
}

impl Model {
    fn step(&mut self, step: u8, rest: &mut &[u8]) {
        match step % 8 {
            0 => self.sender.repeat_first(),
            1 => self.wait(Duration::from_millis(u64::from(step) * 16)),
            2 => self.wait(Duration::from_micros(u64::from(step) * 10)),
            3 => self.sender.handle_datagram(self.now, take(rest)),
            // The next content is not in memory, or comes into it.
            4 => self.sender.source_mut().loaded = u64::from(step) * 16,
            5 => self.load(),
            // What random octets seldom hit: an ACK near the window.
            _ => {
                let block = self.sender.acknowledged() + u64::from(step / 8);
                let number = self.sender.agreed().rollover.wire(block).to_be_bytes();
                let ack = [&[0, 4], &number[..]].concat();
                self.sender.handle_datagram(self.now, &ack);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.fired += 1;
        self.sender.handle_timeout(self.now);
    }

    fn load(&mut self) {
        self.sender.source_mut().loaded = u64::MAX;
        self.sender.source_ready();
    }

    /// Nothing more comes: it ends by itself.
    fn leave_alone(&mut self) {
        self.load();
        self.check();
        for _ in 0..400 {
            let Some(due) = self.sender.poll_timeout() else {
                assert!(self.sender.is_closed() && self.sender.outcome().is_some());
                return;
            };
            self.wait(due.saturating_duration_since(self.now));
            self.check();
        }
        panic!("left alone it does not end");
    }

    /// Takes all there is to send and checks it.
    fn check(&mut self) {
        let (base, agreed) = (self.sender.acknowledged(), self.sender.agreed().clone());
        let window = u64::from(agreed.windowsize);
        let (mut datagram, mut count) = (Vec::new(), 0);
        while self.sender.poll_transmit(self.now, &mut datagram) {
            count += 1;
            assert!(count <= window + 1, "more than a window at once");
            if !self.sender.is_proved() {
                self.unproved.0 += 1;
                self.unproved.1 += datagram.len();
                assert!(self.unproved.0 <= UNPROVED_PACKETS && self.unproved.1 <= UNPROVED_BYTES);
            }
            if let [0, 3, high, low, content @ ..] = datagram.as_slice() {
                let number = u16::from_be_bytes([*high, *low]);
                let block = match agreed.rollover.distance(base, number) {
                    Some(ahead) if (1..=window).contains(&ahead) => base + ahead,
                    _ => 1, // the first one again
                };
                self.sent
                    .check_block(block, content, usize::from(agreed.blksize));
            }
        }
        self.check_numbers(window);
        assert!(agreed.rollover == Rollover::Zero || agreed.options);
    }

    fn check_numbers(&self, window: u64) {
        let stats = self.sender.stats();
        check_budget(&stats, window, self.fired);
        let completed = self
            .sender
            .outcome()
            .is_some_and(|outcome| outcome.kind == OutcomeKind::Completed);
        if completed && self.mode == Mode::Octet {
            check_whole(&stats, self.sender.agreed().blksize);
            assert!(self.sent.all(stats.blocks));
        }
    }
}
