//! How often each server has its turn in a case.
//!
//! The pace of a shared machine changes by a factor of two to ten from one second to the next. A
//! median is safe from that when it is one of many short turns taken in rotation, not of few long
//! ones; so turns are short, and a case goes on for longer than it must as long as that is cheap.
//! Servers that need many seconds for a turn (their timers, their pace) take part in fewer rounds,
//! or they would decide how long everything takes.

use std::time::Duration;

/// What a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// A goal is decided by it.
    Goal,
    /// It is shown.
    Table,
}

/// The plan of one case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// At least so many rounds ...
    least: usize,
    /// ... and at most so many ...
    most: usize,
    /// ... as long as no more time than this has gone.
    cheap: Duration,
    /// A peer whose turns took this long together takes no further part: its share of the case.
    patience: Duration,
}

impl Schedule {
    /// For a case of so many servers when `--rounds` are asked for.
    pub(crate) fn new(worth: Worth, rounds: usize, servers: usize) -> Self {
        let rounds = rounds.max(1);
        let (least, patience) = match worth {
            Worth::Goal => (rounds, 21),
            Worth::Table => ((rounds * 2).div_ceil(5), 8),
        };
        let share = |seconds: u64| Duration::from_secs(seconds) * rounds as u32;
        Self {
            least,
            // One round is one round.
            most: if rounds == 1 { 1 } else { 3 * least },
            cheap: share(2),
            patience: share(patience) / servers.max(1) as u32,
        }
    }

    /// Whether there is one more round after `done` of them, which took `gone`.
    pub(crate) fn goes_on(&self, done: usize, gone: Duration) -> bool {
        done < self.least || (done < self.most && gone < self.cheap)
    }

    /// Whether a peer takes part in one more round, whose turns took `spent` so far.
    pub(crate) fn takes_part(&self, spent: Duration) -> bool {
        spent < self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(schedule: &Schedule, each: Duration) -> usize {
        let mut done = 0;
        while schedule.goes_on(done, each * done as u32) {
            done += 1;
        }
        done
    }

    #[test]
    fn cheap_cases_have_more_rounds_and_dear_ones_what_was_asked_for() {
        let goal = Schedule::new(Worth::Goal, 5, 7);
        let seconds = Duration::from_secs;
        assert_eq!(rounds(&goal, Duration::from_millis(10)), 15);
        assert_eq!(rounds(&goal, seconds(1)), 10);
        assert_eq!(rounds(&goal, seconds(40)), 5);
        assert_eq!(rounds(&Schedule::new(Worth::Table, 5, 7), seconds(40)), 2);
        assert_eq!(rounds(&Schedule::new(Worth::Table, 1, 7), seconds(0)), 1);
        assert_eq!(rounds(&Schedule::new(Worth::Goal, 0, 7), seconds(0)), 1);
    }

    #[test]
    fn everybody_has_one_turn_and_slow_servers_no_more_than_fits() {
        for worth in [Worth::Goal, Worth::Table] {
            for rounds in 1..9 {
                let schedule = Schedule::new(worth, rounds, 7);
                assert!(schedule.takes_part(Duration::ZERO));
                assert!(!schedule.takes_part(Duration::from_secs(3 * rounds as u64)));
            }
        }
    }
}
