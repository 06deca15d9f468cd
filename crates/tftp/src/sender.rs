//! A server's read transfer: the file goes to the client.
//!
//! ```text
//! request ─ no option accepted ─► window from block 1 ─► Sending
//!         └ some accepted ──────► OACK ─► Offered ─ ACK 0 ─► Sending ─ last block acknowledged ─► Dallying ─► closed
//! ```
//!
//! Loss is repaired by going back to the first block not acknowledged: by the timer, and with windows once per
//! acknowledged block when the client shows that it saw a gap.

use std::time::{Duration, Instant};

use crate::blocks::Blocks;
use crate::limits::{DALLY, FIRST_REPEATS, Limits};
use crate::options::{Agreed, negotiate};
use crate::outcome::{Outcome, OutcomeKind};
use crate::packet::{
    ErrorCode, ErrorPacket, Mode, Packet, Request, RequestKind, encode_data_header,
};
use crate::source::Source;
use crate::timer::{Fired, Timer};
use crate::unproved::Unproved;

mod put;

pub use put::Put;

/// The state of one read transfer.
#[derive(Debug)]
pub struct Sender<S> {
    source: S,
    name: Vec<u8>,
    mode: Mode,
    limits: Limits,
    agreed: Agreed,
    /// The datagram that opens the transfer: a server's OACK, a client's WRQ; empty when block 1 does.
    opening: Vec<u8>,
    blocks: Blocks,
    phase: Phase,
    /// Highest block acknowledged.
    base: u64,
    /// Next block to send; everything in `base + 1..next` is outstanding.
    next: u64,
    /// Highest block ever sent.
    highest: u64,
    /// The block that was shorter than blksize and its octets, once it was produced.
    last: Option<(u64, u64)>,
    first_sent: bool,
    recovery: Recovery,
    timer: Timer,
    /// `Some` until the client proved that it receives what we send to its address.
    unproved: Option<Unproved>,
    first_repeats: u32,
    pending: Pending,
    acknowledged_bytes: u64,
    retransmits: u64,
    error: Option<ErrorPacket>,
    outcome: Option<OutcomeKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The opening was sent, ACK 0 is awaited.
    Offered,
    /// Blocks are under way.
    Sending,
    /// Finished; the port stays until then.
    Dallying { until: Instant },
    /// Nothing will happen any more.
    Closed,
}

/// What was already done about a loss.
#[derive(Debug)]
struct Recovery {
    /// The one going back that a base is worth was used.
    went_back: bool,
    /// Times the blocks in flight were sent again: the client will acknowledge each copy.
    copies: u32,
    /// Duplicate ACKs still to come for the copies of earlier windows; they report no loss. Without this, one
    /// early timeout doubles every window for the rest of the transfer (the windowed Sorcerer's Apprentice).
    expected_duplicates: u32,
    /// When sending last began again at a lower block.
    went_back_at: Option<Instant>,
    /// Shortest round trip seen.
    round_trip: Option<Duration>,
    /// When all that is in flight was sent, unless it was sent at several times.
    sent_at: Option<Instant>,
}

/// Single datagrams to send before the window goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    None,
    /// The OACK, or block 1 again.
    First,
}

/// Datagrams of one window that lie one behind the other, for segmentation offload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Octets of each datagram; only the last may be shorter.
    pub segment_size: usize,
    /// Datagrams.
    pub count: usize,
}

impl<S: Source> Sender<S> {
    /// Begins the transfer that answers `request`. The first datagram is ready at once.
    ///
    /// # Errors
    ///
    /// The ERROR to send instead, once and without a transfer: see [`Request::refusal`].
    pub fn start(
        request: &Request,
        source: S,
        limits: &Limits,
        now: Instant,
    ) -> Result<Self, ErrorPacket> {
        if let Some(refusal) = request.refusal() {
            return Err(refusal);
        }
        let mut oack = Vec::new();
        let agreed = negotiate(request, source.len(), limits, &mut oack);
        let unproved = Unproved::new(request, agreed.options, now);
        let mut sender = Self::new(request, source, agreed, oack, limits, now);
        sender.unproved = Some(unproved);
        Ok(sender)
    }

