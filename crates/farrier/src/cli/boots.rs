//! `farrier boots`: what machines are doing. Events come from the server; they are folded into
//! boots here by the same function as on its pages.

use super::Global;
use super::client::Client;
use super::machine::find_id;
use super::output::{clock, out, outln, table};
use bootplan::timeline::{BootAttempt, attempts};
use bootplan::{Event, MacAddr};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `farrier boots`
#[derive(Debug, Args)]
pub(crate) struct Boots {
    /// Only this machine (name, id or MAC)
    machine: Option<String>,
    /// Print events as they happen, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// How many boots
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// Show every event of each boot
    #[arg(long, short)]
    events: bool,
}

pub(crate) async fn run(global: &Global, boots: Boots) -> anyhow::Result<()> {
    let client = global.client()?;
    let of = match &boots.machine {
        Some(key) => format!("machine={}", find_id(&client, key).await?),
        None => String::new(),
    };
    if boots.follow {
        return follow(&client, &of, global.json).await;
    }
    let answer = client.get(&format!("/events?limit=1000&{of}")).await?;
    let mut all = fold(&answer["events"]);
    all.truncate(boots.limit);
    if global.json {
        let all: Vec<Value> = all
            .iter()
            .map(|(mac, boot)| json!({ "mac": mac, "summary": boot.summary(), "boot": boot }))
            .collect();
        outln!("{:#}", json!({ "boots": all }));
        return Ok(());
    }
    if all.is_empty() {
        outln!("no boots yet");
        return Ok(());
    }
    let names = names(&client.get("/machines?per_page=1000").await?);
    let name = |mac: &MacAddr| names.get(mac).map_or("-", String::as_str);
    if boots.events {
        for (mac, boot) in all {
            let (at, name) = (clock(boot.started.0), name(&mac));
            outln!("{at}  {mac}  {name}  {}", boot.summary());
            for event in &boot.events {
                outln!("    {}", line(event));
            }
        }
    } else {
        let rows: Vec<Vec<String>> = all
            .iter()
            .map(|(mac, boot)| {
                let at = clock(boot.started.0);
                vec![at, mac.to_string(), name(mac).to_owned(), boot.summary()]
            })
            .collect();
        out!("{}", table(&["STARTED", "MAC", "MACHINE", "BOOT"], &rows));
    }
    Ok(())
}

async fn follow(client: &Client, of: &str, as_json: bool) -> anyhow::Result<()> {
    let mut lines = client.lines(&format!("/events/stream?{of}")).await?;
    while let Some(value) = lines.next().await {
        if let Some(missed) = value["missed"].as_u64() {
            eprintln!("(too many at once: {missed} events not shown)");
        } else if as_json {
            outln!("{value}");
        } else if let Ok(event) = serde_json::from_value::<Event>(value) {
            outln!("{}", line(&event));
        }
    }
    eprintln!("the server ended the stream");
    Ok(())
}

/// What people call the machines, by each of their MACs.
fn names(machines: &Value) -> BTreeMap<MacAddr, String> {
    let machines = machines["machines"].as_array().into_iter().flatten();
    machines
        .filter_map(|machine| {
            let name = machine["name"].as_str()?;
            let macs: Vec<MacAddr> = serde_json::from_value(machine["macs"].clone()).ok()?;
            Some(macs.into_iter().map(|mac| (mac, name.to_owned())))
        })
        .flatten()
        .collect()
}

/// Boots of each machine, newest first. The API gives events newest first.
fn fold(events: &Value) -> Vec<(MacAddr, BootAttempt)> {
    let mut of: BTreeMap<MacAddr, Vec<Event>> = BTreeMap::new();
    let events = events.as_array().into_iter().flatten().rev();
    for event in events.filter_map(|e| serde_json::from_value::<Event>(e.clone()).ok()) {
        if let Some(mac) = event.origin.mac {
            of.entry(mac).or_default().push(event);
        }
    }
    let mut all: Vec<(MacAddr, BootAttempt)> = of
        .into_iter()
        .flat_map(|(mac, events)| attempts(events).into_iter().map(move |boot| (mac, boot)))
        .collect();
    all.sort_by_key(|(_, boot)| std::cmp::Reverse(boot.started));
    all
}

fn line(event: &Event) -> String {
    let at = clock(event.at.0);
    let at = at.split(' ').next_back().unwrap_or_default();
    let who = match (event.origin.mac, event.origin.ip) {
        (Some(mac), _) => mac.to_string(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => "-".to_owned(),
    };
    format!("{at}  {who:<17}  {}", event.kind.headline())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mac_of_a_machine_has_its_name() {
        let two = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
        let names = names(&json!({"machines": [{"name": "oak", "macs": two}, {"macs": []}]}));
        let names: Vec<String> = names.iter().map(|(m, n)| format!("{m} {n}")).collect();
        assert_eq!(names, ["02:00:00:00:00:01 oak", "02:00:00:00:00:02 oak"]);
    }

    #[test]
    fn events_newest_first_become_boots_of_each_machine() {
        let offered = |at: i64, mac: &str| {
            json!({"id": at, "machine": 1, "at": at, "origin": {"mac": mac}, "event": "offered",
                "stage": "firmware", "platform": "bios", "class": "pxe", "file": "undionly.kpxe",
                "because": {"reason": "site-default", "policy": "wait"}})
        };
        let served = json!({"id": 5, "at": 5000, "origin": {"mac": "02:00:00:00:00:01"},
            "event": "file-served", "transport": "tftp", "path": "undionly.kpxe", "bytes": 1, "millis": 1});
        let events = json!([
            served,
            offered(2000, "02:00:00:00:00:02"),
            offered(1000, "02:00:00:00:00:01")
        ]);
        let boots = fold(&events);
        let shape: Vec<(String, usize)> = boots
            .iter()
            .map(|(m, b)| (m.to_string(), b.events.len()))
            .collect();
        assert_eq!(
            shape,
            [
                ("02:00:00:00:00:02".to_owned(), 1),
                ("02:00:00:00:00:01".to_owned(), 2)
            ]
        );
    }
}
