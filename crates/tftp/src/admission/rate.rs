//! How many requests an address may make in a second.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Requests of one address in a second, on average. GRUB fetches some 300 modules in a few seconds, one after
/// the other; a rack of 40 machines behind one translated address that does so all at once stays below, too. A
/// program that asks faster than that only wants to keep the disk busy.
pub const PER_SECOND: u32 = 1_000;

/// Requests of one address that may come at once.
pub const BURST: u32 = 1_000;

/// Buckets there are. Addresses are spread over them by a hash that nobody outside can foretell, and share one where
/// they meet: forged addresses cost no memory (this is 64 KiB), and to empty the bucket of somebody else with
/// them, four million have to be sent in a second.
const BUCKETS: usize = 4_096;

/// A token bucket for each address.
#[derive(Debug)]
pub(super) struct Rates {
    hasher: RandomState,
    /// Time one request costs.
    cost: Duration,
    /// Time that a full bucket holds.
    most: Duration,
    buckets: Vec<Option<Instant>>,
}

impl Rates {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self {
            hasher: RandomState::new(),
            cost,
            most: cost * burst.max(1),
            buckets: vec![None; BUCKETS],
        }
    }

    /// Whether one more request of `address` is within its rate; it is counted then.
    ///
    /// A bucket is the time at which it will be full again: a request puts that off by its cost, and it may not
    /// be further away than a full bucket holds.
    pub(super) fn take(&mut self, now: Instant, address: IpAddr) -> bool {
        let hash = self.hasher.hash_one(address);
        let index = usize::try_from(hash % BUCKETS as u64).unwrap_or_default();
        let Some(bucket) = self.buckets.get_mut(index) else {
            return true;
        };
        let full = bucket.map_or(now, |full| full.max(now)) + self.cost;
        let within = full <= now + self.most;
        if within {
            *bucket = Some(full);
        }
        within
    }
}