    /// A transfer that sends `opening` first, or block 1 at once when that is empty.
    fn new(
        request: &Request,
        source: S,
        agreed: Agreed,
        opening: Vec<u8>,
        limits: &Limits,
        now: Instant,
    ) -> Self {
        let (phase, pending) = if opening.is_empty() {
            (Phase::Sending, Pending::None)
        } else {
            (Phase::Offered, Pending::First)
        };
        Self {
            name: request.name.clone(),
            mode: request.mode,
            limits: limits.clone(),
            phase,
            pending,
            timer: Timer::new(limits, agreed.interval, now),
            blocks: Blocks::new(request.mode),
            source,
            agreed,
            opening,
            base: 0,
            next: 1,
            highest: 0,
            last: None,
            first_sent: false,
            recovery: Recovery::new(now),
            unproved: None,
            first_repeats: 0,
            acknowledged_bytes: 0,
            retransmits: 0,
            error: None,
            outcome: None,
        }
    }

    /// Takes a datagram that came from the client's address and port to the transfer's own port. Everything
    /// that makes no sense is ignored in silence.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match Packet::parse(datagram) {
            Some(Packet::Ack { block }) => self.handle_ack(now, block),
            Some(Packet::Error(error)) => self.handle_error(error),
            Some(Packet::Request(request)) => self.handle_request(now, &request),
            Some(Packet::Data { .. } | Packet::Oack(_)) | None => {}
        }
    }

    /// The client's request came once more to the well-known port ([`admission`](crate::admission) says
    /// `Join`): the first datagram was lost or late. Proves nothing about the address.
    pub fn repeat_first(&mut self) {
        let nothing_acknowledged = self.base == 0
            && (self.phase == Phase::Offered
                || (self.phase == Phase::Sending && !self.agreed.options));
        if nothing_acknowledged {
            self.queue_first();
        }
    }

    /// To be called when [`Sender::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Closed => {}
            Phase::Dallying { until } => {
                if now >= until {
                    self.phase = Phase::Closed;
                }
            }
            Phase::Offered | Phase::Sending => {
                if self.unproved.as_ref().is_some_and(|u| now >= u.until()) {
                    self.close(OutcomeKind::TimedOut);
                    return;
                }
                match self.timer.fire(now) {
                    Fired::No => {}
                    Fired::GiveUp => self.close(OutcomeKind::TimedOut),
                    Fired::Resend if self.phase == Phase::Offered => {
                        self.recovery.go_back(now);
                        self.pending = Pending::First;
                    }
                    Fired::Resend => {
                        self.go_back(now);
                        self.recovery.went_back = false;
                    }
                }
            }
        }
    }

    /// Clears `out` and writes the next datagram into it; `false` when there is none to send now. Nothing is
    /// allocated once `out` has grown to a datagram.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        self.write_datagram(out)
    }

    /// Clears `out` and writes the datagrams that can go together, one behind the other, at most `max_count`
    /// of them and 65,507 octets in all, as one segmented send wants them; `None` when there is nothing to send now.
    pub fn poll_batch(&mut self, out: &mut Vec<u8>, max_count: usize) -> Option<Batch> {
        const DATAGRAM_CAP: usize = 65_507;
        out.clear();
        if max_count == 0 || !self.write_datagram(out) {
            return None;
        }
        let segment_size = out.len();
        let full = usize::from(self.agreed.blksize) + 4;
        let mut count = 1;
        while count < max_count
            && segment_size == full
            && out.len() == count * full
            && out.len() + full <= DATAGRAM_CAP
            && self.pending == Pending::None
            && self.error.is_none()
            && self.outcome.is_none()
        {
            if !self.write_block(out) {
                break;
            }
            count += 1;
        }
        Some(Batch {
            segment_size,
            count,
        })
    }

    /// When [`Sender::handle_timeout`] is due; `None` when the transfer is closed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => None,
            Phase::Dallying { until } => Some(until),
            Phase::Offered | Phase::Sending => {
                let deadline = self.timer.deadline();
                Some(
                    self.unproved
                        .as_ref()
                        .map_or(deadline, |unproved| deadline.min(unproved.until())),
                )
            }
        }
    }

    /// How it ended; `None` while it goes on. There before [`Sender::is_closed`]: the port still dallies.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.as_ref().map(|kind| Outcome {
            kind: kind.clone(),
            bytes: self.acknowledged_bytes,
            blocks: self.base,
            retransmits: self.retransmits,
            agreed: self.agreed.clone(),
        })
    }

    /// Whether the port can be given back: ended, dallied, and no ERROR left to send.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed && self.error.is_none()
    }

    /// Whether the client has shown that it receives what is sent to its address: it knew the transfer's port.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.unproved.is_none()
    }

    /// What was agreed on.
    #[must_use]
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Blocks acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.base
    }

    fn handle_ack(&mut self, now: Instant, number: u16) {
        let Some(delta) = self.agreed.rollover.distance(self.base, number) else {
            return;
        };
        match self.phase {
            Phase::Offered if number == 0 => {
                self.unproved = None;
                self.phase = Phase::Sending;
                self.pending = Pending::None;
                self.recovery.next_window(now);
                self.timer.progress(now);
            }
            Phase::Offered | Phase::Dallying { .. } | Phase::Closed => {}
            Phase::Sending if delta == 0 => self.handle_duplicate(now),
            Phase::Sending => self.advance(now, delta),
        }
    }

    /// An ACK of `base` again. With single blocks it is ignored, and the timer runs on: RFC 1123 section
    /// 4.2.3.1. With windows the client saw a gap right after it; EDK2 says so for every further block.
    fn handle_duplicate(&mut self, now: Instant) {
        if self.agreed.windowsize == 1 || self.recovery.is_too_early(now) {
            return;
        }
        if self.recovery.expected_duplicates > 0 {
            self.recovery.expected_duplicates -= 1;
        } else if !self.recovery.went_back && self.next > self.base + 1 {
            self.go_back(now);
            self.recovery.went_back = true;
        }
    }

    fn advance(&mut self, now: Instant, delta: u64) {
        let outstanding = self.next - 1 - self.base;
        if delta > outstanding {
            return; // stale, or a block that was never sent
        }
        self.unproved = None;
        self.base += delta;
        self.blocks.release(self.base);
        self.timer.progress(now);
        self.acknowledged_bytes += delta * u64::from(self.agreed.blksize);
        if let Some((last, octets)) = self.last.filter(|(last, _)| *last == self.base) {
            self.acknowledged_bytes = (last - 1) * u64::from(self.agreed.blksize) + octets;
            self.outcome = Some(OutcomeKind::Completed);
            self.pending = Pending::None;
            self.phase = Phase::Dallying { until: now + DALLY };
            return;
        }
        if delta == outstanding {
            self.recovery.next_window(now);
            return;
        }
        self.recovery.slide();
        if !self.recovery.is_too_early(now) {
            // It stopped short, a block was lost: this is the one going back of the new base.
            self.go_back(now);
            self.recovery.went_back = true;
        }
    }

    fn handle_error(&mut self, error: ErrorPacket) {
        if self.outcome.is_some() {
            return;
        }
        let probe = self.phase == Phase::Offered
            && self.agreed.tsize.is_some()
            && matches!(error.code, ErrorCode::OptionRefused | ErrorCode::Undefined);
        self.close(if probe {
            OutcomeKind::SizeProbe { code: error.code }
        } else {
            OutcomeKind::ClientAborted {
                code: error.code,
                text: error.text,
            }
        });
    }

    /// The request again, to the transfer's own port: GRUB's habit. The client knows the port, so it is real.
    fn handle_request(&mut self, now: Instant, request: &Request) {
        let same = request.kind == RequestKind::Read
            && request.name == self.name
            && request.mode == self.mode;
        if !same || self.phase == Phase::Closed {
            return;
        }
        self.unproved = None;
        if self.phase == Phase::Offered && request.options.is_empty() {
            self.fall_back(now);
        } else {
            self.queue_first();
        }
    }

    /// The client repeated its request without options: it rejects the negotiation.
    fn fall_back(&mut self, now: Instant) {
        self.agreed = Agreed::default();
        self.opening.clear();
        self.phase = Phase::Sending;
        self.pending = Pending::None;
        self.recovery = Recovery::new(now);
        self.timer = Timer::new(&self.limits, None, now);
    }

    fn queue_first(&mut self) {
        if self.first_sent && self.first_repeats < FIRST_REPEATS {
            self.first_repeats += 1;
            self.recovery.copies += 1;
            self.recovery.sent_at = None;
            self.pending = Pending::First;
        }
    }

    fn go_back(&mut self, now: Instant) {
        self.recovery.go_back(now);
        self.next = self.base + 1;
    }

    fn close(&mut self, kind: OutcomeKind) {
        self.outcome.get_or_insert(kind);
        self.pending = Pending::None;
        self.phase = Phase::Closed;
    }

    /// Adds the datagram whose turn it is to `out`, which is empty.
    fn write_datagram(&mut self, out: &mut Vec<u8>) -> bool {
        if let Some(error) = self.error.take() {
            error.encode(out);
            return true;
        }
        if self.pending == Pending::First {
            self.pending = Pending::None;
            return self.write_first(out);
        }
        self.write_block(out)
    }

    fn write_first(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.opening.is_empty() {
            out.extend_from_slice(&self.opening);
        } else {
            encode_data_header(self.agreed.rollover.wire(1), out);
            let mut first = Blocks::new(self.mode);
            if let Err(error) = first.write(&self.source, 1, self.agreed.blksize, out) {
                self.fail(&error);
                out.clear();
                return self.write_datagram(out);
            }
        }
        if !self.spend(out.len()) {
            out.clear();
            return false;
        }
        if self.first_sent {
            self.retransmits += 1;
        }
        self.first_sent = true;
        true
    }

    /// Adds the next block of the window to `out`.
    fn write_block(&mut self, out: &mut Vec<u8>) -> bool {
        if self.phase != Phase::Sending || self.next > self.window_end() {
            return false;
        }
        let (start, blksize) = (out.len(), self.agreed.blksize);
        encode_data_header(self.agreed.rollover.wire(self.next), out);
        if let Err(error) = self.blocks.write(&self.source, self.next, blksize, out) {
            out.truncate(start);
            self.fail(&error);
            return start == 0 && self.write_datagram(out);
        }
        if !self.spend(out.len() - start) {
            out.truncate(start);
            return false;
        }
        let content = out.len() - start - 4;
        if content < usize::from(blksize) {
            self.last = Some((self.next, content as u64));
        }
        if self.next <= self.highest {
            self.retransmits += 1;
        }
        self.highest = self.highest.max(self.next);
        self.first_sent = true;
        self.next += 1;
        true
    }

    fn window_end(&self) -> u64 {
        let end = self.base + u64::from(self.agreed.windowsize);
        self.last.map_or(end, |(last, _)| end.min(last))
    }

    /// Whether a datagram of this size may go out: before the client proved its address there is a budget.
    fn spend(&mut self, size: usize) -> bool {
        self.unproved
            .as_mut()
            .is_none_or(|unproved| unproved.spend(size))
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.error = Some(ErrorPacket::new(
            ErrorCode::Undefined,
            "the file could not be read to its end",
        ));
        self.close(OutcomeKind::ReadFailed {
            reason: error.to_string(),
        });
    }
}

