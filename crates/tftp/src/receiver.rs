//! A client's `get`: for tests, for measuring, and for people who want to see what a server answers.
//!
//! The caller sends the first datagram to the server's well-known port, and from the first answer on talks only
//! to the port that answer came from.

use std::time::{Duration, Instant};

use crate::ask::Ask;
use crate::incoming::{Arrived, Incoming};
use crate::limits::{DALLY, Limits};
use crate::options::Agreed;
use crate::outcome::{Outcome, OutcomeKind, Stats};
use crate::packet::{ErrorCode, ErrorPacket, OptionPair, Packet, RequestKind, encode_ack};
use crate::timer::{Fired, Timer};

/// The state of one `get`.
#[derive(Debug)]
pub struct Receiver {
    ask: Ask,
    limits: Limits,
    phase: Phase,
    incoming: Incoming,
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
    pub fn start(ask: Ask, limits: &Limits, now: Instant) -> Self {
        Self {
            incoming: Incoming::new(Agreed::default(), ask.mode),
            ask,
            limits: limits.clone(),
            phase: Phase::Requested,
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
                    self.incoming.handle_timeout();
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
            Pending::Request => self.ask.request(RequestKind::Read, 0).encode(out),
            Pending::Ack => encode_ack(self.incoming.ack_number(), out),
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
            stats: Stats {
                bytes: self.incoming.bytes(),
                blocks: self.incoming.blocks(),
                retransmits: self.retransmits,
                ..Stats::default()
            },
            agreed: self.incoming.agreed().clone(),
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
        self.incoming.agreed()
    }

    fn handle_data(&mut self, now: Instant, block: u16, data: &[u8], received: &mut Vec<u8>) {
        if let Phase::Dallying { .. } = self.phase {
            if self.incoming.is_newest(block) {
                self.pending = Pending::Ack; // our last ACK was lost
            }
            return;
        }
        let answers_request = self.phase == Phase::Requested && block == 1;
        let receiving = self.phase == Phase::Receiving || answers_request;
        if !receiving || data.len() > usize::from(self.agreed().blksize) {
            return;
        }
        self.phase = Phase::Receiving;
        let arrived = self.incoming.handle_data(block, data, received);
        match arrived {
            Arrived::Useless => return,
            Arrived::Next => {}
            Arrived::Complaint => {
                self.retransmits += 1;
                self.pending = Pending::Ack;
                return;
            }
            Arrived::WindowEnd | Arrived::Last => self.pending = Pending::Ack,
        }
        self.timer.progress(now);
        if arrived == Arrived::Last {
            self.outcome = Some(match self.incoming.wrong_length() {
                Some(announced) => OutcomeKind::WrongLength { announced },
                None => OutcomeKind::Completed,
            });
            self.phase = Phase::Dallying {
                until: now + DALLY_OF_RECEIVER,
            };
        }
    }

    fn handle_oack(&mut self, now: Instant, pairs: &[OptionPair]) {
        if self.phase == Phase::Receiving && self.incoming.blocks() == 0 && self.agreed().options {
            self.pending = Pending::Ack; // our ACK 0 was lost
        }
        if self.phase != Phase::Requested {
            return;
        }
        match self.ask.check_oack(pairs) {
            Ok(agreed) => {
                self.timer = Timer::new(&self.limits, agreed.interval, now);
                self.incoming = Incoming::new(agreed, self.ask.mode);
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

/// Time the receiver answers a repeated last block: RFC 1350 asks for more than one timer of the server, and a
/// sender whose timer starts at a second repeats at 1 and 3 s.
pub(crate) const DALLY_OF_RECEIVER: Duration =
    Duration::from_millis(3 * DALLY.as_millis() as u64 + 500);
