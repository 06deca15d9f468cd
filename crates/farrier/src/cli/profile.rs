//! `farrier profile …`

use super::Global;
use super::machine::{escape, find_id};
use super::output::{out, outln, table, text};
use clap::Subcommand;
use serde_json::Value;

/// `farrier profile …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List profiles
    List,
    /// Show one profile as YAML
    Show {
        /// Its name
        profile: String,
    },
    /// Print what a machine with this profile would be served
    Render {
        /// Its name
        profile: String,
        /// ipxe, pxelinux or grub
        #[arg(long, short, default_value = "ipxe")]
        language: String,
        /// For this platform, e.g. bios or efi-x64
        #[arg(long, short)]
        platform: Option<String>,
        /// For this machine (name, id or MAC)
        #[arg(long, short)]
        machine: Option<String>,
    },
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::List => {
            let answer = client.get("/profiles").await?;
            if global.json {
                outln!("{answer:#}");
                return Ok(());
            }
            let rows: Vec<Vec<String>> = answer["profiles"]
                .as_array()
                .into_iter()
                .flatten()
                .map(row)
                .collect();
            match rows.is_empty() {
                true => outln!("no profiles; begin with: farrier apply -f configs/profiles/"),
                false => out!(
                    "{}",
                    table(
                        &["NAME", "TITLE", "BOOTS", "PLATFORMS", "ENABLED", "IN MENU"],
                        &rows
                    )
                ),
            }
        }
        Command::Show { profile } => {
            let answer = client
                .get(&format!("/profiles/{}", escape(&profile)))
                .await?;
            match global.json {
                true => outln!("{answer:#}"),
                false => out!("kind: profile\n{}", serde_yaml::to_string(&answer)?),
            }
        }
        Command::Render {
            profile,
            language,
            platform,
            machine,
        } => {
            let mut path = format!(
                "/profiles/{}/render?language={}",
                escape(&profile),
                escape(&language)
            );
            if let Some(platform) = platform {
                path += &format!("&platform={}", escape(&platform));
            }
            if let Some(machine) = machine {
                path += &format!("&machine={}", find_id(&client, &machine).await?);
            }
            let answer = client.get(&path).await?;
            match global.json {
                true => outln!("{answer:#}"),
                false => out!("{}", answer["text"].as_str().unwrap_or_default()),
            }
        }
    }
    Ok(())
}

fn row(profile: &Value) -> Vec<String> {
    // The API leaves out what has its default: a profile is enabled, and in no menu.
    let yes_no = |key: &str, default: bool| {
        let yes = profile[key].as_bool().unwrap_or(default);
        if yes { "yes" } else { "no" }.to_owned()
    };
    let platforms = match text(profile, "platforms").as_str() {
        "-" => "any".to_owned(),
        named => named.to_owned(),
    };
    vec![
        text(profile, "name"),
        text(profile, "title"),
        text(&profile["boot"], "kind"),
        platforms,
        yes_no("enabled", true),
        yes_no("in_menu", false),
    ]
}
