//! A model of what a client's `put` may do, whatever its server says: bounded sending, right octets, completion only when
//! all was sent and acknowledged, and an end when left alone. The fuzz target `tftp_put` runs it on octets of its own
//! choice, `tests/model.rs` on thousands made from seeds.

use std::time::{Duration, Instant};

use super::model_parts::{LEN, Sent, check_budget, check_whole, file, take};
use bytes::Bytes;
use tftp::{Ask, Limits, Mode, OutcomeKind, Put};

struct Model {
    put: Put<Bytes>,
    ask: Ask,
    now: Instant,
    sent: Sent,
    fired: u64,
    refused: bool,
}

/// Runs `data`: what to ask for, then steps of a server and of time. How it ended; `None` for no octets at all.
pub fn run(data: &[u8], now: Instant) -> Option<OutcomeKind> {
    let (&which, mut rest) = data.split_first()?;
    let ask = asked(which);
    let mut model = Model {
        put: Put::start(ask.clone(), file(), &Limits::default(), now),
        sent: Sent::of(ask.mode),
        ask,
        now,
        fired: 0,
        refused: false,
    };
    model.check();
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        model.step(step, &mut rest);
        model.check();
    }
    model.leave_alone();
    Some(model.put.outcome().expect("it has ended").kind)
}

fn asked(which: u8) -> Ask {
    Ask {
        mode: match which & 1 {
            0 => Mode::Octet,
            _ => Mode::Netascii,
        },
        tsize: which & 2 != 0,
        timeout: (which & 4 != 0).then_some(2),
        blksize: [None, Some(8), Some(64), Some(1_024)][usize::from(which >> 3 & 3)],
        windowsize: [None, Some(1), Some(4), Some(16)][usize::from(which >> 5 & 3)],
        ..Ask::plain("up/x")
    }
}

impl Model {
    fn step(&mut self, step: u8, rest: &mut &[u8]) {
        let high = step / 8;
        match step % 8 {
            0 => self.offer(high),
            1 => self.wait(Duration::from_millis(u64::from(step) * 16)),
            2 => self.wait(Duration::from_micros(u64::from(step) * 10)),
            3 => self.handle(take(rest)),
            4 => self.handle(&[0, 5, 0, high]),
            // What random octets seldom hit: an ACK near the window.
            _ => {
                let block = self.put.stats().blocks + u64::from(high);
                let number = self.put.agreed().rollover.wire(block).to_be_bytes();
                self.handle(&[&[0, 4], &number[..]].concat());
            }
        }
    }

    /// An OACK of what was asked for, or of one thing too much or too large.
    fn offer(&mut self, which: u8) {
        let ask = &self.ask;
        let more = u16::from(which == 1);
        let options = [
            ("blksize", ask.blksize.map(|size| (size + more).to_string())),
            ("windowsize", ask.windowsize.map(|size| size.to_string())),
            ("timeout", ask.timeout.map(|time| time.to_string())),
            ("tsize", ask.tsize.then(|| LEN.to_string())),
            ("rollover", (which == 2).then(|| "1".to_owned())),
        ];
        let mut datagram = vec![0, 6];
        for (name, value) in options {
            if let Some(value) = value {
                datagram.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
            }
        }
        self.handle(&datagram);
    }

    fn handle(&mut self, datagram: &[u8]) {
        self.put.handle_datagram(self.now, datagram);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.fired += 1;
        self.put.handle_timeout(self.now);
    }

    /// Nothing more comes: it ends by itself.
    fn leave_alone(&mut self) {
        for _ in 0..400 {
            let Some(due) = self.put.poll_timeout() else {
                assert!(self.put.is_closed() && self.put.outcome().is_some());
                return;
            };
            self.wait(due.saturating_duration_since(self.now));
            self.check();
        }
        panic!("left alone it does not end");
    }

    /// Takes all there is to send and checks it.
    fn check(&mut self) {
        let (base, agreed) = (self.put.stats().blocks, self.put.agreed().clone());
        let window = u64::from(agreed.windowsize);
        assert!(agreed.blksize <= self.ask.blksize.unwrap_or(512).max(512));
        assert!(agreed.windowsize <= self.ask.windowsize.unwrap_or(1));
        let (mut datagram, mut count) = (Vec::new(), 0);
        while self.put.poll_transmit(self.now, &mut datagram) {
            count += 1;
            assert!(count <= window + 1, "more than a window at once");
            assert!(!self.refused, "an ERROR is the end");
            match datagram.as_slice() {
                [0, 2, ..] => assert_eq!(base, 0, "the request, when there was an answer"),
                [0, 3, high, low, content @ ..] => {
                    let number = u16::from_be_bytes([*high, *low]);
                    let ahead = agreed.rollover.distance(base, number);
                    let ahead = ahead.filter(|ahead| (1..=window).contains(ahead));
                    let block = base + ahead.expect("a block of the window");
                    self.sent
                        .check_block(block, content, usize::from(agreed.blksize));
                }
                [0, 5, 0, 8, ..] => self.refused = true,
                other => panic!("sent: {}", other.escape_ascii()),
            }
        }
        self.check_numbers(window);
    }

    fn check_numbers(&self, window: u64) {
        let stats = self.put.stats();
        check_budget(&stats, window, self.fired);
        let completed = self
            .put
            .outcome()
            .is_some_and(|outcome| outcome.kind == OutcomeKind::Completed);
        if completed {
            assert!(self.sent.all(stats.blocks));
        }
        if completed && self.ask.mode == Mode::Octet {
            check_whole(&stats, self.put.agreed().blksize);
        }
    }
}
