//! The clerk: as time passes, windows open and close, limits are reached, and slots come back.

use std::time::Duration;
use store::Store;
use tokio::time::{MissedTickBehavior, interval};

/// Looks after orders to install until it is aborted.
pub(crate) async fn run(store: Store) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = store.tick(week_minute(&jiff::Zoned::now())).await {
            tracing::warn!(%error, "orders to install could not be looked after; trying again");
        }
    }
}

/// Minutes since Monday 00:00.
fn week_minute(now: &jiff::Zoned) -> u16 {
    let days = u16::from(now.weekday().to_monday_zero_offset().unsigned_abs());
    let hours = u16::from(now.hour().unsigned_abs());
    (days * 24 + hours) * 60 + u16::from(now.minute().unsigned_abs())
}

/// A window is open for hours, and a limit is minutes long.
const EVERY: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        for (time, expected) in [
            ("2026-11-23T00:00:00[UTC]", 0),
            ("2026-11-23T22:15:59[Europe/Berlin]", 22 * 60 + 15),
            ("2026-11-29T23:59:00[UTC]", 7 * 24 * 60 - 1),
        ] {
            let now: jiff::Zoned = time.parse().expect("a time");
            assert_eq!(week_minute(&now), expected, "{time}");
        }
    }
}
