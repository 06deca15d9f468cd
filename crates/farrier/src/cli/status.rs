//! `farrier status`: interfaces, ports, loaders, counters.

use super::Global;
use super::output::{clock, outln, table, text};
use serde_json::Value;

pub(crate) async fn run(global: &Global) -> anyhow::Result<()> {
    let status = global.client()?.get("/status").await?;
    if global.json {
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
    Ok(())
}

fn section(list: &Value, headings: &[&str], row: impl Fn(&Value) -> Vec<String>) {
    let rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        outln!("{}", table(headings, &rows));
    }
}
