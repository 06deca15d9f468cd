//! `farrier machine …`

use super::Global;
use super::output::{clock, table, text};
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
            let query = filter
                .map(|f| format!("?q={}", escape(&f)))
                .unwrap_or_default();
            let answer = client.get(&format!("/machines{query}")).await?;
            if global.json {
                println!("{answer:#}");
                return Ok(());
            }
            let rows: Vec<Vec<String>> = answer["machines"]
                .as_array()
                .into_iter()
                .flatten()
                .map(row)
                .collect();
            match rows.is_empty() {
                true => println!("no machines; one that asks the network appears here by itself"),
                false => print!(
                    "{}",
                    table(
                        &["NAME", "MAC", "PLATFORM", "STATE", "PROFILE", "LAST SEEN"],
                        &rows
                    )
                ),
            }
        }
        Command::Show { machine } => {
            let answer = client
                .get(&format!("/machines/{}", escape(&machine)))
                .await?;
            match global.json {
                true => println!("{answer:#}"),
                false => show(&answer),
            }
        }
        Command::Assign {
            machines,
            profile,
            none: _,
        } => {
            let body = json!({ "machines": machines, "profile": profile });
            client
                .send(Method::POST, "/machines/assign", Some(&body))
                .await?;
            let what =
                profile.map_or_else(|| "no profile".to_owned(), |p| format!("profile '{p}'"));
            for machine in machines {
                println!("{machine}: {what} from the next request on");
            }
        }
    }
    Ok(())
}

fn row(machine: &Value) -> Vec<String> {
    let seen = machine["last_seen"]
        .as_i64()
        .map_or_else(|| "never".to_owned(), clock);
    let cells = ["name", "macs", "platform", "state", "profile"];
    cells
        .iter()
        .map(|key| text(machine, key))
        .chain([seen])
        .collect()
}

fn show(machine: &Value) {
    let seen = |key: &str| {
        machine[key]
            .as_i64()
            .map_or_else(|| "never".to_owned(), clock)
    };
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
            format!(
                "{} {}",
                text(machine, "manufacturer"),
                text(machine, "product")
            ),
        ),
        ("platform", text(machine, "platform")),
        ("labels", labels),
        ("state", text(machine, "state")),
        ("profile", text(machine, "profile")),
        ("loader", text(machine, "loader")),
        ("first seen", seen("first_seen")),
        ("last seen", seen("last_seen")),
    ];
    for (name, value) in rows {
        println!("{name:<10}  {value}");
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
