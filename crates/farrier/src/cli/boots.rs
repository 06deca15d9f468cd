//! `farrier boots`: what machines are doing.

use super::Global;
use super::machine::escape;
use super::output::{clock, table, text};
use clap::Args;
use serde_json::Value;

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
    limit: u32,
    /// Show every event of each boot
    #[arg(long, short)]
    events: bool,
}

pub(crate) async fn run(global: &Global, boots: Boots) -> anyhow::Result<()> {
    let client = global.client()?;
    if boots.follow {
        let of = match &boots.machine {
            Some(key) => client.get(&format!("/machines/{}", escape(key))).await?["id"].as_i64(),
            None => None,
        };
        let mut lines = client.lines("/events/stream").await?;
        while let Some(event) = lines.next().await {
            if of.is_some() && event["machine"].as_i64() != of {
                continue;
            }
            match global.json {
                true => println!("{event}"),
                false => println!("{}", event_line(&event)),
            }
        }
        return Ok(());
    }
    let path = match &boots.machine {
        Some(key) => format!("/machines/{}/boots?limit={}", escape(key), boots.limit),
        None => format!("/boots?limit={}", boots.limit),
    };
    let answer = client.get(&path).await?;
    if global.json {
        println!("{answer:#}");
        return Ok(());
    }
    let all: Vec<&Value> = answer["boots"].as_array().into_iter().flatten().collect();
    if all.is_empty() {
        println!("no boots yet");
    } else if boots.events {
        for boot in all {
            println!(
                "{}  {}  {}",
                clock(boot["started"].as_i64().unwrap_or(0)),
                text(boot, "mac"),
                text(boot, "summary")
            );
            for event in boot["events"].as_array().into_iter().flatten() {
                println!("    {}", event_line(event));
            }
        }
    } else {
        let rows: Vec<Vec<String>> = all
            .iter()
            .map(|b| {
                let started = clock(b["started"].as_i64().unwrap_or(0));
                vec![
                    started,
                    text(b, "mac"),
                    text(b, "milestone"),
                    text(b, "summary"),
                ]
            })
            .collect();
        print!(
            "{}",
            table(&["STARTED", "MAC", "CAME TO", "SUMMARY"], &rows)
        );
    }
    Ok(())
}

fn event_line(event: &Value) -> String {
    let at = clock(event["at"].as_i64().unwrap_or(0));
    let who = match text(&event["origin"], "mac").as_str() {
        "-" => text(&event["origin"], "ip"),
        mac => mac.to_owned(),
    };
    format!(
        "{}  {who:<17}  {}",
        at.split(' ').next_back().unwrap_or_default(),
        text(event, "headline")
    )
}
