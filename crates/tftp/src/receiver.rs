//! A client's `get`: for tests, for measuring, and for people who want to see what a server answers.
//!
//! The caller sends the first datagram to the server's well-known port, and from the first answer on talks only
//! to the port that answer came from.

use std::time::{Duration, Instant};

use crate::limits::{DALLY, Limits};
use crate::netascii;
use crate::options::{Agreed, parse_number};
use crate::outcome::{Outcome, OutcomeKind};
use crate::packet::{
    ErrorCode, ErrorPacket, Mode, OptionPair, Packet, Request, RequestKind, encode_ack,
};
use crate::timer::{Fired, Timer};

/// What to get, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// File name as it goes on the wire; without NUL.
    pub name: Vec<u8>,
    /// Octet or netascii.
    pub mode: Mode,
    /// Block size to ask for, 8 to 65,464 octets.
    pub blksize: Option<u16>,
    /// Window to ask for, blocks.
    pub windowsize: Option<u16>,
    /// Whether to ask for the size.
    pub tsize: bool,
    /// Retransmission interval to ask for, 1 to 255 seconds.
    pub timeout: Option<u8>,
}

impl Get {
    /// The file as octets, without options.
    #[must_use]
    pub fn plain(name: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            mode: Mode::Octet,
            blksize: None,
            windowsize: None,
            tsize: false,
            timeout: None,
        }
    }

    fn request(&self) -> Request {
        let mut options = Vec::new();
        let mut ask = |name: &[u8], value: String| {
            options.push(OptionPair {
                name: name.to_vec(),
                value: value.into_bytes(),
            });
        };
        if self.tsize {
            ask(b"tsize", "0".to_owned());
        }
        if let Some(blksize) = self.blksize {
            ask(b"blksize", blksize.to_string());
        }
        if let Some(windowsize) = self.windowsize {
            ask(b"windowsize", windowsize.to_string());
        }
        if let Some(timeout) = self.timeout {
            ask(b"timeout", timeout.to_string());
        }
        Request {
            kind: RequestKind::Read,
            name: self.name.clone(),
            mode: self.mode,
            options,
            wire_len: 0,
        }
    }
}

/// The state of one `get`.
#[derive(Debug)]
pub struct Receiver {
    get: Get,
    limits: Limits,
    agreed: Agreed,
    phase: Phase,
    /// Highest block received in order.
    base: u64,
    /// Blocks received since the last ACK.
    unacknowledged: u16,
    /// The one ACK that a gap, or a window that came twice, is worth was sent; in-order blocks renew it.
    complained: bool,
    held_cr: bool,
    bytes: u64,
    retransmits: u64,
    pending: Pending,
    timer: Timer,
    outcome: Option<OutcomeKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Request sent, any answer awaited.
    Requested,
    /// Options or the first block came.
    Receiving,
    /// Everything came; the last ACK may have been lost.
    Dallying {
        until: Instant,
    },
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    None,
    Request,
    Ack,
    Error(ErrorPacket),
}

impl Receiver {
    /// Begins; the request is ready to be sent.
    #[must_use]
    pub fn start(get: Get, limits: &Limits, now: Instant) -> Self {
        Self {
            get,
            limits: limits.clone(),
            agreed: Agreed::default(),
            phase: Phase::Requested,
            base: 0,
            unacknowledged: 0,
            complained: false,
            held_cr: false,
            bytes: 0,
            retransmits: 0,
            pending: Pending::Request,
            timer: Timer::new(limits, None, now),
            outcome: None,
        }
    }

