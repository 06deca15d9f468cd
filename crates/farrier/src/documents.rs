//! Files of documents, read as one stream, so that they are applied together or not at all.

use anyhow::{Context, bail};
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Several files as one text.
#[derive(Default)]
pub(crate) struct Stream {
    /// All of them, as one stream of YAML documents.
    pub text: String,
    /// Each file, with the line of the stream that it begins in, from 1.
    files: Vec<(usize, PathBuf)>,
}

impl Stream {
    fn add(&mut self, path: PathBuf, text: &str) -> anyhow::Result<()> {
        let text = with_files_read(text, path.parent().unwrap_or(Path::new("")))?;
        if !self.text.is_empty() {
            self.text += "---\n";
        }
        self.files.push((self.text.lines().count() + 1, path));
        self.text += &text;
        // Line breaks at the end may belong to the last text in it.
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        Ok(())
    }

    /// `FILE:LINE:COLUMN: PROBLEM`: the server counts the lines of the stream, people look into
    /// their files. Line 0 is no place at all.
    pub(crate) fn place(&self, line: usize, column: usize, problem: &str) -> String {
        if line == 0 {
            return problem.to_owned();
        }
        let within = |(first, _): &&(usize, PathBuf)| *first <= line;
        let file = self.files.iter().rev().find(within);
        let (path, line) = file.map_or_else(
            || (String::new(), line),
            |(first, path)| (format!("{}:", path.display()), line + 1 - first),
        );
        format!("{path}{line}:{column}: {problem}")
    }

    /// Reads files, directories of `*.yaml` files, and `-` for standard input.
    ///
    /// # Errors
    /// What cannot be read, by name; a directory without such files.
    pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Stream> {
        let mut stream = Stream::default();
        for path in paths {
            if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("cannot read standard input")?;
                stream.add(path.clone(), &text)?;
                continue;
            }
            let files = match path.is_dir() {
                true => in_directory(path)?,
                false => vec![path.clone()],
            };
            if files.is_empty() {
                bail!("{} holds no *.yaml file", path.display());
            }
            stream.add_files(files)?;
        }
        Ok(stream)
    }

    /// Reads the `*.yaml` files of a directory, of which there may be none.
    ///
    /// # Errors
    /// What cannot be read, by name.
    pub(crate) fn read_directory(dir: &Path) -> anyhow::Result<Stream> {
        let mut stream = Stream::default();
        stream.add_files(in_directory(dir)?)?;
        Ok(stream)
    }

    fn add_files(&mut self, files: Vec<PathBuf>) -> anyhow::Result<()> {
        for file in files {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            self.add(file, &text)?;
        }
        Ok(())
    }
}

/// The text with the files read that `kind: secret` names by `value_file:`, beside its own file: the
/// server reads none that a document names. Not a line moves.
fn with_files_read(text: &str, dir: &Path) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Named {
        value_file: PathBuf,
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let ends = |line: &String| line.trim_end() == "---" || line.starts_with("--- ");
    for document in lines.split_mut(ends) {
        let secret = |line: &String| line.trim_end() == "kind: secret";
        if !document.iter().any(secret) {
            continue;
        }
        let named = document
            .iter_mut()
            .find(|line| line.starts_with("value_file:"));
        let Some(line) = named else { continue };
        // What is no path is left for the server to complain of.
        let Ok(Named { value_file }) = serde_yaml::from_str(line) else {
            continue;
        };
        let path = dir.join(value_file);
        let value = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the secret in {}", path.display()))?;
        let value = value.strip_suffix('\n').unwrap_or(&value);
        let value = value.strip_suffix('\r').unwrap_or(value);
        // JSON is YAML, and always one line.
        *line = format!("value: {}\n", serde_json::Value::from(value));
    }
    Ok(lines.concat())
}

/// What lies directly in it, in order of names. Hidden files are editors' and other programs' own.
fn in_directory(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if yaml && !hidden {
            files.push(path);
        }
    }
    files.sort();
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
            (".#b.yaml", "an editor's"),
        ] {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        let stream = Stream::read(&[dir.path().to_owned()]).expect("readable");
        assert_eq!(stream.text, "kind: a\n---\nkind: b\n");
        assert!(Stream::read(&[dir.path().join("none.yaml")]).is_err());
        let empty = tempfile::tempdir().expect("temporary directory");
        assert!(Stream::read(&[empty.path().to_owned()]).is_err());
        assert_eq!(
            Stream::read_directory(empty.path()).expect("readable").text,
            ""
        );
    }

    #[test]
    fn a_fault_is_placed_in_its_own_file() {
        let mut stream = Stream::default();
        let add = |stream: &mut Stream, name: &str, text| stream.add(name.into(), text);
        add(&mut stream, "a.yaml", "kind: a\nx: 1").expect("added");
        add(&mut stream, "b.yaml", "# b\nkind: b\n").expect("added");
        let at = |line| stream.place(line, 3, "no");
        assert_eq!(at(2), "a.yaml:2:3: no");
        assert_eq!(at(4), "b.yaml:1:3: no");
        assert_eq!(at(5), "b.yaml:2:3: no");
        assert_eq!(at(0), "no");
    }

    #[test]
    fn line_breaks_at_the_end_of_a_file_are_kept() {
        let mut stream = Stream::default();
        for name in ["a.yaml", "b.yaml"] {
            let text = "kind: snippet\ntext: |+\n  a\n\n";
            stream.add(name.into(), text).expect("added");
        }
        let texts = serde_yaml::Deserializer::from_str(&stream.text).map(|document| {
            let read = serde_yaml::Value::deserialize(document).expect("YAML");
            read["text"].as_str().expect("a text").to_owned()
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["a\n\n", "a\n\n"]);
    }

    #[test]
    fn a_secret_is_read_from_the_file_beside_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        write("root.hash", "$6$x'\"\\y\n");
        let secret = "kind: secret\nname: root\nvalue_file: root.hash # here\n";
        let other = "kind: template\nname: t\ntext: |\n  kind: secret\nvalue_file: root.hash\n";
        let path = write("a.yaml", &format!("{secret}---\n{other}"));
        let stream = Stream::read(std::slice::from_ref(&path)).expect("readable");
        let first = serde_yaml::Deserializer::from_str(&stream.text).next();
        let first = serde_yaml::Value::deserialize(first.expect("a document")).expect("YAML");
        assert_eq!(first["value"], "$6$x'\"\\y");
        assert!(stream.text.ends_with(other), "{}", stream.text);
        std::fs::remove_file(dir.path().join("root.hash")).expect("removed");
        let error = Stream::read(&[path]).err().expect("refused").to_string();
        assert!(error.contains("cannot read the secret in"), "{error}");
    }
}
