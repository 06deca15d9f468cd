//! How much strangers may cost.

use bootplan::Timestamp;

/// A bucket of permissions that fills with time.
#[derive(Debug)]
pub(super) struct Budget {
    burst: u64,
    per_second: u64,
    /// Thousandths of a permission: what one fills in a millisecond stays a whole number.
    left: u64,
    filled: Option<Timestamp>,
}

impl Budget {
    pub(super) fn new(burst: u64, per_second: u64) -> Self {
        Budget {
            burst: burst * 1000,
            per_second,
            left: burst * 1000,
            filled: None,
        }
    }

    /// Takes one permission, if there is one.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        // A clock that was set back fills nothing.
        let then = self.filled.unwrap_or(now);
        let millis = u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0);
        self.left = millis
            .saturating_mul(self.per_second)
            .saturating_add(self.left)
            .min(self.burst);
        self.filled = Some(now);
        let granted = self.left >= 1000;
        if granted {
            self.left -= 1000;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_rate_then_a_burst_again() {
        let mut budget = Budget::new(10, 2);
        let mut granted =
            |at: i64, asked: usize| (0..asked).filter(|_| budget.take(Timestamp(at))).count();
        assert_eq!(granted(0, 100), 10);
        assert_eq!(granted(499, 100), 0);
        assert_eq!(granted(500, 100), 1);
        assert_eq!(granted(1500, 100), 2);
        assert_eq!(granted(0, 100), 0, "the clock was set back");
        assert_eq!(granted(1_000_000, 100), 10);
    }
}
