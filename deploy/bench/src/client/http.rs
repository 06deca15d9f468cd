//! An HTTP load: keep-alive connections that ask for the same file again and again.
//!
//! Bodies are compared with what they must be: whole in the warm-up, by a sample while measured.
//! The rest is thrown away in the kernel, or the client would cost more than any server.

use crate::files::Mix;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// One load.
#[derive(Clone, Debug)]
pub(crate) struct HttpLoad<'a> {
    /// Where the server is; its port 80 is asked.
    pub server: Ipv4Addr,
    /// Connections at once.
    pub connections: usize,
    /// Requests on each, one after the other.
    pub requests: usize,
    /// Name of the file.
    pub name: &'a str,
    /// What must come; the file is this, `times` times.
    pub content: &'a [u8],
    /// How often `content` stands in the file.
    pub times: usize,
    /// What is compared.
    pub check: Check,
    /// After this long, what is not done has failed.
    pub limit: Duration,
}

/// Which stretches of bodies are compared. A stretch is a whole body, or 64 MiB of a longer one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// Every one.
    All,
    /// One in 32, and at least one; the seed says which.
    Sample(u64),
}

impl Check {
    /// Says for the n-th of `all` stretches whether it is compared.
    fn picks(self, n: usize, all: usize) -> bool {
        match self {
            Self::All => true,
            Self::Sample(seed) => {
                let every = all.clamp(1, SAMPLE);
                n % every == Mix(seed).next() as usize % every
            }
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpOutcome {
    /// Stretches that have begun.
    stretches: usize,
    /// From the first request to the last byte.
    pub wall: Duration,
    /// Of every completed request.
    pub times: Vec<Duration>,
    /// Body bytes.
    pub bytes: u64,
    /// Requests that did not complete.
    pub failed: usize,
    /// Why the first of them failed.
    pub first_failure: Option<String>,
}

/// Runs it; to be called in the load's network.
///
/// # Errors
/// When a connection cannot be made or the kernel refuses. Failed requests are counted.
pub(crate) fn run(load: &HttpLoad<'_>) -> Result<HttpOutcome> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n",
        load.name, load.server
    );
    let mut buffer = vec![0u8; 256 << 10];
    let mut outcome = HttpOutcome::default();
    let mut open = Vec::new();
    for n in 0..load.connections {
        let at = SocketAddr::from((load.server, 80));
        let stream = TcpStream::connect_timeout(&at, load.limit)
            .with_context(|| format!("connect to {at}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        stream.set_nonblocking(true).context("O_NONBLOCK")?;
        epoll
            .add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, n as u64))
            .context("epoll_ctl")?;
        open.push(Some(Connection {
            stream,
            left: load.requests,
            began: Instant::now(),
            head: Vec::new(),
            body: None,
            compared: false,
        }));
    }
    let began = Instant::now();
    for connection in open.iter_mut().flatten() {
        connection.ask(&request)?;
    }
    let mut running = open.len();
    let mut events = vec![EpollEvent::empty(); 256];
    while running > 0 {
        let ready = match epoll.wait(&mut events, EpollTimeout::from(100u8)) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error).context("epoll_wait"),
        };
        let late = began.elapsed() > load.limit;
        for event in &events[..ready] {
            let place = &mut open[event.data() as usize];
            let Some(connection) = place else { continue };
            let state = match connection.readable(load, &request, &mut buffer, &mut outcome) {
                Ok(state) => state,
                Err(error) => {
                    outcome.failed += connection.left;
                    outcome
                        .first_failure
                        .get_or_insert_with(|| format!("{error:#}"));
                    State::Over
                }
            };
            if state == State::Over {
                *place = None;
                running -= 1;
            }
        }
        if late {
            outcome.failed += open.iter().flatten().map(|c| c.left).sum::<usize>();
            outcome
                .first_failure
                .get_or_insert_with(|| format!("not done within {:?}", load.limit));
            break;
        }
    }
    outcome.wall = began.elapsed();
    Ok(outcome)
}

