//! Which loaders are on disk, and what to say about each of them.

use crate::assets::{self, Installed, LoaderEntry, Manifest, Record, digest};
use crate::opener::OpenFile;
use crate::opener::{Refused, open_beneath};
use bootplan::{LoaderInventory, LoaderRole, Platform, RelPath};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

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
    /// Debian package, version and suite it was taken from, when `assets sync` installed it.
    pub package: Option<String>,
    /// SPDX licence expression.
    pub licence: String,
    /// What is wrong and how to put it right; `None` when all is well.
    pub problem: Option<String>,
}

/// What one scan of the loader directories found.
#[derive(Debug, Default)]
pub(crate) struct LoaderIndex {
    status: Vec<LoaderStatus>,
    inventory: LoaderInventory,
    /// Lower-case name to the only spelling on disk; `None` when there are several.
    spellings: BTreeMap<String, Option<RelPath>>,
    problems: Vec<String>,
}

/// Files in a loader directory that are about loaders, and not for clients.
pub(crate) fn is_bookkeeping(name: &RelPath) -> bool {
    [MANIFEST_FILE, assets::RECORD_FILE]
        .iter()
        .any(|own| name.as_str().eq_ignore_ascii_case(own))
}

impl LoaderIndex {
    /// Looks at every directory, the operator's first. A directory whose manifest or record is
    /// damaged still serves its files; the damage becomes a problem for the status page.
    pub(crate) fn scan(dirs: &[PathBuf]) -> LoaderIndex {
        let mut index = LoaderIndex::default();
        let mut entries: Vec<LoaderEntry> = Vec::new();
        let mut records = Vec::new();
        for dir in dirs {
            index.note_spellings(dir, "", SCAN_DEPTH);
            entries.extend(index.own_manifest(dir));
            records.push(index.record(dir));
        }
        entries.extend(Manifest::builtin().loaders);
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert(entry.name.clone()));
        index.status = entries
            .iter()
            .map(|entry| look(dirs, &records, entry))
            .collect();
        index.offer_what_is_whole(&entries);
        index
    }

    pub(crate) fn inventory(&self) -> LoaderInventory {
        self.inventory.clone()
    }

    pub(crate) fn status(&self) -> Vec<LoaderStatus> {
        self.status.clone()
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.clone()
    }

    /// The only name on disk that differs from this one in case alone.
    pub(crate) fn other_case(&self, name: &RelPath) -> Option<RelPath> {
        let spelling = self.spellings.get(&name.as_str().to_ascii_lowercase())?;
        spelling.clone().filter(|found| found != name)
    }

    fn own_manifest(&mut self, dir: &Path) -> Vec<LoaderEntry> {
        let path = dir.join(MANIFEST_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(e) => {
                self.problems.push(format!("{}: {e}", path.display()));
                return Vec::new();
            }
        };
        match Manifest::parse(&text) {
            Ok(manifest) => manifest.loaders,
            Err(e) => {
                self.problems.push(format!("{}: {e}", path.display()));
                Vec::new()
            }
        }
    }

    fn record(&mut self, dir: &Path) -> Record {
        Record::load(dir).unwrap_or_else(|e| {
            self.problems.push(e.to_string());
            Record::default()
        })
    }

    /// A loader whose companions are missing would leave a machine hanging half way: it is not
    /// offered, and says why.
    fn offer_what_is_whole(&mut self, entries: &[LoaderEntry]) {
        let present: HashSet<String> = self
            .status
            .iter()
            .filter(|s| s.set.is_some())
            .map(|s| s.name.clone())
            .collect();
        for (status, entry) in self.status.iter_mut().zip(entries) {
            if status.set.is_none() {
                continue;
            }
            let missing: Vec<&str> = entry
                .needs
                .iter()
                .map(String::as_str)
                .filter(|need| !present.contains(*need))
                .collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                status.problem = Some(format!(
                    "not offered: it needs {missing}; run 'farrier assets sync'"
                ));
            } else if entry.role != LoaderRole::Companion {
                self.inventory
                    .add(entry.platform, entry.role, entry.name.as_str());
            }
        }
    }

    fn note_spellings(&mut self, dir: &Path, below: &str, depth: u32) {
        let Ok(listing) = std::fs::read_dir(dir.join(below)) else {
            return;
        };
        for entry in listing.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let name = match below {
                "" => name,
                _ => format!("{below}/{name}"),
            };
            let Ok(path) = name.parse::<RelPath>() else {
                continue;
            };
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if depth > 0 {
                    self.note_spellings(dir, &name, depth - 1);
                }
            } else if self.spellings.len() < SPELLINGS_LIMIT {
                self.spellings
                    .entry(name.to_ascii_lowercase())
                    .and_modify(|known| {
                        if known.as_ref() != Some(&path) {
                            *known = None;
                        }
                    })
                    .or_insert(Some(path.clone()));
            }
        }
    }
}

/// Finds one loader, as a client would get it.
fn look(dirs: &[PathBuf], records: &[Record], entry: &LoaderEntry) -> LoaderStatus {
    let mut status = LoaderStatus {
        name: entry.name.to_string(),
        platform: entry.platform,
        role: entry.role,
        set: None,
        size: 0,
        sha256: None,
        package: None,
        licence: entry.licence.clone(),
        problem: None,
    };
    for (dir, record) in dirs.iter().zip(records) {
        match open_beneath(dir, &entry.name) {
            Ok(open) => {
                found(&mut status, open, record.loader(&entry.name));
                return status;
            }
            Err(Refused::Absent) => {}
            Err(refused) => {
                let path = dir.join(entry.name.as_str());
                status.problem = Some(format!("{}: {refused}", path.display()));
                return status;
            }
        }
    }
    status.problem = Some(how_to_get(entry));
    status
}

fn found(status: &mut LoaderStatus, open: OpenFile, installed: Option<&Installed>) {
    status.set = Some(match installed {
        Some(_) => LoaderSet::Packaged,
        None => LoaderSet::Operator,
    });
    status.size = open.identity.len();
    status.sha256 = digest(open.file.take(HASH_LIMIT)).ok().map(|(sum, _)| sum);
    let Some(installed) = installed else { return };
    status.package = Some(format!(
        "{} {} ({})",
        installed.package, installed.version, installed.suite
    ));
    status.problem = if status.sha256.as_ref() == Some(&installed.sha256) {
        installed.fallback.clone()
    } else {
        Some("its checksum is not the one installed; run 'farrier assets sync'".to_owned())
    };
}

fn how_to_get(entry: &LoaderEntry) -> String {
    match (&entry.by_hand, &entry.from) {
        (Some(by_hand), _) => format!("missing: {by_hand}"),
        (None, Some(from)) => format!(
            "missing: run 'farrier assets sync' (it is in Debian's package {})",
            from.package
        ),
        (None, None) => "missing: put it beside its manifest".to_owned(),
    }
}

const MANIFEST_FILE: &str = "manifest.yaml";
/// Deep enough for `EFI/BOOT/x.efi`.
const SCAN_DEPTH: u32 = 3;
/// Loaders are dozens of files; a whole distribution tree belongs into images.
const SPELLINGS_LIMIT: usize = 10_000;
/// No network boot program is as large; a mistake here must not hold the start up.
const HASH_LIMIT: u64 = 256 << 20;

#[cfg(test)]
mod tests;
