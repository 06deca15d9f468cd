//! A server's write transfer: the client brings a file.
//!
//! ```text
//! request ─ options accepted ─► OACK ──┐
//!         └ none ─────────────► ACK 0 ─┴─ DATA 1 ─► Receiving ─ last block ─► Committing ─ committed ─► Dallying ─► closed
//!                                                       └ refused ─► Refusing ─► closed
//! ```
//!
//! The last block is acknowledged only when the caller says that the content is durable: a switch that got that
//! ACK forgets its own copy.

use std::time::{Duration, Instant};

use crate::incoming::{Arrived, Incoming};
use crate::limits::{FIRST_REPEATS, Limits};
use crate::options::{Agreed, negotiate, parse_number};
use crate::outcome::{Outcome, OutcomeKind, Stats};
use crate::packet::{ErrorCode, ErrorPacket, Mode, Packet, Request, RequestKind, encode_ack};
use crate::receiver::DALLY_OF_RECEIVER;
use crate::timer::{Fired, Timer};
use crate::unproved::Unproved;

/// The state of one write transfer.
#[derive(Debug)]
pub struct Writer {
    name: Vec<u8>,
    limits: Limits,
    /// Most content octets taken.
    cap: u64,
    /// The OACK; empty when ACK 0 opens the transfer.
    oack: Vec<u8>,
    incoming: Incoming,
    mode: Mode,
    /// Content octets handed out, after netascii's conversion.
    stored: u64,
    phase: Phase,
    /// The caller cannot take more for now: no ACK goes out that asks for it.
    held: bool,
    /// When the client was last due to hear from us: its timer runs, and doubles, since then.
    due_since: Instant,
    first_sent: bool,
    first_repeats: u32,
    /// `Some` until the client proved that it receives what we send to its address.
    unproved: Option<Unproved>,
    pending: Pending,
    timer: Timer,
    retransmits: u64,
    outcome: Option<OutcomeKind>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The opening was sent, block 1 awaited; or blocks are under way.
    Receiving,
    /// Everything came; the caller makes it durable.
    Committing,
    /// Finished; the last ACK may have been lost.
    Dallying {
        until: Instant,
    },
    /// The client was told ERROR; it is told again when it goes on sending, for the ERROR may have been lost.
    Refusing {
        until: Instant,
        error: ErrorPacket,
        left: u32,
    },
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    None,
    /// The OACK, or an ACK of what is here.
    Ack,
    Error(ErrorPacket),
}

impl Writer {
    /// Begins the transfer that answers `request`, of at most `cap` octets of content. The first datagram is ready
    /// at once.
    ///
    /// Whether this client may write this file, and whether there is room for [`announced`] octets, the caller has
    /// decided before.
    ///
    /// # Errors
    ///
    /// The ERROR to send instead, once and without a transfer: a mode that is none, or more announced than `cap`.
    pub fn start(
        request: &Request,
        cap: u64,
        limits: &Limits,
        now: Instant,
    ) -> Result<Self, ErrorPacket> {
        if !matches!(request.mode, Mode::Octet | Mode::Netascii) {
            return Err(ErrorPacket::new(
                ErrorCode::IllegalOperation,
                "mode must be octet or netascii",
            ));
        }
        // In netascii the number may be the text's before or after conversion: it is counted as it comes.
        if request.mode == Mode::Octet && announced(request).is_some_and(|octets| octets > cap) {
            return Err(too_large(cap));
        }
        let mut oack = Vec::new();
        let agreed = negotiate(request, 0, limits, &mut oack);
        Ok(Self {
            name: request.name.clone(),
            limits: limits.clone(),
            cap,
            unproved: Some(Unproved::new(request, agreed.options, now)),
            timer: Timer::new(limits, agreed.interval, now),
            incoming: Incoming::new(agreed, request.mode),
            oack,
            mode: request.mode,
            stored: 0,
            phase: Phase::Receiving,
            held: false,
            due_since: now,
            first_sent: false,
            first_repeats: 0,
            pending: Pending::Ack,
            retransmits: 0,
            outcome: None,
        })
    }

