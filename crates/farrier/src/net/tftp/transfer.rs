//! One transfer: its socket, its state machine, and what is told about it.

use super::answer::{Ask, Cut, Ended, Story};
use super::content::Content;
use super::desk::Shared;
use super::engine::{Message, Start};
use super::inbox::Inbox;
use super::slots::Key;
use super::socket::{MAX_SEGMENTS, TransferSocket};
use super::spares::{Spare, Spares};
use super::timers::{Alarm, Precision};
use bootplan::Transport;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tftp::admission::SessionId;
use tftp::admission::quiet::QUIET_AFTER;
use tftp::{Batch, ErrorCode, ErrorPacket, OutcomeKind, Sender, Source, Stats};
use web::transfers::{Direction, Running};

/// Memory that every send uses again.
pub(super) struct Outgoing {
    datagram: Vec<u8>,
    batch: Batch,
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            datagram: Vec::with_capacity(2048),
            batch: Batch::new(),
        }
    }
}

/// A file on its way to one client.
pub(super) struct Transfer {
    pub(super) id: SessionId,
    pub(super) socket: TransferSocket,
    pub(super) sender: Sender<Content>,
    pub(super) alarm: Alarm,
    /// Its end was told; the port only lingers.
    pub(super) told: bool,
    ask: Ask,
    story: Story,
    started: Instant,
    /// Shown to people from when the client has proved itself.
    running: Option<Running>,
    /// Since when it has been without progress, once the table was told so.
    quiet: Option<Instant>,
    /// Whether something is being read for it.
    loading: bool,
    /// The piece whose successor was asked for.
    looked_ahead: Option<u64>,
    /// The client's system says that nobody has its port any more.
    gone: bool,
}

