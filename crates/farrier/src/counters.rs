//! What came in on each UDP port, for the status page and metrics: answered, or not and why.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of every UDP port.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Port 67.
    pub(crate) dhcp: PortCounts,
    /// Port 4011.
    pub(crate) boot_server: PortCounts,
    /// Port 69, where answers are transfers and counted as those.
    pub(crate) tftp: PortCounts,
}

/// The counts of one port.
#[derive(Debug, Default)]
pub(crate) struct PortCounts {
    answered: AtomicU64,
    /// What was not answered, by reason.
    pub(crate) ignored: Counters,
}

impl PortCounts {
    /// One more answer.
    pub(crate) fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Counts by a name known at compile time. Packet loops count without waiting for each other: a
/// name takes a place of its own when it is counted first, and then it is one addition.
#[derive(Debug)]
pub(crate) struct Counters {
    places: [Place; PLACES],
}

#[derive(Debug, Default)]
struct Place {
    name: OnceLock<&'static str>,
    count: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            places: std::array::from_fn(|_| Place::default()),
        }
    }
}

impl Counters {
    /// Adds one.
    pub(crate) fn count(&self, name: &'static str) {
        let first = hash(name);
        let places = (0..PLACES).map(|n| &self.places[(first + n) % PLACES]);
        for place in places {
            if *place.name.get_or_init(|| name) == name {
                place.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        // There are far fewer names in the code than places.
        debug_assert!(false, "no place for {name}");
    }

    /// All counts by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        let counted = |place: &Place| {
            let name = (*place.name.get()?).to_owned();
            Some((name, place.count.load(Ordering::Relaxed)))
        };
        self.places.iter().filter_map(counted).collect()
    }
}

fn hash(name: &str) -> usize {
    let step = |hash: usize, octet: u8| hash.wrapping_mul(31).wrapping_add(octet.into());
    name.bytes().fold(0, step)
}

const PLACES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_name() {
        let counters = Counters::default();
        for name in ["a", "b", "a"] {
            counters.count(name);
        }
        let expected = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(counters.snapshot(), expected);
    }

    #[test]
    fn names_that_meet_in_one_place_and_threads_that_meet_are_told_apart() {
        // 31 * 'b' + 'A' == 31 * 'a' + '`'
        assert_eq!(hash("bA"), hash("a`"));
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for name in ["bA", "a`", "bA", "c"].repeat(1000) {
                        counters.count(name);
                    }
                });
            }
        });
        let expected = [("a`", 4000), ("bA", 8000), ("c", 4000)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counters.snapshot(), BTreeMap::from(expected));
    }
}