impl HttpLoad<'_> {
    /// Octets of a body.
    fn total(&self) -> usize {
        self.content.len() * self.times
    }

    /// Stretches of all bodies.
    fn stretches(&self) -> usize {
        self.connections * self.requests * self.total().div_ceil(STRETCH)
    }
}

struct Connection {
    stream: TcpStream,
    left: usize,
    began: Instant,
    head: Vec<u8>,
    /// Once the head is complete: octets of the body that have come.
    body: Option<usize>,
    /// Whether this stretch is compared.
    compared: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    More,
    Over,
}

impl Connection {
    fn ask(&mut self, request: &str) -> Result<()> {
        self.began = Instant::now();
        self.head.clear();
        self.body = None;
        // A request this short always fits into an empty queue.
        self.stream
            .write_all(request.as_bytes())
            .context("send a request")
    }

    /// Takes what has come, but not for ever: others wait, too.
    fn readable(
        &mut self,
        load: &HttpLoad<'_>,
        request: &str,
        buffer: &mut [u8],
        outcome: &mut HttpOutcome,
    ) -> Result<State> {
        let total = load.total();
        for _ in 0..16 {
            // A stretch ends where the next may be treated otherwise.
            let (discard, most) = match self.body {
                Some(came) => (!self.compared, STRETCH - came % STRETCH),
                None => (false, HEAD),
            };
            let length = match self.receive(buffer, most, discard) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(State::More),
                Err(error) => return Err(error).context("receive"),
            };
            let before = self.body;
            let came = match before {
                Some(came) => {
                    if !discard {
                        compare(load.content, came, &buffer[..length])?;
                    }
                    came + length
                }
                None => {
                    self.head.extend_from_slice(&buffer[..length]);
                    let Some(end) = head_end(&self.head) else {
                        continue;
                    };
                    check_head(&self.head[..end], total)?;
                    compare(load.content, 0, &self.head[end..])?;
                    self.head.len() - end
                }
            };
            if before.is_none() || (came < total && came % STRETCH == 0) {
                self.compared = load.check.picks(outcome.stretches, load.stretches());
                outcome.stretches += 1;
            }
            self.body = Some(came);
            if came > total {
                bail!("{came} octets of a body of {total}");
            }
            if came == total {
                outcome.times.push(self.began.elapsed());
                outcome.bytes += total as u64;
                self.left -= 1;
                if self.left == 0 {
                    return Ok(State::Over);
                }
                self.ask(request)?;
                return Ok(State::More);
            }
        }
        Ok(State::More)
    }

    /// Up to `most` octets, into the buffer or (as TCP does with `MSG_TRUNC`) into nothing.
    fn receive(&self, buffer: &mut [u8], most: usize, discard: bool) -> nix::Result<usize> {
        let fd = self.stream.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let most = most.min(buffer.len());
        let flags = match discard {
            true => flags | MsgFlags::MSG_TRUNC,
            false => flags,
        };
        recv(fd, &mut buffer[..most], flags)
    }
}

fn head_end(head: &[u8]) -> Option<usize> {
    Some(head.windows(4).position(|w| w == b"\r\n\r\n")? + 4)
}

fn check_head(head: &[u8], total: usize) -> Result<()> {
    let text = String::from_utf8_lossy(head);
    if !text.starts_with("HTTP/1.1 200 ") {
        bail!("answered {:?}", text.lines().next().unwrap_or_default());
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = value.trim().parse::<usize>().ok();
        length.filter(|_| name.eq_ignore_ascii_case("content-length"))
    });
    if length != Some(total) {
        bail!("Content-Length is {length:?}, not {total}");
    }
    Ok(())
}

