//! Which loaders are on disk, and what to say about each of them.

use bootplan::{LoaderInventory, LoaderRole, Platform, RelPath};
use serde::Serialize;
use std::path::PathBuf;

/// Where a loader comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderSet {
    /// The operator put it there; wins over the packaged one of the same name.
    Operator,
    /// `farrier assets sync` installed it from a Debian package.
    Packaged,
}

/// One loader as the status page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoaderStatus {
    /// File name on the wire.
    pub name: String,
    /// The platform it runs on.
    pub platform: Platform,
    /// What it is for.
    pub role: LoaderRole,
    /// Whose file it is; `None` when it is missing.
    pub set: Option<LoaderSet>,
    /// Size in bytes; 0 when missing.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// Debian package and version it was taken from, when `assets sync` installed it.
    pub package: Option<String>,
    /// SPDX licence expression.
    pub licence: String,
    /// What is wrong and how to put it right; `None` when all is well.
    pub problem: Option<String>,
}

/// What one scan of the loader directories found.
#[derive(Debug, Default)]
pub(crate) struct LoaderIndex {}

/// Files in a loader directory that are about loaders, and not for clients.
pub(crate) fn is_bookkeeping(name: &RelPath) -> bool {
    ["installed.yaml", "manifest.yaml"]
        .iter()
        .any(|own| name.as_str().eq_ignore_ascii_case(own))
}

impl LoaderIndex {
    pub(crate) fn scan(dirs: &[PathBuf]) -> LoaderIndex {
        let _ = dirs;
        LoaderIndex {}
    }

    pub(crate) fn inventory(&self) -> LoaderInventory {
        LoaderInventory::default()
    }

    pub(crate) fn status(&self) -> Vec<LoaderStatus> {
        Vec::new()
    }

    pub(crate) fn other_case(&self, name: &RelPath) -> Option<RelPath> {
        let _ = name;
        None
    }
}
