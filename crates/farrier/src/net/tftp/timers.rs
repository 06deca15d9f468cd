//! When each transfer wants to be called: a heap in which most entries are left to go stale.
//!
//! A transfer's deadline moves with every ACK, mostly further away. Instead of moving its entry each time, the
//! entry stays; when it comes up, the transfer says when it is really due.

use super::slots::Key;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Deadlines of one worker's transfers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Key, Precision)>>,
}

/// How exactly a deadline is to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precision {
    /// To the microsecond, unless a coarse one is due in the millisecond before it.
    Fine,
    /// A millisecond late is early enough.
    Coarse,
}

/// A transfer's side of it: when its earliest entry comes up.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    set_for: Option<Instant>,
}

impl Timers {
    /// Makes sure that `key` comes up at `deadline` or earlier.
    pub(super) fn set(&mut self, alarm: &mut Alarm, key: Key, due: Option<(Instant, Precision)>) {
        let Some((deadline, precision)) = due else {
            return;
        };
        if alarm.set_for.is_none_or(|set| deadline < set) {
            alarm.set_for = Some(deadline);
            self.heap.push(Reverse((deadline, key, precision)));
        }
    }

    /// The next one that has come up; the caller tells its alarm with [`Alarm::rang`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Key)> {
        let Reverse((deadline, ..)) = self.heap.peek()?;
        if *deadline > now {
            return None;
        }
        let Reverse((deadline, key, _)) = self.heap.pop()?;
        Some((deadline, key))
    }

    /// How long until the next one comes up.
    pub(super) fn wait(&self, now: Instant) -> Option<(Duration, Precision)> {
        let Reverse((deadline, _, precision)) = self.heap.peek()?;
        Some((deadline.saturating_duration_since(now), *precision))
    }
}

impl Alarm {
    /// Whether this was the alarm's own entry and not one gone stale.
    pub(super) fn rang(&mut self, deadline: Instant) -> bool {
        let own = self.set_for == Some(deadline);
        if own {
            self.set_for = None;
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::Precision::{Coarse, Fine};
    use super::*;

    #[test]
    fn an_earlier_deadline_comes_up_first_and_a_later_one_costs_nothing() {
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let key = Key::from_bits(7);
        timers.set(&mut alarm, key, Some((at(1000), Coarse)));
        timers.set(&mut alarm, key, Some((at(20), Fine)));
        timers.set(&mut alarm, key, Some((at(500), Coarse)));
        timers.set(&mut alarm, key, None);
        assert_eq!(timers.heap.len(), 2);
        assert_eq!(timers.wait(at(5)), Some((Duration::from_millis(15), Fine)));
        assert_eq!(timers.pop(at(19)), None);
        let (deadline, due) = timers.pop(at(20)).expect("due");
        assert_eq!(due, key);
        assert!(alarm.rang(deadline));
        timers.set(&mut alarm, key, Some((at(2000), Coarse)));
        let (deadline, _) = timers.pop(at(1500)).expect("the first entry");
        assert!(!alarm.rang(deadline), "it had gone stale");
        assert_eq!(timers.wait(at(3000)), Some((Duration::ZERO, Coarse)));
    }
}
