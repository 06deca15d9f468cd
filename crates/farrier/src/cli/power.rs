//! `farrier machine power …`

use super::Global;
use super::machine::find;
use super::output::{outln, text};
use anyhow::bail;
use clap::Args;
use http::Method;
use serde_json::json;

/// Use machines' power switches.
#[derive(Debug, Args)]
pub(crate) struct Power {
    /// What to do
    #[arg(value_parser = ["on", "off", "restart", "status", "next-boot-pxe", "next-boot-http", "wake"])]
    action: String,
    /// Names, ids or MACs
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) async fn run(global: &Global, power: Power) -> anyhow::Result<()> {
    let client = global.client()?;
    // Every name is looked up before the first switch is touched.
    let mut ids = Vec::new();
    for machine in &power.machines {
        ids.push(find(&client, machine).await?["id"].clone());
    }
    let body = json!({ "ids": ids, "action": power.action });
    let answer = client
        .send(Method::POST, "/machines/power", Some(&body))
        .await?;
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    if global.json {
        outln!("{answer:#}");
    }
    let mut failed = 0;
    for result in &results {
        let name = text(result, "name");
        let said = match (result["problem"].as_str(), result["state"].as_str()) {
            (Some(problem), _) => {
                failed += 1;
                format!("failed: {problem}")
            }
            (None, Some(state)) => state.to_owned(),
            (None, None) => format!("{} asked by {}", power.action, text(result, "way")),
        };
        if !global.json {
            outln!("{name}: {said}");
        }
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} did not do it", results.len()),
    }
}
