//! A server's read transfer: the file goes to the client.
//!
//! ```text
//! request ─ no option accepted ─► window from block 1 ─► Sending
//!         └ some accepted ──────► OACK ─► Offered ─ ACK 0 ─► Sending ─ last block acknowledged ─► Dallying ─► closed
//! ```
//!
//! Loss is repaired by going back to the first block not acknowledged: by the timer, and with windows once per
//! acknowledged block when the client shows that it saw a gap. `acks` says what an ACK means, `recovery` remembers what
//! was done, `pace` cuts windows into pieces where much is lost, `filling` makes the datagrams.

use std::io;
use std::time::Instant;

use crate::batch::Batch;
use crate::blocks::Blocks;
use crate::limits::{FIRST_REPEATS, Limits, SOURCE_PATIENCE};
use crate::options::{Agreed, negotiate};
use crate::outcome::{Outcome, OutcomeKind, Stats};
use crate::packet::{ErrorCode, ErrorPacket, Mode, Packet, Request, RequestKind};
use crate::source::Source;
use crate::timer::{Fired, Timer};
use crate::unproved::Unproved;

mod acks;
mod filling;
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
                    Fired::Resend => self.resend(now),
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

    /// Whether [`Sender::poll_timeout`] is the end of a pause in the middle of a window, which may be a fraction of a
    /// millisecond: rounded up, it costs the client that time for each piece.
    #[must_use]
    pub fn is_pausing(&self) -> bool {
        let resume = self.pace.resume();
        resume.is_some() && resume == self.poll_timeout()
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

    /// Since when its client, which has proved itself, has not got any further. `None` for others, and while content is
    /// missing: that is not the client's doing.
    #[must_use]
    pub fn without_progress_since(&self) -> Option<Instant> {
        let expects = matches!(self.phase, Phase::Offered | Phase::Sending);
        let its_turn = expects && self.is_proved() && self.waiting.is_none();
        its_turn.then(|| self.timer.last_progress())
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
            self.recovery.repeat();
            self.first_due = true;
        }
    }

    fn close(&mut self, kind: OutcomeKind) {
        self.outcome.get_or_insert(kind);
        self.first_due = false;
        self.waiting = None;
        self.phase = Phase::Closed;
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
