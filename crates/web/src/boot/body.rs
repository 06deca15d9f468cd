//! A file on its way out: a few pieces in hand however big it is, and one event at its end.

use crate::listen::{Pieces, Taken};
use crate::transfers::{Beginning, Direction, Ending, Running, Transfers};
use axum::BoxError;
use bootfiles::{PIECE, SharedFile};
use bootplan::{EventKind, Origin, Transport};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use store::journal::EventSink;
use tokio::task::JoinHandle;

/// Who fetches what: for the list of transfers under way and for the event at the end.
pub(super) struct Transfer {
    pub(super) events: EventSink,
    pub(super) transfers: Transfers,
    pub(super) peer: Option<SocketAddr>,
    pub(super) origin: Origin,
    pub(super) path: String,
    pub(super) started: Instant,
    /// False for parts out of the middle of a file: they end quietly.
    pub(super) report: bool,
}

/// The part of a file from `start` over `length` octets: out of the shared memory of files, and
/// where that has nothing, from the disk, ahead of the client.
///
/// The length was promised in the header. A file that was changed in place since then ends the
/// transfer with an error, which closes the connection: a client must notice, and is never sent
/// padding or a mixture of two versions (protocol.md G.2, G.3). One replaced by renaming is sent as
/// it was.
pub(super) struct FileBody {
    file: SharedFile,
    offset: u64,
    end: u64,
    /// Pieces to hand out next.
    width: usize,
    handed_out: Option<Instant>,
    reading: Option<JoinHandle<io::Result<Vec<Bytes>>>>,
    failed: bool,
    underway: Arc<Underway>,
}

/// A transfer that has begun. It is over when neither the body nor what was handed out of it is
/// left.
struct Underway {
    transfer: Transfer,
    length: u64,
    taken: AtomicU64,
    failed: OnceLock<String>,
    /// Its place in the list, if it is long enough to be seen there.
    running: Option<Running>,
}

impl FileBody {
    pub(super) fn new(file: SharedFile, start: u64, length: u64, transfer: Transfer) -> Self {
        FileBody {
            file,
            offset: start,
            end: start + length,
            width: WIDTH_AT_FIRST,
            handed_out: None,
            reading: None,
            failed: false,
            underway: Arc::new(Underway::begin(transfer, length)),
        }
    }

    fn remaining(&self) -> u64 {
        self.end - self.offset
    }

    /// The next octets, a few pieces of them.
    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Bytes>>> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                self.adapt();
                let in_memory = self.in_memory();
                if !in_memory.is_empty() {
                    return Poll::Ready(Ok(in_memory));
                }
                self.read()
            }
        };
        let Poll::Ready(result) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let mut pieces = result.map_err(io::Error::other).flatten()?;
        self.advance(&mut pieces);
        // Whoever reads from the disk will have to do so again.
        if self.remaining() > 0 && self.file.cached(self.offset).is_none() {
            self.adapt();
            if self.width > 1 {
                self.reading = Some(self.read());
            }
        }
        Poll::Ready(Ok(pieces))
    }

    /// What is there without waiting.
    fn in_memory(&mut self) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while pieces.len() < self.width && self.remaining() > 0 {
            let Some(piece) = self.file.cached(self.offset) else {
                break;
            };
            let mut piece = [modest(&self.file, piece)];
            self.advance(&mut piece);
            pieces.extend(piece);
        }
        pieces
    }

    /// Reads the next pieces on a thread that may block.
    fn read(&self) -> JoinHandle<io::Result<Vec<Bytes>>> {
        let file = self.file.clone();
        let (mut offset, end, width) = (self.offset, self.end, self.width);
        tokio::task::spawn_blocking(move || {
            let mut pieces = Vec::with_capacity(width);
            // Asked again at each piece: of a burst of readers all have begun before the first one's piece is there.
            while offset < end && (pieces.is_empty() || pieces.len() < width && !file.is_crowded())
            {
                let piece = modest(&file, file.load(offset)?);
                offset += piece.len() as u64;
                pieces.push(piece);
            }
            Ok(pieces)
        })
    }

    /// Counts pieces as handed out, and cuts off what lies behind the end.
    fn advance(&mut self, pieces: &mut [Bytes]) {
        for piece in pieces {
            piece.truncate(usize::try_from(self.remaining()).unwrap_or(usize::MAX));
            self.offset += piece.len() as u64;
        }
    }

    /// Few, big writes for a client that keeps up; small ones for a slow reader, of whom there
    /// may be thousands, and for all when their pieces crowd the memory.
    fn adapt(&mut self) {
        let before = self.handed_out.take();
        self.width = match before {
            _ if self.file.is_crowded() => 1,
            None => self.width,
            Some(before) if before.elapsed() > KEEPS_UP => 1,
            Some(_) => (self.width * 2).min(WIDTH_MAX),
        };
    }
}

