//! A file on its way out: a piece or two in hand however big it is, and one event at its end.

use axum::BoxError;
use bootfiles::SharedFile;
use bootplan::{EventKind, Origin, Transport};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use store::journal::EventSink;
use tokio::task::JoinHandle;

/// What to report when a transfer ends.
pub(super) struct Transfer {
    pub(super) events: EventSink,
    pub(super) origin: Origin,
    pub(super) path: String,
    pub(super) started: Instant,
    /// False for parts out of the middle of a file: they end quietly.
    pub(super) report: bool,
}

/// The part of a file from `start` over `length` octets: out of the shared memory of files, and
/// where that has nothing, from the disk, one piece ahead of the client.
///
/// The length was promised in the header. A file that was changed in place since then ends the
/// transfer with an error, which closes the connection: a client must notice, and is never sent
/// padding or a mixture of two versions (protocol.md G.2, G.3). One replaced by renaming is sent as
/// it was.
pub(super) struct FileBody {
    file: SharedFile,
    offset: u64,
    length: u64,
    sent: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    failed: Option<String>,
    transfer: Transfer,
}

impl FileBody {
    pub(super) fn new(file: SharedFile, start: u64, length: u64, transfer: Transfer) -> Self {
        FileBody {
            file,
            offset: start,
            length,
            sent: 0,
            reading: None,
            failed: None,
            transfer,
        }
    }

    fn remaining(&self) -> u64 {
        self.length - self.sent
    }

    /// The octets at `offset`, up to the end of their piece.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.reading.is_none() {
            if let Some(bytes) = self.file.cached(self.offset) {
                return Poll::Ready(Ok(bytes));
            }
            self.reading = Some(self.load());
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Pending; // it has just been set
        };
        let result = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(result.map_err(io::Error::other).flatten())
    }

    /// Reads the piece at `offset` on a thread that may block.
    fn load(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, offset) = (self.file.clone(), self.offset);
        tokio::task::spawn_blocking(move || file.load(offset))
    }

    fn advance(&mut self, mut bytes: Bytes) -> Bytes {
        // Less than `bytes` has.
        bytes.truncate(usize::try_from(self.remaining()).unwrap_or(usize::MAX));
        self.offset += bytes.len() as u64;
        self.sent += bytes.len() as u64;
        bytes
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.failed.is_some() || self.remaining() == 0 {
            return Poll::Ready(None);
        }
        let from_disk = self.reading.is_some();
        match ready!(self.poll_piece(cx)) {
            Ok(bytes) => {
                let bytes = self.advance(bytes);
                // Whoever reads from the disk will have to do so again.
                if from_disk && self.remaining() > 0 {
                    self.reading = Some(self.load());
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Err(error) => {
                self.failed = Some(format!("the file cannot be read: {error}"));
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

impl Drop for FileBody {
    /// hyper drops the body after it has taken the last octet, or when the connection ends.
    fn drop(&mut self) {
        if !self.transfer.report {
            return;
        }
        let path = std::mem::take(&mut self.transfer.path);
        let millis = self.transfer.started.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let kind = if self.sent == self.length {
            EventKind::FileServed {
                transport: Transport::Http,
                path,
                bytes: self.sent,
                millis,
                transfer: None,
            }
        } else {
            let (sent, length) = (self.sent, self.length);
            let reason = self
                .failed
                .take()
                .unwrap_or_else(|| format!("the client went away after {sent} of {length} bytes"));
            EventKind::FileFailed {
                transport: Transport::Http,
                path,
                reason,
                normal: false,
                bytes: sent,
                millis,
                transfer: None,
            }
        };
        let origin = std::mem::take(&mut self.transfer.origin);
        self.transfer.events.emit(origin, kind);
    }
}
