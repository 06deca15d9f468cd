//! A file on its way out: a few pieces in hand however big it is, and one event at its end.

use super::underway::{Transfer, Underway};
use crate::listen::Pieces;
use axum::BoxError;
use bootfiles::SharedFile;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

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
        if self.remaining() > 0 && !self.file.is_cached(self.offset) {
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

/// Bytes at a time for each reader where memory is crowded: 64 MiB for 2,048 connections.
const MODEST: usize = 32 * 1024;

/// Pieces in the first write.
const WIDTH_AT_FIRST: usize = 4;
/// 4 MiB: a whole send buffer of the kernel's. Fewer, bigger writes get no cheaper.
const WIDTH_MAX: usize = 16;
/// In this time the client has taken what was handed out last.
const KEEPS_UP: Duration = Duration::from_millis(100);
