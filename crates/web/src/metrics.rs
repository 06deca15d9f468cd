//! `GET /metrics`: counters for Prometheus, in its text exposition format 0.0.4.
//!
//! Labels are few words known at compile time, never an address or a file name: every value of
//! a label is a time series for ever, and clients could make as many as they like.

use crate::people::{Actor, PeopleState, PortRequests, ServerStatus};
use crate::transfers::{Direction, Ending, Flow, Totals};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bootfiles::dropbox::NotTaken;
use bootfiles::{CacheStats, FileCache};
use bootplan::Transport;
use http::header;
use std::fmt::{Display, Write};

/// `GET /metrics`, for whoever is logged in or has an API token.
pub(crate) async fn show(_: Actor, State(state): State<PeopleState>) -> Response {
    let memory = state.cache.as_ref().map(FileCache::stats);
    let text = exposition(state.transfers.totals(), memory, &(state.status)());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn exposition(mut totals: Totals, memory: Option<CacheStats>, status: &ServerStatus) -> String {
    // A series that appears with its first event already at 1 shows no increase to Prometheus.
    for (transport, direction) in [
        (Transport::Tftp, Direction::Read),
        (Transport::Tftp, Direction::Write),
        (Transport::Http, Direction::Read),
    ] {
        totals.flows.entry((transport, direction)).or_default();
        for ending in Ending::ALL {
            let key = (transport, direction, ending);
            totals.ended.entry(key).or_default();
        }
    }
    totals
        .refused
        .entry((Transport::Http, "not-found"))
        .or_default();
    let uploads = ["uploads-full", "uploads-of-address-full"];
    for reason in ["bad-name", "not-found", "write-off"]
        .iter()
        .chain(&uploads)
        .chain(&NotTaken::SLUGS)
    {
        totals.refused.entry((Transport::Tftp, reason)).or_default();
    }
    let mut out = Exposition::default();
    transfers(&mut out, &totals);
    if let Some(memory) = memory {
        file_memory(&mut out, &memory);
    }
    requests(&mut out, &status.requests);
    let lost = "farrier_events_lost_total";
    let help = "Events that the history lacks: the queue was full, too many of machines nobody registered, or \
                the database failed.";
    out.family(lost, "counter", help);
    for (reason, count) in [
        ("queue", status.events_dropped),
        ("strangers", status.events_left_out),
        ("database", status.events_failed),
    ] {
        out.sample(lost, &[("reason", reason)], count);
    }
    let millis = status.started.0.max(0);
    let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
    let start = "When the server started, in seconds since the Unix epoch.";
    out.single("farrier_start_time_seconds", "gauge", start, seconds);
    let build = "farrier_build_info";
    out.family(build, "gauge", "Always 1; the version is a label.");
    out.sample(build, &[("version", &status.version)], 1);
    out.0
}

fn requests(out: &mut Exposition, ports: &[PortRequests]) {
    let answers = "farrier_dhcp_answers_total";
    out.family(answers, "counter", "DHCP answers sent.");
    for port in ports {
        if let Some(count) = port.answered {
            out.sample(answers, &[("port", &port.port.to_string())], count);
        }
    }
    let ignored = "farrier_requests_ignored_total";
    out.family(ignored, "counter", "Requests that were not answered.");
    for port in ports {
        let number = port.port.to_string();
        for (reason, count) in &port.ignored {
            out.sample(ignored, &[("port", &number), ("reason", reason)], count);
        }
    }
}

fn transfers(out: &mut Exposition, totals: &Totals) {
    let ended = "farrier_transfers_total";
    out.family(
        ended,
        "counter",
        "Transfers that are over, by how they ended.",
    );
    for ((transport, direction, ending), count) in &totals.ended {
        let labels = [
            ("transport", word(*transport)),
            ("direction", direction.slug()),
            ("outcome", ending.slug()),
        ];
        out.sample(ended, &labels, count);
    }
    let bytes = "farrier_transfer_bytes_total";
    out.family(bytes, "counter", "Content bytes acknowledged or taken.");
    for ((transport, direction), flow) in &totals.flows {
        let labels = [
            ("transport", word(*transport)),
            ("direction", direction.slug()),
        ];
        out.sample(bytes, &labels, flow.bytes);
    }
    let refused = "farrier_requests_refused_total";
    let help = "Requests answered with an error, by reason. Loaders look for files that need not be there.";
    out.family(refused, "counter", help);
    for ((transport, reason), count) in &totals.refused {
        let labels = [("transport", word(*transport)), ("reason", *reason)];
        out.sample(refused, &labels, count);
    }
    let half_open = "TFTP transfers now whose clients have not answered yet.";
    out.single(
        "farrier_tftp_half_open",
        "gauge",
        half_open,
        totals.half_open,
    );
    let active: u64 = totals.flows.values().map(|flow| flow.active).sum();
    let now = "Transfers under way now.";
    out.single("farrier_transfers_active", "gauge", now, active);
    let sum = |of: Transport, number: fn(&Flow) -> u64| -> u64 {
        let flows = totals.flows.iter();
        let flows = flows.filter(|((transport, _), _)| *transport == of);
        flows.map(|(_, flow)| number(flow)).sum()
    };
    out.single(
        "farrier_tftp_retransmits_total",
        "counter",
        "TFTP datagrams sent again.",
        sum(Transport::Tftp, |flow| flow.retransmits),
    );
    out.single(
        "farrier_tftp_windows_repeated_total",
        "counter",
        "TFTP windows sent again.",
        sum(Transport::Tftp, |flow| flow.windows_repeated),
    );
    out.single(
        "farrier_http_retransmits_total",
        "counter",
        "TCP segments sent again to machines, of files that take a while.",
        sum(Transport::Http, |flow| flow.retransmits),
    );
}

fn file_memory(out: &mut Exposition, memory: &CacheStats) {
    for (name, kind, help, value) in [
        (
            "farrier_cache_bytes",
            "gauge",
            "File contents in memory.",
            memory.bytes,
        ),
        (
            "farrier_cache_budget_bytes",
            "gauge",
            "Most file contents kept in memory (cache.memory_mib).",
            memory.budget,
        ),
        (
            "farrier_cache_in_hands_bytes",
            "gauge",
            "File contents no longer kept, still being sent.",
            memory.in_hands,
        ),
        (
            "farrier_cache_hits_total",
            "counter",
            "Pieces of files found in memory.",
            memory.hits,
        ),
        (
            "farrier_cache_misses_total",
            "counter",
            "Pieces of files read from the disk.",
            memory.misses,
        ),
    ] {
        out.single(name, kind, help, value);
    }
}

fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Tftp => "tftp",
        Transport::Http => "http",
    }
}

/// The text as it grows. Writing to a string cannot fail.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples follow directly. `help` is ours: one line, no backslash.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// The three characters that the format escapes in the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
