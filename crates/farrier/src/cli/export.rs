//! `farrier export`: everything that operators have decided, as YAML.

use super::Global;
use super::output::{out, outln};
use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// `farrier export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write one file for each object into this directory, instead of all to standard output
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Overwrite files that would become different (their comments are lost)
    #[arg(long, requires = "output")]
    force: bool,
    /// Write secrets with their values, not their names alone; by the control socket only, and it
    /// stands in the server's history
    #[arg(long)]
    with_secrets: bool,
}

pub(crate) async fn run(global: &Global, export: Export) -> anyhow::Result<()> {
    let path = format!("/export?secrets={}", export.with_secrets);
    let text = global.client()?.get_text(&path).await?;
    let Some(dir) = export.output else {
        out!("{text}");
        return Ok(());
    };
    let mode = match export.with_secrets {
        true => 0o600,
        false => 0o666,
    };
    let written = write(&dir, &text, export.force, mode)?;
    outln!("{}: {written} files written", dir.display());
    Ok(())
}

/// Writes what is new. A file that would become different is somebody's work: unless forced, nothing
/// at all is written then. Files that belong to nothing any more are left alone.
fn write(dir: &Path, text: &str, force: bool, mode: u32) -> anyhow::Result<usize> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut taken = BTreeSet::new();
    let mut fresh: Vec<(PathBuf, String)> = Vec::new();
    let mut differing = Vec::new();
    for document in documents(text) {
        let path = dir.join(file_name(&document, &mut taken)?);
        match std::fs::read(&path) {
            Ok(there) if there == document.as_bytes() => {}
            Ok(_) => {
                differing.push(path.display().to_string());
                fresh.push((path, document));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh.push((path, document)),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    if !differing.is_empty() && !force {
        bail!(
            "nothing was written; these files say something else, and --force would overwrite \
             them:\n  {}",
            differing.join("\n  ")
        );
    }
    for (path, document) in &fresh {
        let wrote = put(dir, path, document, mode);
        wrote.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(fresh.len())
}

/// The documents of the server's stream; three dashes inside a text are never at the beginning of a
/// line. Not a line break is lost: those at the end may belong to a text.
fn documents(text: &str) -> impl Iterator<Item = String> {
    let text = text.strip_prefix("---\n").unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let all = text
        .split("\n---\n")
        .filter(|document| !document.is_empty());
    all.map(|document| format!("{document}\n"))
}

/// Whole or not at all, whatever happens meanwhile.
fn put(dir: &Path, path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let part = dir.join(".farrier-export.part");
    // One that a kill left there may be open to others.
    if let Err(error) = std::fs::remove_file(&part)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

/// `machine-rack1-u3.yaml`. Whatever a name holds, it is one plain file name, and no two objects
/// have the same, even where case does not count.
fn file_name(document: &str, taken: &mut BTreeSet<String>) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Head {
        kind: String,
        #[serde(default)]
        name: String,
        #[serde(default)]
        mac: String,
    }
    let head: Head = serde_yaml::from_str(document).context("the server's export is no YAML")?;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    // An adapter has no other name.
    let name = format!("{}{}", head.name, head.mac.replace(':', "-"));
    let stem: String = match name.is_empty() {
        true => head.kind,
        false => format!("{}-{name}", head.kind),
    };
    let stem: String = stem.chars().take(100).map(plain).collect();
    let named = |n: usize| match n {
        1 => format!("{stem}.yaml"),
        n => format!("{stem}-{n}.yaml"),
    };
    let free = (1..)
        .map(named)
        .find(|name| taken.insert(name.to_lowercase()));
    Ok(free.expect("numbers do not end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TEXT: &str = "---\nkind: site\nloader: ipxe\n---\nkind: machine\nname: ../Büro 7\n---\n\
                        kind: machine\nname: .._B_ro_7\nnotes: |-\n  a\n  ---\n  b\n";

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("readable");
        let mut names: Vec<String> = entries
            .map(|e| {
                e.expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_object_has_its_file_and_none_leaves_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("new");
        assert_eq!(write(&dir, TEXT, false, 0o600).expect("written"), 3);
        assert_eq!(
            names(&dir),
            [
                "machine-.._B_ro_7-2.yaml",
                "machine-.._B_ro_7.yaml",
                "site.yaml"
            ]
        );
        let site = std::fs::read_to_string(dir.join("site.yaml")).expect("readable");
        assert_eq!(site, "kind: site\nloader: ipxe\n");
        let mode = std::fs::metadata(dir.join("site.yaml"))
            .expect("there")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert_eq!(write(&dir, TEXT, false, 0o600).expect("nothing to do"), 0);
    }

    #[test]
    fn an_adapter_is_called_by_its_address() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = "---\nkind: adapter\nmac: 00:e0:4c:68:00:01\nshared: a dongle\n";
        assert_eq!(write(dir.path(), text, false, 0o600).expect("written"), 1);
        assert_eq!(names(dir.path()), ["adapter-00-e0-4c-68-00-01.yaml"]);
    }

    #[test]
    fn an_operators_file_is_not_overwritten_unless_forced() {
        let dir = tempfile::tempdir().expect("a directory");
        let mine = dir.path().join("site.yaml");
        std::fs::write(&mine, "# mine\nkind: site\n").expect("written");
        let error = write(dir.path(), TEXT, false, 0o600)
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("site.yaml") && error.contains("nothing was written"),
            "{error}"
        );
        assert_eq!(names(dir.path()), ["site.yaml"]);
        assert_eq!(write(dir.path(), TEXT, true, 0o600).expect("forced"), 3);
        let site = std::fs::read_to_string(&mine).expect("readable");
        assert_eq!(site, "kind: site\nloader: ipxe\n");
    }

    #[test]
    fn a_text_keeps_the_line_breaks_at_its_end() {
        let text = "---\nkind: template\ntext: |+\n  a\n\n\n---\nkind: snippet\ntext: |+\n  b\n\n";
        let all: Vec<String> = documents(text).collect();
        assert_eq!(
            all,
            [
                "kind: template\ntext: |+\n  a\n\n\n",
                "kind: snippet\ntext: |+\n  b\n\n"
            ]
        );
    }
}
