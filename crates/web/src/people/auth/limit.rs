//! How often a password may be tried. Pure: the caller passes `now`.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Token buckets in a table of fixed size. Keys are hashed with a per-process secret; two keys
/// that meet in one slot share its budget, so memory is flat whatever names an attacker invents
/// and no flood can evict (and thereby refill) somebody else's bucket.
pub(crate) struct Limiter {
    slots: Vec<Bucket>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Option<Instant>,
}

impl Default for Limiter {
    fn default() -> Self {
        Limiter {
            slots: vec![
                Bucket {
                    left: BURST,
                    at: None
                };
                SLOTS
            ],
            hasher: RandomState::new(),
        }
    }
}

impl Limiter {
    /// Takes one try from the key's budget, or says how long to wait for the next.
    ///
    /// # Errors
    /// The time until one more try is allowed.
    pub(crate) fn take(&mut self, key: &str, now: Instant) -> Result<(), Duration> {
        let bucket = self.bucket(key);
        let passed = bucket
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        bucket.at = Some(now);
        bucket.left = (bucket.left + passed.as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        if bucket.left < 1.0 {
            return Err(REFILL.mul_f64(1.0 - bucket.left));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// Gives a try back: it was right, and only guessing is limited.
    pub(crate) fn give_back(&mut self, key: &str) {
        let bucket = self.bucket(key);
        bucket.left = (bucket.left + 1.0).min(BURST);
    }

    fn bucket(&mut self, key: &str) -> &mut Bucket {
        let slot = self.hasher.hash_one(key) as usize % SLOTS;
        &mut self.slots[slot]
    }
}

/// 64 KiB or so; far more addresses and accounts than one site has.
const SLOTS: usize = 2048;
/// A person who mistypes gets a few tries at once ...
const BURST: f64 = 5.0;
/// ... and five a minute from then on: at most ten checks in any minute.
const REFILL: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_ten_tries_in_any_minute() {
        let mut limiter = Limiter::default();
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
        let mut limiter = Limiter::default();
        let now = Instant::now();
        for _ in 0..100 {
            assert!(limiter.take("root", now).is_ok());
            limiter.give_back("root");
        }
    }

    #[test]
    fn a_flood_of_names_takes_no_memory_and_refills_nobody() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        while limiter.take("root", now).is_ok() {}
        for n in 0..100_000 {
            let _ = limiter.take(&format!("name {n}"), now);
        }
        assert_eq!(limiter.slots.len(), SLOTS);
        let wait = limiter.take("root", now).expect_err("still empty");
        assert!(wait <= REFILL, "{wait:?}");
        assert!(limiter.take("root", now + REFILL).is_ok());
    }
}
