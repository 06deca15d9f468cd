//! Counters by name, for the status page: what came in and was not for us, and why.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts by a name known at compile time. Names are few; counting takes a shared lock only.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: RwLock<BTreeMap<&'static str, AtomicU64>>,
}

impl Counters {
    /// Adds one.
    pub(crate) fn count(&self, name: &'static str) {
        if let Some(count) = self.counts.read().expect("no panic while held").get(name) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut counts = self.counts.write().expect("no panic while held");
        counts
            .entry(name)
            .or_default()
            .fetch_add(1, Ordering::Relaxed);
    }

    /// All counts by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        let counts = self.counts.read().expect("no panic while held");
        counts
            .iter()
            .map(|(name, n)| ((*name).to_owned(), n.load(Ordering::Relaxed)))
            .collect()
    }
}

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
}
