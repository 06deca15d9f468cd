//! A directory of the operator's as a tree: kernel and initrd pairs, unpacked netboot archives.

use crate::tree::{Entry, Kind, Tree};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A directory, read when it is asked. For recognising only: what clients get goes through the
/// opener of `bootfiles`, which lets the kernel watch over every step.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    label: String,
}

impl Directory {
    /// The tree below `root`; its label is the directory's name.
    ///
    /// # Errors
    /// When the directory is not there or cannot be looked at.
    pub fn open(root: &Path) -> io::Result<Directory> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let label = root.file_name().unwrap_or_default();
        Ok(Directory {
            label: label.to_string_lossy().into_owned(),
            root,
        })
    }

    /// A place inside, links resolved; `None` when it is absent or outside.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let plain = |part| matches!(part, Component::Normal(_));
        if !Path::new(path).components().all(plain) {
            return None;
        }
        let place = self.root.join(path).canonicalize().ok()?;
        place.starts_with(&self.root).then_some(place)
    }

    fn entry(&self, path: String) -> Option<Entry> {
        let metadata = self.place(&path)?.metadata().ok()?;
        let (kind, len) = if metadata.is_dir() {
            (Kind::Directory, 0)
        } else if metadata.is_file() {
            (Kind::File, metadata.len())
        } else {
            return None; // A FIFO would hold us for ever.
        };
        Some(Entry {
            path,
            kind,
            len,
            extents: Arc::default(),
            modified: modified(&metadata),
            number: 0,
        })
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let place = self.place(directory);
        let entries = place.and_then(|place| fs::read_dir(place).ok());
        let entries = entries.into_iter().flatten().flatten().take(MOST_NAMES);
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The same path as the disk spells it, if there is only one such spelling.
    fn other_case(&self, path: &str) -> Option<String> {
        let mut found = String::new();
        for wanted in path.split('/') {
            let names = self.names(&found);
            let mut same = names
                .iter()
                .filter(|name| name.eq_ignore_ascii_case(wanted));
            let exact = same.clone().find(|name| *name == wanted);
            let name = match (exact, same.next(), same.next()) {
                (Some(exact), ..) => exact,
                (None, Some(only), None) => only,
                _ => return None,
            };
            if !found.is_empty() {
                found.push('/');
            }
            found.push_str(name);
        }
        Some(found)
    }
}

impl Tree for Directory {
    fn label(&self) -> &str {
        &self.label
    }

    fn find(&self, path: &str) -> Option<Entry> {
        let exact = self.entry(path.to_owned());
        exact.or_else(|| self.entry(self.other_case(path)?))
    }

    fn list(&self, directory: &str) -> Vec<Entry> {
        let path = |name: String| match directory {
            "" => name,
            directory => format!("{directory}/{name}"),
        };
        let names = self.names(directory).into_iter();
        names.filter_map(|name| self.entry(path(name))).collect()
    }

    fn read(&self, entry: &Entry, most: usize) -> io::Result<Vec<u8>> {
        let place = self.place(&entry.path).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = Vec::new();
        let file = File::open(place)?;
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn modified(metadata: &Metadata) -> i64 {
    let since = metadata.modified().ok();
    let since = since.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Names looked at in one directory.
const MOST_NAMES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_links_and_case() {
        let temp = tempfile::tempdir().expect("a directory");
        let root = temp.path().join("debian");
        fs::create_dir_all(root.join("install.amd")).expect("mkdir");
        fs::write(root.join("install.amd/vmlinuz"), "kernel").expect("write");
        fs::write(temp.path().join("secret"), "secret").expect("write");
        symlink("install.amd", root.join("stable")).expect("symlink");
        symlink("../secret", root.join("out")).expect("symlink");
        symlink("/etc/passwd", root.join("absolute")).expect("symlink");
        let tree = Directory::open(&root).expect("there");
        assert_eq!(tree.label(), "debian");
        let kernel = tree.find("stable/VMLINUZ").expect("there");
        assert_eq!((kernel.kind, kernel.len), (Kind::File, 6));
        assert_eq!(tree.read(&kernel, 3).expect("readable"), b"ker");
        let names: Vec<_> = tree.list("").into_iter().map(|entry| entry.path).collect();
        assert_eq!(names, ["install.amd", "stable"]);
        for outside in [
            "out",
            "absolute",
            "../secret",
            "/etc/passwd",
            "stable/../out",
        ] {
            assert_eq!(tree.find(outside), None, "{outside}");
        }
        assert!(Directory::open(&temp.path().join("secret")).is_err());
    }
}
