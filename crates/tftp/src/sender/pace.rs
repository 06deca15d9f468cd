//! How many blocks of a window go out at a stretch.
//!
//! No known client keeps a block that comes after a gap: everything behind the gap has to be sent again. A window of
//! 16 in a network that loses (or overtakes) every fifth block is sent three times. So the gaps are measured,
//! and where they are close, a window goes out in pieces with time in between for the client to complain. It
//! cannot become smaller: the client acknowledges at the end of what was agreed on.

use std::time::{Duration, Instant};

/// The pace of one transfer. In a network without loss it never does anything.
#[derive(Debug)]
pub(super) struct Pace {
    /// Blocks from one gap to the next, smoothed; `None` before the first gap.
    run: Option<u64>,
    /// The block before the last gap.
    last_gap: u64,
    /// Both as they were before the last gap.
    before: (Option<u64>, u64),
    /// Blocks of this piece that may still go out.
    left: u64,
    resume: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            run: None,
            last_gap: 0,
            before: (None, 0),
            left: u64::MAX,
            resume: None,
        }
    }

    /// The block after `base` was lost or late.
    pub(super) fn gap(&mut self, base: u64) {
        self.before = (self.run, self.last_gap);
        let known = self.run.unwrap_or(START);
        let sample = (base - self.last_gap).min(4 * known);
        self.run = Some((known * 3 + sample).div_ceil(4));
        self.last_gap = base;
    }

    /// A piece begins at once: the client said where it is.
    pub(super) fn begin(&mut self, base: u64) {
        self.left = self.run.map_or(u64::MAX, |run| {
            (run.max(base - self.last_gap) / SHARE).max(1)
        });
        self.resume = None;
    }

    /// The last gap was none.
    pub(super) fn forget_gap(&mut self) {
        (self.run, self.last_gap) = self.before;
    }

    /// Nothing more goes out until a piece is begun.
    pub(super) fn hold(&mut self) {
        self.left = 0;
        self.resume = None;
    }

    /// How many blocks may go out now.
    pub(super) fn allows(&mut self, now: Instant, base: u64) -> u64 {
        match self.resume {
            Some(at) if now < at => 0,
            Some(_) => {
                self.begin(base);
                self.left
            }
            None => self.left,
        }
    }

    /// So many went out; `more` if the window holds more.
    pub(super) fn sent(&mut self, now: Instant, blocks: u64, more: bool, trip: Option<Duration>) {
        self.left -= blocks.min(self.left);
        if self.left == 0 {
            match trip {
                Some(trip) if more => self.resume = Some(now + (trip * 3 / 2).min(LONGEST_PAUSE)),
                // Nothing was measured yet: nobody knows how long to wait.
                _ => self.left = u64::MAX,
            }
        }
    }

    /// When the next piece may go out, if the window waits for that.
    pub(super) fn resume(&self) -> Option<Instant> {
        self.resume
    }
}

/// What the first gap is smoothed with: after it, pieces are of 2 to 6 blocks until more is known. Short, because at a loss
/// of a twentieth a file of 300 blocks has only 15 gaps to learn from.
const START: u64 = 40;

/// A piece is this part of the blocks between two gaps: half of a piece is sent in vain at each, a sixteenth of all. At a
/// loss of 1 % a window of 16 takes two pieces, at 5 % eight: with more there would be less in vain, but each costs its
/// pause.
const SHARE: u64 = 8;

/// A client's complaint takes the shortest round trip and is waited for half as long again; what comes later, because a host is
/// busy, costs a piece more. Not longer than this, for a window has up to 64 pieces.
const LONGEST_PAUSE: Duration = Duration::from_millis(4);
