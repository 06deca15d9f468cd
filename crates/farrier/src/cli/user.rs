//! `farrier user …`: who may log in. Only on the server's own host, over its control socket.

use super::Global;
use super::machine::escape;
use super::output::{clock, out, outln, table, text};
use anyhow::{Context, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal};

/// `farrier user …`. Passwords are read as one line from standard input.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List who may log in
    List,
    /// Add a person; the password is one line of standard input
    Add {
        /// The name to log in with
        name: String,
    },
    /// Set a lost password, and end that person's sessions; it is one line of standard input
    SetPassword {
        /// The name to log in with
        name: String,
    },
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    if global.server.is_some() {
        bail!("people are managed on the server's own host only: leave --server out there");
    }
    let client = global.client()?;
    match command {
        Command::List => {
            let answer = client.get("/users").await?;
            if global.json {
                outln!("{answer:#}");
                return Ok(());
            }
            let users = answer["users"].as_array().into_iter().flatten();
            let rows: Vec<Vec<String>> = users.map(row).collect();
            match rows.is_empty() {
                true => outln!("nobody yet; the server's log has the set-up link"),
                false => out!("{}", table(&["NAME", "SINCE"], &rows)),
            }
        }
        Command::Add { name } => {
            let body = json!({ "name": name, "password": ask_password()? });
            client.send(Method::POST, "/users", Some(&body)).await?;
            outln!("{name}: may log in now");
        }
        Command::SetPassword { name } => {
            let body = json!({ "password": ask_password()? });
            let path = format!("/users/{}/password", escape(&name));
            client.send(Method::PUT, &path, Some(&body)).await?;
            outln!("{name}: new password set, sessions ended");
        }
    }
    Ok(())
}

fn row(user: &Value) -> Vec<String> {
    let since = user["created"].as_i64().map_or("-".to_owned(), clock);
    vec![text(user, "name"), since]
}

fn ask_password() -> anyhow::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("New password (at least 10 characters; shown as you type): ");
    }
    read_password(&mut input.lock())
}

fn read_password(input: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input
        .read_line(&mut line)
        .context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password came on standard input; give it as one line");
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_with_its_spaces() {
        let read = |mut text: &[u8]| read_password(&mut text);
        assert_eq!(read(b" a b \r\nmore").expect("a line"), " a b ");
        assert_eq!(read(b"no end").expect("a line"), "no end");
        assert!(read(b"\n").is_err());
        assert!(read(b"").is_err());
    }
}
