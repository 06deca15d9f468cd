//! `farrier machine review`: everything a machine will fetch, before it does.

use super::client::Client;
use super::machine::{escape, find_id};
use super::output::{outln, text};
use anyhow::bail;
use serde_json::Value;

/// Prints what is wrong; with `all`, the texts and variables, too.
///
/// # Errors
/// The machine or profile does not exist; something is wrong with what it will fetch.
pub(super) async fn run(
    client: &Client,
    machine: &str,
    profile: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let id = find_id(client, machine).await?;
    let query = profile.map_or_else(String::new, |name| format!("?profile={}", escape(name)));
    let review = client.get(&format!("/machines/{id}/review{query}")).await?;
    if json {
        outln!("{review:#}");
    } else {
        print(&review);
    }
    if review["good"] != true {
        bail!("{machine}: not everything is as it should be");
    }
    Ok(())
}

fn print(review: &Value) {
    outln!("profile {}", text(review, "profile"));
    for variable in list(review, "variables") {
        let (name, origin) = (text(variable, "name"), text(variable, "origin"));
        outln!("  {name} = {} ({origin})", variable["value"]);
    }
    for document in list(review, "documents") {
        outln!("\n== {}", text(document, "name"));
        for fault in list(document, "faults") {
            let (template, problem) = (text(fault, "template"), text(fault, "problem"));
            outln!(
                "{template}:{}:{}: {problem}",
                fault["line"],
                fault["column"]
            );
        }
        outln!(
            "{}",
            document["text"].as_str().unwrap_or_default().trim_end()
        );
    }
    for file in list(review, "missing") {
        outln!("missing: {}", file.as_str().unwrap_or_default());
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}
