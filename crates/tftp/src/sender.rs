//! A server's read transfer: the file goes to the client.
//!
//! ```text
//! request ─ no option accepted ─► window from block 1 ─► Sending
//!         └ some accepted ──────► OACK ─► Offered ─ ACK 0 ─► Sending ─ last block acknowledged ─► Dallying ─► closed
//! ```
//!
//! Loss is repaired by going back to the first block not acknowledged: by the timer, and with windows once per
//! acknowledged block when the client shows that it saw a gap.

use std::io;
use std::time::Instant;

use crate::batch::Batch;
use crate::blocks::{Blocks, Stopped};
use crate::limits::{
    DALLY, FIRST_REPEATS, Limits, REPEATS_BASE, REPEATS_PER_BLOCK, SOURCE_PATIENCE,
};
use crate::options::{Agreed, negotiate};
use crate::outcome::{Outcome, OutcomeKind, Stats};
use crate::packet::{ErrorCode, ErrorPacket, Mode, Packet, Request, RequestKind};
use crate::source::Source;
use crate::timer::{Fired, Timer};
use crate::unproved::Unproved;

mod pace;
mod put;
mod recovery;

pub use put::Put;

use pace::Pace;
use recovery::Recovery;

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
    pace: Pace,
    timer: Timer,
    /// `Some` until the client proved that it receives what we send to its address.
    unproved: Option<Unproved>,
    first_repeats: u32,
    /// The OACK, or block 1 again, goes out before the window goes on.
    first_due: bool,
    waiting: Option<Waiting>,
    /// The window in flight is already counted.
    counted: bool,
    stats: Stats,
    /// Takes the datagrams that are asked for one by one.
    single: Batch,
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

