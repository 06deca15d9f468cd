//! Octets that never come by: a long run of a file that the kernel puts into the socket itself.
//!
//! hyper counts a response's octets and says when they are due, but knows only memory. So a
//! [`Stretch`] travels through it as a slice of one *stand-in*, memory that is only ever counted.
//! The connection's own stream recognises the stand-in by its address, and sends the file instead.
//! It never sends the stand-in itself: whatever does not fit together is an error that ends the
//! connection.

use super::Taken;
use bootfiles::SharedFile;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Part of a file on its way to the socket.
pub(super) struct Stretch {
    file: SharedFile,
    state: Mutex<State>,
}

struct State {
    offset: u64,
    left: usize,
    /// The kernel took them, hyper has not counted them yet.
    uncounted: usize,
    told: Option<Arc<dyn Taken>>,
    broken: bool,
}

/// The stretches of one connection that are due, in the order of their stand-ins.
#[derive(Default)]
pub(super) struct Lane {
    due: Mutex<VecDeque<Arc<Stretch>>>,
}

impl Stretch {
    pub(super) fn new(file: SharedFile, offset: u64, len: usize) -> Stretch {
        Stretch {
            file,
            state: Mutex::new(State {
                offset,
                left: len,
                uncounted: 0,
                told: None,
                broken: false,
            }),
        }
    }

    pub(super) fn tell(&self, told: Arc<dyn Taken>) {
        self.lock().told = Some(told);
    }

    /// Sends what the socket takes of it; `len` is what its stand-in has left.
    fn send(&self, socket: impl AsFd, len: usize) -> io::Result<usize> {
        let mut state = self.lock();
        let sent = if state.broken || state.uncounted > 0 || state.left != len {
            Err(astray())
        } else {
            self.file.send(socket, state.offset, len)
        };
        match &sent {
            Ok(sent) => {
                state.offset += *sent as u64;
                state.left -= sent;
                state.uncounted += sent;
            }
            Err(error) if is_of_the_client(error) => {}
            Err(error) => {
                if let Some(told) = &state.told {
                    told.failed(error);
                }
            }
        }
        sent
    }

    /// So much of the stand-in has gone. Whoever took it for memory and copied it is found out
    /// here, before the copy can leave.
    pub(super) fn count(&self, octets: usize) {
        let mut state = self.lock();
        match state.uncounted.checked_sub(octets) {
            Some(rest) => state.uncounted = rest,
            None => state.broken = true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    pub(super) fn push(&self, stretch: Arc<Stretch>) {
        self.lock().push_back(stretch);
    }

    /// What may be written as memory: an error if a stretch was copied as if it were some.
    pub(super) fn check_memory(&self, octets: &[u8]) -> io::Result<()> {
        let broken = self.lock().iter().any(|stretch| stretch.lock().broken);
        if broken || is_stand_in(octets) {
            return Err(astray());
        }
        Ok(())
    }

    /// Sends of the stretch that is due, whose stand-in has `len` octets left.
    pub(super) fn send(&self, socket: impl AsFd, len: usize) -> io::Result<usize> {
        let mut due = self.lock();
        let sent = due.front().ok_or_else(astray)?.send(socket, len)?;
        if sent == len {
            due.pop_front();
        }
        Ok(sent)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Stretch>>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lane({} due)", self.lock().len())
    }
}

/// `len` octets to be counted, at most [`LONGEST`].
pub(super) fn stand_in(len: usize) -> Bytes {
    STAND_IN.slice(..len)
}

/// Whether any of this memory is the stand-in's.
pub(super) fn is_stand_in(octets: &[u8]) -> bool {
    let (ours, theirs) = (STAND_IN.as_ptr_range(), octets.as_ptr_range());
    !octets.is_empty() && theirs.start < ours.end && ours.start < theirs.end
}

/// Whether it says nothing of the file: the socket is full, or the client has gone.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted,
        NetworkUnreachable, NotConnected, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkUnreachable
            | NotConnected
            | TimedOut
            | WouldBlock
    )
}

fn astray() -> io::Error {
    io::Error::other("a part of a file went astray on its way to the socket")
}

/// Octets of the longest stretch.
pub(crate) const LONGEST: usize = 4 << 20;

/// Never written nor read, so it takes no memory.
static STAND_IN: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; LONGEST]));

