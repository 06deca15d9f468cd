//! `farrier machine …`

use super::Global;
use super::client::Client;
use super::output::{clock, out, outln, table, text};
use anyhow::{Context, bail};
use bootplan::MacAddr;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

/// `farrier machine …`. A machine is named by its name, its id, or any of its MACs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List machines
    List {
        /// Only those with this text in name, MAC, profile, serial or labels
        filter: Option<String>,
    },
    /// Show one machine
    Show {
        /// Name, id or MAC
        machine: String,
    },
    /// Assign a profile, or take the assignment away
    Assign {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
        /// The profile
        #[arg(long, short, required_unless_present = "none")]
        profile: Option<String>,
        /// Take the assignment away
        #[arg(long, conflicts_with = "profile")]
        none: bool,
    },
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::List { filter } => {
            let filter = escape(&filter.unwrap_or_default());
            let answer = client
                .get(&format!("/machines?per_page=1000&q={filter}"))
                .await?;
            if global.json {
                outln!("{answer:#}");
                return Ok(());
            }
            let rows: Vec<Vec<String>> = answer["machines"]
                .as_array()
                .into_iter()
                .flatten()
                .map(row)
                .collect();
            match rows.is_empty() {
                true => outln!("no machines; one that asks the network appears here by itself"),
                false => out!(
                    "{}",
                    table(
                        &["NAME", "MAC", "PLATFORM", "STATE", "PROFILE", "LAST SEEN"],
                        &rows
                    )
                ),
            }
        }
        Command::Show { machine } => {
            let answer = find(&client, &machine).await?;
            match global.json {
                true => outln!("{answer:#}"),
                false => show(&answer),
            }
        }
        Command::Assign {
            machines,
            profile,
            none: _,
        } => {
            // Everything is looked at before anything is entered: a mistyped name must not leave
            // half of the machines behind.
            if let Some(profile) = &profile {
                client
                    .get(&format!("/profiles/{}", escape(profile)))
                    .await?;
            }
            let mut meant = Vec::new();
            for machine in &machines {
                meant.push(find_or_unseen(&client, machine).await?);
            }
            let mut ids = Vec::new();
            for machine in meant {
                ids.push(match machine {
                    Meant::Known(id) => id,
                    Meant::Unseen(mac) => enter(&client, mac).await?,
                });
            }
            let body = json!({ "ids": ids, "profile": profile });
            client
                .send(Method::POST, "/machines/assign", Some(&body))
                .await?;
            let what =
                profile.map_or_else(|| "no profile".to_owned(), |p| format!("profile '{p}'"));
            for machine in machines {
                outln!("{machine}: {what} from the next request on");
            }
        }
    }
    Ok(())
}

/// The one machine that a person means by a name, an id, or any spelling of one of its MACs.
pub(super) async fn find(client: &Client, key: &str) -> anyhow::Result<Value> {
    let mac: Option<MacAddr> = key.parse().ok();
    let query = mac.map_or_else(|| key.to_owned(), |mac| mac.to_string());
    let found = client
        .get(&format!("/machines?per_page=1000&q={}", escape(&query)))
        .await?;
    let is_meant = |machine: &&Value| match mac {
        Some(mac) => machine["macs"]
            .as_array()
            .is_some_and(|all| all.contains(&json!(mac))),
        None => machine["name"]
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case(key)),
    };
    let meant: Vec<&Value> = found["machines"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_meant)
        .collect();
    match (meant.as_slice(), key.parse::<i64>()) {
        ([machine], _) => Ok((*machine).clone()),
        ([], Ok(id)) => Ok(client.get(&format!("/machines/{id}")).await?),
        ([], Err(_)) => {
            bail!("no machine is called '{key}'; 'farrier machine list' shows those there are")
        }
        (several, _) => {
            let ids: Vec<String> = several.iter().map(|m| text(m, "id")).collect();
            bail!(
                "'{key}' means several machines; name one by its id: {}",
                ids.join(", ")
            )
        }
    }
}

enum Meant {
    Known(Value),
    Unseen(MacAddr),
}

async fn find_or_unseen(client: &Client, key: &str) -> anyhow::Result<Meant> {
    match (find(client, key).await, key.parse::<MacAddr>()) {
        (Ok(machine), _) => Ok(Meant::Known(machine["id"].clone())),
        (Err(_), Ok(mac)) => Ok(Meant::Unseen(mac)),
        (Err(error), Err(_)) => Err(error),
    }
}

/// A MAC that was never seen is entered as a machine: forty machines can be assigned before the
/// first is switched on. Its id.
async fn enter(client: &Client, mac: MacAddr) -> anyhow::Result<Value> {
    let body = json!({ "macs": [mac] });
    let entered = client.send(Method::POST, "/machines", Some(&body)).await?;
    outln!("{mac}: not seen yet; entered as a new machine");
    Ok(entered["id"].clone())
}

/// Its id, as paths of the API want it.
pub(super) async fn find_id(client: &Client, key: &str) -> anyhow::Result<i64> {
    find(client, key).await?["id"]
        .as_i64()
        .context("the server described a machine without an id")
}

fn row(machine: &Value) -> Vec<String> {
    let seen = machine["last_seen"]
        .as_i64()
        .map_or_else(|| "never".to_owned(), clock);
    vec![
        text(machine, "name"),
        text(machine, "macs"),
        text(&machine["facts"], "platform"),
        text(machine, "state"),
        text(machine, "profile"),
        seen,
    ]
}

fn show(machine: &Value) {
    let seen = |key: &str| {
        machine[key]
            .as_i64()
            .map_or_else(|| "never".to_owned(), clock)
    };
    let facts = &machine["facts"];
    let labels: Vec<String> = machine["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    let labels = if labels.is_empty() {
        "-".to_owned()
    } else {
        labels.join(" ")
    };
    let rows: Vec<(&str, String)> = vec![
        ("name", text(machine, "name")),
        ("id", text(machine, "id")),
        ("MACs", text(machine, "macs")),
        ("UUID", text(machine, "uuid")),
        ("serial", text(machine, "serial")),
        (
            "hardware",
            format!("{} {}", text(facts, "manufacturer"), text(facts, "product")),
        ),
        ("platform", text(facts, "platform")),
        ("labels", labels),
        ("state", text(machine, "state")),
        ("profile", text(machine, "profile")),
        ("loader", text(machine, "loader")),
        ("first seen", seen("first_seen")),
        ("last seen", seen("last_seen")),
    ];
    for (name, value) in rows {
        outln!("{name:<10}  {value}");
    }
}

/// Percent-encodes a path segment or query value.
pub(super) fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    text.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel_whole() {
        assert_eq!(escape("52:54:00:12:34:56"), "52:54:00:12:34:56");
        assert_eq!(escape("rack 1/é?&#"), "rack%201%2F%C3%A9%3F%26%23");
    }
}
