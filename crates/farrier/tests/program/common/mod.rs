//! What every test here needs: a LAN, the program on it, and clients that speak.

pub(crate) mod farrier;
pub(crate) mod firmware;
pub(crate) mod lan;
pub(crate) mod wire;

pub(crate) use farrier::Farrier;
pub(crate) use lan::{Lan, Netns};

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within `limit`; `what` says what was waited for.
pub(crate) fn eventually<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The address of the server's `eth0` in [`Lan::new`].
pub(crate) const SERVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 2);
