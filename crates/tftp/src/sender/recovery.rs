//! What was already done about a loss, and what an ACK still says.

use std::time::{Duration, Instant};

/// The memory of one transfer's repeats.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The one going back that a base is worth was used.
    pub(super) went_back: bool,
    /// The last block alone was already sent again since `base` moved, or would tell nothing.
    pub(super) probed: bool,
    /// An ACK that stops short need not mean a gap. EDK2 acknowledges every block that it did not expect, and the second
    /// copy of a block that the network doubles is one. Going back for each of those sends the file three times.
    pub(super) doubts_gaps: bool,
    /// Times the blocks in flight were sent again: the client will acknowledge each copy.
    copies: u32,
    /// Duplicate ACKs still to come for the copies of earlier windows; they report no loss. Without this, one
    /// early timeout doubles every window for the rest of the transfer (the windowed Sorcerer's Apprentice).
    expected_duplicates: u32,
    /// Until then duplicate ACKs are for blocks that were sent again in vain.
    echoes_until: Option<Instant>,
    /// Duplicate ACKs since `base` moved.
    duplicates: u64,
    /// The block that an ACK last went back for, until it is known whether it was right.
    gap: Option<u64>,
    /// When sending last began with the block after `base`.
    began_at: Option<Instant>,
    sent: Option<Sent>,
    /// Shortest round trip seen.
    shortest: Option<Duration>,
    /// Stands for it until one was seen: what passed from a repeat to the ACK, which may have been an earlier copy's.
    guessed: Option<Duration>,
}

/// The newest sending.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    /// Its first block that had never been sent before; 0 is the opening. Only an ACK of that or a later one tells the round
    /// trip (Karn's rule: another may be for an earlier copy).
    fresh: Option<u64>,
}

impl Recovery {
    /// Something went out, with these blocks from `fresh` on for the first time.
    pub(super) fn sent(&mut self, now: Instant, fresh: Option<u64>) {
        let fresh = match self.sent {
            // Datagrams of one moment are one sending.
            Some(sent) if sent.at == now => sent.fresh.or(fresh),
            _ => fresh,
        };
        self.sent = Some(Sent { at: now, fresh });
    }

    /// Sending begins again at a lower block.
    pub(super) fn go_back(&mut self, now: Instant) {
        self.repeat();
        self.went_back = false;
        self.began_at = Some(now);
    }

    /// The same, because of an ACK of `base`.
    pub(super) fn went_back_for_ack(&mut self, base: u64) {
        self.went_back = true;
        self.gap = Some(base);
    }

    /// The last block goes out again alone.
    pub(super) fn probe(&mut self) {
        self.repeat();
        self.probed = true;
        self.went_back = false;
    }

    /// Some of what is in flight goes out once more.
    pub(super) fn repeat(&mut self) {
        self.copies += 1;
        if let Some(sent) = &mut self.sent {
            sent.fresh = None;
        }
    }

    /// Whether an ACK that comes now was sent before the client can have seen what was sent last. It tells of what
    /// was sent before, and is no reason to send again: clients that acknowledge every block they did not
    /// expect, as EDK2 does, send a burst of these.
    pub(super) fn is_too_early(&self, now: Instant) -> bool {
        match (self.began_at, self.shortest.or(self.guessed)) {
            (Some(at), Some(shortest)) => now.saturating_duration_since(at) < shortest,
            _ => false,
        }
    }

    /// Whether a duplicate ACK is the answer to something that was sent twice.
    pub(super) fn is_echo(&mut self, now: Instant) -> bool {
        if self.is_too_early(now) || self.echoes_until.is_some_and(|until| now < until) {
            return true;
        }
        let expected = self.expected_duplicates > 0;
        self.expected_duplicates -= u32::from(expected);
        expected
    }

    /// Whether another duplicate ACK is enough to believe in a gap with so many blocks behind it: in doubt, a client
    /// that acknowledges all of those says it more than once. TCP's number (RFC 5681 section 3.2).
    pub(super) fn shows_gap(&mut self, behind: u64) -> bool {
        self.duplicates += 1;
        !self.doubts_gaps || self.duplicates >= behind.min(ENOUGH_DUPLICATES)
    }

    /// Whether the last going back for an ACK was wrong: `base` moved on before what was sent again can have arrived. But
    /// for a block or two that may be late ones which others had overtaken, and then there was a gap.
    pub(super) fn was_in_vain(&mut self, now: Instant, base: u64) -> bool {
        if !self.is_too_early(now) {
            self.gap = None;
        }
        let in_vain = self.gap.is_some_and(|gap| base > gap + OVERTAKEN);
        if in_vain {
            self.gap = None;
            self.doubts_gaps = true;
            let times = self.began_at.zip(self.shortest.or(self.guessed));
            self.echoes_until = times.map(|(at, shortest)| at + 3 * shortest);
        }
        in_vain
    }

    /// A client that was doubted has fallen silent: it may be waiting behind a gap that it mentioned once.
    pub(super) fn trust(&mut self) {
        self.doubts_gaps = false;
    }

    /// What the ACK of `base` tells of the round trip.
    pub(super) fn round_trip(&mut self, now: Instant, base: u64) -> Option<Duration> {
        let sent = self.sent?;
        let sample = now.saturating_duration_since(sent.at);
        let known = match sent.fresh {
            Some(fresh) if base >= fresh => &mut self.shortest,
            None => &mut self.guessed,
            Some(_) => return None,
        };
        *known = Some(known.map_or(sample, |least| least.min(sample)));
        self.sent = None;
        sent.fresh.map(|_| sample)
    }

    /// The shortest round trip, or what stands for it.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.shortest.or(self.guessed)
    }

    /// All in flight was acknowledged.
    pub(super) fn next_window(&mut self, now: Instant) {
        self.settle();
        self.began_at = Some(now);
    }

    /// A part or all of it was acknowledged, the window moves on.
    pub(super) fn settle(&mut self) {
        self.expected_duplicates = std::mem::take(&mut self.copies);
        self.duplicates = 0;
        self.probed = false;
        self.went_back = false;
    }
}

/// Duplicate ACKs that show a gap when one does not.
const ENOUGH_DUPLICATES: u64 = 3;

/// Late blocks that a gap may turn out to have been.
const OVERTAKEN: u64 = 2;
