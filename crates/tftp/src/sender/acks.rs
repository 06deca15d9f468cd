//! What the client's ACKs, and its silence, make of a transfer.

use std::time::Instant;

use super::{Phase, Sender};
use crate::limits::{DALLY, REPEATS_BASE, REPEATS_PER_BLOCK};
use crate::outcome::OutcomeKind;
use crate::source::Source;

impl<S: Source> Sender<S> {
    pub(super) fn handle_ack(&mut self, now: Instant, number: u16) {
        let Some(delta) = self.agreed.rollover.distance(self.base, number) else {
            return;
        };
        match self.phase {
            Phase::Offered if number == 0 => {
                self.unproved = None;
                self.phase = Phase::Sending;
                self.first_due = false;
                self.measure(now);
                self.next_window(now);
                self.timer.progress(now);
            }
            Phase::Offered | Phase::Dallying { .. } | Phase::Closed => {}
            Phase::Sending if delta == 0 => self.handle_duplicate(now),
            Phase::Sending => self.advance(now, delta),
        }
    }

    /// An ACK of `base` again. With single blocks it is ignored, and the timer runs on: RFC 1123 section
    /// 4.2.3.1. With windows the client saw a gap right after it; EDK2 says so for every further block.
    fn handle_duplicate(&mut self, now: Instant) {
        if self.agreed.windowsize == 1 || self.recovery.is_echo(now) {
            return;
        }
        let behind_gap = self.next.saturating_sub(self.base + 2);
        if self.recovery.went_back {
            // What was sent again is lost again. One going back is all that an ACK is worth, the timer has to do the
            // next; but more behind this gap would be sent in vain.
            self.pace.hold();
            self.recovery.probed = true;
        } else if self.next > self.base + 1 && self.recovery.shows_gap(behind_gap) {
            self.go_back_for_ack(now);
        }
    }

    /// The client has `delta` blocks more. They may be more than were sent since the last going back: then that was
    /// in vain, or not far enough to say so.
    fn advance(&mut self, now: Instant, delta: u64) {
        if delta > self.highest - self.base {
            return; // stale, or a block that was never sent
        }
        self.unproved = None;
        self.base += delta;
        let all_in_flight = self.base >= self.next - 1;
        self.next = self.next.max(self.base + 1);
        self.blocks.release(self.base);
        self.counted = false;
        if let Some(waiting) = &mut self.waiting {
            waiting.since = now;
        }
        self.stats.bytes += delta * u64::from(self.agreed.blksize);
        if let Some((last, octets)) = self.last.filter(|(last, _)| *last == self.base) {
            self.stats.bytes = (last - 1) * u64::from(self.agreed.blksize) + octets;
            self.outcome = Some(OutcomeKind::Completed);
            self.first_due = false;
            self.waiting = None;
            self.phase = Phase::Dallying { until: now + DALLY };
            return;
        }
        self.measure(now);
        if self.recovery.was_in_vain(now, self.base) {
            self.pace.forget_gap();
        }
        if all_in_flight {
            self.next_window(now);
            self.timer.progress(now);
        } else {
            self.timer.progress(now);
            self.stopped_short(now);
        }
        if !self.may_repeat() {
            self.timer.slow_down(now);
        }
    }

    /// The block just acknowledged tells the round trip, if it went out only once.
    fn measure(&mut self, now: Instant) {
        if let Some(sample) = self.recovery.round_trip(now, self.base) {
            self.timer.measured(sample);
        }
    }

    /// All in flight was acknowledged.
    fn next_window(&mut self, now: Instant) {
        self.recovery.next_window(now);
        self.pace.begin(self.base);
    }

    /// The client acknowledged a part of what is in flight: a block was lost, or it had another reason. If it was a loss,
    /// this is the one going back of the new base.
    fn stopped_short(&mut self, now: Instant) {
        self.recovery.settle();
        if self.recovery.doubts_gaps {
            self.pace.begin(self.base);
        } else if !self.recovery.is_too_early(now) {
            self.go_back_for_ack(now);
        }
    }

    /// The client's ACK showed a gap right after `base`.
    fn go_back_for_ack(&mut self, now: Instant) {
        if self.may_repeat() {
            self.pace.gap(self.base);
            self.go_back(now);
            self.recovery.went_back_for_ack(self.base);
        }
    }

    /// Whether the budget of repeats lasts.
    fn may_repeat(&self) -> bool {
        self.stats.retransmits < REPEATS_BASE + REPEATS_PER_BLOCK * self.base
    }

    /// The client has been silent for the timer's interval.
    ///
    /// Where blocks were lost before, the first thing sent is the last block alone. It is as good as the whole window
    /// when it is the one missing, or when the client's ACK is; and a client that misses another will say so. The
    /// whole window follows if that brings no answer.
    pub(super) fn resend(&mut self, now: Instant) {
        let known_to_lose = self.stats.windows_repeated > 0 && self.timer.round_trip().is_some();
        if known_to_lose && !self.recovery.probed && self.next > self.base + 3 {
            self.timer.again(now);
            self.recovery.probe();
            self.pace.begin(self.base);
            self.stats.windows_repeated += 1;
            self.next -= 1;
        } else {
            self.go_back(now);
        }
        self.recovery.trust();
    }

    fn go_back(&mut self, now: Instant) {
        self.recovery.go_back(now);
        self.pace.begin(self.base);
        self.stats.windows_repeated += 1;
        self.next = self.base + 1;
    }
}
