//! `farrier status`: interfaces, ports, loaders, transfers, counters.

use super::Global;
use super::output::{clock, outln, size, table, text};
use serde_json::Value;

pub(crate) async fn run(global: &Global) -> anyhow::Result<()> {
    let client = global.client()?;
    let mut status = client.get("/status").await?;
    let moving = client.get("/transfers").await?;
    if global.json {
        status["transfers"] = moving["transfers"].clone();
        status["transfer_totals"] = moving["totals"].clone();
        outln!("{status:#}");
        return Ok(());
    }
    let started = clock(status["started"].as_i64().unwrap_or_default());
    outln!(
        "farrier {}, running since {started}",
        text(&status, "version")
    );
    outln!(
        "machines without an assignment get: {}\n",
        text(&status, "unassigned")
    );
    section(
        &status["interfaces"],
        &["INTERFACE", "ADDRESS", "STATE", "BECAUSE"],
        |i| {
            let serving = if i["serving"] == true {
                "serving"
            } else {
                "not serving"
            };
            vec![
                text(i, "name"),
                text(i, "address"),
                serving.to_owned(),
                text(i, "reason"),
            ]
        },
    );
    section(
        &status["ports"],
        &["PORT", "ADDRESS", "STATE", "BECAUSE"],
        |p| {
            vec![
                text(p, "plane"),
                text(p, "address"),
                text(p, "state"),
                text(p, "detail"),
            ]
        },
    );
    section(
        &status["loaders"],
        &["LOADER", "PLATFORM", "ROLE", "SET", "FROM", "TO DO"],
        |l| {
            let set = if l["present"] == true {
                text(l, "set")
            } else {
                "missing".to_owned()
            };
            vec![
                text(l, "name"),
                text(l, "platform"),
                text(l, "role"),
                set,
                text(l, "version"),
                text(l, "how_to_get"),
            ]
        },
    );
    section(
        &status["foreign_servers"],
        &["OTHER SERVER", "OFFERS", "LAST HEARD"],
        |s| {
            let offers = if s["boots"] == true {
                "boot files: competes with us"
            } else {
                "addresses"
            };
            vec![
                text(s, "address"),
                offers.to_owned(),
                clock(s["last_seen"].as_i64().unwrap_or_default()),
            ]
        },
    );
    files(&status["files"]);
    under_way(&moving["transfers"]);
    section(&moving["totals"], &TOTAL, total);
    let ignored = status["ignored"].as_object();
    let rows: Vec<Vec<String>> = ignored
        .into_iter()
        .flatten()
        .map(|(reason, n)| vec![n.to_string(), reason.clone()])
        .collect();
    if !rows.is_empty() {
        outln!("{}", table(&["IGNORED", "REASON"], &rows));
    }
    outln!("events dropped: {}", text(&status, "events_dropped"));
    for (key, why) in [
        (
            "events_left_out",
            "left out: too many of machines nobody registered",
        ),
        ("events_failed", "not stored: the database failed"),
    ] {
        match number(&status, key) {
            0 => {}
            count => outln!("events {why}: {count}"),
        }
    }
    Ok(())
}

/// The watched directory, with what is wrong in it.
fn files(files: &Value) {
    if files.is_null() {
        return;
    }
    let at = clock(files["at"].as_i64().unwrap_or_default());
    let (directory, summary) = (text(files, "directory"), text(files, "summary"));
    outln!("files of {directory}: {summary}, {at}");
    for fault in files["faults"].as_array().into_iter().flatten() {
        outln!("  {}", fault.as_str().unwrap_or_default());
    }
    outln!("");
}

/// The first transfers under way, and how many more there are.
fn under_way(list: &Value) {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = all.iter().take(SHOWN).map(transfer).collect();
    if !rows.is_empty() {
        let more = match all.len() - rows.len() {
            0 => String::new(),
            n => format!("and {n} more\n"),
        };
        outln!("{}{more}", table(&TRANSFER, &rows));
    }
}

