//! `farrier machine …`

use super::Global;
use super::client::Client;
use super::machine_many::Many;
use super::output::{clock, out, outln, table, text};
use anyhow::{Context, bail};
use bootplan::MacAddr;
use clap::{ArgGroup, Subcommand};
use http::Method;
use serde_json::{Value, json};

/// `farrier machine …`. A machine is named by its name, its id, or any of its MACs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List machines
    List {
        /// Words that must all hold: text found anywhere, or label:rack=1 state:held mac:52:54
        /// product:Dell*; ! before a word turns it around
        filter: Vec<String>,
    },
    /// Show one machine
    Show {
        /// Name, id or MAC
        machine: String,
    },
    /// Render and check everything that a machine will fetch
    Review {
        /// Name, id or MAC
        machine: String,
        /// The profile; left out: the one it is assigned to
        #[arg(long, short)]
        profile: Option<String>,
    },
    #[command(flatten)]
    Order(super::orders::Command),
    #[command(flatten)]
    Identity(super::identity::Command),
    /// Switch machines on and off, or say how they boot the next time
    Power(super::power::Power),
    /// Boot a profile always from now on, or take the assignment away (install: once)
    #[command(group = ArgGroup::new("what").required(true).args(["profile", "none"]))]
    Assign {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
        /// The profile
        #[arg(long, short)]
        profile: Option<String>,
        /// Take the assignment away
        #[arg(long)]
        none: bool,
        /// The profile installs, and it is to install at every boot
        #[arg(long)]
        always: bool,
    },
    #[command(flatten)]
    Many(Many),
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::Power(power) => super::power::run(global, power).await?,
        Command::Many(many) => return super::machine_many::run(global, many).await,
        Command::List { filter } => {
            let filter = escape(&filter.join(" "));
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
                        &[
                            "NAME",
                            "MAC",
                            "PLATFORM",
                            "STATE",
                            "PROFILE",
                            "LAST SEEN",
                            "PROGRESS"
                        ],
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
        Command::Review { machine, profile } => {
            super::review::run(&client, &machine, profile.as_deref(), global.json).await?;
        }
        Command::Order(command) => super::orders::run(&client, command, global.json).await?,
        Command::Identity(command) => super::identity::run(&client, command, global.json).await?,
        Command::Assign {
            machines,
            profile,
            none: _,
            always,
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
            let (mut ids, mut unseen, mut questions) = (Vec::new(), Vec::new(), Vec::new());
            for machine in meant {
                questions.push(machine.question());
                match machine {
                    Meant::Known(machine) => ids.push(machine["id"].clone()),
                    Meant::Unseen(mac) => unseen.push(mac),
                }
            }
            if !ids.is_empty() {
                let body = json!({ "ids": ids, "profile": profile, "always": always });
                let assign = client.send(Method::POST, "/machines/assign", Some(&body));
                assign.await?;
            }
            for mac in unseen {
                enter(&client, mac, profile.as_deref(), always).await?;
            }
            let what = match &profile {
                Some(profile) => format!("profile '{profile}'"),
                None => "no profile".to_owned(),
            };
            for (machine, question) in machines.iter().zip(questions) {
                outln!("{machine}: {what} from the next request on");
                if profile.is_some() {
                    let told = client.get(&question?).await?;
                    if let Some(obstacle) = obstacle(&told) {
                        outln!("{machine}: {obstacle}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// The one machine that a person means by a name, an id, or any spelling of one of its MACs.
pub(super) async fn find(client: &Client, key: &str) -> anyhow::Result<Value> {
    let mac: Option<MacAddr> = key.parse().ok();
    let literal = key.replace('\\', "\\\\").replace('"', "\\\"");
    let query = mac.map_or_else(|| format!("\"{literal}\""), |mac| format!("mac:{mac}"));
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

impl Meant {
    /// What to ask about its next boot. Of a machine that never told its platform only iPXE can
    /// be asked about: its firmware would be answered by the platform.
    fn question(&self) -> anyhow::Result<String> {
        let (mac, platform) = match self {
            Meant::Known(machine) => {
                let mac = machine["macs"][0].as_str();
                let mac = mac.context("the server described a machine without a MAC")?;
                (mac.to_owned(), machine["facts"]["platform"].as_str())
            }
            Meant::Unseen(mac) => (mac.to_string(), None),
        };
        let stage = if platform.is_some() {
            "firmware"
        } else {
            "ipxe"
        };
        Ok(format!("/explain?mac={mac}&stage={stage}"))
    }
}

/// Why an assigned machine does not boot from the network all the same.
fn obstacle(told: &Value) -> Option<String> {
    let because = text(told, "because");
    match told["outcome"].as_str() {
        Some("silent") => Some(format!("but it would get no answer: {because}")),
        _ => None,
    }
}

async fn find_or_unseen(client: &Client, key: &str) -> anyhow::Result<Meant> {
    match (find(client, key).await, key.parse::<MacAddr>()) {
        (Ok(machine), _) => Ok(Meant::Known(machine)),
        (Err(_), Ok(mac)) => Ok(Meant::Unseen(mac)),
        (Err(error), Err(_)) => Err(error),
    }
}

/// A MAC that was never seen is entered as a machine: forty machines can be assigned before the
/// first is switched on.
async fn enter(
    client: &Client,
    mac: MacAddr,
    profile: Option<&str>,
    always: bool,
) -> anyhow::Result<()> {
    let body = json!({ "macs": [mac], "profile": profile, "always": always });
    client.send(Method::POST, "/machines", Some(&body)).await?;
    outln!("{mac}: not seen yet; entered as a new machine");
    Ok(())
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
        text(machine, "lifecycle"),
        text(machine, "profile"),
        seen,
        text(machine, "progress"),
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
    let notes = machine["notes"].as_str().unwrap_or("-");
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
        ("notes", notes.replace('\n', "\n            ")),
        ("state", text(machine, "lifecycle")),
        ("progress", text(machine, "progress")),
        ("profile", text(machine, "profile")),
        ("mode", text(machine, "mode")),
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
    fn a_machine_is_asked_about_by_what_is_known_of_it() {
        let question = |meant: Meant| meant.question().expect("has a MAC");
        let told = json!({"macs": ["02:00:00:00:00:01"], "facts": {"platform": "bios"}});
        let silent = json!({"macs": ["02:00:00:00:00:01"], "facts": {"platform": null}});
        let firmware = "/explain?mac=02:00:00:00:00:01&stage=firmware";
        let ipxe = "/explain?mac=02:00:00:00:00:01&stage=ipxe";
        assert_eq!(question(Meant::Known(told)), firmware);
        assert_eq!(question(Meant::Known(silent)), ipxe);
        let unseen = "02:00:00:00:00:01".parse().expect("a MAC");
        assert_eq!(question(Meant::Unseen(unseen)), ipxe);
        assert!(Meant::Known(json!({})).question().is_err());
    }

    #[test]
    fn an_assignment_that_boots_nothing_says_why() {
        let told = json!({"outcome": "silent", "because": "profile 'a' is disabled"});
        let expected = "but it would get no answer: profile 'a' is disabled";
        assert_eq!(obstacle(&told).as_deref(), Some(expected));
        assert_eq!(obstacle(&json!({"outcome": "boot"})), None);
        assert_eq!(obstacle(&json!({"outcome": "local-disk"})), None);
    }

    #[test]
    fn names_travel_whole() {
        assert_eq!(escape("52:54:00:12:34:56"), "52:54:00:12:34:56");
        assert_eq!(escape("rack 1/é?&#"), "rack%201%2F%C3%A9%3F%26%23");
    }
}
