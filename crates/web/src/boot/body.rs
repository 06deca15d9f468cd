//! A file on its way out: constant memory however big it is, and one event at its end.

use axum::BoxError;
use bootfiles::OpenFile;
use bootplan::{EventKind, Origin, Transport};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};
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

/// The part of a file from `start` over `length` octets, read ahead by one chunk.
///
/// The length was promised in the header. A file that was changed in place since then ends the
/// transfer with an error, which closes the connection: a client must notice, and is never sent
/// padding or a mixture of two versions (protocol.md G.2, G.3). One replaced by renaming is sent as
/// it was.
pub(super) struct FileBody {
    file: Arc<File>,
    modified: SystemTime,
    offset: u64,
    remaining: u64,
    length: u64,
    sent: u64,
    chunk: usize,
    handed_out: Instant,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    failed: Option<String>,
    transfer: Transfer,
}

impl FileBody {
    pub(super) fn new(open: OpenFile, start: u64, length: u64, transfer: Transfer) -> Self {
        FileBody {
            file: Arc::new(open.file),
            modified: open.modified,
            offset: start,
            remaining: length,
            length,
            sent: 0,
            chunk: CHUNK_MIN,
            handed_out: Instant::now(),
            reading: None,
            failed: None,
            transfer,
        }
    }

    fn read_next(&mut self) {
        let want = self.remaining.min(self.chunk as u64);
        if want == 0 {
            return;
        }
        let (file, offset, modified) = (Arc::clone(&self.file), self.offset, self.modified);
        // `want` is at most CHUNK_MAX.
        self.reading = Some(tokio::task::spawn_blocking(move || {
            read_chunk(&file, offset, want as usize, modified)
        }));
        self.offset += want;
        self.remaining -= want;
    }

    fn finished(&self) -> bool {
        self.remaining == 0 && self.reading.is_none()
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.failed.is_some() {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            self.read_next();
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let result = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        match result.map_err(io::Error::other).flatten() {
            Ok(bytes) => {
                self.sent += bytes.len() as u64;
                self.adapt();
                self.read_next();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Err(error) => {
                self.failed = Some(format!("the file cannot be read: {error}"));
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.sent)
    }
}

impl FileBody {
    /// Few, big reads for a client that keeps up; small ones for a slow reader, of whom there
    /// may be thousands.
    fn adapt(&mut self) {
        let now = Instant::now();
        let kept_up = now - self.handed_out < KEEPS_UP;
        self.handed_out = now;
        self.chunk = if kept_up {
            (self.chunk * 2).min(CHUNK_MAX)
        } else {
            CHUNK_MIN
        };
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

fn read_chunk(file: &File, offset: u64, want: usize, modified: SystemTime) -> io::Result<Bytes> {
    let mut chunk = vec![0; want];
    file.read_exact_at(&mut chunk, offset).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            io::Error::new(error.kind(), "it has become shorter while it was sent")
        } else {
            error
        }
    })?;
    if file.metadata()?.modified()? != modified {
        return Err(io::Error::other("it was changed while it was sent"));
    }
    Ok(Bytes::from(chunk))
}

/// Two of these (one being sent, one read ahead) are what a slow reader costs.
const CHUNK_MIN: usize = 32 * 1024;
/// Fewer, bigger reads do not get faster.
const CHUNK_MAX: usize = 256 * 1024;
/// 32 KiB in this time is 5 Mbit/s.
const KEEPS_UP: Duration = Duration::from_millis(50);