/// Whether `came` is what stands from `offset` on in the file.
fn compare(content: &[u8], offset: usize, came: &[u8]) -> Result<()> {
    let mut offset = offset;
    let mut rest = came;
    while !rest.is_empty() {
        let wanted = &content[offset % content.len()..];
        let length = wanted.len().min(rest.len());
        if wanted[..length] != rest[..length] {
            bail!("wrong octets between {offset} and {}", offset + length);
        }
        offset += length;
        rest = &rest[length..];
    }
    Ok(())
}

/// A longer body is compared in pieces of this.
const STRETCH: usize = 64 << 20;
/// Of so many stretches one is compared.
const SAMPLE: usize = 32;
/// As much as is read with the head and compared always: all of a small file.
const HEAD: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn a_file_that_repeats_is_compared_across_its_borders() {
        assert!(compare(b"abcd", 2, b"cdabcdab").is_ok());
        assert!(compare(b"abcd", 2, b"cdabcdaX").is_err());
        assert!(compare(b"abcd", 0, b"").is_ok());
    }

    #[test]
    fn heads_that_do_not_fit_are_failures() {
        let head = |status: &str, length: usize| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n")
        };
        assert!(check_head(head("200 OK", 9).as_bytes(), 9).is_ok());
        assert!(check_head(head("200 OK", 8).as_bytes(), 9).is_err());
        assert!(check_head(head("503 Busy", 9).as_bytes(), 9).is_err());
        assert!(check_head(b"HTTP/1.1 200 OK\r\n\r\n", 9).is_err());
    }

    /// Reads one response of a real socket: the first of 64, of which `check` may leave it out.
    fn answered(body: &[u8], check: Check) -> Result<State> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 32768\r\n\r\n".to_vec();
        answer.extend_from_slice(body);
        let thread = std::thread::spawn(move || {
            let _ = server.read(&mut [0u8; 512]);
            let _ = server.write_all(&answer);
        });
        let load = HttpLoad {
            server: Ipv4Addr::LOCALHOST,
            connections: 64,
            requests: 1,
            name: "x",
            content: &BODY[..1 << 14],
            times: 2,
            check,
            limit: Duration::from_secs(9),
        };
        let mut connection = Connection {
            stream,
            left: 1,
            began: Instant::now(),
            head: Vec::new(),
            body: None,
            compared: false,
        };
        connection.ask("GET /x\r\n\r\n")?;
        thread.join().expect("answered");
        let mut outcome = HttpOutcome::default();
        let state = connection.readable(&load, "", &mut [0; 1 << 16], &mut outcome)?;
        assert_eq!((outcome.bytes, outcome.stretches), (1 << 15, 1));
        Ok(state)
    }

    static BODY: [u8; 1 << 15] = [7; 1 << 15];

    #[test]
    fn a_whole_body_ends_the_request_and_a_short_one_fails_it() {
        assert!(matches!(answered(&BODY, Check::All), Ok(State::Over)));
        assert!(answered(&BODY[1..], Check::All).is_err());
    }

    #[test]
    fn wrong_octets_fail_what_is_compared_and_the_first_ones_always() {
        let wrong = |at: usize| {
            let mut body = BODY;
            body[at] = 8;
            body
        };
        let seed = |picked| (0..999).find(|seed| Check::Sample(*seed).picks(0, 64) == picked);
        let [picked, other] = [true, false].map(|p| Check::Sample(seed(p).expect("one in 32")));
        let last = BODY.len() - 1;
        assert!(answered(&wrong(last), Check::All).is_err());
        assert!(answered(&wrong(last), picked).is_err());
        assert!(answered(&wrong(last), other).is_ok());
        assert!(answered(&wrong(0), other).is_err());
    }

    #[test]
    fn a_sample_is_one_in_32_and_never_none() {
        for seed in 0..99 {
            let picked = |all| {
                (0..all)
                    .filter(|n| Check::Sample(seed).picks(*n, all))
                    .count()
            };
            assert_eq!([1, 2, 31, 32, 64, 320].map(picked), [1, 1, 1, 1, 2, 10]);
        }
    }
}
