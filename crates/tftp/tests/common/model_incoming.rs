//! A model of what may become of content that arrives, whatever the other side sends: exactly the blocks in order, at most
//! one datagram for each that came and each timer, ACKs of what is here and nothing else, and an end when left alone. The
//! fuzz targets `tftp_writer` and `tftp_receiver` run it on octets of their own choice, `tests/model.rs` on thousands
//! made from seeds.

use std::time::{Duration, Instant};

use super::model_parts::take;
use tftp::limits::{UNPROVED_BYTES, UNPROVED_PACKETS};
use tftp::options::{Agreed, Rollover};
use tftp::{
    Ask, ErrorCode, ErrorPacket, Limits, Mode, Outcome, OutcomeKind, Receiver, Writer,
    parse_request,
};

/// Most octets that an upload may have.
const CAP: u64 = 20_000;

/// A server's write transfer before any client: `data` is a request, then steps. How it ended; `None` when it was
/// no request that is taken.
pub fn run_writer(data: &[u8], now: Instant) -> Option<OutcomeKind> {
    let mut rest = data;
    let request = parse_request(take(&mut rest)).ok()?;
    let writer = Writer::start(&request, CAP, &Limits::default(), now).ok()?;
    let mode = request.mode;
    Some(Model::new(writer, mode, now).run(rest))
}

/// A client's `get` before any server: `data` is what to ask for, then steps.
pub fn run_receiver(data: &[u8], now: Instant) -> Option<OutcomeKind> {
    let (&[shape, size, window], rest) = data.split_first_chunk::<3>()?;
    let get = Ask {
        mode: if shape & 1 == 0 {
            Mode::Octet
        } else {
            Mode::Netascii
        },
        blksize: (shape & 2 != 0).then(|| 8 + u16::from(size) * 6),
        windowsize: (shape & 4 != 0).then(|| 1 + u16::from(window) % 64),
        tsize: shape & 8 != 0,
        timeout: (shape & 16 != 0).then_some(1),
        ..Ask::plain("f")
    };
    let mode = get.mode;
    let receiver = Receiver::start(get, &Limits::default(), now);
    Some(Model::new(receiver, mode, now).run(rest))
}

/// What a writer and a receiver have in common, and what the caller does for them.
trait Incoming {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool;
    fn poll_timeout(&self) -> Option<Instant>;
    fn outcome(&self) -> Option<Outcome>;
    fn is_closed(&self) -> bool;
    fn agreed(&self) -> Agreed;
    /// Whether what is sent is bounded because the other side may not exist.
    fn is_unproved(&self) -> bool;
    /// Something that only the caller of this side does.
    fn own_step(&mut self, now: Instant, which: u8);
    /// Whether the last block may be acknowledged: it is durable.
    fn may_end(&self) -> bool;
    /// Whether content is still taken.
    fn takes(&self) -> bool;
}

impl Incoming for Writer {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>) {
        Writer::handle_datagram(self, now, datagram, received);
    }
    fn handle_timeout(&mut self, now: Instant) {
        Writer::handle_timeout(self, now);
    }
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        Writer::poll_transmit(self, out)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Writer::poll_timeout(self)
    }
    fn outcome(&self) -> Option<Outcome> {
        Writer::outcome(self)
    }
    fn is_closed(&self) -> bool {
        Writer::is_closed(self)
    }
    fn agreed(&self) -> Agreed {
        Writer::agreed(self).clone()
    }
    fn is_unproved(&self) -> bool {
        !self.is_proved()
    }
    fn own_step(&mut self, now: Instant, which: u8) {
        match which % 16 {
            0..=3 => self.hold(),
            4..=8 => self.release(now),
            9..=12 => self.committed(now),
            13 => self.fail(now, ErrorPacket::new(ErrorCode::DiskFull, "full"), "full"),
            _ => self.repeat_first(),
        }
    }
    fn may_end(&self) -> bool {
        !self.needs_commit()
    }
    fn takes(&self) -> bool {
        self.outcome().is_none() && !self.needs_commit() && !self.is_full()
    }
}

impl Incoming for Receiver {
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
    fn outcome(&self) -> Option<Outcome> {
        Receiver::outcome(self)
    }
    fn is_closed(&self) -> bool {
        Receiver::is_closed(self)
    }
    fn agreed(&self) -> Agreed {
        Receiver::agreed(self).clone()
    }
    fn is_unproved(&self) -> bool {
        false
    }
    fn own_step(&mut self, _: Instant, _: u8) {}
    fn may_end(&self) -> bool {
        true
    }
    fn takes(&self) -> bool {
        self.outcome().is_none()
    }
}

struct Model<I> {
    side: I,
    mode: Mode,
    now: Instant,
    received: Vec<u8>,
    /// The octets of all blocks that came in order, as on the wire, and how many blocks.
    wire: Vec<u8>,
    blocks: u64,
    /// The last block came.
    ended: bool,
    /// Datagrams that may be sent: one for the opening, each that came and each timer.
    allowed: u64,
    unproved: (u32, usize),
}

impl<I: Incoming> Model<I> {
    fn new(side: I, mode: Mode, now: Instant) -> Self {
        Self {
            side,
            mode,
            now,
            received: Vec::new(),
            wire: Vec::new(),
            blocks: 0,
            ended: false,
            allowed: 1,
            unproved: (0, 0),
        }
    }

