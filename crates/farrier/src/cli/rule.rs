//! `farrier rule …`

use super::Global;
use super::machine::escape;
use super::output::{out, outln, table, text};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;

/// `farrier rule …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List rules in the order they are asked, with how many machines they concern
    List,
    /// Show one rule as YAML
    Show {
        /// Its name
        rule: String,
    },
    /// Create a rule, or replace the one of its name
    Put {
        /// YAML file with one rule; '-' reads standard input
        #[arg(long, short, value_name = "PATH")]
        file: PathBuf,
        /// A profile that installs is meant to install at every boot; or write 'mode: always'
        #[arg(long)]
        always: bool,
    },
    /// Delete a rule; see first what that changes with: farrier rule preview --delete NAME
    Delete {
        /// Its name
        rule: String,
        /// Machines are meant to be installed at every boot by another rule
        #[arg(long)]
        always: bool,
    },
    /// Show which machines a rule matches and which would get something else; changes nothing
    Preview(Preview),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Preview {
    /// By this rule: YAML file with one rule; '-' reads standard input
    #[arg(long, short, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Without the rule of this name
    #[arg(long, value_name = "NAME")]
    delete: Option<String>,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::List => {
            let answer = client.get("/rules").await?;
            if global.json {
                outln!("{answer:#}");
                return Ok(());
            }
            let lines = answer["rules"].as_array().into_iter().flatten();
            let rows: Vec<Vec<String>> = lines.map(row).collect();
            match rows.is_empty() {
                true => outln!("no rules; begin with: farrier rule put -f FILE"),
                false => out!("{}", table(&HEADINGS, &rows)),
            }
        }
        Command::Show { rule } => {
            let answer = client.get(&format!("/rules/{}", escape(&rule))).await?;
            match global.json {
                true => outln!("{answer:#}"),
                false => out!("kind: rule\n{}", serde_yaml::to_string(&answer)?),
            }
        }
        Command::Put { file, always } => {
            let rule = read(&file)?;
            let name = rule["name"].as_str().context("the rule has no 'name'")?;
            let always = always || rule["mode"] == "always";
            let path = format!("/rules/{}?always={always}", escape(name));
            let answer = client.send(Method::PUT, &path, Some(&rule)).await?;
            match global.json {
                true => outln!("{answer:#}"),
                false => outln!("rule '{name}' is saved"),
            }
        }
        Command::Delete { rule, always } => {
            let path = format!("/rules/{}?always={always}", escape(&rule));
            client.send(Method::DELETE, &path, None).await?;
            outln!("rule '{rule}' is deleted");
        }
        Command::Preview(preview) => {
            let edit = match (preview.file, preview.delete) {
                (Some(file), _) => json!({ "put": read(&file)? }),
                (None, name) => json!({ "delete": name }),
            };
            let path = "/rules/preview";
            let answer = client.send(Method::POST, path, Some(&edit)).await?;
            match global.json {
                true => outln!("{answer:#}"),
                false => out!("{}", told(&answer)),
            }
        }
    }
    Ok(())
}

/// One rule, written as `farrier apply` takes it; `kind: rule` may be left out.
fn read(file: &PathBuf) -> anyhow::Result<Value> {
    let text = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.context("cannot read standard input")?;
            text
        }
        false => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?,
    };
    let mut rule: Value = serde_yaml::from_str(&text)
        .with_context(|| format!("{} is not one YAML document", file.display()))?;
    let kind = rule
        .as_object_mut()
        .and_then(|fields| fields.remove("kind"));
    match kind.as_ref().and_then(Value::as_str) {
        Some(kind) if kind != "rule" => bail!("{}: kind is '{kind}', not rule", file.display()),
        _ => Ok(rule),
    }
}

fn row(line: &Value) -> Vec<String> {
    let rule = &line["rule"];
    let mode = match text(rule, "mode").as_str() {
        "-" => "always".to_owned(),
        mode => mode.to_owned(),
    };
    vec![
        text(line, "place"),
        text(rule, "name"),
        text(rule, "profile"),
        mode,
        text(line, "matching"),
        text(line, "deciding"),
    ]
}

/// A preview for people: what matches, then each machine that would get something else.
fn told(answer: &Value) -> String {
    let names = |key: &str| -> Vec<String> {
        let list = answer[key].as_array().into_iter().flatten();
        list.map(|machine| text(machine, "name")).collect()
    };
    let mut out = match names("matches").as_slice() {
        [] => String::new(),
        names => format!("matches {}: {}\n", names.len(), names.join(", ")),
    };
    out += &format!("{}\n", text(answer, "text"));
    for change in answer["changes"].as_array().into_iter().flatten() {
        out += &format!(
            "  {}: {} -> {}\n",
            text(&change["machine"], "name"),
            text(&change["from"], "text"),
            text(&change["to"], "text")
        );
    }
    if let Some(erases) = answer["erases"].as_str() {
        out += &format!("to be confirmed with --always: {erases}\n");
    }
    out
}

const HEADINGS: [&str; 6] = ["ORDER", "NAME", "PROFILE", "MODE", "MATCHES", "DECIDES"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_names_each_machine() {
        let gets = |text: &str| json!({ "text": text });
        let answer = json!({
            "matches": [{"name": "a"}, {"name": "b"}],
            "text": "1 machine would get something else",
            "changes": [{"machine": {"name": "b"}, "from": gets("no answer"), "to": gets("profile 'x'")}],
            "erases": "profile 'x' installs",
        });
        insta::assert_snapshot!(told(&answer), @r"
        matches 2: a, b
        1 machine would get something else
          b: no answer -> profile 'x'
        to be confirmed with --always: profile 'x' installs
        ");
    }

    #[test]
    fn a_rule_is_read_with_or_without_its_kind() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("rule.yaml");
        let read_text = |text: &str| {
            std::fs::write(&file, text).expect("written");
            read(&file)
        };
        let expected = json!({"name": "x", "selector": {"mac": ["52:54"]}});
        for text in [
            "name: x\nselector: {mac: ['52:54']}\n",
            "---\nkind: rule\nname: x\nselector: {mac: ['52:54']}\n",
        ] {
            assert_eq!(read_text(text).expect("a rule"), expected);
        }
        let error = read_text("kind: machine\nname: x\n").expect_err("no rule");
        assert!(
            error.to_string().ends_with("kind is 'machine', not rule"),
            "{error}"
        );
    }
}
