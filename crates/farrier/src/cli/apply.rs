//! `farrier apply` and `farrier export`: files and browser are equals.

use super::Global;
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
    let yaml = read_all(&apply.files)?;
    let path = if apply.dry_run {
        "/apply?dry_run=true"
    } else {
        "/apply"
    };
    let answer = global.client()?.send_yaml(path, yaml).await?;
    if global.json {
        println!("{answer:#}");
        return Ok(());
    }
    print!("{}", answer["text"].as_str().unwrap_or_default());
    let all: Vec<_> = answer["changes"].as_array().into_iter().flatten().collect();
    let unchanged = all.iter().filter(|c| c["action"] == "unchanged").count();
    let verb = if apply.dry_run {
        "would change"
    } else {
        "changed"
    };
    println!("{verb}: {}, unchanged: {unchanged}", all.len() - unchanged);
    Ok(())
}

pub(crate) async fn export(global: &Global) -> anyhow::Result<()> {
    print!("{}", global.client()?.get_text("/export").await?);
    Ok(())
}

/// All files as one stream of documents, each headed by where it comes from, so that an error
/// about document 3 can be found.
fn read_all(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut stream = String::new();
    for path in files {
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
            if !stream.is_empty() {
                stream += "---\n";
            }
            stream += &format!("# {}\n{}\n", file.display(), text.trim_end());
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
        let lines: Vec<&str> = stream.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(lines, ["kind: a", "---", "kind: b"]);
        assert!(read_all(&[dir.path().join("none.yaml")]).is_err());
    }
}
