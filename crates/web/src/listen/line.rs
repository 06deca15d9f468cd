//! The line to one client: what the kernel's TCP measured on it, and why we cut it.

use super::stream::Overdue;
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, libc, sockopt_impl};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// What can be told about one connection from outside of its task. A connection costs nothing
/// here until somebody watches it.
#[derive(Debug, Default)]
pub struct Line {
    wanted: AtomicBool,
    tap: Mutex<Tap>,
    cut: OnceLock<Cut>,
}

#[derive(Debug, Default)]
enum Tap {
    #[default]
    None,
    /// The same socket once more, closed before the connection's own: a connection must end when
    /// that one is closed (GRUB's by RST).
    Open(OwnedFd),
    /// As it was when the connection was closed.
    Closed(Option<Figures>),
}

/// Why we closed a connection with something on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A deadline for the client passed.
    Overdue(Overdue),
    /// The server was stopped, and the connection outlasted the drain limit.
    Stopped,
}

/// TCP's numbers, from the connection's beginning on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Most content in one segment, in octets.
    pub segment_size: u32,
    /// Segments with content sent the first time.
    pub segments: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// The smoothed round trip; `None` before an octet was acknowledged.
    pub round_trip: Option<Duration>,
}

/// A part of a connection's life: one response.
#[derive(Clone, Debug)]
pub struct Span {
    line: Arc<Line>,
    /// What was before it.
    before: Figures,
}

impl Line {
    /// What TCP measured so far; `None` if nobody watched (see [`Span::begin`]), or there is
    /// no TCP.
    fn figures(&self) -> Option<Figures> {
        match &*self.tap() {
            Tap::None => None,
            Tap::Open(socket) => Figures::of(socket),
            Tap::Closed(figures) => *figures,
        }
    }

    /// Why we closed it, if we did.
    pub fn was_cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// It is about to be closed because of this.
    pub(super) fn cut(&self, why: Cut) {
        // The first reason is the true one.
        let _ = self.cut.set(why);
    }

    /// Something will be written to this socket of the connection.
    pub(super) fn attend(&self, socket: &impl AsFd) {
        if self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed) {
            match socket.as_fd().try_clone_to_owned() {
                Ok(socket) => *self.tap() = Tap::Open(socket),
                Err(error) => tracing::debug!(%error, "cannot watch a connection"),
            }
        }
    }

    /// The connection's socket will be closed next.
    pub(super) fn close(&self) {
        let mut tap = self.tap();
        if let Tap::Open(socket) = &*tap {
            *tap = Tap::Closed(Figures::of(socket));
        }
    }

    /// Valid after any panic: it is only ever replaced whole.
    fn tap(&self) -> MutexGuard<'_, Tap> {
        self.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    /// From now on. What an unwatched connection did before is counted in.
    pub fn begin(line: &Arc<Line>) -> Span {
        let before = line.figures();
        if before.is_none() {
            line.wanted.store(true, Relaxed);
        }
        Span {
            line: Arc::clone(line),
            before: before.unwrap_or_default(),
        }
    }

    /// What TCP measured since then, be the connection open or closed.
    pub fn figures(&self) -> Option<Figures> {
        let now = self.line.figures()?;
        Some(Figures {
            segments: now.segments.saturating_sub(self.before.segments),
            retransmits: now.retransmits.saturating_sub(self.before.retransmits),
            ..now
        })
    }
}

impl Figures {
    fn of(socket: &impl AsFd) -> Option<Figures> {
        let info = match getsockopt(socket, TcpInfo) {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "TCP says nothing of a connection");
                return None;
            }
        };
        let retransmits = u64::from(info[TOTAL_RETRANS]);
        Some(Figures {
            segment_size: info[SND_MSS],
            segments: u64::from(info[DATA_SEGS_OUT]).saturating_sub(retransmits),
            retransmits,
            round_trip: match info[RTT] {
                0 => None,
                micros => Some(Duration::from_micros(micros.into())),
            },
        })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Overdue(why) => why.fmt(f),
            Cut::Stopped => f.write_str("the server was stopped"),
        }
    }
}

sockopt_impl!(
    /// The beginning of the kernel's `struct tcp_info` (include/uapi/linux/tcp.h), which only
    /// grows: as far as `tcpi_data_segs_out`, there since Linux 4.6. As plain words, because the
    /// length of `libc`'s struct differs between C libraries, and nix wants all of it filled.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 40]
);

/// `tcpi_snd_mss`, at octet 16.
const SND_MSS: usize = 4;
/// `tcpi_rtt`, in microseconds, at octet 68.
const RTT: usize = 17;
/// `tcpi_total_retrans`, at octet 100.
const TOTAL_RETRANS: usize = 25;
/// `tcpi_data_segs_out`, with those sent again, at octet 156.
const DATA_SEGS_OUT: usize = 39;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        (listener.accept().expect("connected").0, client)
    }

    fn pass(mut from: &TcpStream, mut to: &TcpStream, count: usize) {
        from.write_all(&vec![7; count]).expect("open");
        to.read_exact(&mut vec![0; count]).expect("open");
    }

    #[test]
    fn a_span_counts_its_own_segments_whatever_was_before() {
        let (server, client) = connected();
        let line = Arc::new(Line::default());
        let first = Span::begin(&line);
        assert_eq!(first.figures(), None, "nothing was written yet");
        line.attend(&server);
        pass(&server, &client, 1000);
        let one = first.figures().expect("watched");
        assert_eq!((one.segments, one.retransmits), (1, 0));
        assert!(
            one.segment_size > 500 && one.round_trip.is_some(),
            "{one:?}"
        );
        let second = Span::begin(&line);
        line.attend(&server);
        for _ in 0..3 {
            pass(&server, &client, 10);
        }
        assert_eq!(second.figures().expect("watched").segments, 3);
        assert_eq!(first.figures().expect("watched").segments, 4);
    }

    #[test]
    fn the_last_figures_outlive_the_connection_and_do_not_keep_it_open() {
        let (server, mut client) = connected();
        let line = Arc::new(Line::default());
        let span = Span::begin(&line);
        line.attend(&server);
        pass(&server, &client, 10);
        line.close();
        let last = span.figures();
        drop(server);
        assert_eq!(client.read(&mut [0]).expect("FIN"), 0);
        assert_eq!(last.expect("watched").segments, 1);
        assert_eq!(span.figures(), last);
    }
}
