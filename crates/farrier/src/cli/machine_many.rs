//! `farrier machine label|adopt|forget|import|export`: many machines at once.

use super::Global;
use super::apply::report;
use super::client::{Client, ClientError, Fault};
use super::machine::{escape, find};
use super::output::{out, outln, text};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Which machines.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Chosen {
    /// Names, ids or MACs
    #[arg(required_unless_present = "filter", conflicts_with = "filter")]
    machines: Vec<String>,
    /// All for which these words hold, as 'machine list' finds them; shows them unless --yes is given
    #[arg(long, value_name = "WORDS")]
    filter: Option<String>,
    /// Do it to all that the filter finds
    #[arg(long, requires = "filter")]
    yes: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Many {
    /// Set labels, and take labels away
    Label {
        #[command(flatten)]
        chosen: Chosen,
        /// A label, such as rack=12; may be given several times
        #[arg(long, value_name = "KEY=VALUE", required_unless_present = "remove")]
        set: Vec<String>,
        /// Name of a label to take away; may be given several times
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Make discovered machines registered ones
    Adopt {
        #[command(flatten)]
        chosen: Chosen,
        /// Where a rule would install some of them, that is meant; it is refused otherwise, and said
        #[arg(long, conflicts_with = "only")]
        install: bool,
        /// Order nothing, whatever rules say
        #[arg(long)]
        only: bool,
    },
    /// Forget machines; one that asks again is discovered anew
    Forget {
        #[command(flatten)]
        chosen: Chosen,
        /// Where a rule would install some of them anew at their next boot, that is meant
        #[arg(long)]
        anew: bool,
        /// Throw away what machines without a disk keep on the server; else that stays there
        #[arg(long)]
        discard_kept: bool,
    },
    /// Bring machines to what a CSV table says, all of them or none
    Import {
        /// The table; '-' reads standard input
        file: PathBuf,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Write registered machines as a CSV table
    Export {
        /// Where to; left out: standard output. An existing file is not overwritten
        file: Option<PathBuf>,
        /// Those for which these words hold, discovered ones too
        #[arg(long, value_name = "WORDS")]
        filter: Option<String>,
    },
}

pub(crate) async fn run(global: &Global, command: Many) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Many::Label {
            chosen,
            set,
            remove,
        } => {
            let mut pairs = serde_json::Map::new();
            for label in &set {
                let (key, value) = label.split_once('=').with_context(|| {
                    format!("'{label}' is no label: expected KEY=VALUE, such as rack=12")
                })?;
                pairs.insert(key.to_owned(), value.into());
            }
            let Some(machines) = chosen.machines(&client, "label").await? else {
                return Ok(());
            };
            let body = json!({ "ids": ids(&machines), "set": pairs, "remove": remove });
            let path = "/machines/label";
            client.send(Method::POST, path, Some(&body)).await?;
            outln!("labelled: {}", machines.len());
        }
        Many::Adopt {
            chosen,
            install,
            only,
        } => {
            let Some(machines) = chosen.machines(&client, "adopt").await? else {
                return Ok(());
            };
            let body = json!({ "ids": ids(&machines), "install": install, "only": only });
            let path = "/machines/adopt";
            let answer = client.send(Method::POST, path, Some(&body)).await?;
            outln!("adopted: {}", machines.len());
            for ordered in answer["ordered"].as_array().into_iter().flatten() {
                let named = machines.iter().find(|m| m["id"] == ordered["id"]);
                let name = named.map(|m| text(m, "name")).unwrap_or_default();
                let (rule, profile) = (text(ordered, "rule"), text(ordered, "profile"));
                outln!("{name}: rule {rule} installs it with {profile}, once, at the next boot");
            }
        }
        Many::Forget {
            chosen,
            anew,
            discard_kept,
        } => {
            let Some(machines) = chosen.machines(&client, "forget").await? else {
                return Ok(());
            };
            let body = json!({ "ids": ids(&machines), "anew": anew, "discard_kept": discard_kept });
            let path = "/machines/forget";
            let told = client.send(Method::POST, path, Some(&body)).await?;
            outln!("forgotten: {}", machines.len());
            if let Some(keeping) = told["keeping"].as_u64().filter(|n| *n > 0) {
                outln!(
                    "keeping something on the server still: {keeping} ('farrier diskless list'; \
                     'farrier diskless reset NUMBER' throws it away)"
                );
            }
        }
        Many::Import { file, dry_run } => import(global, &client, &file, dry_run).await?,
        Many::Export { file, filter } => {
            let filter = escape(filter.as_deref().unwrap_or_default());
            let path = format!("/machines/export?q={filter}");
            let table = client.get_text(&path).await?;
            match file {
                None => out!("{table}"),
                Some(file) => {
                    let written = std::fs::File::create_new(&file);
                    let written = written.and_then(|mut f| f.write_all(table.as_bytes()));
                    written.with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
        }
    }
    Ok(())
}

impl Chosen {
    /// The machines; `None` when a filter's were only shown. What is changed afterwards are these, by
    /// their identities, whatever else comes to match meanwhile.
    pub(super) async fn machines(
        &self,
        client: &Client,
        what: &str,
    ) -> anyhow::Result<Option<Vec<Value>>> {
        let mut machines = Vec::new();
        let Some(filter) = &self.filter else {
            for machine in &self.machines {
                machines.push(find(client, machine).await?);
            }
            return Ok(Some(machines));
        };
        let filter = escape(filter);
        for page in 1.. {
            let path = format!("/machines?per_page=1000&page={page}&q={filter}");
            let answer = client.get(&path).await?;
            let found = answer["machines"].as_array().cloned().unwrap_or_default();
            let last = found.len() < 1000;
            machines.extend(found);
            if last {
                break;
            }
        }
        if machines.is_empty() {
            bail!("no machine matches");
        }
        if self.yes {
            return Ok(Some(machines));
        }
        for machine in &machines {
            outln!("{}  {}", text(machine, "macs"), text(machine, "name"));
        }
        outln!("would {what} these {}; --yes does it", machines.len());
        Ok(None)
    }
}

/// Their identities, as the API takes them.
pub(super) fn ids(machines: &[Value]) -> Vec<Value> {
    machines
        .iter()
        .map(|machine| machine["id"].clone())
        .collect()
}

async fn import(
    global: &Global,
    client: &Client,
    file: &Path,
    dry_run: bool,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", file.display());
    let table = match file.as_os_str() == "-" {
        true => {
            let mut table = String::new();
            std::io::stdin()
                .read_to_string(&mut table)
                .with_context(cannot)?;
            table
        }
        false => std::fs::read_to_string(file).with_context(cannot)?,
    };
    let place = |f: &Fault| format!("{}:{}: {}", file.display(), f.line, f.problem);
    let path = format!("/machines/import?dry_run={dry_run}");
    match client.send_text(&path, table, "text/csv").await {
        Ok(answer) => report(global, &answer, place),
        Err(ClientError::Refused { detail, faults, .. }) if !faults.is_empty() => {
            let lines: Vec<String> = faults.iter().map(|f| format!("\n  {}", place(f))).collect();
            bail!("{detail}{}", lines.concat())
        }
        Err(error) => Err(error.into()),
    }
}
