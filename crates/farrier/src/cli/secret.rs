//! `farrier secret`: values that sealed answers name, set and never shown.

use super::Global;
use super::machine::escape;
use super::output::{clock, out, outln, table, text};
use anyhow::{Context, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List secrets; their values are shown nowhere
    List,
    /// Give a secret its value, read from standard input (a final line break is dropped)
    Set {
        /// What sealed answers call it
        name: String,
    },
    /// Delete a secret
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::List => {
            let answer = client.get("/secrets").await?;
            if global.json {
                outln!("{answer:#}");
                return Ok(());
            }
            let secrets = answer["secrets"].as_array().into_iter().flatten();
            let rows: Vec<Vec<String>> = secrets.map(row).collect();
            match rows.is_empty() {
                true => outln!("none"),
                false => out!("{}", table(&["NAME", "CHANGED", "BY"], &rows)),
            }
        }
        Command::Set { name } => {
            if std::io::stdin().is_terminal() {
                eprintln!("The value, ended by Ctrl-D (shown as you type):");
            }
            let body = json!({ "value": value(&mut std::io::stdin().lock())? });
            let path = format!("/secrets/{}", escape(&name));
            client.send(Method::PUT, &path, Some(&body)).await?;
            outln!("{name}: set");
        }
        Command::Remove { name } => {
            let path = format!("/secrets/{}", escape(&name));
            client.send(Method::DELETE, &path, None).await?;
            outln!("{name}: deleted");
        }
    }
    Ok(())
}

fn row(secret: &Value) -> Vec<String> {
    let changed = secret["changed"].as_i64().map_or("-".to_owned(), clock);
    let changed = match secret["has_value"] == false {
        true => "no value yet".to_owned(),
        false => changed,
    };
    vec![text(secret, "name"), changed, text(secret, "by")]
}

/// All of the input, without the line break that `echo` and editors put at its end.
fn value(input: &mut impl Read) -> anyhow::Result<String> {
    let mut all = String::new();
    let read = input.take(LIMIT + 1).read_to_string(&mut all);
    read.context("cannot read the value from standard input")?;
    if all.len() as u64 > LIMIT {
        bail!("the value has more than 64 KiB");
    }
    let value = all.strip_suffix('\n').unwrap_or(&all);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        bail!("the value is empty; give it on standard input");
    }
    Ok(value.to_owned())
}

const LIMIT: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_was_given_without_its_last_line_break() {
        for (given, expected) in [("a\n", "a"), ("a", "a"), ("a\r\n", "a"), ("a\n\n", "a\n")] {
            assert_eq!(value(&mut given.as_bytes()).expect(given), expected);
        }
        assert!(value(&mut "\n".as_bytes()).is_err());
        assert!(value(&mut "x".repeat(65 * 1024).as_bytes()).is_err());
    }
}
