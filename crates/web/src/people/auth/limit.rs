//! How often a password may be tried. Pure: the caller passes `now`.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Token buckets in a table of fixed size. Keys are hashed with a per-process secret; two keys
/// that meet in one slot share its budget, so memory is flat whatever names an attacker invents
/// and no flood can evict (and thereby refill) somebody else's bucket.
pub(crate) struct Limiter {
    slots: Vec<Bucket>,
    hasher: RandomState,
    budget: Budget,
}

/// How wide every budget of a table is.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    /// Tries at once.
    burst: f64,
    /// The time in which one more try becomes possible.
    refill: Duration,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    used: f64,
    at: Option<Instant>,
}

impl Limiter {
    /// A table in which every key has this budget.
    pub(crate) fn new(budget: Budget) -> Self {
        Limiter {
            slots: vec![Bucket::default(); SLOTS],
            hasher: RandomState::new(),
            budget,
        }
    }

    /// Takes one try from the key's budget, or says how long to wait for the next.
    ///
    /// # Errors
    /// The time until one more try is allowed.
    pub(crate) fn take(&mut self, key: &str, now: Instant) -> Result<(), Duration> {
        let budget = self.budget;
        let bucket = self.bucket(key);
        let passed = bucket
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        bucket.at = Some(now);
        bucket.used -= passed.as_secs_f64() / budget.refill.as_secs_f64();
        bucket.used = bucket.used.max(0.0);
        let over = bucket.used + 1.0 - budget.burst;
        if over > 0.0 {
            return Err(budget.refill.mul_f64(over));
        }
        bucket.used += 1.0;
        Ok(())
    }

    /// Gives a try back: it was right, and only guessing is limited.
    pub(crate) fn give_back(&mut self, key: &str) {
        let bucket = self.bucket(key);
        bucket.used = (bucket.used - 1.0).max(0.0);
    }

    fn bucket(&mut self, key: &str) -> &mut Bucket {
        let slot = self.hasher.hash_one(key) as usize % SLOTS;
        &mut self.slots[slot]
    }
}

/// 64 KiB or so; far more addresses and accounts than one site has.
const SLOTS: usize = 2048;
/// A person who mistypes gets a few tries at once and five a minute from then on: at most ten
/// checks in any minute.
pub(crate) const STRICT: Budget = Budget {
    burst: 5.0,
    refill: Duration::from_secs(12),
};
/// An account in all, from every address: at most a hundred checks in any minute, which keeps
/// guessing by many hosts hopeless and leaves room for the owner.
pub(crate) const WIDE: Budget = Budget {
    burst: 50.0,
    refill: Duration::from_millis(1200),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_ten_tries_in_any_minute() {
        let mut limiter = Limiter::new(STRICT);
        let start = Instant::now();
        let mut granted = Vec::new();
        for tick in 0..3000 {
            let now = start + Duration::from_millis(tick * 100);
            if limiter.take("account root", now).is_ok() {
                granted.push(now);
            }
        }
        for first in &granted {
            let minute = granted
                .iter()
                .filter(|t| *t >= first && t.duration_since(*first) < Duration::from_secs(60));
            assert!(minute.count() <= 10);
        }
        assert!((25..=30).contains(&granted.len()), "{}", granted.len());
    }

    #[test]
    fn who_knows_the_password_is_not_limited() {
        let mut limiter = Limiter::new(STRICT);
        let now = Instant::now();
        for _ in 0..100 {
            assert!(limiter.take("root", now).is_ok());
            limiter.give_back("root");
        }
    }

    #[test]
    fn a_flood_of_names_takes_no_memory_and_refills_nobody() {
        let mut limiter = Limiter::new(STRICT);
        let now = Instant::now();
        while limiter.take("root", now).is_ok() {}
        for n in 0..100_000 {
            let _ = limiter.take(&format!("name {n}"), now);
        }
        assert_eq!(limiter.slots.len(), SLOTS);
        let wait = limiter.take("root", now).expect_err("still empty");
        assert!(wait <= STRICT.refill, "{wait:?}");
        assert!(limiter.take("root", now + STRICT.refill).is_ok());
    }
}