    /// Takes a datagram of the server; content that it brings in order is added to `received`.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>) {
        match Packet::parse(datagram) {
            Some(Packet::Data { block, data }) => self.handle_data(now, block, data, received),
            Some(Packet::Oack(pairs)) => self.handle_oack(now, &pairs),
            Some(Packet::Error(error)) if self.outcome.is_none() => {
                self.close(OutcomeKind::ClientAborted {
                    code: error.code,
                    text: error.text,
                });
            }
            _ => {}
        }
    }

    /// To be called when [`Receiver::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Closed => {}
            Phase::Dallying { until } => {
                if now >= until {
                    self.phase = Phase::Closed;
                }
            }
            Phase::Requested | Phase::Receiving => match self.timer.fire(now) {
                Fired::No => {}
                Fired::GiveUp => self.close(OutcomeKind::TimedOut),
                Fired::Resend => {
                    self.retransmits += 1;
                    self.unacknowledged = 0;
                    self.complained = false;
                    self.pending = if self.phase == Phase::Requested {
                        Pending::Request
                    } else {
                        Pending::Ack
                    };
                }
            },
        }
    }

    /// Clears `out` and writes the next datagram into it; `false` when there is none to send now.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::None => return false,
            Pending::Request => self.get.request().encode(out),
            Pending::Ack => encode_ack(self.agreed.rollover.wire(self.base), out),
            Pending::Error(error) => error.encode(out),
        }
        true
    }

    /// When [`Receiver::handle_timeout`] is due; `None` when closed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => None,
            Phase::Dallying { until } => Some(until),
            Phase::Requested | Phase::Receiving => Some(self.timer.deadline()),
        }
    }

    /// How it ended; `None` while it goes on. An ERROR of the server is [`OutcomeKind::ClientAborted`].
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.as_ref().map(|kind| Outcome {
            kind: kind.clone(),
            bytes: self.bytes,
            blocks: self.base,
            retransmits: self.retransmits,
            agreed: self.agreed.clone(),
        })
    }

    /// Whether the port can be given back: ended, dallied, nothing left to send.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed && self.pending == Pending::None
    }

    /// What was agreed on so far.
    #[must_use]
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    fn handle_data(&mut self, now: Instant, block: u16, data: &[u8], received: &mut Vec<u8>) {
        if let Phase::Dallying { .. } = self.phase {
            if block == self.agreed.rollover.wire(self.base) {
                self.pending = Pending::Ack; // our last ACK was lost
            }
            return;
        }
        let answers_request = self.phase == Phase::Requested && block == 1;
        let receiving = self.phase == Phase::Receiving || answers_request;
        if !receiving || data.len() > usize::from(self.agreed.blksize) {
            return;
        }
        self.phase = Phase::Receiving;
        if block == self.agreed.rollover.wire(self.base + 1) {
            self.accept(now, data, received);
        } else {
            self.handle_out_of_order(block);
        }
    }

    fn accept(&mut self, now: Instant, data: &[u8], received: &mut Vec<u8>) {
        self.base += 1;
        self.bytes += data.len() as u64;
        self.unacknowledged += 1;
        self.complained = false;
        self.timer.progress(now);
        if self.get.mode == Mode::Netascii {
            netascii::decode(data, &mut self.held_cr, received);
        } else {
            received.extend_from_slice(data);
        }
        if data.len() < usize::from(self.agreed.blksize) {
            netascii::finish(&mut self.held_cr, received);
            self.acknowledge();
            self.outcome = Some(match self.agreed.tsize {
                Some(announced) if announced != self.bytes => {
                    OutcomeKind::WrongLength { announced }
                }
                _ => OutcomeKind::Completed,
            });
            self.phase = Phase::Dallying {
                until: now + DALLY_OF_RECEIVER,
            };
        } else if self.unacknowledged >= self.agreed.windowsize {
            self.acknowledge();
        }
    }

    /// A block after a gap is answered once with what we have, so that the server goes back. An old block is
    /// answered only when it ends a window that came twice: our ACK was lost. Answering more than that keeps
    /// a windowed exchange doubled for ever.
    fn handle_out_of_order(&mut self, block: u16) {
        let rollover = self.agreed.rollover;
        let ahead = rollover
            .distance(self.base, block)
            .is_some_and(|distance| (1..=u64::from(self.agreed.windowsize)).contains(&distance));
        let repeated_end = self.unacknowledged == 0 && block == rollover.wire(self.base);
        if (ahead || repeated_end) && !self.complained {
            self.complained = true;
            self.retransmits += 1;
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        self.unacknowledged = 0;
        self.pending = Pending::Ack;
    }

    fn handle_oack(&mut self, now: Instant, pairs: &[OptionPair]) {
        if self.phase == Phase::Receiving && self.base == 0 && self.agreed.options {
            self.pending = Pending::Ack; // our ACK 0 was lost
        }
        if self.phase != Phase::Requested {
            return;
        }
        match check_oack(&self.get, pairs) {
            Ok(agreed) => {
                self.timer = Timer::new(&self.limits, agreed.interval, now);
                self.agreed = agreed;
                self.phase = Phase::Receiving;
                self.pending = Pending::Ack;
            }
            Err(reason) => {
                self.close(OutcomeKind::BadOack {
                    reason: reason.clone(),
                });
                self.pending = Pending::Error(ErrorPacket::new(ErrorCode::OptionRefused, &reason));
            }
        }
    }

    fn close(&mut self, kind: OutcomeKind) {
        self.outcome.get_or_insert(kind);
        self.pending = Pending::None;
        self.phase = Phase::Closed;
    }
}

/// Checks an OACK against what was asked, as strictly as EDK2 does; the error says what is wrong.
fn check_oack(get: &Get, pairs: &[OptionPair]) -> Result<Agreed, String> {
    let mut agreed = Agreed {
        options: true,
        ..Agreed::default()
    };
    for OptionPair { name, value } in pairs {
        let shown = || format!("option {}={}", name.escape_ascii(), value.escape_ascii());
        let number =
            parse_long_number(value).ok_or_else(|| format!("{} is not a number", shown()))?;
        let within = |asked: Option<u16>, least: u16| {
            let asked = asked.ok_or_else(|| format!("{} was not asked for", shown()))?;
            u16::try_from(number)
                .ok()
                .filter(|number| (least..=asked).contains(number))
                .ok_or_else(|| format!("{} is out of range, {asked} was asked for", shown()))
        };
        match name.to_ascii_lowercase().as_slice() {
            b"blksize" => agreed.blksize = within(get.blksize, 8)?,
            b"windowsize" => agreed.windowsize = within(get.windowsize, 1)?,
            b"timeout" => {
                let asked = get.timeout.map(u16::from);
                let seconds = within(asked, asked.unwrap_or(1))?;
                agreed.interval = Some(Duration::from_secs(u64::from(seconds)));
            }
            b"tsize" if get.tsize => agreed.tsize = Some(number),
            _ => return Err(format!("{} was not asked for", shown())),
        }
    }
    Ok(agreed)
}

/// Sizes above ten digits exist in answers, though not in requests.
fn parse_long_number(value: &[u8]) -> Option<u64> {
    parse_number(value).or_else(|| {
        value
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| std::str::from_utf8(value).ok()?.parse().ok())
            .flatten()
    })
}

/// Time the receiver answers a repeated last block: RFC 1350 asks for more than one timer of the server, and a
/// sender whose timer starts at a second repeats at 1 and 3 s.
const DALLY_OF_RECEIVER: Duration = Duration::from_millis(3 * DALLY.as_millis() as u64 + 500);
