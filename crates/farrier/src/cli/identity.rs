//! `farrier machine conflicts`, `settle`, `unshare`, `merge`, `split`.

use super::client::Client;
use super::machine::find_id;
use super::output::{clock, out, outln, table, text};
use bootplan::MacAddr;
use clap::{ArgGroup, Subcommand};
use http::Method;
use serde_json::{Value, json};

/// Whose address it is.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List addresses of which somebody has to say whose they are, and shared adapters
    Conflicts,
    /// Say whose an address in conflict is
    #[command(group = ArgGroup::new("how").required(true).args(["is", "another", "shared", "dismiss"]))]
    Settle {
        /// The address
        mac: MacAddr,
        /// It is this machine's (name, id or MAC), and what it said last is true of that machine
        #[arg(long, value_name = "MACHINE")]
        is: Option<String>,
        /// It is a machine of its own
        #[arg(long)]
        another: bool,
        /// Several machines use this adapter; say what it is
        #[arg(long, value_name = "WHAT")]
        shared: Option<String>,
        /// Nothing changes; it is asked again when it is said again
        #[arg(long)]
        dismiss: bool,
    },
    /// Say that an adapter is one machine's again
    Unshare {
        /// Its address
        mac: MacAddr,
    },
    /// Two machines are one: the first gets the cards and the history of the second
    Merge {
        /// The machine that stays, with its name and assignment: name, id or MAC
        machine: String,
        /// The one that is gone afterwards
        other: String,
    },
    /// One machine is two: these cards make a machine of their own
    Split {
        /// Name, id or MAC
        machine: String,
        /// The other one's cards
        #[arg(required = true)]
        macs: Vec<MacAddr>,
    },
}

pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Conflicts => list(client, json).await,
        Command::Settle {
            mac,
            is,
            another,
            shared,
            dismiss: _,
        } => {
            let body = match (is, another, shared) {
                (Some(machine), _, _) => {
                    json!({"how": "is", "machine": find_id(client, &machine).await?})
                }
                (None, true, _) => json!({"how": "another"}),
                (None, false, Some(why)) => json!({"how": "shared", "why": why}),
                (None, false, None) => json!({"how": "dismiss"}),
            };
            let path = format!("/conflicts/{mac}");
            let settled = client.send(Method::POST, &path, Some(&body)).await?;
            match settled["machine"].as_i64() {
                Some(id) => {
                    let machine = client.get(&format!("/machines/{id}")).await?;
                    outln!("{mac}: {}", text(&machine, "name"));
                }
                None => outln!("{mac}: no machine's"),
            }
            Ok(())
        }
        Command::Unshare { mac } => {
            let path = format!("/shared-macs/{mac}");
            client.send(Method::DELETE, &path, None).await?;
            outln!("{mac}: one machine's again, whoever asks by it next");
            Ok(())
        }
        Command::Merge { machine, other } => {
            let into = find_id(client, &machine).await?;
            let from = find_id(client, &other).await?;
            let body = json!({ "from": from });
            let path = format!("/machines/{into}/merge");
            let merged = client.send(Method::POST, &path, Some(&body)).await?;
            outln!("{}: {}", text(&merged, "name"), text(&merged, "macs"));
            match merged["kept"].as_str() {
                Some("moved") => outln!("what {other} kept on the server is its own now"),
                Some("left") => outln!(
                    "both keep something on the server: 'farrier diskless reset {from}' throws away what {other} kept"
                ),
                _ => {}
            }
            Ok(())
        }
        Command::Split { machine, macs } => {
            let path = format!("/machines/{}/split", find_id(client, &machine).await?);
            let body = json!({ "macs": macs });
            let new = client.send(Method::POST, &path, Some(&body)).await?;
            outln!(
                "{}: {}, {}",
                text(&new, "name"),
                text(&new, "macs"),
                text(&new, "state")
            );
            Ok(())
        }
    }
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let open = client.get("/conflicts").await?;
    let shared = client.get("/shared-macs").await?;
    if json {
        let both = json!({"conflicts": open["conflicts"], "shared": shared["shared"]});
        outln!("{both:#}");
        return Ok(());
    }
    let lines = |answer: &Value, key: &str, row: fn(&Value) -> Vec<String>| -> Vec<Vec<String>> {
        let all = answer[key].as_array().into_iter().flatten();
        all.map(row).collect()
    };
    let rows = lines(&open, "conflicts", row);
    match rows.is_empty() {
        true => outln!("no conflicts: every address is one machine's"),
        false => out!(
            "{}",
            table(&["MAC", "IT SAYS", "IT MAY BE", "SINCE"], &rows)
        ),
    }
    let rows = lines(&shared, "shared", |shared| {
        let since = shared["since"].as_i64().map(clock);
        vec![
            text(shared, "mac"),
            text(shared, "why"),
            since.unwrap_or_default(),
        ]
    });
    if !rows.is_empty() {
        out!("\n{}", table(&["SHARED", "WHAT IT IS", "SINCE"], &rows));
    }
    Ok(())
}

fn row(conflict: &Value) -> Vec<String> {
    let claims = conflict["claims"].as_array();
    let said = claims.and_then(|all| all.last()).map(claim);
    let suspects = conflict["suspects"].as_array().into_iter().flatten();
    let suspects: Vec<String> = suspects
        .map(|suspect| format!("{} ({})", text(suspect, "name"), text(suspect, "evidence")))
        .collect();
    vec![
        text(conflict, "mac"),
        said.unwrap_or_default(),
        suspects.join("; "),
        conflict["since"].as_i64().map(clock).unwrap_or_default(),
    ]
}

/// What was said, in one line.
fn claim(claim: &Value) -> String {
    let parts = [("UUID", "uuid"), ("serial", "serial"), ("asset", "asset")];
    let said = parts.iter().filter_map(|(word, key)| {
        let value = claim[*key].as_str()?;
        Some(format!("{word} {value}"))
    });
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_in_one_line() {
        let conflict = json!({"mac": "02:00:00:00:00:02", "since": 0,
            "claims": [{"serial": "old"}, {"uuid": "1234", "serial": "S1", "product": "R640"}],
            "suspects": [{"machine": 1, "name": "node-1", "evidence": ["has its UUID", "has its MAC"]},
                {"machine": 2, "name": "card", "evidence": []}]});
        let row = row(&conflict);
        assert_eq!(row[1], "UUID 1234, serial S1");
        assert!(row[2].starts_with("node-1 (has its UUID"), "{}", row[2]);
        assert!(row[2].contains("; card ("), "{}", row[2]);
    }
}