/// The piece; or where memory is crowded a copy of its beginning, so that a slow reader, of whom there may be two
/// thousand, does not keep the whole of it alive.
fn modest(file: &SharedFile, piece: Bytes) -> Bytes {
    if piece.len() > MODEST && file.is_crowded() {
        Bytes::copy_from_slice(&piece[..MODEST])
    } else {
        piece
    }
}

impl Body for FileBody {
    type Data = Pieces;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, BoxError>>> {
        if self.failed || self.remaining() == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.poll_pieces(cx)) {
            Ok(pieces) => {
                self.handed_out = Some(Instant::now());
                let pieces = Pieces::from(pieces);
                Ok(Frame::data(pieces.telling(self.underway.clone())))
            }
            Err(error) => {
                self.failed = true;
                self.underway.fail(&error);
                Err(error.into())
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

impl Taken for Underway {
    fn taken(&self, octets: usize) {
        let before = self.taken.fetch_add(octets as u64, Relaxed);
        if let Some(running) = &self.running {
            running.advance(before + octets as u64);
        }
    }
}

impl Underway {
    fn begin(transfer: Transfer, length: u64) -> Underway {
        let seen = length > PIECE && transfer.report;
        let running = transfer.peer.filter(|_| seen).map(|peer| {
            transfer.transfers.begin(Beginning {
                direction: Direction::Read,
                transport: Transport::Http,
                peer,
                mac: transfer.origin.mac,
                path: transfer.path.clone(),
                total: Some(length),
            })
        });
        Underway {
            transfer,
            length,
            taken: AtomicU64::new(0),
            failed: OnceLock::new(),
            running,
        }
    }

    fn fail(&self, error: &io::Error) {
        // A body fails but once.
        let _ = self.failed.set(format!("the file cannot be read: {error}"));
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let (taken, failed) = (*self.taken.get_mut(), self.failed.take());
        let ending = match &failed {
            Some(_) => Ending::Failed,
            None if taken == self.length => Ending::Completed,
            None => Ending::Vanished,
        };
        let transfer = &mut self.transfer;
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
        let kind = if ending == Ending::Completed {
            EventKind::FileServed {
                transport: Transport::Http,
                path,
                bytes: taken,
                millis,
                transfer: None,
            }
        } else {
            let length = self.length;
            let gone = || format!("the client went away after {taken} of {length} bytes");
            EventKind::FileFailed {
                transport: Transport::Http,
                path,
                reason: failed.unwrap_or_else(gone),
                normal: false,
                bytes: taken,
                millis,
                transfer: None,
            }
        };
        transfer.events.emit(transfer.origin.clone(), kind);
    }
}

/// Bytes at a time for each reader where memory is crowded: 64 MiB for 2,048 connections.
const MODEST: usize = 32 * 1024;

/// Pieces in the first write.
const WIDTH_AT_FIRST: usize = 4;
/// 4 MiB: a whole send buffer of the kernel's. Fewer, bigger writes get no cheaper.
const WIDTH_MAX: usize = 16;
/// In this time the client has taken what was handed out last.
const KEEPS_UP: Duration = Duration::from_millis(100);
