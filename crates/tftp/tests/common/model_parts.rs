//! What the models share: the file that is sent, what of it went out, and how their input is read.

use std::collections::HashSet;

use bytes::Bytes;
use tftp::limits::{REPEATS_BASE, REPEATS_PER_BLOCK};
use tftp::{Mode, Stats};

/// Octets of the file: exact multiples of some block sizes, and several windows of the smallest.
pub const LEN: usize = 3_072;

pub fn file() -> Bytes {
    (0..LEN)
        .map(|at| u8::try_from(at * 31 % 251).unwrap_or(0))
        .collect()
}

/// Blocks of the file that went out.
pub struct Sent {
    mode: Mode,
    file: Bytes,
    blocks: HashSet<u64>,
}

impl Sent {
    pub fn of(mode: Mode) -> Sent {
        Sent {
            mode,
            file: file(),
            blocks: HashSet::new(),
        }
    }

    pub fn check_block(&mut self, block: u64, content: &[u8], blksize: usize) {
        self.blocks.insert(block);
        assert!(content.len() <= blksize, "longer than agreed");
        if self.mode == Mode::Octet {
            let start = usize::try_from(block - 1).expect("a small file") * blksize;
            let end = self.file.len().min(start + blksize);
            assert_eq!(content, &self.file[start..end], "block {block}");
        }
    }

    /// Whether all up to this one went out.
    pub fn all(&self, blocks: u64) -> bool {
        (1..=blocks).all(|block| self.blocks.contains(&block))
    }
}

/// Beyond the budget there is a window for each time that the timer was asked.
pub fn check_budget(stats: &Stats, window: u64, fired: u64) {
    let most = REPEATS_BASE + REPEATS_PER_BLOCK * stats.blocks + window * (fired + 1);
    assert!(stats.retransmits <= most, "{stats:?}");
}

/// Of a file that arrived whole, octet by octet.
pub fn check_whole(stats: &Stats, blksize: u16) {
    assert_eq!(stats.bytes, LEN as u64);
    assert_eq!(stats.blocks, LEN as u64 / u64::from(blksize) + 1);
}

/// The next datagram: its length in two octets, then itself.
pub fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk::<2>() else {
        return std::mem::take(rest);
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
    let (datagram, after) = after.split_at(length);
    *rest = after;
    datagram
}