impl Transfer {
    /// Opens the socket and begins; the first datagram is ready. `None` when it has ended already, with an
    /// ERROR or for want of a socket.
    pub(super) fn begin(start: Start, shared: &Shared, spares: &mut Spares) -> Option<Transfer> {
        let Start {
            id,
            ask,
            content,
            story,
            started,
        } = start;
        let spare = spares.take(ask.local, ask.peer).map(Ok);
        let mut socket = match spare.unwrap_or_else(|| TransferSocket::open(ask.local, ask.peer)) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(peer = %ask.peer, local = %ask.local, %error, "no socket for a TFTP transfer");
                shared.forget(id);
                return None;
            }
        };
        let sender = match Sender::start(&ask.request, content, &shared.limits, started) {
            Ok(sender) => sender,
            Err(error) => {
                let _ = socket.send(&error.to_datagram());
                shared.forget(id);
                shared.tell_bad_mode(&ask, story);
                return None;
            }
        };
        let agreed = sender.agreed();
        if agreed.windowsize > 1 && shared.cut {
            socket.cut_into(usize::from(agreed.blksize) + 4);
        }
        Some(Transfer {
            id,
            socket,
            sender,
            alarm: Alarm::default(),
            told: false,
            ask,
            story,
            started,
            running: None,
            quiet: None,
            loading: false,
            looked_ahead: None,
            gone: false,
        })
    }

    /// The next datagram of the client.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; what the client's system said about us.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.running.is_some() {
            return self.socket.recv(buffer);
        }
        // Between bind and connect a stranger's datagram may have been queued.
        loop {
            match self.socket.recv_from(buffer)? {
                (len, from) if from == self.ask.peer.into() => return Ok(len),
                _ => {}
            }
        }
    }

    /// Sends all that may go now.
    pub(super) fn send(&mut self, now: Instant, out: &mut Outgoing) {
        loop {
            let count = if self.socket.cuts() { MAX_SEGMENTS } else { 1 };
            if !self.sender.poll_batch(now, &mut out.batch, count) {
                return;
            }
            if let Err(error) = self.socket.send_batch(&out.batch, &mut out.datagram) {
                self.lost(&error);
            }
        }
    }

    /// The socket said something other than "done".
    pub(super) fn lost(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            // The client's port is closed: it is gone, or has moved on to another request.
            self.gone = true;
        } else {
            // A full queue, a route that is just changing: the timer sends it again.
            tracing::debug!(peer = %self.ask.peer, %error, "a TFTP datagram did not go out");
        }
    }

    /// Has what is missing, or will be soon, read by a thread that may wait for the disk.
    pub(super) fn load(&mut self, key: Key, inbox: &Arc<Inbox>, shared: &Shared) {
        let content = self.sender.source();
        if let Some(offset) = self.sender.wants() {
            let Some(file) = content.shared().filter(|_| !self.loading).cloned() else {
                return;
            };
            self.loading = true;
            let inbox = Arc::clone(inbox);
            shared.runtime.spawn_blocking(move || {
                let result = file.load(offset);
                inbox.post(Message::Loaded {
                    key,
                    offset,
                    result,
                });
            });
        } else if self.running.is_some() {
            let position = content.position();
            if self.looked_ahead == Some(position) {
                return;
            }
            self.looked_ahead = Some(position);
            if let (Some(next), Some(file)) = (content.ahead(), content.shared().cloned()) {
                // An error comes up again when the piece is needed.
                shared
                    .runtime
                    .spawn_blocking(move || drop(file.load_ahead(next)));
            }
        }
    }

    /// What was asked for in [`Transfer::load`] is here.
    pub(super) fn loaded(&mut self, offset: u64, result: io::Result<Bytes>) {
        self.loading = false;
        self.sender.source().put(offset, result);
        self.sender.source_ready();
    }

    /// Tells people how it goes, and once how it ended: `true` then.
    pub(super) fn report(&mut self, shared: &Shared) -> bool {
        if self.running.is_none() && !self.told && self.sender.is_proved() {
            shared.proved(self.id);
            let total = self.sender.source().len();
            // Converted to netascii it is longer, nobody knows by how much.
            let total = Some(total).filter(|_| self.ask.request.mode == tftp::Mode::Octet);
            self.running = Some(shared.show(&self.ask, &self.story, total));
        }
        if self.told {
            return false;
        }
        let outcome = self.sender.outcome();
        if outcome.is_none() && !self.gone {
            if let Some(running) = &self.running {
                show(running, &self.sender.stats());
            }
            return false;
        }
        let ended = outcome.map_or_else(
            || Ended::PortClosed {
                stats: self.sender.stats(),
            },
            Ended::As,
        );
        self.conclude(&ended, shared);
        true
    }

    /// Tells the table when the client has been without progress for a while, and when it gets on again.
    pub(super) fn tell_quiet(&mut self, now: Instant, shared: &Shared) {
        if self.told {
            return;
        }
        let since = self.sender.without_progress_since();
        if self.quiet.is_some() {
            if self.quiet != since {
                self.quiet = None;
                shared.quiet(self.id, None);
            }
        } else if since.is_some_and(|since| now >= since + QUIET_AFTER) {
            self.quiet = since;
            shared.quiet(self.id, since);
        }
    }

    /// When it wants to be called.
    pub(super) fn due(&self) -> Option<(Instant, Precision)> {
        let precision = match self.sender.is_pausing() {
            true => Precision::Fine,
            false => Precision::Coarse,
        };
        let timeout = self.sender.poll_timeout().map(|at| (at, precision));
        let quiet = self.sender.without_progress_since();
        let quiet = quiet.filter(|_| self.quiet.is_none() && !self.told);
        let quiet = quiet.map(|since| (since + QUIET_AFTER, Precision::Coarse));
        timeout.into_iter().chain(quiet).min()
    }

    /// Something else than its packets ends it. People are told if somebody was there to be cut off, and so is the
    /// client if it does not know.
    pub(super) fn cut(mut self, by: Cut, shared: &Shared) {
        if self.running.is_some() && !self.told {
            if matches!(by, Cut::Quiet) {
                let error = ErrorPacket::new(ErrorCode::Undefined, "silent while others wait");
                let _ = self.socket.send(&error.to_datagram());
            }
            let stats = self.sender.stats();
            self.conclude(&Ended::Cut { by, stats }, shared);
        }
    }

    fn conclude(&mut self, ended: &Ended, shared: &Shared) {
        self.told = true;
        shared.forget(self.id);
        match (self.running.take(), ended) {
            (Some(running), _) => {
                show(&running, ended.stats());
                running.finish(ended.ending());
            }
            // It answered with an ERROR: most firmware asks for the size so.
            (None, Ended::As(outcome)) if outcome.kind != OutcomeKind::TimedOut => {
                let ending = Some(ended.ending());
                shared
                    .transfers
                    .count(Transport::Tftp, Direction::Read, 0, ending);
            }
            (None, _) => shared
                .responder
                .counters
                .tftp
                .ignored
                .count("tftp-unanswered"),
        }
        let agreed = self.sender.agreed();
        shared.tell(&self.ask, &self.story, ended, agreed, self.started);
    }

    /// What is left when the port has swallowed its late ACKs. `None` where the client's system refused them.
    pub(super) fn into_spare(self, key: Key) -> Option<Spare> {
        let spare = Spare {
            key,
            local: self.ask.local,
            peer: *self.ask.peer.ip(),
            socket: self.socket,
        };
        (!self.gone).then_some(spare)
    }

    /// Whether the port can be given back.
    pub(super) fn is_over(&self) -> bool {
        self.gone || self.sender.is_closed()
    }
}

fn show(running: &Running, stats: &Stats) {
    running.advance(stats.bytes);
    if stats.retransmits > 0 {
        running.repeated(stats.windows_repeated, stats.retransmits);
    }
    if let Some(round_trip) = stats.round_trip {
        running.round_trip(round_trip);
    }
}
