//! What is said about a run: from counts and times to the figures of the tables.

use crate::cases::Tftp;
use crate::client::Outcome;
use crate::client::boot::AskedOutcome;
use crate::client::dhcp::DhcpOutcome;
use crate::client::flood::FloodOutcome;
use crate::client::http::HttpOutcome;
use crate::group::Usage;
use crate::results::Figures;
use lab::stats::percentile;
use std::time::Duration;

/// Of a TFTP load.
pub(crate) fn tftp(
    tftp: &Tftp,
    outcome: &Outcome,
    cpu: Duration,
    base: Usage,
    peak: Usage,
) -> Figures {
    let wall = outcome.wall.as_secs_f64();
    let cpu = cpu.as_secs_f64();
    let seconds: Vec<f64> = outcome.times.iter().map(Duration::as_secs_f64).collect();
    let stats = outcome.stats;
    let gib = outcome.bytes as f64 / f64::from(1 << 30);
    let done = seconds.len() as f64;
    let mut figures = Figures::from([
        ("mb_s", outcome.bytes as f64 / 1e6 / wall),
        ("cpu_s_gib", cpu / gib),
        ("per_s", done / wall),
        ("cpu_us", cpu * 1e6 / done),
        ("wall_s", wall),
        ("failed", outcome.failed as f64),
        ("request_repeats", stats.request_repeats as f64),
        ("ack_repeats", stats.ack_repeats as f64),
        ("windowless", stats.windowless as f64),
        (
            "duplicates_pct",
            100.0 * stats.duplicates as f64 / (stats.blocks - stats.duplicates).max(1) as f64,
        ),
    ]);
    // Fetches that did not complete took longer than any that did.
    let mut all = seconds;
    all.extend(std::iter::repeat_n(
        tftp.limit.as_secs_f64(),
        outcome.failed,
    ));
    for (share, s, ms) in [(0.5, "p50_s", "p50_ms"), (0.99, "p99_s", "p99_ms")] {
        if let Some(value) = percentile(&all, share) {
            figures.insert(s, value);
            figures.insert(ms, value * 1e3);
        }
    }
    if tftp.memory {
        let grown = peak.anonymous_kib.saturating_sub(base.anonymous_kib) as f64;
        figures.insert("kib_per_client", grown / tftp.clients as f64);
        figures.insert("peak_kib", peak.anonymous_kib as f64);
        figures.insert("processes", peak.processes as f64);
        figures.insert("threads", peak.threads as f64);
        let more = peak.threads.saturating_sub(base.threads);
        figures.insert("threads_more", more as f64);
    }
    figures
}

/// Of a proxyDHCP load.
pub(crate) fn dhcp(outcome: &DhcpOutcome, cpu: Duration) -> Figures {
    let micros: Vec<f64> = outcome
        .times
        .iter()
        .map(|t| t.as_secs_f64() * 1e6)
        .collect();
    let done = micros.len() as f64;
    let mut figures = Figures::from([
        ("per_s", done / outcome.wall.as_secs_f64()),
        ("cpu_us", cpu.as_secs_f64() * 1e6 / done),
        ("lost", outcome.lost as f64),
    ]);
    for (share, key) in [(0.5, "p50_us"), (0.99, "p99_us")] {
        figures.insert(key, percentile(&micros, share).unwrap_or(f64::NAN));
    }
    figures
}

/// Of an HTTP load.
pub(crate) fn http(outcome: &HttpOutcome, cpu: Duration) -> Figures {
    let wall = outcome.wall.as_secs_f64();
    let cpu = cpu.as_secs_f64();
    let millis: Vec<f64> = outcome
        .times
        .iter()
        .map(|t| t.as_secs_f64() * 1e3)
        .collect();
    let done = millis.len() as f64;
    Figures::from([
        ("mb_s", outcome.bytes as f64 / 1e6 / wall),
        (
            "cpu_s_gib",
            cpu / (outcome.bytes as f64 / f64::from(1 << 30)),
        ),
        ("per_s", done / wall),
        ("cpu_us", cpu * 1e6 / done),
        ("p99_ms", percentile(&millis, 0.99).unwrap_or(f64::NAN)),
        ("failed", outcome.failed as f64),
    ])
}

/// Of a flood: how the real client fared, and what the server grew by.
pub(crate) fn flood(outcome: &FloodOutcome, base: Usage, peak: Usage) -> Figures {
    let millis: Vec<f64> = outcome
        .times
        .iter()
        .map(|t| t.as_secs_f64() * 1e3)
        .collect();
    let grown = peak.anonymous_kib.saturating_sub(base.anonymous_kib);
    Figures::from([
        ("p50_ms", percentile(&millis, 0.5).unwrap_or(f64::NAN)),
        ("p99_ms", percentile(&millis, 0.99).unwrap_or(f64::NAN)),
        ("done", millis.len() as f64),
        ("failed", outcome.failed as f64),
        ("grown_kib", grown as f64),
        ("processes", peak.processes as f64),
        ("threads", peak.threads as f64),
    ])
}

/// Of machines that go all the way, all switched on at once; `cpu` is for each machine.
pub(crate) fn boot(
    asked: &AskedOutcome,
    fetched: &Outcome,
    failed: usize,
    cpu: Duration,
) -> Figures {
    // Nobody fetches before all know what to fetch.
    let whole = |end: &Duration| (asked.wall + *end).as_secs_f64();
    let seconds: Vec<f64> = fetched.ends.iter().map(whole).collect();
    Figures::from([
        ("p50_s", percentile(&seconds, 0.5).unwrap_or(f64::NAN)),
        ("p99_s", percentile(&seconds, 0.99).unwrap_or(f64::NAN)),
        ("offer_ms", asked.wall.as_secs_f64() * 1e3),
        ("cpu_ms", cpu.as_secs_f64() * 1e3),
        ("request_repeats", fetched.stats.request_repeats as f64),
        ("failed", failed as f64),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{Work, all};

    #[test]
    fn a_machines_boot_is_its_asking_and_its_fetching() {
        let asked = AskedOutcome {
            wall: Duration::from_millis(250),
            ..AskedOutcome::default()
        };
        let fetched = Outcome {
            ends: vec![Duration::from_secs(2), Duration::from_secs(3)],
            ..Outcome::default()
        };
        let figures = super::boot(&asked, &fetched, 1, Duration::from_millis(7));
        let [p50, last] = ["p50_s", "p99_s"].map(|key| figures[key]);
        assert_eq!((p50, last), (2.25, 3.25));
        assert_eq!((figures["cpu_ms"], figures["failed"]), (7.0, 1.0));
    }

    #[test]
    fn a_fetch_that_failed_took_longer_than_any_that_did_not() {
        let case = all().into_iter().find(|case| case.name == "f1_w1");
        let Some(Work::Tftp(tftp)) = case.map(|case| case.work) else {
            panic!("it fetches");
        };
        let outcome = Outcome {
            wall: Duration::from_secs(2),
            times: vec![Duration::from_secs(1); 3],
            bytes: 1 << 30,
            failed: 1,
            ..Outcome::default()
        };
        let none = Usage::default();
        let figures = super::tftp(&tftp, &outcome, Duration::from_secs(5), none, none);
        assert_eq!(figures["p50_s"], 1.0);
        assert_eq!(figures["p99_s"], tftp.limit.as_secs_f64());
        assert_eq!(figures["cpu_s_gib"], 5.0);
        assert_eq!(figures["failed"], 1.0);
    }
}