#[cfg(test)]
mod tests {
    use super::super::Pieces;
    use super::super::stream::{Meter, Stream};
    use super::*;
    use bootfiles::{Asker, BootFiles, Found};
    use bootplan::{BootPath, Catalog, Endpoint};
    use bytes::Buf;
    use std::io::IoSlice;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A connection and its other end, and a file to send on it.
    async fn connection() -> (Stream, Arc<Meter>, TcpStream, SharedFile) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let meter = Arc::new(Meter::new());
        let stream = Stream::tcp(stream).watched_by(Arc::clone(&meter));
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("f"), CONTENT).expect("written");
        let files = BootFiles::open(&[], dir.path()).expect("opened");
        let path = BootPath::parse(b"images/f").expect("plain");
        let (asker, server) = (
            Asker::at(Ipv4Addr::LOCALHOST),
            Endpoint {
                ip: Ipv4Addr::LOCALHOST,
                http_port: 80,
                ui_port: 8080,
            },
        );
        match files.lookup(&path, &asker, &Catalog::default(), &server) {
            Found::File(file) => (stream, meter, client, file),
            _ => panic!("it is there"),
        }
    }

    /// What the other end gets until the connection is closed.
    async fn rest(stream: Stream, mut client: TcpStream) -> Vec<u8> {
        drop(stream);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.expect("closed");
        got
    }

    fn direct(file: &SharedFile, meter: &Meter, offset: u64, len: usize) -> Pieces {
        let pieces = Pieces::direct(file.clone(), offset, len);
        meter
            .lane()
            .push(Arc::clone(pieces.stretch().expect("it is one")));
        pieces
    }

    const CONTENT: &[u8] = b"content of a file";

    #[tokio::test]
    async fn a_header_and_two_stretches_leave_in_order() {
        let (mut stream, meter, client, file) = connection().await;
        let (mut one, mut other) = (direct(&file, &meter, 0, 7), direct(&file, &meter, 11, 6));
        let mut header = &b"header "[..];
        while header.has_remaining() || one.has_remaining() || other.has_remaining() {
            let slices = [header, one.chunk(), other.chunk()];
            let slices = slices.map(IoSlice::new);
            let due: Vec<IoSlice<'_>> = slices
                .into_iter()
                .filter(|slice| !slice.is_empty())
                .collect();
            let mut sent = stream.write_vectored(&due).await.expect("sent");
            for buf in [&mut header as &mut dyn Buf, &mut one, &mut other] {
                let own = sent.min(buf.remaining());
                buf.advance(own);
                sent -= own;
            }
        }
        stream.write_all(b" end").await.expect("memory again");
        assert_eq!(rest(stream, client).await, b"header contenta file end");
    }

    #[tokio::test]
    async fn a_stand_in_never_leaves() {
        // Without a stretch; of another length than its stretch; by the way for memory; behind a
        // copy that somebody made.
        let (mut stream, _, client, _) = connection().await;
        let lost = stand_in(5);
        assert!(stream.write_vectored(&[IoSlice::new(&lost)]).await.is_err());
        assert_eq!(rest(stream, client).await, b"");

        let (mut stream, meter, client, file) = connection().await;
        let pieces = direct(&file, &meter, 0, 5);
        let shorter = IoSlice::new(&pieces.chunk()[1..]);
        assert!(stream.write_vectored(&[shorter]).await.is_err());
        assert_eq!(rest(stream, client).await, b"");

        let (mut stream, meter, client, file) = connection().await;
        let pieces = direct(&file, &meter, 0, 5);
        assert!(stream.write(pieces.chunk()).await.is_err());
        assert_eq!(rest(stream, client).await, b"");

        for vectored in [false, true] {
            let (mut stream, meter, client, file) = connection().await;
            let mut pieces = direct(&file, &meter, 0, 5);
            let copy = pieces.copy_to_bytes(5);
            let written = match vectored {
                false => stream.write(&copy).await,
                true => stream.write_vectored(&[IoSlice::new(&copy)]).await,
            };
            assert!(written.is_err());
            assert_eq!(rest(stream, client).await, b"");
        }

        let (mut stream, meter, client, file) = connection().await;
        let mut pieces = direct(&file, &meter, 0, 5);
        let next = direct(&file, &meter, 5, 5);
        let copy = pieces.copy_to_bytes(5);
        let slices = [IoSlice::new(&copy), IoSlice::new(next.chunk())];
        assert!(stream.write_vectored(&slices).await.is_err());
        assert_eq!(rest(stream, client).await, b"");
    }
}
