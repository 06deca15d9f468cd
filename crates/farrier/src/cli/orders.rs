//! `farrier machine install`, `cancel`, `release`, `done`, `hold`.

use super::client::Client;
use super::machine::{escape, find_id};
use super::machine_many::{Chosen, ids as machine_ids};
use super::output::{outln, text};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

/// An order.
#[derive(Debug, Args)]
pub(crate) struct Install {
    #[command(flatten)]
    chosen: Chosen,
    /// What is installed; left out: what each one is assigned to, or what its rule would install
    #[arg(long, short)]
    profile: Option<String>,
    /// Boot it at the next boot only, and change no assignment
    #[arg(long)]
    next_boot: bool,
    /// Order it, and boot it from the network at once by its power switch: restarted, whatever it is
    /// doing, or switched on, or woken
    #[arg(long, conflicts_with_all = ["not_before", "window"])]
    now: bool,
    /// Not before this time, such as 2026-12-01T22:00 (this host's zone)
    #[arg(long, value_name = "TIME")]
    not_before: Option<jiff::civil::DateTime>,
    /// Only in these hours: the name of one of the site's windows, or days and hours such as
    /// mon,tue/22:00-05:00 (the server's zone)
    #[arg(long, value_name = "NAME|DAYS/FROM-TO")]
    window: Option<String>,
    /// Call off an installation that is under way
    #[arg(long)]
    force: bool,
    /// Order it although what would be fetched has faults, or is not there
    #[arg(long)]
    despite_faults: bool,
}

/// What is ordered, and how it went.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install machines once, at their next boot, or now
    Install(Install),
    /// Call off what is ordered
    Cancel {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
    },
    /// Let held machines begin again, with all their tries
    Release {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
    },
    /// Say that machines are installed, whatever they reported
    Done {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
        /// They failed, because of this
        #[arg(long, value_name = "WHY")]
        failed: Option<String>,
    },
    /// Stop what is ordered: the machines boot their local disks until they are released
    Hold {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
        /// What for
        #[arg(long, default_value = "")]
        note: String,
    },
}

pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Install(order) => install(client, order, json).await,
        Command::Cancel { machines } => each(client, &machines, "cancel", None).await,
        Command::Release { machines } => each(client, &machines, "release", None).await,
        Command::Done { machines, failed } => {
            let body = match failed {
                Some(why) => json!({"result": "failed", "why": why}),
                None => json!({"result": "done"}),
            };
            each(client, &machines, "finish", Some(&body)).await
        }
        Command::Hold { machines, note } => {
            each(client, &machines, "hold", Some(&json!({ "note": note }))).await
        }
    }
}

async fn install(client: &Client, order: Install, json: bool) -> anyhow::Result<()> {
    let what = if order.now { "install now" } else { "order" };
    let Some(machines) = order.chosen.machines(client, what).await? else {
        return Ok(());
    };
    if order.next_boot
        && let Some(warning) = warning(client, &order, &machines).await?
    {
        eprintln!("{warning}");
    }
    let mode = match order.next_boot {
        true => "next-boot",
        false => "install-once",
    };
    let mut body = json!({"ids": machine_ids(&machines), "mode": mode,
        "profile": order.profile, "force": order.force,
        "despite_faults": order.despite_faults});
    if let Some(time) = order.not_before {
        let time = time.to_zoned(jiff::tz::TimeZone::system());
        let time = time.context("--not-before: there is no such time here")?;
        body["not_before"] = time.timestamp().as_millisecond().into();
    }
    if let Some(window) = order.window {
        body["window"] = parsed(&window)?;
    }
    if order.now {
        return install_now(client, &body, json).await;
    }
    let post = Method::POST;
    client.send(post, "/machines/arm", Some(&body)).await?;
    for machine in &machines {
        let path = format!("/machines/{}", machine["id"]);
        let shown = client.get(&path).await?;
        outln!(
            "{}: {}, {}",
            text(machine, "name"),
            text(&shown, "lifecycle"),
            text(&shown, "progress")
        );
    }
    Ok(())
}

/// What the page warns of, where what is booted once is made to install.
async fn warning(
    client: &Client,
    order: &Install,
    machines: &[Value],
) -> anyhow::Result<Option<&'static str>> {
    let assigned = machines.iter().filter_map(|m| m["profile"].as_str());
    let named = order.profile.as_deref();
    let mut names: Vec<&str> = match named {
        Some(name) => vec![name],
        None => assigned.collect(),
    };
    names.sort_unstable();
    names.dedup();
    for name in names {
        let path = format!("/profiles/{}", escape(name));
        let profile: bootplan::Profile = serde_json::from_value(client.get(&path).await?)?;
        if profile.installs() {
            return Ok(Some(web::NEXT_BOOT_WARNING));
        }
    }
    Ok(None)
}

/// What each switch did is told; the orders stand whatever that was.
async fn install_now(client: &Client, body: &Value, json: bool) -> anyhow::Result<()> {
    let path = "/machines/install-now";
    let answer = client.send(Method::POST, path, Some(body)).await?;
    if json {
        outln!("{answer:#}");
    }
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    for result in results.iter().filter(|_| !json) {
        outln!("{}", now_told(result));
    }
    let by_hand = results.iter().filter(|r| r["switched"] != true).count();
    match by_hand {
        0 => Ok(()),
        n => bail!(
            "{n} of {} are ordered, but were not switched",
            results.len()
        ),
    }
}

/// One machine's line.
fn now_told(result: &Value) -> String {
    let of = |key| text(result, key);
    format!("{}: {} {}", of("name"), of("profile"), of("text"))
}

/// One after the other; all are looked up before the first is changed.
async fn each(
    client: &Client,
    machines: &[String],
    verb: &str,
    body: Option<&Value>,
) -> anyhow::Result<()> {
    let ids = ids(client, machines).await?;
    for (machine, id) in machines.iter().zip(ids) {
        let path = format!("/machines/{id}/{verb}");
        let shown = client.send(Method::POST, &path, body).await?;
        outln!("{machine}: {}", text(&shown, "lifecycle"));
    }
    Ok(())
}

async fn ids(client: &Client, machines: &[String]) -> anyhow::Result<Vec<i64>> {
    let mut ids = Vec::with_capacity(machines.len());
    for machine in machines {
        ids.push(find_id(client, machine).await?);
    }
    Ok(ids)
}

/// A window's name, or `mon,tue/22:00-05:00`, as the API wants it.
fn parsed(window: &str) -> anyhow::Result<Value> {
    if !window.contains('/') {
        return Ok(window.into());
    }
    let window: bootplan::Window = window.parse().context("--window")?;
    Ok(json!(window))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_its_switch_did() {
        let result = json!({"name": "node-1", "profile": "debian-12", "switched": true,
            "text": "ordered; it boots by PXE next, and was restarted by Redfish"});
        assert_eq!(
            now_told(&result),
            "node-1: debian-12 ordered; it boots by PXE next, and was restarted by Redfish"
        );
    }

    #[test]
    fn windows_as_people_write_them() {
        let nights = parsed("mon,tue/22:00-05:00").expect("a window");
        assert_eq!(
            nights,
            json!({"days": ["mon", "tue"], "from": "22:00", "to": "05:00"})
        );
        let read: bootplan::Window = serde_json::from_value(nights).expect("as the API reads it");
        assert!(read.is_open(23 * 60));
        assert_eq!(parsed("nights").expect("a name"), json!("nights"));
        for wrong in ["/", "mon/22:00", "mon/22:00-25:00"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
