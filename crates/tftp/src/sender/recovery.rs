//! What was already done about a loss, and what an ACK still says.

use std::time::{Duration, Instant};

/// The memory of one transfer's repeats.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The one going back that a base is worth was used.
    pub(super) went_back: bool,
    /// Times the blocks in flight were sent again: the client will acknowledge each copy.
    pub(super) copies: u32,
    /// Duplicate ACKs still to come for the copies of earlier windows; they report no loss. Without this, one
    /// early timeout doubles every window for the rest of the transfer (the windowed Sorcerer's Apprentice).
    pub(super) expected_duplicates: u32,
    /// When sending last began with the block after `base`.
    began_at: Option<Instant>,
    /// Shortest round trip seen.
    shortest: Option<Duration>,
    /// When the last datagram in flight was sent; `None` when that was not its first time, for then its ACK
    /// may be the one of an earlier copy (Karn's rule).
    sent_at: Option<Instant>,
}

impl Recovery {
    /// Something went out; `fresh` if for the first time.
    pub(super) fn sent(&mut self, now: Instant, fresh: bool) {
        self.sent_at = fresh.then_some(now);
    }

    /// Sending begins again at a lower block.
    pub(super) fn go_back(&mut self, now: Instant) {
        self.copies += 1;
        self.began_at = Some(now);
        self.sent_at = None;
    }

    /// What is in flight goes out once more, beside the rest.
    pub(super) fn repeat_first(&mut self) {
        self.copies += 1;
        self.sent_at = None;
    }

    /// Whether an ACK that comes now was sent before the client can have seen what was sent last. It tells of what
    /// was sent before, and is no reason to send again: clients that acknowledge every block they did not
    /// expect, as EDK2 does, send a burst of these.
    pub(super) fn is_too_early(&self, now: Instant) -> bool {
        match (self.began_at, self.shortest) {
            (Some(at), Some(shortest)) => now.saturating_duration_since(at) < shortest,
            _ => false,
        }
    }

    /// All in flight was acknowledged: the round trip, if it can be told.
    pub(super) fn next_window(&mut self, now: Instant) -> Option<Duration> {
        self.settle();
        self.began_at = Some(now);
        let sample = now.saturating_duration_since(self.sent_at.take()?);
        self.shortest = Some(self.shortest.map_or(sample, |least| least.min(sample)));
        Some(sample)
    }

    /// A part or all of it was acknowledged, the window moves on.
    pub(super) fn settle(&mut self) {
        self.expected_duplicates = self.copies;
        self.copies = 0;
        self.went_back = false;
    }
}
