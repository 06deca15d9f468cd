//! A file on its way out: a few pieces in hand however big it is, and one event at its end.

use super::direct::Direct;
use super::underway::{Transfer, Underway};
use crate::listen::{LONGEST, Pieces};
use axum::BoxError;
use bootfiles::{PIECE, SharedFile};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Part of a file: out of the shared memory of files, and where that has nothing, from the disk,
/// ahead of the client. Of a file too big for that memory, all but the end goes from the kernel's
/// memory straight into the socket ([`Direct`]).
///
/// The length was promised in the header. A file that was changed in place since then ends the
/// transfer with an error, which closes the connection: a client must notice, and is never sent
/// padding, nor as much as was promised of a mixture of two versions (protocol.md G.2, G.3). One
/// replaced by renaming is sent as it was.
pub(super) struct FileBody {
    file: SharedFile,
    start: u64,
    offset: u64,
    end: u64,
    direct: Option<Direct>,
    /// Pieces to hand out next.
    width: usize,
    handed_out: Option<Instant>,
    reading: Option<JoinHandle<io::Result<Pieces>>>,
    failed: bool,
    underway: Arc<Underway>,
}

impl FileBody {
    pub(super) fn new(
        file: SharedFile,
        octets: Range<u64>,
        direct: Option<Direct>,
        transfer: Transfer,
    ) -> Self {
        let length = octets.end - octets.start;
        FileBody {
            file,
            start: octets.start,
            offset: octets.start,
            end: octets.end,
            direct,
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

    /// Up to where the next octets may go.
    fn border(&self) -> u64 {
        let borders = self.direct.map(|direct| [direct.until, direct.last]);
        let mut borders = borders.into_iter().flatten();
        let next = borders.find(|border| self.offset < *border);
        next.unwrap_or(self.end)
    }

    /// Where the next octets end if the kernel sends them.
    fn direct_end(&self) -> Option<u64> {
        let direct = self.direct.filter(|direct| self.offset < direct.until)?;
        Some(direct.until.min(self.offset + self.width as u64 * PIECE))
    }

    /// The next octets, a few pieces of them.
    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pieces>> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                self.adapt();
                if let Some(pieces) = self.at_hand() {
                    return Poll::Ready(self.hand_out(pieces));
                }
                self.read()
            }
        };
        let Poll::Ready(result) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let pieces = self.hand_out(result.map_err(io::Error::other).flatten()?)?;
        // Whoever reads from the disk will have to do so again.
        if self.remaining() > 0 && !self.is_at_hand() {
            self.adapt();
            if self.width > 1 {
                self.reading = Some(self.read());
            }
        }
        Poll::Ready(Ok(pieces))
    }

    /// Whether something of what comes next is there without waiting.
    fn is_at_hand(&self) -> bool {
        match self.direct_end() {
            Some(end) => self.file.is_at_hand(self.offset, end - self.offset),
            None => self.file.is_cached(self.offset),
        }
    }

    /// What is there without waiting.
    fn at_hand(&self) -> Option<Pieces> {
        if let Some(end) = self.direct_end() {
            let there = self.file.is_at_hand(self.offset, end - self.offset);
            return there.then(|| direct(&self.file, self.offset, end));
        }
        let (mut offset, border) = (self.offset, self.border());
        let mut pieces = Vec::new();
        while pieces.len() < self.width && offset < border {
            let Some(piece) = self.file.cached(offset) else {
                break;
            };
            pieces.push(modest(&self.file, piece, &mut offset, border));
        }
        (!pieces.is_empty()).then(|| Pieces::from(pieces))
    }

    /// Reads the next pieces on a thread that may block.
    fn read(&self) -> JoinHandle<io::Result<Pieces>> {
        let file = self.file.clone();
        let (mut offset, border, width) = (self.offset, self.border(), self.width);
        if let Some(end) = self.direct_end() {
            return tokio::task::spawn_blocking(move || {
                file.bring_to_hand(offset, end - offset)?;
                Ok(direct(&file, offset, end))
            });
        }
        tokio::task::spawn_blocking(move || {
            let mut pieces = Vec::with_capacity(width);
            // Asked again at each piece: of a burst of readers all have begun before the first one's piece is there.
            while offset < border
                && (pieces.is_empty() || pieces.len() < width && !file.is_crowded())
            {
                let piece = file.load(offset)?;
                pieces.push(modest(&file, piece, &mut offset, border));
            }
            Ok(Pieces::from(pieces))
        })
    }

    /// Counts octets as handed out. After some that the kernel sent from the file itself, the last
    /// piece is withheld from a client that may have got some of another version.
    fn hand_out(&mut self, pieces: Pieces) -> io::Result<Pieces> {
        if let Some(direct) = &self.direct {
            let taken = self.start + self.underway.octets();
            if self.offset >= direct.last && !direct.has_arrived(taken) {
                return Err(io::Error::other("its end was due too early"));
            }
            self.file.unchanged()?;
        }
        self.offset += pieces.octets();
        Ok(pieces)
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

/// The piece at `offset`, which moves behind it; or where memory is crowded a copy of its beginning, so that a slow
/// reader, of whom there may be two thousand, does not keep the whole of it alive.
fn modest(file: &SharedFile, mut piece: Bytes, offset: &mut u64, border: u64) -> Bytes {
    piece.truncate(usize::try_from(border - *offset).unwrap_or(usize::MAX));
    if piece.len() > MODEST && file.is_crowded() {
        piece = Bytes::copy_from_slice(&piece[..MODEST]);
    }
    *offset += piece.len() as u64;
    piece
}

fn direct(file: &SharedFile, offset: u64, end: u64) -> Pieces {
    let len = usize::try_from(end - offset).expect("at most LONGEST");
    Pieces::direct(file.clone(), offset, len)
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
const _: () = assert!(WIDTH_MAX as u64 * PIECE <= LONGEST as u64);
/// In this time the client has taken what was handed out last.
const KEEPS_UP: Duration = Duration::from_millis(100);
