//! How often one machine is answered (protocol.md F.1): a machine that reboots in a circle must
//! not fill the journal, and one that asks a thousand times a second must not cost the others.

use bootplan::MacAddr;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Remembers how many answers each hardware address got lately. Each port's loop has its own, so
/// nobody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    machines: HashMap<MacAddr, Lately>,
    /// When those who no longer ask were last forgotten.
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Lately {
    since: Instant,
    asked: u32,
}

/// Whether this request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As usual.
    Answer,
    /// The first one above the limit: answer, and tell people once.
    BootLoop,
    /// Above the limit.
    Skip,
}

impl Pace {
    /// Counts one request of `mac` at `now` and says whether it is answered.
    pub(crate) fn turn(&mut self, mac: MacAddr, now: Instant) -> Turn {
        // Looking through all of them is too much for every packet of a flood.
        let due = |swept| now.duration_since(swept) >= SWEEP_EVERY;
        if self.machines.len() >= REMEMBERED && self.swept.is_none_or(due) {
            self.swept = Some(now);
            self.machines
                .retain(|_, m| now.duration_since(m.since) < WINDOW);
        }
        if self.machines.len() >= REMEMBERED && !self.machines.contains_key(&mac) {
            // A flood of invented addresses: each asks once, so nobody needs slowing down.
            return Turn::Answer;
        }
        let lately = self.machines.entry(mac).or_insert(Lately {
            since: now,
            asked: 0,
        });
        if now.duration_since(lately.since) >= WINDOW {
            *lately = Lately {
                since: now,
                asked: 0,
            };
        }
        lately.asked += 1;
        match lately.asked {
            n if n <= LIMIT => Turn::Answer,
            n if n == LIMIT + 1 => Turn::BootLoop,
            n if (n - LIMIT) % 5 == 1 => Turn::Answer,
            _ => Turn::Skip,
        }
    }
}

/// Answers within [`WINDOW`] before a machine is slowed down to one answer in five. A healthy
/// boot asks two to six times.
const LIMIT: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Hardware addresses remembered (about 40 bytes each).
const REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_loop_is_told_once_and_slowed_down() {
        let mut pace = Pace::default();
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let start = Instant::now();
        let turns: Vec<Turn> = (0..30).map(|_| pace.turn(mac, start)).collect();
        assert!(turns[..20].iter().all(|t| *t == Turn::Answer));
        assert_eq!(turns[20], Turn::BootLoop);
        assert_eq!(
            turns[21..].iter().filter(|t| **t == Turn::Answer).count(),
            1
        );
        assert_eq!(pace.turn(mac, start + WINDOW), Turn::Answer, "a new minute");
        assert_eq!(
            pace.turn(MacAddr([2, 0, 0, 0, 0, 2]), start),
            Turn::Answer,
            "others go on"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut pace = Pace::default();
        let start = Instant::now();
        for n in 0..(REMEMBERED as u32 + 5000) {
            let [a, b, c, d] = n.to_be_bytes();
            assert_eq!(pace.turn(MacAddr([2, 0, a, b, c, d]), start), Turn::Answer);
        }
        assert!(pace.machines.len() <= REMEMBERED);
        // A minute later they are forgotten, and a machine is counted again.
        let later = start + WINDOW;
        let mac = MacAddr([2; 6]);
        let turns: Vec<Turn> = (0..21).map(|_| pace.turn(mac, later)).collect();
        assert_eq!(turns[20], Turn::BootLoop);
        assert_eq!(pace.machines.len(), 1);
    }
}
