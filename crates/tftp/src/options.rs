//! Option negotiation, server side (RFC 2347, 2348, 2349, 7440, and tftp-hpa's own two).
//!
//! Only what was asked is answered, in the client's order and spelling: EDK2 ends a boot over an option it did
//! not ask for and compares `tsize` with regard to case, PXELINUX refuses every extra name. What is unknown or
//! not acceptable is left out, and when nothing is left there is no OACK at all.

use std::time::Duration;

use crate::limits::Limits;
use crate::packet::{Mode, OptionPair, Request, RequestKind, encode_oack};

/// Block size without negotiation, octets (RFC 1350).
pub const DEFAULT_BLKSIZE: u16 = 512;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Content octets per block.
    pub blksize: u16,
    /// Blocks per acknowledgement.
    pub windowsize: u16,
    /// Total octets, when a reading client asked and was told, or a writing client told.
    pub tsize: Option<u64>,
    /// Constant retransmission interval, when negotiated.
    pub interval: Option<Duration>,
    /// Block number after 65,535: 0 unless the client asked for 1.
    pub rollover: Rollover,
    /// Whether any option was accepted, so that the first datagram is an OACK.
    pub options: bool,
}

impl Default for Agreed {
    fn default() -> Self {
        Self {
            blksize: DEFAULT_BLKSIZE,
            windowsize: 1,
            tsize: None,
            interval: None,
            rollover: Rollover::Zero,
            options: false,
        }
    }
}

/// What follows block 65,535. All clients measured expect 0; with 1 EDK2 and iPXE fall into an endless storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rollover {
    /// 65535 is followed by 0.
    #[default]
    Zero,
    /// 65535 is followed by 1 (tftp-hpa's `rollover=1`).
    One,
}

impl Rollover {
    /// The number on the wire of a block counted from 1; 0 is "before the first".
    #[must_use]
    pub fn wire(self, block: u64) -> u16 {
        let number = match self {
            Self::Zero => block % 65_536,
            Self::One if block == 0 => 0,
            Self::One => (block - 1) % 65_535 + 1,
        };
        u16::try_from(number).expect("a remainder below 65,536 fits")
    }

    /// How many blocks after `base` the wire number `number` is, the smallest such count.
    #[must_use]
    pub fn distance(self, base: u64, number: u16) -> Option<u64> {
        let from = self.wire(base);
        match self {
            Self::Zero => Some(u64::from(number.wrapping_sub(from))),
            Self::One if number == 0 => (base == 0).then_some(0),
            Self::One if base == 0 => Some(u64::from(number)),
            Self::One => Some((u64::from(number) + 65_535 - u64::from(from)) % 65_535),
        }
    }
}

/// Answers a request's options. `len` is the content's length in octets; a write's is told by the client (its
/// `tsize`), and `len` is not looked at. The OACK, if there is one, is written to the end of `oack`.
#[must_use]
pub fn negotiate(request: &Request, len: u64, limits: &Limits, oack: &mut Vec<u8>) -> Agreed {
    let mut agreed = Agreed::default();
    let mut seen: Vec<Known> = Vec::new();
    let mut accepted: Vec<(Known, &OptionPair)> = Vec::new();
    for pair in &request.options {
        let Some(known) = Known::parse(&pair.name) else {
            continue;
        };
        if seen.contains(&known) {
            continue; // the first one counts, even where it was not acceptable
        }
        seen.push(known);
        if accept(known, &pair.value, request, len, limits, &mut agreed) {
            accepted.push((known, pair));
        }
    }
    if accepted.is_empty() {
        return agreed;
    }
    agreed.options = true;
    cap_in_flight(&mut agreed, limits);
    let values: Vec<String> = accepted
        .iter()
        .map(|(known, pair)| reply(*known, pair, request.kind, &agreed))
        .collect();
    let pairs = accepted
        .iter()
        .zip(&values)
        .map(|((_, pair), value)| (pair.name.as_slice(), value.as_bytes()));
    encode_oack(pairs, oack);
    agreed
}

/// A number as options write it: ASCII decimal, 1 to 10 digits, no sign, no space. tftpd-hpa overflowed on
/// longer ones (CVE-2011-2199).
#[must_use]
pub fn parse_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 10 {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &octet| {
        octet
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(octet - b'0'))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Blksize,
    Tsize,
    Timeout,
    Utimeout,
    Windowsize,
    Rollover,
}

impl Known {
    /// `multicast` (RFC 2090) and `msftwindow` (WDS) are known and declined by leaving them out.
    fn parse(name: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Known); 6] = [
            (b"blksize", Known::Blksize),
            (b"tsize", Known::Tsize),
            (b"timeout", Known::Timeout),
            (b"utimeout", Known::Utimeout),
            (b"windowsize", Known::Windowsize),
            (b"rollover", Known::Rollover),
        ];
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|&(_, known)| known)
    }
}

fn accept(
    known: Known,
    value: &[u8],
    request: &Request,
    len: u64,
    limits: &Limits,
    agreed: &mut Agreed,
) -> bool {
    let Some(number) = parse_number(value) else {
        return false;
    };
    match known {
        Known::Blksize => in_range(number, 8, 65_464).is_some_and(|asked| {
            agreed.blksize = asked.min(limits.blksize_cap.max(DEFAULT_BLKSIZE));
            true
        }),
        Known::Tsize if request.kind == RequestKind::Write => {
            agreed.tsize = Some(number);
            true
        }
        // Any number is a question: some ROMs send junk instead of 0. The length after netascii's
        // conversion is not known without converting all of it.
        Known::Tsize => {
            request.mode == Mode::Octet && {
                agreed.tsize = Some(len);
                true
            }
        }
        Known::Timeout => in_range(number, 1, 255).is_some_and(|seconds| {
            let interval = Duration::from_secs(u64::from(seconds));
            agreed.interval.get_or_insert(interval);
            true
        }),
        Known::Utimeout => {
            (10_000..=255_000_000).contains(&number) && {
                agreed.interval = Some(Duration::from_micros(number)); // the finer one wins over `timeout`
                true
            }
        }
        Known::Windowsize => in_range(number, 1, 65_535).is_some_and(|asked| {
            agreed.windowsize = asked.min(limits.windowsize_cap.max(1));
            true
        }),
        Known::Rollover => match number {
            0 => true,
            1 => {
                agreed.rollover = Rollover::One;
                true
            }
            _ => false,
        },
    }
}

fn in_range(number: u64, low: u16, high: u16) -> Option<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| (low..=high).contains(number))
}

/// The window shrinks, never the block: a smaller block than the client prepared for costs it more.
fn cap_in_flight(agreed: &mut Agreed, limits: &Limits) {
    let blocks = (limits.in_flight_cap / u32::from(agreed.blksize)).max(1);
    let blocks = u16::try_from(blocks).unwrap_or(u16::MAX);
    agreed.windowsize = agreed.windowsize.min(blocks);
}

fn reply(known: Known, pair: &OptionPair, kind: RequestKind, agreed: &Agreed) -> String {
    match known {
        Known::Blksize => agreed.blksize.to_string(),
        Known::Windowsize => agreed.windowsize.to_string(),
        Known::Tsize if kind == RequestKind::Read => agreed.tsize.unwrap_or_default().to_string(),
        // U-Boot compares the echo with what it sent, to the letter.
        Known::Tsize | Known::Timeout | Known::Utimeout | Known::Rollover => {
            String::from_utf8_lossy(&pair.value).into_owned()
        }
    }
}
