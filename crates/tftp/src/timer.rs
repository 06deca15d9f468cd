//! When to send again, and when to give up.

use std::time::{Duration, Instant};

use crate::limits::Limits;

/// The retransmission timer of one transfer.
///
/// Fixed first interval, doubling; a negotiated `timeout` is kept constant instead. Restarted by progress only:
/// a duplicate ACK that restarted it would let a client that asks again and again wait for ever.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    first: Duration,
    cap: Duration,
    constant: bool,
    tries: u32,
    patience: Duration,
    idle: Duration,
    interval: Duration,
    sent: u32,
    progress: Instant,
    deadline: Instant,
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
        Self {
            first,
            cap: limits.interval_cap.max(first),
            constant: negotiated.is_some(),
            tries: limits.tries,
            patience: limits.patience,
            idle: negotiated.map_or(limits.idle_cap, |interval| {
                limits.idle_cap.max(interval * 2)
            }),
            interval: first,
            sent: 1,
            progress: now,
            deadline: now + first,
        }
    }

    /// The peer moved on: full interval, all tries again.
    pub(crate) fn progress(&mut self, now: Instant) {
        self.interval = self.first;
        self.sent = 1;
        self.progress = now;
        self.deadline = now + self.first;
    }

    /// So much of the time was not the peer's.
    pub(crate) fn forgive(&mut self, time: Duration) {
        self.progress += time;
        self.deadline += time;
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
        let end = self.progress + self.idle;
        if now >= end {
            return Fired::GiveUp;
        }
        if self.sent >= self.tries {
            let patient = self.progress + self.patience;
            if now >= patient {
                return Fired::GiveUp;
            }
            self.deadline = patient;
            return Fired::No;
        }
        self.sent += 1;
        if !self.constant {
            self.interval = (self.interval * 2).min(self.cap);
        }
        self.deadline = (now + self.interval).min(end);
        Fired::Resend
    }
}
