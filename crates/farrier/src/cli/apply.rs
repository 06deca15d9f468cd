//! `farrier apply` and `farrier export`: files and browser are equals.

use super::Global;
use super::client::{ClientError, Fault};
use super::output::{out, outln};
use anyhow::{Context, bail};
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};

/// `farrier apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// YAML file or directory of *.yaml files; '-' reads standard input
    #[arg(long = "file", short = 'f', required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(global: &Global, apply: Apply) -> anyhow::Result<()> {
    let stream = read_all(&apply.files)?;
    let path = if apply.dry_run {
        "/apply?dry_run=true"
    } else {
        "/apply"
    };
    let answer = global.client()?.send_yaml(path, stream.text.clone()).await;
    let answer = answer.map_err(|error| stream.in_its_files(error))?;
    if global.json {
        outln!("{answer:#}");
        return Ok(());
    }
    out!("{}", answer["text"].as_str().unwrap_or_default());
    let all: Vec<_> = answer["changes"].as_array().into_iter().flatten().collect();
    let unchanged = all.iter().filter(|c| c["action"] == "unchanged").count();
    let verb = if apply.dry_run {
        "would change"
    } else {
        "changed"
    };
    outln!("{verb}: {}, unchanged: {unchanged}", all.len() - unchanged);
    Ok(())
}

pub(crate) async fn export(global: &Global) -> anyhow::Result<()> {
    out!("{}", global.client()?.get_text("/export").await?);
    Ok(())
}

/// All files as one stream of documents, so that they are applied together or not at all.
#[derive(Default)]
struct Stream {
    text: String,
    /// Each file, with the line of the stream that it begins in, from 1.
    files: Vec<(usize, PathBuf)>,
}

impl Stream {
    fn add(&mut self, path: PathBuf, text: &str) {
        if !self.text.is_empty() {
            self.text += "---\n";
        }
        self.files.push((self.text.lines().count() + 1, path));
        self.text += text.trim_end();
        self.text.push('\n');
    }

    /// The server counts the lines of the stream; people look into their files.
    fn in_its_files(&self, error: ClientError) -> anyhow::Error {
        match error {
            ClientError::Refused { detail, faults, .. } if !faults.is_empty() => {
                let lines: String = faults.iter().map(|f| self.place(f)).collect();
                anyhow::anyhow!("{detail}{lines}")
            }
            other => other.into(),
        }
    }

    fn place(&self, fault: &Fault) -> String {
        let within = |(first, _): &&(usize, PathBuf)| *first <= fault.line;
        let file = self.files.iter().rev().find(within);
        let (path, line) = file.map_or_else(
            || (String::new(), fault.line),
            |(first, path)| (format!("{}:", path.display()), fault.line + 1 - first),
        );
        format!("\n  {path}{line}:{}: {}", fault.column, fault.problem)
    }
}

fn read_all(paths: &[PathBuf]) -> anyhow::Result<Stream> {
    let mut stream = Stream::default();
    for path in paths {
        for file in expand(path)? {
            let text = match file.as_os_str() == "-" {
                true => {
                    let mut text = String::new();
                    std::io::stdin()
                        .read_to_string(&mut text)
                        .context("cannot read standard input")?;
                    text
                }
                false => std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?,
            };
            stream.add(file, &text);
        }
    }
    Ok(stream)
}

fn expand(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_yaml = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(is_yaml)
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{} holds no *.yaml file", path.display());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_order_of_names() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (name, text) in [
            ("b.yaml", "kind: b\n"),
            ("a.yml", "kind: a\n"),
            ("c.txt", "no"),
        ] {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        let stream = read_all(&[dir.path().to_owned()]).expect("readable");
        assert_eq!(stream.text, "kind: a\n---\nkind: b\n");
        assert!(read_all(&[dir.path().join("none.yaml")]).is_err());
    }

    #[test]
    fn a_fault_is_placed_in_its_own_file() {
        let mut stream = Stream::default();
        stream.add("a.yaml".into(), "kind: a\nx: 1\n\n\n");
        stream.add("b.yaml".into(), "# b\nkind: b\n");
        let at = |line| {
            let problem = "no".to_owned();
            stream.place(&Fault {
                line,
                column: 3,
                problem,
            })
        };
        assert_eq!(at(2), "\n  a.yaml:2:3: no");
        assert_eq!(at(4), "\n  b.yaml:1:3: no");
        assert_eq!(at(5), "\n  b.yaml:2:3: no");
    }
}