    fn run(mut self, mut rest: &[u8]) -> OutcomeKind {
        self.check();
        while let Some((&step, after)) = rest.split_first() {
            rest = after;
            self.step(step, &mut rest);
            self.check();
        }
        self.leave_alone();
        self.side.outcome().expect("it has ended").kind
    }

    fn step(&mut self, step: u8, rest: &mut &[u8]) {
        let high = step / 8;
        match step % 8 {
            0 => {
                self.allowed += 1;
                self.side.own_step(self.now, high);
            }
            1 => self.wait(Duration::from_millis(u64::from(step) * 16)),
            2 => self.handle(take(rest)),
            3 => self.handle(&offer(high)),
            // The next block, whole or short; or one before or behind it.
            4 | 5 => self.block(self.blocks + 1, usize::MAX),
            6 => self.block(self.blocks + 1, usize::from(high)),
            _ => self.block(
                (self.blocks + u64::from(high)).saturating_sub(8),
                usize::MAX,
            ),
        }
    }

    fn block(&mut self, block: u64, size: usize) {
        let agreed = self.side.agreed();
        let number = agreed.rollover.wire(block).to_be_bytes();
        let content = (0..size.min(usize::from(agreed.blksize)))
            .map(|at| [b'a', b'\r', b'\n', b'\r', 0, b'z', 7][(at + block as usize) % 7]);
        let datagram: Vec<u8> = [0, 3].into_iter().chain(number).chain(content).collect();
        self.handle(&datagram);
    }

    /// The same as the side under test does, said once more: a block in order counts.
    fn handle(&mut self, datagram: &[u8]) {
        self.allowed += 1;
        let agreed = self.side.agreed();
        if let [0, 3, high, low, content @ ..] = datagram {
            let number = u16::from_be_bytes([*high, *low]);
            let in_order = number == agreed.rollover.wire(self.blocks + 1);
            if in_order && content.len() <= usize::from(agreed.blksize) && self.side.takes() {
                self.wire.extend_from_slice(content);
                self.blocks += 1;
                self.ended |= content.len() < usize::from(agreed.blksize);
            }
        }
        self.side
            .handle_datagram(self.now, datagram, &mut self.received);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.allowed += 1;
        self.side.handle_timeout(self.now);
    }

    /// Takes what there is to send, and checks it and what was received.
    fn check(&mut self) {
        let agreed = self.side.agreed();
        let mut out = Vec::new();
        while self.side.poll_transmit(&mut out) {
            assert!(self.allowed > 0, "more is sent than comes");
            self.allowed -= 1;
            if self.side.is_unproved() {
                self.unproved.0 += 1;
                self.unproved.1 += out.len();
                assert!(self.unproved.0 <= UNPROVED_PACKETS && self.unproved.1 <= UNPROVED_BYTES);
            }
            match out.as_slice() {
                [0, 4, high, low] => {
                    let number = u16::from_be_bytes([*high, *low]);
                    assert_eq!(
                        number,
                        agreed.rollover.wire(self.blocks),
                        "an ACK of what is here"
                    );
                    assert!(!self.ended || self.side.may_end(), "it is not durable yet");
                }
                [0, 1 | 5 | 6, ..] => {}
                other => panic!("sent: {}", other.escape_ascii()),
            }
        }
        assert!(agreed.rollover == Rollover::Zero || agreed.options);
        self.check_content();
    }

    fn check_content(&self) {
        let outcome = self.side.outcome();
        let kind = outcome.as_ref().map(|outcome| &outcome.kind);
        let too_large = matches!(kind, Some(OutcomeKind::TooLarge { .. }));
        if self.mode == Mode::Octet && !too_large {
            assert!(self.received == self.wire, "what came in order, exactly");
        }
        assert!(self.received.len() <= self.wire.len());
        if let Some(outcome) = outcome {
            assert_eq!(outcome.stats.blocks, self.blocks);
            assert_eq!(outcome.stats.bytes, self.wire.len() as u64);
            assert!(outcome.kind != OutcomeKind::Completed || self.ended);
        }
    }

    /// Nothing more comes, and the disk is done: it ends by itself.
    fn leave_alone(&mut self) {
        for which in [4, 9] {
            self.allowed += 1;
            self.side.own_step(self.now, which);
            self.check();
        }
        for _ in 0..400 {
            let Some(due) = self.side.poll_timeout() else {
                assert!(self.side.is_closed());
                return;
            };
            self.wait(due.saturating_duration_since(self.now));
            self.check();
        }
        panic!("left alone it does not end");
    }
}

/// OACKs, right and wrong ones.
fn offer(which: u8) -> Vec<u8> {
    let options: &[&str] = match which % 8 {
        0 => &["blksize", "8"],
        1 => &["blksize", "64", "windowsize", "1"],
        2 => &["windowsize", "1"],
        3 => &["tsize", "100"],
        4 => &["timeout", "1", "tsize", "0"],
        5 => &["blksize", "65465"],
        6 => &[
            "blksize",
            "14",
            "windowsize",
            "4",
            "tsize",
            "18446744073709551616",
        ],
        _ => &[],
    };
    let words = options.iter().flat_map(|word| word.bytes().chain([0]));
    [0, 6].into_iter().chain(words).collect()
}
