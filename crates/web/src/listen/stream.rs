//! One connection's octets, watched: what phase it is in, whether the client has finished, and
//! whether it lets us wait.

use super::Budget;
use super::line::Line;
use super::stretch::{Lane, is_stand_in};
use rustix::net::{SendFlags, send};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Where a connection stands between its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, nothing said yet.
    Fresh,
    /// A request's header has begun.
    Head,
    /// The handler has the request.
    Serving,
    /// The response is under way, the last of its octets included.
    Sending,
    /// Between two requests.
    Idle,
}

/// What the listener knows of one connection. Everything in it changes inside the connection's
/// own task; the lock is for the accept loop, which looks for somebody to evict.
#[derive(Debug)]
pub(super) struct Meter {
    state: Mutex<State>,
    line: Arc<Line>,
    lane: Lane,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    requests: u64,
    stall: Option<Stall>,
    client_finished: bool,
    grub: bool,
    abort: Option<AbortHandle>,
}

/// A stretch of time in which the client let us wait to send.
#[derive(Debug)]
struct Stall {
    since: Instant,
    octets: u64,
    waiting: bool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Meter {
            state: Mutex::new(State {
                phase: Phase::Fresh,
                since: Instant::now(),
                requests: 0,
                stall: None,
                client_finished: false,
                grub: false,
                abort: None,
            }),
            line: Arc::default(),
            lane: Lane::default(),
        }
    }

    /// What is told of the connection outside of the listener.
    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// What is due to be sent that is not in our memory.
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic while it holds the lock; a poisoned one is still consistent.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = Instant::now();
    }

    /// A request's header is complete; its number on this connection.
    pub(super) fn request(&self) -> u64 {
        let mut state = self.lock();
        state.phase = Phase::Serving;
        state.since = Instant::now();
        state.requests += 1;
        state.requests
    }

    /// Nothing is left of the answer to this request. A client that does not wait for it may be
    /// at its next one already.
    pub(super) fn answered(&self, request_number: u64) {
        let mut state = self.lock();
        if state.requests == request_number {
            state.phase = Phase::Idle;
            state.since = Instant::now();
        }
    }

    /// Remembers that GRUB is at the other end (see [`Stream::poll_shutdown`]).
    pub(super) fn set_grub(&self) {
        self.lock().grub = true;
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Since when it has owed us a whole request; `None` while one is being served.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let state = self.lock();
        match state.phase {
            Phase::Fresh | Phase::Head | Phase::Idle => Some(state.since),
            Phase::Serving | Phase::Sending => None,
        }
    }

    pub(super) fn evict_with(&self, abort: AbortHandle) {
        self.lock().abort = Some(abort);
    }

    pub(super) fn evict(&self) {
        if let Some(abort) = self.lock().abort.take() {
            abort.abort();
        }
    }

    /// Whether the deadline of the current phase has passed, else when it will.
    pub(super) fn check(&self, budget: &Budget, now: Instant) -> Result<Option<Instant>, Overdue> {
        let mut state = self.lock();
        let limit = match state.phase {
            Phase::Fresh => Some((budget.first_byte, Overdue::Silent)),
            Phase::Head => Some((budget.headers, Overdue::Header)),
            Phase::Serving => Some((budget.request, Overdue::Request)),
            Phase::Sending => None,
            Phase::Idle => Some((budget.idle, Overdue::Idle)),
        };
        let mut next = None;
        if let Some((limit, overdue)) = limit {
            let deadline = state.since + limit;
            if now >= deadline {
                return Err(overdue);
            }
            next = Some(deadline);
        }
        if let Some(stall) = &mut state.stall {
            let mut end = stall.since + budget.rate_window;
            if now >= end {
                let floor = budget.min_rate as f64 * budget.rate_window.as_secs_f64();
                if stall.waiting && (stall.octets as f64) < floor {
                    return Err(Overdue::SlowReader);
                }
                stall.since = now;
                stall.octets = 0;
                end = now + budget.rate_window;
                if !stall.waiting {
                    state.stall = None;
                    return Ok(next);
                }
            }
            next = Some(next.map_or(end, |n| n.min(end)));
        }
        Ok(next)
    }

    fn read(&self, octets: usize) {
        let mut state = self.lock();
        if octets == 0 {
            state.client_finished = true;
        } else if matches!(state.phase, Phase::Fresh | Phase::Idle) {
            state.phase = Phase::Head;
            state.since = Instant::now();
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        let mut state = self.lock();
        match (result, &mut state.stall) {
            (Poll::Pending, Some(stall)) => stall.waiting = true,
            (Poll::Pending, stall) => {
                *stall = Some(Stall {
                    since: Instant::now(),
                    octets: 0,
                    waiting: true,
                });
            }
            (Poll::Ready(Ok(octets)), Some(stall)) => {
                stall.octets += *octets as u64;
                stall.waiting = false;
            }
            (Poll::Ready(_), _) => {}
        }
    }

    fn reset_at_end(&self) -> bool {
        let state = self.lock();
        state.grub && state.client_finished
    }
}

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overdue {
    /// No request was begun.
    #[error("nothing was sent")]
    Silent,
    /// A request was begun, and its header not ended.
    #[error("the request header took too long")]
    Header,
    /// The answer was not begun in time.
    #[error("the request took too long")]
    Request,
    /// Between two requests.
    #[error("no further request came")]
    Idle,
    /// The client lets us wait to send.
    #[error("the client takes the response too slowly")]
    SlowReader,
}

enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A TCP or unix connection that reports to a [`Meter`].
pub(super) struct Stream {
    inner: Inner,
    meter: Option<Arc<Meter>>,
}

impl Stream {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Stream {
            inner: Inner::Tcp(stream),
            meter: None,
        }
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        Stream {
            inner: Inner::Unix(stream),
            meter: None,
        }
    }

    pub(super) fn watched_by(mut self, meter: Arc<Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Closes with RST instead of FIN, leaving nothing in the kernel.
    pub(super) fn reset(self) {
        self.linger_zero();
    }

    /// Before each write.
    fn attend(&self) {
        if let (Inner::Tcp(stream), Some(meter)) = (&self.inner, &self.meter) {
            meter.line.attend(stream);
        }
    }

    fn poll_write_memory(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Inner::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    /// Sends what `how` sends, as soon as the socket takes something.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        how: impl Fn(&TcpStream, &Lane) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let (Inner::Tcp(stream), Some(meter)) = (&self.inner, &self.meter) else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_io(Interest::WRITABLE, || how(stream, &meter.lane)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn linger_zero(&self) {
        if let Inner::Tcp(stream) = &self.inner
            && let Err(error) =
                socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO))
        {
            tracing::debug!(%error, "cannot set SO_LINGER");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.line.close();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let result = match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let (Poll::Ready(Ok(())), Some(meter), true) = (&result, &self.meter, room > 0) {
            meter.read(buf.filled().len() - before);
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.attend();
        if let Some(meter) = &self.meter {
            // Where somebody would have copied a stand-in into a buffer of his own.
            meter.lane.check_memory(buf)?;
        }
        let result = self.poll_write_memory(cx, &[io::IoSlice::new(buf)]);
        if let Some(meter) = &self.meter {
            meter.wrote(&result);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.attend();
        let result = match bufs.iter().position(|buf| is_stand_in(buf)) {
            None => {
                if let Some(meter) = &self.meter {
                    meter.lane.check_memory(&[])?;
                }
                self.poll_write_memory(cx, bufs)
            }
            Some(0) => self.poll_send(cx, |stream, lane| lane.send(stream, bufs[0].len())),
            // A header: the kernel keeps it back for the file's octets to fill the packet.
            Some(_) => self.poll_send(cx, |stream, lane| {
                lane.check_memory(&bufs[0])?;
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                Ok(send(stream, &bufs[0], flags)?)
            }),
        };
        if let Some(meter) = &self.meter {
            meter.wrote(&result);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// GRUB's own FIN carries window 0, so ours could never be delivered: the kernel would keep
    /// the socket in LAST-ACK for a minute, and GRUB, which begins at the same source port after
    /// every boot, would hang at its first file. Once GRUB has finished (only then, or data is
    /// lost) the connection ends with RST (protocol.md E.3, seen with Debian 12's GRUB 2.06).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.meter.as_ref().is_some_and(|m| m.reset_at_end()) {
            self.linger_zero();
            return Poll::Ready(Ok(()));
        }
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