/// One transfer under way.
fn transfer(t: &Value) -> Vec<String> {
    let device = ["machine", "mac", "ip"];
    let device = device.iter().find(|key| t[**key].is_string());
    let done = size(number(t, "bytes"));
    vec![
        way(t),
        device.map_or_else(String::new, |key| text(t, key)),
        text(t, "path"),
        match (number(t, "bytes"), t["total"].as_u64()) {
            (bytes, Some(total)) => {
                let percent = bytes.saturating_mul(100) / total.max(1);
                format!("{done} of {} ({percent} %)", size(total))
            }
            (_, None) => done,
        },
        format!("{}/s", size(number(t, "bytes_per_second"))),
        match t["round_trip_micros"].as_u64() {
            Some(micros) => format!("{:.1} ms", micros as f64 / 1e3),
            None => String::new(),
        },
        text(t, "retransmits"),
    ]
}

/// Sums of one protocol and direction.
fn total(t: &Value) -> Vec<String> {
    vec![
        way(t),
        (number(t, "completed") + number(t, "size_probes")).to_string(),
        text(t, "aborted"),
        text(t, "vanished"),
        text(t, "cut"),
        text(t, "failed"),
        size(number(t, "bytes")),
        text(t, "retransmits"),
    ]
}

fn way(t: &Value) -> String {
    format!("{} {}", text(t, "transport"), text(t, "direction"))
}

fn number(t: &Value, key: &str) -> u64 {
    t[key].as_u64().unwrap_or_default()
}

fn section(list: &Value, headings: &[&str], row: impl Fn(&Value) -> Vec<String>) {
    let rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        outln!("{}", table(headings, &rows));
    }
}

/// More are no list that anybody reads; `--json` has them all.
const SHOWN: usize = 20;
const TRANSFER: [&str; 7] = [
    "UNDER WAY",
    "DEVICE",
    "FILE",
    "DONE",
    "RATE",
    "ROUND TRIP",
    "REPEATED",
];
const TOTAL: [&str; 8] = [
    "TRANSFERS",
    "COMPLETED",
    "STOPPED BY CLIENT",
    "CLIENT SILENT",
    "CUT OFF",
    "FAILED HERE",
    "AMOUNT",
    "REPEATED",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn transfers_as_people_read_them() {
        let rows = [
            json!({"id": 1, "direction": "read", "transport": "tftp", "ip": "10.0.0.7",
                "mac": "52:54:00:00:00:07", "machine": "rack1-u7", "path": "images/initrd.gz",
                "bytes": 10_000_000, "bytes_per_second": 3_100_000, "total": 41_120_334,
                "windows_repeated": 3, "retransmits": 40, "round_trip_micros": 412}),
            json!({"id": 2, "direction": "write", "transport": "tftp", "ip": "10.0.0.8",
                "mac": null, "machine": null, "path": "configs/sw1", "bytes": 512,
                "bytes_per_second": 0, "total": null, "windows_repeated": 0,
                "retransmits": 0, "round_trip_micros": null}),
        ];
        let rows: Vec<_> = rows.iter().map(transfer).collect();
        let sums = [
            json!({"direction": "read", "transport": "tftp", "completed": 812, "size_probes": 40,
            "aborted": 2, "vanished": 1, "cut": 3, "failed": 0, "bytes": 17_000_000_000_u64,
            "retransmits": 9}),
        ];
        let sums: Vec<_> = sums.iter().map(total).collect();
        let shown = table(&TRANSFER, &rows) + "\n" + &table(&TOTAL, &sums);
        insta::assert_snapshot!(shown, @r"
        UNDER WAY   DEVICE    FILE              DONE                       RATE      ROUND TRIP  REPEATED
        tftp read   rack1-u7  images/initrd.gz  10.0 MB of 41.1 MB (24 %)  3.1 MB/s  0.4 ms      40
        tftp write  10.0.0.8  configs/sw1       512 B                      0 B/s                 0

        TRANSFERS  COMPLETED  STOPPED BY CLIENT  CLIENT SILENT  CUT OFF  FAILED HERE  AMOUNT    REPEATED
        tftp read  852        2                  1              3        0            17.00 GB  9
        ");
    }
}