impl Recovery {
    fn new(now: Instant) -> Self {
        Self {
            went_back: false,
            copies: 0,
            expected_duplicates: 0,
            went_back_at: None,
            round_trip: None,
            sent_at: Some(now),
        }
    }

    /// Sending begins again at a lower block.
    fn go_back(&mut self, now: Instant) {
        self.copies += 1;
        self.went_back_at = Some(now);
        self.sent_at = None;
    }

    /// Whether an ACK that comes now was sent before the client can have seen what was sent again. It tells of
    /// the first copies and is no reason to send a third time: clients that acknowledge every block
    /// they did not expect, as EDK2 does, send a burst of these.
    fn is_too_early(&self, now: Instant) -> bool {
        match (self.went_back_at, self.round_trip) {
            (Some(at), Some(round_trip)) => now.saturating_duration_since(at) < round_trip,
            _ => false,
        }
    }

    /// All in flight was acknowledged, the next window begins.
    fn next_window(&mut self, now: Instant) {
        if let Some(sent) = self.sent_at.replace(now) {
            let sample = now.saturating_duration_since(sent);
            self.round_trip = Some(self.round_trip.map_or(sample, |least| least.min(sample)));
        }
        self.settle();
    }

    /// A part was acknowledged, the window moves on.
    fn slide(&mut self) {
        self.sent_at = None;
        self.settle();
    }

    fn settle(&mut self) {
        self.expected_duplicates = self.copies;
        self.copies = 0;
        self.went_back = false;
    }
}
