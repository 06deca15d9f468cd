//! `farrier machine power …`

use super::Global;
use super::machine_many::{Chosen, ids};
use super::output::{outln, text};
use anyhow::bail;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

/// Use machines' power switches.
#[derive(Debug, Args)]
pub(crate) struct Power {
    /// What to do
    #[arg(value_parser = ["on", "off", "restart", "status", "next-boot-pxe", "next-boot-http", "wake"])]
    action: String,
    #[command(flatten)]
    chosen: Chosen,
}

pub(super) async fn run(global: &Global, power: Power) -> anyhow::Result<()> {
    let client = global.client()?;
    // Every name is looked up before the first switch is touched.
    let what = format!("ask '{}' of", power.action);
    let Some(machines) = power.chosen.machines(&client, &what).await? else {
        return Ok(());
    };
    let body = json!({ "ids": ids(&machines), "action": power.action });
    let path = "/machines/power";
    let answer = client.send(Method::POST, path, Some(&body)).await?;
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    if global.json {
        outln!("{answer:#}");
    }
    let mut failed = 0;
    for result in &results {
        failed += usize::from(result["problem"].is_string());
        if !global.json {
            outln!("{}", told(&power.action, result));
        }
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} did not do it", results.len()),
    }
}

/// One machine's line.
fn told(action: &str, result: &Value) -> String {
    let name = text(result, "name");
    match (result["problem"].as_str(), result["state"].as_str()) {
        (Some(problem), _) => format!("{name}: failed: {problem}"),
        (None, Some(state)) => format!("{name}: {state}"),
        (None, None) => format!("{name}: {action} asked by {}", text(result, "way")),
    }
}
