//! When to send again, and when to give up.

use std::time::{Duration, Instant};

use crate::limits::{INTERVAL_FLOOR, Limits};

/// The retransmission timer of one transfer.
///
/// Until a round trip was measured the interval is a second, or what the client negotiated by `timeout`; then it
/// is four round trips. It doubles while nothing comes. A negotiated `timeout` stays the longest interval. It says
/// how long the client is willing to wait; getting a lost block sooner is no harm to it, for it must bear
/// repeats anyway.
///
/// Restarted by progress, and by what that or a timeout makes go out: a duplicate ACK that restarted it would let
/// a client that asks again and again wait for ever. How long silence lasts until the transfer ends does not
/// depend on what was measured: a client that answered in a millisecond may still reboot its switch.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    /// Interval before anything was measured, and the longest first one after.
    first: Duration,
    /// What doubling ends at.
    cap: Duration,
    /// The same after `tries` times, when nobody waits as agreed any more.
    late_cap: Duration,
    tries: u32,
    silence: Duration,
    round_trip: Option<RoundTrip>,
    interval: Duration,
    /// The interval that ended when the timer fired last.
    fired: Duration,
    sent: u32,
    progress: Instant,
    deadline: Instant,
}

/// What was measured of the time from sending to the ACK.
#[derive(Debug, Clone, Copy)]
struct RoundTrip {
    smoothed: Duration,
    /// Largest of the recent ones: it takes some 16 of a smaller one to forget it.
    peak: Duration,
}

/// What a fired timer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Not yet.
    No,
    /// Send again.
    Resend,
    /// The peer is gone.
    GiveUp,
}

impl Timer {
    /// Starts with one sending at `now`; `negotiated` is the interval both sides agreed on.
    pub(crate) fn new(limits: &Limits, negotiated: Option<Duration>, now: Instant) -> Self {
        let first = negotiated.unwrap_or(limits.first_interval);
        let cap = negotiated.unwrap_or(limits.interval_cap).max(first);
        let idle = limits.idle_cap.max(negotiated.unwrap_or_default() * 2);
        Self {
            first,
            cap,
            late_cap: limits.interval_cap.max(cap),
            tries: limits.tries,
            silence: all_tries(first, cap, limits.tries)
                .max(limits.patience)
                .min(idle),
            round_trip: None,
            interval: first,
            fired: first,
            sent: 1,
            progress: now,
            deadline: now + first,
        }
    }

    /// A round trip of something that was sent once (Karn's rule: the ACK of what was sent twice says nothing).
    pub(crate) fn measured(&mut self, sample: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => RoundTrip {
                smoothed: sample,
                peak: sample,
            },
            Some(known) => RoundTrip {
                smoothed: (known.smoothed * 7 + sample) / 8,
                peak: sample.max(known.peak * 15 / 16),
            },
        });
    }

    /// The round trip, smoothed; `None` before the first was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|known| known.smoothed)
    }

    /// The peer moved on: all its time again, and the measured interval.
    ///
    /// But when it moved on only after a repeat, that may have been too early, and a client slower than the
    /// interval would never be measured: every block would go out twice. So the interval stays doubled
    /// until a window needs no repeat; never longer than without measuring.
    pub(crate) fn progress(&mut self, now: Instant) {
        let measured = self.measured_interval();
        self.interval = if self.sent > 1 {
            self.interval.min(self.first).max(measured)
        } else {
            measured
        };
        self.sent = 1;
        self.progress = now;
        self.deadline = now + self.interval;
    }

    /// From now on until progress the interval is the one without measuring.
    pub(crate) fn slow_down(&mut self, now: Instant) {
        self.interval = self.first;
        self.deadline = now + self.first;
    }

    /// What the timer that just fired made go out was only a probe: the same interval again.
    pub(crate) fn again(&mut self, now: Instant) {
        self.sent -= 1;
        self.interval = self.fired;
        self.deadline = (now + self.interval).min(self.end());
    }

    /// Some more of a window went out, later than the rest.
    pub(crate) fn sent_more(&mut self, now: Instant) {
        self.deadline = (now + self.interval).min(self.end());
    }

    /// So much of the time was not the peer's.
    pub(crate) fn forgive(&mut self, time: Duration) {
        self.progress += time;
        self.deadline += time;
    }

    /// When the peer moved on last.
    pub(crate) fn last_progress(&self) -> Instant {
        self.progress
    }

    /// When [`Timer::fire`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// To be called at or after the deadline.
    pub(crate) fn fire(&mut self, now: Instant) -> Fired {
        if now < self.deadline {
            return Fired::No;
        }
        if now >= self.end() {
            return Fired::GiveUp;
        }
        self.sent += 1;
        self.fired = self.interval;
        let cap = if self.sent > self.tries {
            self.late_cap
        } else {
            self.cap
        };
        self.interval = (self.interval * 2).min(cap);
        self.deadline = (now + self.interval).min(self.end());
        Fired::Resend
    }

    fn end(&self) -> Instant {
        self.progress + self.silence
    }

    fn measured_interval(&self) -> Duration {
        self.round_trip.map_or(self.first, |known| {
            (known.smoothed * 4)
                .max(known.peak * 2)
                .max(INTERVAL_FLOOR)
                .min(self.first)
        })
    }
}

/// How long it takes to send so many times and wait after each.
fn all_tries(first: Duration, cap: Duration, tries: u32) -> Duration {
    let mut interval = first;
    let mut sum = Duration::ZERO;
    for _ in 0..tries {
        sum += interval;
        interval = (interval * 2).min(cap);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_probe_leaves_the_interval_as_it_was_also_where_doubling_ends() {
        let start = Instant::now();
        for negotiated in [10, 3_000] {
            let interval = Duration::from_millis(negotiated);
            // It does not double: the client said how long it waits.
            let mut timer = Timer::new(&Limits::default(), Some(interval), start);
            let now = start + interval;
            assert_eq!(timer.fire(now), Fired::Resend);
            timer.again(now);
            assert_eq!(timer.deadline(), now + interval);
        }
    }
}