/// The source does not have the next octets in memory.
#[derive(Debug)]
struct Waiting {
    offset: u64,
    since: Instant,
    /// It may have them now.
    again: bool,
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
        let blocks = Blocks::new(request.mode);
        let (phase, first_due) = if opening.is_empty() {
            (Phase::Sending, false)
        } else {
            (Phase::Offered, true)
        };
        Self {
            name: request.name.clone(),
            mode: request.mode,
            limits: limits.clone(),
            phase,
            first_due,
            timer: Timer::new(limits, agreed.interval, now),
            last: blocks.last(source.len(), agreed.blksize),
            blocks,
            source,
            agreed,
            opening,
            base: 0,
            next: 1,
            highest: 0,
            first_sent: false,
            recovery: Recovery::default(),
            pace: Pace::new(),
            unproved: None,
            first_repeats: 0,
            waiting: None,
            counted: false,
            stats: Stats::default(),
            single: Batch::new(),
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
                if let Some(waiting) = &self.waiting {
                    if now >= waiting.since + SOURCE_PATIENCE {
                        self.fail(&io::ErrorKind::TimedOut.into());
                    }
                    return;
                }
                match self.timer.fire(now) {
                    Fired::No => {}
                    Fired::GiveUp => self.close(OutcomeKind::TimedOut),
                    Fired::Resend if self.phase == Phase::Offered => {
                        self.recovery.go_back(now);
                        self.first_due = true;
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
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let mut single = std::mem::take(&mut self.single);
        let some = self.poll_batch(now, &mut single, 1);
        single.copy_datagram(0, out);
        single.clear();
        self.single = single;
        some
    }

    /// Clears `batch` and fills it with the datagrams that can go out in one segmented send: at most `max_count`, and
    /// 65,507 octets in all. `false` when there is nothing to send now. Content is not copied (but converted
    /// in netascii), and nothing is allocated after the first windows.
    pub fn poll_batch(&mut self, now: Instant, batch: &mut Batch, max_count: usize) -> bool {
        batch.clear();
        if max_count == 0 {
            return false;
        }
        if let Some(error) = self.error.take() {
            batch.set_packet(|out| error.encode(out));
        } else if self.first_due {
            self.first_due = false;
            self.fill_first(now, batch);
        } else {
            self.fill_window(now, batch, max_count);
        }
        match self.error.take() {
            // The content ended in an error before the first octet.
            Some(error) if batch.count() == 0 => batch.set_packet(|out| error.encode(out)),
            error => self.error = error,
        }
        batch.count() > 0
    }

    /// Offset of content that the source did not have in memory; `None` when nothing is missing. While it is
    /// missing the client's silence is not counted against it.
    #[must_use]
    pub fn wants(&self) -> Option<u64> {
        self.waiting
            .as_ref()
            .filter(|waiting| !waiting.again)
            .map(|waiting| waiting.offset)
    }

    /// What the transfer [wants](Sender::wants) may be there now: it asks again.
    pub fn source_ready(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.again = true;
        }
    }

    /// Where the content comes from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The same, to give it what it misses.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// When [`Sender::handle_timeout`] is due; `None` when the transfer is closed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => None,
            Phase::Dallying { until } => Some(until),
            Phase::Offered | Phase::Sending => {
                let deadline = match &self.waiting {
                    Some(waiting) => waiting.since + SOURCE_PATIENCE,
                    None => self.timer.deadline(),
                };
                let unproved = self.unproved.as_ref().map(Unproved::until);
                let others = [self.pace.resume(), unproved];
                others.into_iter().flatten().chain([deadline]).min()
            }
        }
    }

    /// How it ended; `None` while it goes on. There before [`Sender::is_closed`]: the port still dallies.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.as_ref().map(|kind| Outcome {
            kind: kind.clone(),
            stats: self.stats(),
            agreed: self.agreed.clone(),
        })
    }

    /// The numbers so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            blocks: self.base,
            round_trip: self.timer.round_trip(),
            ..self.stats
        }
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
                self.first_due = false;
                self.next_window(now);
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
            self.go_back_for_ack(now);
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
        self.counted = false;
        if let Some(waiting) = &mut self.waiting {
            waiting.since = now;
        }
        self.stats.bytes += delta * u64::from(self.agreed.blksize);
        if let Some((last, octets)) = self.last.filter(|(last, _)| *last == self.base) {
            self.stats.bytes = (last - 1) * u64::from(self.agreed.blksize) + octets;
            self.outcome = Some(OutcomeKind::Completed);
            self.first_due = false;
            self.waiting = None;
            self.phase = Phase::Dallying { until: now + DALLY };
            return;
        }
        if delta == outstanding {
            self.next_window(now);
            self.timer.progress(now);
        } else {
            self.recovery.settle();
            self.timer.progress(now);
            if !self.recovery.is_too_early(now) {
                // It stopped short, a block was lost: this is the one going back of the new base.
                self.go_back_for_ack(now);
            }
        }
        if !self.may_repeat() {
            self.timer.slow_down(now);
        }
    }

    /// All in flight was acknowledged.
    fn next_window(&mut self, now: Instant) {
        if let Some(sample) = self.recovery.next_window(now) {
            self.timer.measured(sample);
        }
        self.pace.begin(self.base);
    }

    /// The client's ACK showed a gap right after `base`.
    fn go_back_for_ack(&mut self, now: Instant) {
        if self.may_repeat() {
            self.pace.gap(self.base);
            self.go_back(now);
            self.recovery.went_back = true;
        }
    }

    /// Whether the budget of repeats lasts.
    fn may_repeat(&self) -> bool {
        self.stats.retransmits < REPEATS_BASE + REPEATS_PER_BLOCK * self.base
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
        self.agree(now, Agreed::default());
        self.opening.clear();
        self.phase = Phase::Sending;
        self.first_due = false;
    }

    /// Starts anew with what is agreed on now; no block was sent yet.
    fn agree(&mut self, now: Instant, agreed: Agreed) {
        self.timer = Timer::new(&self.limits, agreed.interval, now);
        self.recovery = Recovery::default();
        self.blocks = Blocks::new(self.mode);
        self.last = self.blocks.last(self.source.len(), agreed.blksize);
        self.agreed = agreed;
    }

    fn queue_first(&mut self) {
        if self.first_sent && self.first_repeats < FIRST_REPEATS {
            self.first_repeats += 1;
            self.recovery.repeat_first();
            self.first_due = true;
        }
    }

    fn go_back(&mut self, now: Instant) {
        self.recovery.go_back(now);
        self.pace.begin(self.base);
        self.stats.windows_repeated += 1;
        self.next = self.base + 1;
    }

    fn close(&mut self, kind: OutcomeKind) {
        self.outcome.get_or_insert(kind);
        self.first_due = false;
        self.waiting = None;
        self.phase = Phase::Closed;
    }

    /// Makes `batch` the opening, or block 1 again.
    fn fill_first(&mut self, now: Instant, batch: &mut Batch) {
        if !self.opening.is_empty() {
            batch.set_packet(|out| out.extend_from_slice(&self.opening));
        } else {
            let blksize = self.agreed.blksize;
            batch.begin(blksize);
            let first = Blocks::new(self.mode).fill(&self.source, 1, 1, blksize, batch);
            match first.stopped {
                None => batch.push_header(self.agreed.rollover.wire(1)),
                Some(stopped) => {
                    batch.clear();
                    // One that has to be waited for is left to the next repetition.
                    if stopped.error.kind() != io::ErrorKind::WouldBlock {
                        self.fail(&stopped.error);
                    }
                    return;
                }
            }
        }
        if !self.spend(batch.octets()) {
            batch.clear();
            return;
        }
        if self.first_sent {
            self.stats.retransmits += 1;
        }
        self.recovery.sent(now, !self.first_sent);
        self.first_sent = true;
    }

    /// Fills `batch` with the next blocks of the window.
    fn fill_window(&mut self, now: Instant, batch: &mut Batch, max_count: usize) {
        let may_send = self.phase == Phase::Sending
            && self.next <= self.window_end()
            && self.wants().is_none();
        let full = HEADER + usize::from(self.agreed.blksize);
        // Before the client proved its address there is one block at a time: see `spend`.
        if !may_send || !self.fits(full) {
            return;
        }
        let window = usize::try_from(self.window_end() + 1 - self.next).unwrap_or(usize::MAX);
        let allowed = usize::try_from(self.pace.allows(now, self.base)).unwrap_or(usize::MAX);
        let count = window
            .min(allowed)
            .min(max_count)
            .min((DATAGRAM_CAP / full).max(1));
        if count == 0 {
            return;
        }
        batch.begin(self.agreed.blksize);
        let blksize = self.agreed.blksize;
        let filled = self
            .blocks
            .fill(&self.source, self.next, count, blksize, batch);
        if filled.blocks > 0 {
            self.end_waiting(now);
            self.add_headers(now, batch, filled.blocks);
        }
        match filled.stopped {
            Some(stopped) if stopped.error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(now, &stopped);
            }
            Some(stopped) => self.fail(&stopped.error),
            None => {}
        }
    }

    /// The next `count` blocks go out, their content is in `batch`.
    fn add_headers(&mut self, now: Instant, batch: &mut Batch, count: usize) {
        for _ in 0..count {
            batch.push_header(self.agreed.rollover.wire(self.next));
            if self.next <= self.highest {
                self.stats.retransmits += 1;
            } else if !self.counted {
                self.counted = true;
                self.stats.windows += 1;
            }
            self.next += 1;
        }
        self.recovery.sent(now, self.next - 1 > self.highest);
        self.highest = self.highest.max(self.next - 1);
        let before = (count - 1) * usize::from(self.agreed.blksize);
        let content = batch.content() - before;
        if content < usize::from(self.agreed.blksize) {
            self.last = Some((self.next - 1, content as u64));
        }
        self.first_sent = true;
        self.spend(batch.octets());
        let more = self.next <= self.window_end();
        let pause = self.timer.round_trip();
        self.pace.sent(now, count as u64, more, pause);
        self.timer.sent_more(now);
    }

    fn wait(&mut self, now: Instant, stopped: &Stopped) {
        let since = self.waiting.take().map_or(now, |waiting| waiting.since);
        self.waiting = Some(Waiting {
            offset: stopped.offset,
            since,
            again: false,
        });
    }

    /// The content is there: the time that passed was not the client's.
    fn end_waiting(&mut self, now: Instant) {
        if let Some(waiting) = self.waiting.take() {
            self.timer
                .forgive(now.saturating_duration_since(waiting.since));
        }
    }

    fn window_end(&self) -> u64 {
        let end = self.base + u64::from(self.agreed.windowsize);
        self.last.map_or(end, |(last, _)| end.min(last))
    }

    /// Whether a datagram of this size may go out: before the client proved its address there is a budget.
    fn fits(&self, size: usize) -> bool {
        self.unproved
            .as_ref()
            .is_none_or(|unproved| unproved.fits(size))
    }

    /// Takes a datagram from that budget, if it fits.
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

/// Octets in front of a block's content.
const HEADER: usize = 4;

/// Most octets that one send takes: what UDP over IPv4 carries.
const DATAGRAM_CAP: usize = 65_507;
