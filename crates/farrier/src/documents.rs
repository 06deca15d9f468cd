//! Files of documents, read as one stream, so that they are applied together or not at all.

use anyhow::{Context, bail};
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
    fn add(&mut self, path: PathBuf, text: &str) {
        if !self.text.is_empty() {
            self.text += "---\n";
        }
        self.files.push((self.text.lines().count() + 1, path));
        self.text += text.trim_end();
        self.text.push('\n');
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
                stream.add(path.clone(), &text);
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
            self.add(file, &text);
        }
        Ok(())
    }
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
        stream.add("a.yaml".into(), "kind: a\nx: 1\n\n\n");
        stream.add("b.yaml".into(), "# b\nkind: b\n");
        let at = |line| stream.place(line, 3, "no");
        assert_eq!(at(2), "a.yaml:2:3: no");
        assert_eq!(at(4), "b.yaml:1:3: no");
        assert_eq!(at(5), "b.yaml:2:3: no");
        assert_eq!(at(0), "no");
    }
}
