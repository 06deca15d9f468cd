//! `farrier hook …`: who is told of what happens. A hook's URL may be as good as a secret, as those
//! of chats are: only its host is ever printed. `farrier export` writes it whole.

use super::Global;
use super::machine::escape;
use super::output::{clock, out, outln, table, text};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};

/// `farrier hook …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List web hooks, and whether their receivers listen
    List,
    /// Show one web hook
    Show {
        /// Its name
        hook: String,
    },
    /// Create a web hook, or replace the one of its name
    Add(Add),
    /// Post a test to its receiver now
    Test {
        /// Its name
        hook: String,
    },
    /// Delete a web hook, and what waits for it
    Remove {
        /// Its name
        hook: String,
    },
}

/// A hook as the command line says it.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name: lower-case letters, digits and '-'
    hook: String,
    /// Where events are posted; '-' reads it from standard input, so that nobody sees it in the list
    /// of processes
    url: String,
    /// A kind of event it is told of, such as run-changed; may be given several times. None: all but the
    /// steps of every boot
    #[arg(long, value_name = "KIND")]
    event: Vec<String>,
    /// Name of the secret that signs what is posted; it begins with 'hook.'
    #[arg(long, value_name = "NAME", default_value = "")]
    secret: String,
    /// Tell it nothing for now
    #[arg(long)]
    disabled: bool,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::List => {
            let answer = client.get("/hooks").await?;
            let hooks = answer["hooks"].as_array().into_iter().flatten();
            let hooks: Vec<Value> = hooks.map(without_path).collect();
            if global.json {
                outln!("{:#}", json!({ "hooks": hooks }));
                return Ok(());
            }
            let rows: Vec<Vec<String>> = hooks.iter().map(row).collect();
            match rows.is_empty() {
                true => outln!("no web hooks; begin with: farrier hook add NAME URL"),
                false => out!("{}", table(&HEADINGS, &rows)),
            }
        }
        Command::Show { hook } => {
            let answer = client.get("/hooks").await?;
            let mut hooks = answer["hooks"].as_array().into_iter().flatten();
            let found = hooks.find(|h| h["name"] == hook.as_str());
            let Some(found) = found.map(without_path) else {
                bail!("no web hook is called '{hook}'; 'farrier hook list' shows those there are");
            };
            match global.json {
                true => outln!("{found:#}"),
                false => out!("{}", shown(&found)),
            }
        }
        Command::Add(add) => {
            let url = match add.url.as_str() {
                "-" => from_input()?,
                url => url.to_owned(),
            };
            let body = json!({"url": url, "events": add.event, "secret": add.secret,
                "enabled": !add.disabled});
            let path = format!("/hooks/{}", escape(&add.hook));
            client.send(Method::PUT, &path, Some(&body)).await?;
            outln!("{}: saved; try it with: farrier hook test {0}", add.hook);
        }
        Command::Test { hook } => {
            let path = format!("/hooks/{}/test", escape(&hook));
            let answer = client.send(Method::POST, &path, None).await?;
            if let Some(problem) = answer["problem"].as_str() {
                bail!("the receiver of '{hook}' did not take the test: {problem}");
            }
            outln!("{hook}: its receiver took the test");
        }
        Command::Remove { hook } => {
            let path = format!("/hooks/{}", escape(&hook));
            client.send(Method::DELETE, &path, None).await?;
            outln!("{hook}: deleted");
        }
    }
    Ok(())
}

/// Its URL down to the host.
fn without_path(hook: &Value) -> Value {
    let mut hook = hook.clone();
    let read: Option<bootplan::Hook> =
        serde_json::from_value(json!({"name": "x", "url": hook["url"]})).ok();
    hook["url"] = read.map(|hook| hook.place()).unwrap_or_default().into();
    hook
}

fn from_input() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        eprintln!("The URL, ended by Ctrl-D (shown as you type):");
    }
    let mut url = String::new();
    let read = std::io::stdin().take(LIMIT).read_to_string(&mut url);
    read.context("cannot read the URL from standard input")?;
    Ok(url.trim().to_owned())
}

fn row(hook: &Value) -> Vec<String> {
    vec![
        text(hook, "name"),
        text(hook, "url"),
        events(hook),
        state(hook).to_owned(),
        told(hook),
        text(hook, "waiting"),
    ]
}

fn shown(hook: &Value) -> String {
    let secret = hook["secret"].as_str().unwrap_or("-").to_owned();
    let rows = [
        ("name", text(hook, "name")),
        ("to", text(hook, "url")),
        ("events", events(hook)),
        ("secret", secret),
        ("state", state(hook).to_owned()),
        ("last told", told(hook)),
        ("waiting", text(hook, "waiting")),
        ("problem", text(hook, "problem")),
    ];
    let lines = rows.map(|(name, value)| format!("{name:<9}  {value}\n"));
    lines.concat()
}

fn events(hook: &Value) -> String {
    let events = hook["events"].as_array().into_iter().flatten();
    let events: Vec<&str> = events.filter_map(Value::as_str).collect();
    match events.is_empty() {
        true => "all but boots' steps".to_owned(),
        false => events.join(", "),
    }
}

fn state(hook: &Value) -> &'static str {
    match (hook["enabled"] == true, hook["problem"].is_string()) {
        (false, _) => "off",
        (true, true) => "not told",
        (true, false) => "ok",
    }
}

fn told(hook: &Value) -> String {
    hook["told"].as_i64().map_or("never".to_owned(), clock)
}

const HEADINGS: [&str; 6] = ["NAME", "TO", "EVENTS", "STATE", "LAST TOLD", "WAITING"];
/// More than a URL may be long.
const LIMIT: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks() -> [Value; 2] {
        let chat = json!({"name": "chat", "url": "https://u:PASS@chat.example/services/HIDDEN?x=HIDDEN",
            "events": ["run-changed", "powered"], "secret": "hook.chat", "enabled": true,
            "told": null, "problem": "https://chat.example: the server answered 503", "waiting": 3});
        let quiet = json!({"name": "quiet", "url": "http://10.0.0.9:8000", "enabled": false,
            "told": null, "problem": null, "waiting": 0});
        [without_path(&chat), without_path(&quiet)]
    }

    #[test]
    fn hooks_are_listed_by_their_hosts() {
        let rows = hooks().iter().map(row).collect::<Vec<_>>();
        insta::assert_snapshot!(table(&HEADINGS, &rows), @r"
        NAME   TO                    EVENTS                STATE     LAST TOLD  WAITING
        chat   https://chat.example  run-changed, powered  not told  never      3
        quiet  http://10.0.0.9:8000  all but boots' steps  off       never      0
        ");
    }

    #[test]
    fn nothing_that_may_be_secret_is_shown() {
        let [chat, _] = hooks();
        insta::assert_snapshot!(shown(&chat), @r"
        name       chat
        to         https://chat.example
        events     run-changed, powered
        secret     hook.chat
        state      not told
        last told  never
        waiting    3
        problem    https://chat.example: the server answered 503
        ");
        let json = chat.to_string();
        assert!(!json.contains("HIDDEN") && !json.contains("PASS"), "{json}");
    }
}
