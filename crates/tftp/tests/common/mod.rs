//! What the tests of this room share: a clock that stands still until told, content that needs no memory, and
//! a server's transfer as its socket sees it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part"
)]

pub mod firmware;
pub mod model;
pub mod model_incoming;
pub mod model_parts;
pub mod model_put;
pub mod model_request;
pub mod network;
pub mod upload;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tftp::{Limits, Sender, Source, parse_request};

/// Some beginning of time. The only look at a real clock.
pub fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    #[allow(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    *BEGINNING.get_or_init(Instant::now)
}

/// Content of any length: a sequence whose period (a prime) fits no block size.
#[derive(Debug, Clone, Copy)]
pub struct Pattern(pub u64);

const PERIOD: u64 = 65_521;

fn sequence() -> &'static Bytes {
    static SEQUENCE: OnceLock<Bytes> = OnceLock::new();
    SEQUENCE.get_or_init(|| {
        let mut state = 0x9e37_79b9_u32;
        (0..PERIOD)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            })
            .collect()
    })
}

impl Source for Pattern {
    fn len(&self) -> u64 {
        self.0
    }

    /// Ends at the ends of periods, as a file does at those of its pieces.
    fn bytes_at(&self, offset: u64, max: usize) -> std::io::Result<Bytes> {
        let at = usize::try_from(offset % PERIOD).expect("below the period");
        let left = usize::try_from(self.0.saturating_sub(offset)).unwrap_or(usize::MAX);
        let end = sequence().len().min(at.saturating_add(left.min(max)));
        Ok(sequence().slice(at..end))
    }
}

impl Pattern {
    /// The octets from `offset` on.
    pub fn octets(&self, offset: u64, count: usize) -> Vec<u8> {
        let mut octets = Vec::new();
        while octets.len() < count {
            let (at, left) = (offset + octets.len() as u64, count - octets.len());
            let piece = self.bytes_at(at, left).expect("memory is readable");
            if piece.is_empty() {
                break;
            }
            octets.extend_from_slice(&piece);
        }
        octets
    }
}

/// A read request as a datagram; options as `name=value` separated by blanks.
pub fn rrq(name: &str, mode: &str, options: &str) -> Vec<u8> {
    let mut datagram = vec![0, 1];
    let mut put = |text: &str| {
        datagram.extend_from_slice(text.as_bytes());
        datagram.push(0);
    };
    put(name);
    put(mode);
    for (option, value) in options
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
    {
        put(option);
        put(value);
    }
    datagram
}

/// A write request as a datagram, options as for [`rrq`].
pub fn wrq(name: &str, mode: &str, options: &str) -> Vec<u8> {
    let mut datagram = rrq(name, mode, options);
    datagram[1] = 2;
    datagram
}

/// A block as a datagram.
pub fn block(number: u16, content: &[u8]) -> Vec<u8> {
    [&[0, 3], &number.to_be_bytes()[..], content].concat()
}

/// An OACK as a datagram, options as for [`rrq`].
pub fn oack(options: &str) -> Vec<u8> {
    let mut datagram = rrq("", "", options);
    datagram.splice(0..4, [0, 6]);
    datagram
}

pub fn ack(block: u16) -> Vec<u8> {
    [[0, 4], block.to_be_bytes()].concat()
}

pub fn error(code: u16, text: &str) -> Vec<u8> {
    [&[0, 5], &code.to_be_bytes()[..], text.as_bytes(), &[0]].concat()
}

/// The block number and content of a DATA datagram.
pub fn data(datagram: &[u8]) -> (u16, &[u8]) {
    assert!(
        datagram.starts_with(&[0, 3]),
        "not DATA: {}",
        datagram.escape_ascii()
    );
    (
        u16::from_be_bytes([datagram[2], datagram[3]]),
        &datagram[4..],
    )
}

/// Block numbers and content lengths.
pub fn shape(datagrams: &[Vec<u8>]) -> Vec<(u16, usize)> {
    datagrams
        .iter()
        .map(|datagram| (data(datagram).0, data(datagram).1.len()))
        .collect()
}

/// Only the block numbers.
pub fn numbers(datagrams: &[Vec<u8>]) -> Vec<u16> {
    datagrams.iter().map(|datagram| data(datagram).0).collect()
}

/// One transfer of the server, with the time it lives in.
pub struct Served<S> {
    pub sender: Sender<S>,
    pub now: Instant,
}

impl<S: Source> Served<S> {
    pub fn start(datagram: &[u8], source: S) -> Self {
        Self::with_limits(datagram, source, &Limits::default())
    }

    pub fn with_limits(datagram: &[u8], source: S, limits: &Limits) -> Self {
        let request = parse_request(datagram).expect("a request");
        let now = beginning();
        let sender = Sender::start(&request, source, limits, now).expect("it is served");
        Self { sender, now }
    }

    /// Everything there is to send now.
    pub fn transmit(&mut self) -> Vec<Vec<u8>> {
        let (mut all, mut datagram) = (Vec::new(), Vec::new());
        while self.sender.poll_transmit(self.now, &mut datagram) {
            all.push(datagram.clone());
            assert!(all.len() < 1_000, "it never stops sending");
        }
        all
    }

    /// The client sends this; what it is answered at once.
    pub fn receive(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.sender.handle_datagram(self.now, datagram);
        self.transmit()
    }

    /// Nothing comes for so long; what is sent in that time, with the time since its beginning.
    pub fn wait(&mut self, time: Duration) -> Vec<(Duration, Vec<u8>)> {
        let (from, end) = (self.now, self.now + time);
        let mut sent = Vec::new();
        let mut turns = 0;
        while let Some(due) = self.sender.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.sender.handle_timeout(self.now);
            let after = self.now - from;
            sent.extend(
                self.transmit()
                    .into_iter()
                    .map(|datagram| (after, datagram)),
            );
            turns += 1;
            assert!(turns < 1_000, "the timer spins");
        }
        self.now = end;
        sent
    }
}