    /// Takes a datagram that came from the client's address and port to the transfer's own port; content that it
    /// brings in order is added to `received`. Everything that makes no sense is ignored in silence.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>) {
        match Packet::parse(datagram) {
            Some(Packet::Data { block, data }) => self.handle_data(now, block, data, received),
            // An ERROR that comes while the content is made durable comes too late: all of it is here.
            Some(Packet::Error(error)) if self.phase == Phase::Receiving => {
                self.close(OutcomeKind::ClientAborted {
                    code: error.code,
                    text: error.text,
                });
            }
            Some(Packet::Request(request)) => self.handle_request(now, &request),
            _ => {}
        }
    }

    /// The client's request came once more to the well-known port ([`admission`](crate::admission) says `Join`):
    /// the first datagram was lost or late. Proves nothing about the address.
    pub fn repeat_first(&mut self) {
        let nothing_came = self.phase == Phase::Receiving && self.incoming.blocks() == 0;
        if nothing_came && self.first_sent && self.first_repeats < FIRST_REPEATS {
            self.first_repeats += 1;
            self.retransmits += 1;
            self.pending = Pending::Ack;
        }
    }

    /// To be called when [`Writer::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Closed | Phase::Committing => {}
            Phase::Dallying { until } | Phase::Refusing { until, .. } => {
                if now >= until {
                    self.phase = Phase::Closed;
                }
            }
            Phase::Receiving if self.held => {}
            Phase::Receiving if self.unproved.as_ref().is_some_and(|u| now >= u.until()) => {
                self.close(OutcomeKind::TimedOut);
            }
            Phase::Receiving => match self.timer.fire(now) {
                Fired::No => {}
                Fired::GiveUp => self.close(OutcomeKind::TimedOut),
                Fired::Resend => {
                    self.incoming.handle_timeout();
                    self.retransmits += 1;
                    self.pending = Pending::Ack;
                }
            },
        }
    }

    /// Clears `out` and writes the next datagram into it; `false` when there is none to send now.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        match &self.pending {
            Pending::None => return false,
            Pending::Error(error) => error.encode(out),
            Pending::Ack if self.held => return false,
            Pending::Ack if self.incoming.blocks() == 0 && !self.oack.is_empty() => {
                out.extend_from_slice(&self.oack);
            }
            Pending::Ack => encode_ack(self.incoming.ack_number(), out),
        }
        self.pending = Pending::None;
        self.first_sent = true;
        let within = self
            .unproved
            .as_mut()
            .is_none_or(|unproved| unproved.spend(out.len()));
        if !within {
            out.clear();
        }
        within
    }

    /// When [`Writer::handle_timeout`] is due; `None` when closed, or while it is the caller's turn.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed | Phase::Committing => None,
            Phase::Dallying { until } | Phase::Refusing { until, .. } => Some(until),
            Phase::Receiving if self.held => None,
            Phase::Receiving => {
                let deadline = self.timer.deadline();
                let until = self.unproved.as_ref().map(Unproved::until);
                Some(until.map_or(deadline, |until| deadline.min(until)))
            }
        }
    }

    /// The caller has as much content as it can take: until [`Writer::release`] the end of a window is not
    /// acknowledged, and what a client sends beyond it, without waiting for the ACK, is dropped. So at most one
    /// window more is taken.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Whether DATA is dropped for now: held, and the window that was under way then has come.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held && self.pending == Pending::Ack
    }

    /// The caller takes content again. The time in between does not count as the client's silence.
    pub fn release(&mut self, now: Instant) {
        if std::mem::take(&mut self.held) {
            if self.pending == Pending::Ack {
                self.due_since = now;
            }
            self.timer.progress(now);
        }
    }

    /// Whether all content came, and the caller is to say [`Writer::committed`] once it is durable.
    #[must_use]
    pub fn needs_commit(&self) -> bool {
        self.phase == Phase::Committing
    }

    /// The content is durable: the client is told.
    pub fn committed(&mut self, now: Instant) {
        if self.phase == Phase::Committing {
            self.outcome = Some(OutcomeKind::Completed);
            self.pending = Pending::Ack;
            self.held = false;
            self.phase = Phase::Dallying {
                until: now + self.dally(now),
            };
        }
    }

    /// The content cannot be taken (a full disk, a quota, a file that is there already): the client is told, and
    /// the transfer is over. `reason` is for the operator.
    pub fn fail(&mut self, now: Instant, error: ErrorPacket, reason: &str) {
        if self.outcome.is_none() {
            let kind = OutcomeKind::WriteFailed {
                reason: reason.to_owned(),
            };
            self.refuse(now, error, kind);
        }
    }

    /// How it ended; `None` while it goes on. There before [`Writer::is_closed`]: the port still dallies.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.as_ref().map(|kind| Outcome {
            kind: kind.clone(),
            stats: self.stats(),
            agreed: self.agreed().clone(),
        })
    }

    /// Whether the port can be given back: ended, dallied, and no ERROR left to send.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed && self.pending == Pending::None
    }

    /// Whether the client has shown that it receives what is sent to its address: it knew the transfer's port.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.unproved.is_none()
    }

    /// What was agreed on.
    #[must_use]
    pub fn agreed(&self) -> &Agreed {
        self.incoming.agreed()
    }

    /// The numbers so far; `bytes` and `blocks` are those received in order.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            bytes: self.incoming.bytes(),
            blocks: self.incoming.blocks(),
            retransmits: self.retransmits,
            ..Stats::default()
        }
    }

    fn handle_data(&mut self, now: Instant, block: u16, data: &[u8], received: &mut Vec<u8>) {
        let is_full = self.is_full();
        match &mut self.phase {
            // Whoever does not wait for ACKs is not slowed down by their absence: the ACK that goes out
            // at last says from where on to send again.
            Phase::Receiving if is_full => {}
            Phase::Receiving => self.take(now, block, data, received),
            Phase::Dallying { .. } if self.incoming.is_newest(block) => {
                self.retransmits += 1;
                self.pending = Pending::Ack; // our last ACK was lost
            }
            Phase::Refusing { error, left, .. } if *left > 0 => {
                *left -= 1;
                self.pending = Pending::Error(error.clone());
            }
            Phase::Committing | Phase::Dallying { .. } | Phase::Refusing { .. } | Phase::Closed => {
            }
        }
    }

    fn take(&mut self, now: Instant, block: u16, data: &[u8], received: &mut Vec<u8>) {
        let before = received.len();
        let arrived = self.incoming.handle_data(block, data, received);
        match arrived {
            Arrived::Useless => return,
            Arrived::Complaint => {
                self.retransmits += 1;
                self.pending = Pending::Ack;
                return;
            }
            Arrived::Next => {}
            Arrived::WindowEnd => {
                self.pending = Pending::Ack;
                if !self.held {
                    self.due_since = now;
                }
            }
            Arrived::Last => self.pending = Pending::None, // not before it is durable
        }
        self.unproved = None;
        self.timer.progress(now);
        self.stored += (received.len() - before) as u64;
        if self.stored > self.cap {
            received.truncate(before);
            self.refuse(
                now,
                too_large(self.cap),
                OutcomeKind::TooLarge { cap: self.cap },
            );
        } else if arrived == Arrived::Last {
            self.finish(now);
        }
    }

    /// The last block came. A client that announced 0 does not know the length of what it sends.
    fn finish(&mut self, now: Instant) {
        match self
            .incoming
            .wrong_length()
            .filter(|&announced| announced != 0)
        {
            Some(announced) => {
                let text = format!(
                    "{announced} bytes announced, {} came",
                    self.incoming.bytes()
                );
                let error = ErrorPacket::new(ErrorCode::Undefined, &text);
                self.refuse(now, error, OutcomeKind::WrongLength { announced });
            }
            None => self.phase = Phase::Committing,
        }
    }

    /// The request again, to the transfer's own port. The client knows the port, so it is real.
    fn handle_request(&mut self, now: Instant, request: &Request) {
        let same = request.kind == RequestKind::Write
            && request.name == self.name
            && request.mode == self.mode;
        if !same || self.phase != Phase::Receiving || self.incoming.blocks() > 0 {
            return;
        }
        self.unproved = None;
        if request.options.is_empty() && !self.oack.is_empty() {
            // It rejects the negotiation.
            self.oack.clear();
            self.incoming = Incoming::new(Agreed::default(), self.mode);
            self.timer = Timer::new(&self.limits, None, now);
            self.pending = Pending::Ack;
        } else {
            self.repeat_first();
        }
    }

    /// The port then stays for the shortest time only, whatever `timeout` was negotiated: a refusal costs a client
    /// one block, and the port costs us a descriptor.
    fn refuse(&mut self, now: Instant, error: ErrorPacket, kind: OutcomeKind) {
        self.outcome = Some(kind);
        self.pending = Pending::Error(error.clone());
        self.phase = Phase::Refusing {
            until: now + DALLY_OF_RECEIVER,
            error,
            left: ERROR_REPEATS,
        };
    }

    fn close(&mut self, kind: OutcomeKind) {
        self.outcome.get_or_insert(kind);
        self.pending = Pending::None;
        self.phase = Phase::Closed;
    }

    /// RFC 1350 asks for more than one timer of the other side. That is long when it was negotiated so, or when
    /// the disk was slow: the client's timer doubled meanwhile.
    fn dally(&self, now: Instant) -> Duration {
        let interval = self.agreed().interval.unwrap_or_default();
        let waited = now.saturating_duration_since(self.due_since);
        (DALLY_OF_RECEIVER + 2 * waited.max(interval)).min(self.limits.idle_cap)
    }
}

/// The octets that a write request announces by `tsize`; `None` when it does not say, or says 0, as clients do
/// that do not know.
#[must_use]
pub fn announced(request: &Request) -> Option<u64> {
    let tsize = request
        .options
        .iter()
        .find(|pair| pair.name.eq_ignore_ascii_case(b"tsize"))?;
    parse_number(&tsize.value).filter(|&octets| octets > 0)
}

fn too_large(cap: u64) -> ErrorPacket {
    let text = format!("larger than the {cap} bytes that are allowed");
    ErrorPacket::new(ErrorCode::DiskFull, &text)
}

/// Times a refusal is repeated to a client that goes on sending.
const ERROR_REPEATS: u32 = 3;
