//! The columns of the tables.

use crate::results::Column;

const fn column(key: &'static str, title: &'static str, ratio: bool) -> Column {
    Column { key, title, ratio }
}
pub(super) const BULK: &[Column] = &[
    column("mb_s", "MB/s", true),
    column("cpu_s_gib", "CPU s/GiB", true),
    column("failed", "failed", false),
];
pub(super) const STORM: &[Column] = &[
    column("mb_s", "MB/s", true),
    column("cpu_s_gib", "CPU s/GiB", true),
    column("p50_s", "p50 s", false),
    column("p99_s", "p99 s", false),
    column("request_repeats", "RRQ again", false),
    column("failed", "failed", false),
];
pub(super) const SMALL: &[Column] = &[
    column("per_s", "files/s", true),
    column("cpu_us", "CPU us/file", true),
    column("p50_ms", "p50 ms", false),
    column("p99_ms", "p99 ms", false),
    column("request_repeats", "RRQ again", false),
    column("failed", "failed", false),
];
pub(super) const DHCP: &[Column] = &[
    column("per_s", "OFFERs/s", true),
    column("cpu_us", "CPU us/OFFER", true),
    column("p50_us", "p50 us", false),
    column("p99_us", "p99 us", false),
    column("lost", "lost", false),
];
pub(super) const REQUESTS: &[Column] = &[
    column("per_s", "requests/s", true),
    column("cpu_us", "CPU us/request", true),
    column("p99_ms", "p99 ms", false),
    column("failed", "failed", false),
];
pub(super) const FLOOD: &[Column] = &[
    column("p50_ms", "p50 ms", false),
    column("p99_ms", "p99 ms", false),
    column("done", "fetched", false),
    column("failed", "failed", false),
    column("cpu_s", "CPU s", true),
    column("grown_kib", "grown by KiB", false),
    column("processes", "processes", false),
    column("threads", "threads", false),
];
pub(super) const BOOT: &[Column] = &[
    column("p50_s", "p50 s", true),
    column("p99_s", "last s", true),
    column("offer_ms", "DHCP ms", true),
    column("cpu_ms", "CPU ms/machine", true),
    column("request_repeats", "RRQ again", false),
    column("failed", "failed", false),
];
pub(super) const LOSS: &[Column] = &[
    column("p50_s", "p50 s", true),
    column("p99_s", "p99 s", true),
    column("duplicates_pct", "duplicates %", false),
    column("cpu_s_gib", "CPU s/GiB", true),
    column("failed", "failed", false),
];
pub(super) const MEMORY: &[Column] = &[
    column("kib_per_client", "anonymous KiB/client", true),
    column("peak_kib", "peak anonymous KiB", false),
    column("processes", "processes", false),
    column("threads", "threads", false),
    column("threads_more", "of these new", false),
    column("failed", "failed", false),
];
