//! `farrier apply`: brings the server to what files say.

use super::Global;
use super::client::{ClientError, Fault};
use super::machine::escape;
use super::output::{out, outln};
use crate::documents::Stream;
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;

/// `farrier apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// YAML file or directory of *.yaml files; '-' reads standard input
    #[arg(long = "file", short = 'f', required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Give everything described this label, and never touch what another owner has
    #[arg(long, value_name = "KEY=VALUE")]
    own: Option<String>,
    /// Delete what has that label and is not described; --dry-run lists it first
    #[arg(long, requires = "own")]
    prune: bool,
    /// Overwrite edits made since files were last applied, and take over what others own
    #[arg(long)]
    force: bool,
    /// What comes to be installed at every boot is meant so, where no document says 'mode: always'
    #[arg(long)]
    always: bool,
}

pub(crate) async fn run(global: &Global, apply: Apply) -> anyhow::Result<()> {
    let stream = Stream::read(&apply.files)?;
    let own = apply
        .own
        .as_deref()
        .map(|own| format!("&own={}", escape(own)));
    let path = format!(
        "/apply?dry_run={}&prune={}&force={}&always={}{}",
        apply.dry_run,
        apply.prune,
        apply.force,
        apply.always,
        own.unwrap_or_default()
    );
    let client = global.client()?;
    let answer = client
        .send_text(&path, stream.text.clone(), "application/yaml")
        .await;
    let answer = answer.map_err(|error| in_its_files(error, &stream))?;
    report(global, &answer, |fault| {
        stream.place(fault.line, fault.column, &fault.problem)
    })
}

/// Prints what was, or would be, changed. A dry run that would be refused fails, too, so that a
/// script sees it.
pub(super) fn report(
    global: &Global,
    answer: &Value,
    place: impl Fn(&Fault) -> String,
) -> anyhow::Result<()> {
    let conflicts = answer["conflicts"].as_array().into_iter().flatten();
    let conflicts: Vec<String> = conflicts
        .map(|fault| format!("\n  {}", place(&Fault::read(fault))))
        .collect();
    if global.json {
        outln!("{answer:#}");
    } else {
        out!("{}", answer["text"].as_str().unwrap_or_default());
        let all: Vec<_> = answer["changes"].as_array().into_iter().flatten().collect();
        let unchanged = all.iter().filter(|c| c["action"] == "unchanged").count();
        let verb = match answer["dry_run"] == true {
            true => "would change",
            false => "changed",
        };
        outln!("{verb}: {}, unchanged: {unchanged}", all.len() - unchanged);
    }
    if !conflicts.is_empty() {
        bail!(
            "it would be refused, because of edits made since files were last applied{}",
            conflicts.concat()
        );
    }
    Ok(())
}

fn in_its_files(error: ClientError, stream: &Stream) -> anyhow::Error {
    match error {
        ClientError::Refused { detail, faults, .. } if !faults.is_empty() => {
            let place = |f: &Fault| format!("\n  {}", stream.place(f.line, f.column, &f.problem));
            let lines: String = faults.iter().map(place).collect();
            anyhow::anyhow!("{detail}{lines}")
        }
        other => other.into(),
    }
}
