//! Who fetches what, how far it is, and the one event at its end.

use crate::listen::{Cut, Figures, Line, Overdue, Span, Taken};
use crate::transfers::{Beginning, Direction, Ending, Running, Transfers};
use bootfiles::PIECE;
use bootplan::{EventKind, Origin, TransferStats, Transport};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use store::journal::EventSink;

/// Who fetches what: for the list of transfers under way and for the event at the end.
pub(super) struct Transfer {
    pub(super) events: EventSink,
    pub(super) transfers: Transfers,
    pub(super) peer: Option<SocketAddr>,
    pub(super) line: Arc<Line>,
    pub(super) origin: Origin,
    pub(super) path: String,
    pub(super) started: Instant,
    /// False for parts out of the middle of a file: they end quietly.
    pub(super) report: bool,
}

/// A transfer that has begun. It is over when neither the body nor what was handed out of it is
/// left.
pub(super) struct Underway {
    transfer: Transfer,
    length: u64,
    taken: AtomicU64,
    failed: OnceLock<String>,
    /// Its place in the list, if it is long enough to be seen there.
    running: Option<Running>,
    /// Its part of its connection's life.
    span: Option<Span>,
}

impl Taken for Underway {
    fn taken(&self, octets: usize) {
        let before = self.taken.fetch_add(octets as u64, Relaxed);
        if let Some(running) = &self.running {
            running.advance(before + octets as u64);
        }
    }

    fn failed(&self, error: &io::Error) {
        self.fail(error);
    }
}

impl Underway {
    pub(super) fn begin(transfer: Transfer, length: u64) -> Underway {
        let seen = length > PIECE && transfer.report;
        let span = seen.then(|| Span::begin(&transfer.line));
        let running = transfer.peer.filter(|_| seen).map(|peer| {
            let beginning = Beginning {
                direction: Direction::Read,
                transport: Transport::Http,
                peer,
                mac: transfer.origin.mac,
                path: transfer.path.clone(),
                total: Some(length),
            };
            transfer.transfers.begin_on(span.clone(), beginning)
        });
        Underway {
            transfer,
            length,
            taken: AtomicU64::new(0),
            failed: OnceLock::new(),
            running,
            span,
        }
    }

    /// Octets that the socket has taken.
    pub(super) fn octets(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    pub(super) fn fail(&self, error: &io::Error) {
        // A body fails but once.
        let _ = self.failed.set(format!("the file cannot be read: {error}"));
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let (taken, failed) = (*self.taken.get_mut(), self.failed.take());
        let transfer = &mut self.transfer;
        let cut = transfer.line.was_cut();
        let ending = match (&failed, cut) {
            (Some(_), _) => Ending::Failed,
            _ if taken == self.length => Ending::Completed,
            (None, Some(_)) => Ending::Cut,
            (None, None) => Ending::Vanished,
        };
        if let Some(running) = self.running.take() {
            running.finish(ending);
        } else {
            let ending = transfer.report.then_some(ending);
            let (http, read) = (Transport::Http, Direction::Read);
            transfer.transfers.count(http, read, taken, ending);
        }
        if !transfer.report {
            return;
        }
        let millis = transfer.started.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let path = std::mem::take(&mut transfer.path);
        let way = self.span.take().and_then(|span| span.figures());
        let way = way.map(stats);
        let kind = if ending == Ending::Completed {
            EventKind::FileServed {
                transport: Transport::Http,
                path,
                bytes: taken,
                millis,
                transfer: way,
            }
        } else {
            let length = self.length;
            let early = || format!("{} after {taken} of {length} bytes", what_ended(cut));
            EventKind::FileFailed {
                transport: Transport::Http,
                path,
                reason: failed.unwrap_or_else(early),
                normal: false,
                bytes: taken,
                millis,
                transfer: way,
            }
        };
        transfer.events.emit(transfer.origin.clone(), kind);
    }
}

fn what_ended(cut: Option<Cut>) -> &'static str {
    match cut {
        None => "the client went away",
        Some(Cut::Overdue(Overdue::SlowReader)) => "the client took it too slowly and was cut off",
        Some(Cut::Overdue(_)) => "the client was cut off",
        Some(Cut::Stopped) => "the server was stopped",
    }
}

/// What the kernel measured, in the words of a transfer.
fn stats(figures: Figures) -> TransferStats {
    TransferStats {
        blksize: u16::try_from(figures.segment_size).unwrap_or(u16::MAX),
        windowsize: 0,
        windows: figures.segments,
        windows_repeated: figures.retransmits,
        retransmits: figures.retransmits,
        round_trip_micros: figures
            .round_trip
            .and_then(|time| u64::try_from(time.as_micros()).ok()),
    }
}
