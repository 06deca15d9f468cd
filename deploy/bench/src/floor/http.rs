//! The floor of HTTP: a head is read and answered with a length and so many octets, and that is
//! all. What it costs is the kernel's: TCP, the pair, delivery into the client's queue.
//!
//! One thread for all connections, which wakes once for as much as a socket takes: cheaper than a
//! thread for each, which would wake another one for every request.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustix::net::{SendFlags, send};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where the octets come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The same hot memory again and again: the beginning of the file.
    Write,
    /// `sendfile` from the file.
    Sendfile,
}

/// How much of a file [`Way::Write`] repeats: it stays in the processor's own cache.
pub(crate) const HOT: usize = 256 << 10;

/// Answers on port 80 until it is killed.
///
/// # Errors
/// When the sockets fail.
pub(super) fn serve(root: &Path, way: Way) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).context("bind port 80")?;
    listener.set_nonblocking(true).context("O_NONBLOCK")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    epoll
        .add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))
        .context("epoll_ctl")?;
    let mut files = Files {
        root: root.to_owned(),
        way,
        open: Vec::new(),
    };
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("epoll_wait"),
        };
        for event in &events[..ready] {
            if event.data() == LISTENER {
                accept(&listener, &epoll, &mut connections)?;
                continue;
            }
            let place = &mut connections[event.data() as usize];
            let Some(connection) = place else { continue };
            let Err(error) = connection.go_on(&mut files);
            if error.kind() != ErrorKind::WouldBlock {
                *place = None;
            }
        }
    }
}

/// Takes who waits; each connection has its descriptor's place.
fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut Vec<Option<Connection>>,
) -> Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true).context("O_NONBLOCK")?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        let place = stream.as_raw_fd() as usize;
        let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll
            .add(&stream, EpollEvent::new(both, place as u64))
            .context("epoll_ctl")?;
        if connections.len() <= place {
            connections.resize_with(place + 1, || None);
        }
        connections[place] = Some(Connection {
            stream,
            answer: None,
        });
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    answer: Option<Answer>,
}

/// What is being sent: `sent` octets of head and body are on their way.
struct Answer {
    served: Rc<Served>,
    sent: usize,
}

impl Connection {
    /// Reads, answers and sends, until the socket has or takes no more (`WouldBlock`).
    ///
    /// # Errors
    /// Always ends with one; any other than `WouldBlock` ends the connection.
    fn go_on(&mut self, files: &mut Files) -> io::Result<Infallible> {
        loop {
            match &mut self.answer {
                Some(answer) => {
                    if answer.send(&self.stream, files.way)? {
                        self.answer = None;
                    }
                }
                None => self.answer = Some(ask(&mut self.stream, files)?),
            }
        }
    }
}

/// A request of known shape: a whole head in one piece.
fn ask(stream: &mut TcpStream, files: &mut Files) -> io::Result<Answer> {
    let mut head = [0; 1024];
    let length = stream.read(&mut head)?;
    let name = head[..length]
        .strip_suffix(b"\r\n\r\n")
        .and_then(|head| head.strip_prefix(b"GET /")?.split(|b| *b == b' ').next());
    // The client has closed, or it is not ours.
    let name = name.ok_or(ErrorKind::UnexpectedEof)?;
    Ok(Answer {
        served: files.find(name)?,
        sent: 0,
    })
}

impl Answer {
    /// Sends some more; true when all is sent.
    fn send(&mut self, stream: &TcpStream, way: Way) -> io::Result<bool> {
        let served = &self.served;
        let head = served.head.as_slice();
        self.sent += match (self.sent.checked_sub(head.len()), way) {
            // An empty queue takes a head whole.
            (None, Way::Sendfile) => send(stream, head, SendFlags::MORE)?,
            (None, Way::Write) => {
                let parts = [IoSlice::new(head), IoSlice::new(&served.hot)];
                (&mut &*stream).write_vectored(&parts)?
            }
            (Some(at), Way::Sendfile) => {
                let mut offset = at as u64;
                let left = served.length - at;
                rustix::fs::sendfile(stream, &served.file, Some(&mut offset), left)?
            }
            (Some(at), Way::Write) => {
                let from = &served.hot[at % served.hot.len()..];
                send(stream, from, SendFlags::empty())?
            }
        };
        Ok(self.sent == head.len() + served.length)
    }
}

/// The files that were asked for.
struct Files {
    root: PathBuf,
    way: Way,
    open: Vec<Rc<Served>>,
}

struct Served {
    name: Vec<u8>,
    file: File,
    length: usize,
    head: Vec<u8>,
    /// Its beginning, of which it is a multiple.
    hot: Vec<u8>,
}

impl Files {
    fn find(&mut self, name: &[u8]) -> io::Result<Rc<Served>> {
        let found = self.open.iter().find(|served| served.name == name);
        if let Some(served) = found {
            return Ok(served.clone());
        }
        let file = File::open(self.root.join(OsStr::from_bytes(name)))?;
        let length = file.metadata()?.len() as usize;
        let mut hot = vec![0; length.min(HOT)];
        file.read_exact_at(&mut hot, 0)?;
        let served = Rc::new(Served {
            name: name.to_owned(),
            file,
            length,
            head: format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes(),
            hot,
        });
        self.open.push(served.clone());
        Ok(served)
    }
}

/// No descriptor.
const LISTENER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What a client reads of two answers on one connection.
    fn answered(way: Way, file: &[u8]) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("x"), file)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?;
        let length = 2
            * (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len()).len()
                + file.len());
        let client = std::thread::spawn(move || -> io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(at)?;
            let mut came = vec![0; length];
            let (first, second) = came.split_at_mut(length / 2);
            for part in [first, second] {
                stream.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")?;
                stream.read_exact(part)?;
            }
            Ok(came)
        });
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let mut connection = Connection {
            stream,
            answer: None,
        };
        let mut files = Files {
            root: dir.path().to_owned(),
            way,
            open: Vec::new(),
        };
        loop {
            let Err(error) = connection.go_on(&mut files);
            match error.kind() {
                ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                // It has closed.
                _ => break,
            }
        }
        drop(connection);
        Ok(client.join().expect("read")?)
    }

    #[test]
    fn one_floor_sends_the_file_and_one_its_beginning_again_and_again() -> Result<()> {
        let pieces = [vec![1; HOT], vec![2; HOT], vec![3; HOT]];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 3 * HOT);
        let answer = |body: Vec<u8>| [head.as_bytes(), &body].concat().repeat(2);
        let file = pieces.concat();
        // Not assert_eq: nobody reads a megabyte.
        assert!(answered(Way::Sendfile, &file)? == answer(file.clone()));
        assert!(answered(Way::Write, &file)? == answer(pieces[0].repeat(3)));
        Ok(())
    }
}
