//! `farrier machine install`, `cancel`, `release`, `done`, `hold`.

use super::client::Client;
use super::machine::find_id;
use super::output::{outln, text};
use anyhow::Context;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

/// What is ordered, and how it went.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install machines once, at their next boot
    Install {
        /// Names, ids or MACs
        #[arg(required = true)]
        machines: Vec<String>,
        /// What is installed; left out: what each one is assigned to, or what its rule would install
        #[arg(long, short)]
        profile: Option<String>,
        /// Boot it at the next boot only, and change no assignment
        #[arg(long)]
        next_boot: bool,
        /// Not before this time, such as 2026-12-01T22:00 (this host's zone)
        #[arg(long, value_name = "TIME")]
        not_before: Option<jiff::civil::DateTime>,
        /// Only in these hours, such as mon,tue/22:00-05:00 (the server's zone)
        #[arg(long, value_name = "DAYS/FROM-TO")]
        window: Option<String>,
        /// Call off an installation that is under way
        #[arg(long)]
        force: bool,
    },
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

pub(super) async fn run(client: &Client, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Install {
            machines,
            profile,
            next_boot,
            not_before,
            window,
            force,
        } => {
            let mode = if next_boot {
                "next-boot"
            } else {
                "install-once"
            };
            let mut body = json!({"ids": ids(client, &machines).await?, "mode": mode,
                "profile": profile, "force": force});
            if let Some(time) = not_before {
                let time = time.to_zoned(jiff::tz::TimeZone::system());
                let time = time.context("--not-before: there is no such time here")?;
                body["not_before"] = time.timestamp().as_millisecond().into();
            }
            if let Some(window) = window {
                body["window"] = parsed(&window)?;
            }
            let post = Method::POST;
            client.send(post, "/machines/arm", Some(&body)).await?;
            for machine in &machines {
                let id = find_id(client, machine).await?;
                let shown = client.get(&format!("/machines/{id}")).await?;
                outln!(
                    "{machine}: {}, {}",
                    text(&shown, "lifecycle"),
                    text(&shown, "progress")
                );
            }
            Ok(())
        }
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

/// `mon,tue/22:00-05:00` as the API wants it; the server says what is wrong with its parts.
fn parsed(window: &str) -> anyhow::Result<Value> {
    let split = || {
        let (days, hours) = window.split_once('/')?;
        let (from, to) = hours.split_once('-')?;
        Some((days.split(',').collect::<Vec<_>>(), from, to))
    };
    let (days, from, to) =
        split().context("--window: expected days and hours, such as mon,tue/22:00-05:00")?;
    Ok(json!({"days": days, "from": from, "to": to}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_as_people_write_them() {
        let nights = parsed("mon,tue/22:00-05:00").expect("a window");
        assert_eq!(
            nights,
            json!({"days": ["mon", "tue"], "from": "22:00", "to": "05:00"})
        );
        let read: bootplan::Window = serde_json::from_value(nights).expect("as the API reads it");
        assert!(read.is_open(23 * 60));
        for wrong in ["", "mon", "mon/22:00", "22:00-05:00"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
