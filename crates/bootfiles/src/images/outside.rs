//! Files that images need and no disk has, as `wimboot`.

use bootplan::RelPath;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// The places where such a file may lie: the images directory and the directories there.
pub(super) struct Outside {
    root: PathBuf,
    directories: Vec<String>,
}

impl Outside {
    pub(super) fn new(root: &Path, found: &BTreeMap<String, Metadata>) -> Self {
        let directories = found.iter().filter(|(_, metadata)| metadata.is_dir());
        Outside {
            root: root.to_owned(),
            directories: directories.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Where a file of this name is, below the images directory.
    pub(super) fn find(&self, name: &str) -> Option<RelPath> {
        let below = self
            .directories
            .iter()
            .map(|directory| format!("{directory}/{name}"));
        let mut all = std::iter::once(name.to_owned()).chain(below);
        let is_file = |path: &String| {
            let metadata = fs::symlink_metadata(self.root.join(path));
            metadata.is_ok_and(|metadata| metadata.is_file())
        };
        all.find(is_file)?.parse().ok()
    }
}
