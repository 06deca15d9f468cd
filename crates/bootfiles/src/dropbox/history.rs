//! Uploads that were taken: who brought them, when, and their content.

use super::tree::UPLOADS;
use super::upload::full_name;
use super::{DropBox, DropBoxes, Overwrite};
use bootplan::{MacAddr, RelPath, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

/// Who brought an upload, as far as the network tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its address.
    pub ip: Ipv4Addr,
    /// The hardware address that was last seen with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// The interface it came in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// What is written down of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was complete.
    pub at: Timestamp,
    /// Who brought it.
    #[serde(flatten)]
    pub device: Device,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in lower-case hexadecimal.
    pub sha256: String,
}

/// An upload that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name, with the box's prefix.
    pub name: RelPath,
    /// Which upload of that name.
    pub version: Version,
    /// What is known of it.
    pub record: Record,
}

/// One upload among those of its name: the time it was taken, `2026-11-23T11-05-12.123Z`. Later ones are greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(String);

/// A place in the history: between this upload and the older ones. As text `2026-11-23T11-05-12.123Z configs/sw1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    version: Version,
    name: RelPath,
}

/// The uploads of one name. Their names were read, which is one directory; a record is read when it is asked for,
/// for thousands of versions of one name are usual after a year.
#[derive(Clone, Debug)]
pub struct Versions<'a> {
    drop_box: &'a DropBox,
    path: RelPath,
    /// Newest first.
    all: Vec<Version>,
}

/// A page of uploads, newest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The uploads.
    pub uploads: Vec<Stored>,
    /// Where the older ones begin, if there are any.
    pub older: Option<Cursor>,
}

impl DropBoxes {
    /// The newest uploads of all boxes, at most `limit`; only those older than `before` if that is given.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn history(&self, before: Option<&Cursor>, limit: usize) -> io::Result<History> {
        let mut all: Vec<(Cursor, &DropBox, RelPath)> = Vec::new();
        for drop_box in self.iter() {
            let mut found = Vec::new();
            let uploads = drop_box.settings().directory.join(UPLOADS);
            walk(&uploads, None, &mut found)?;
            all.extend(found.into_iter().map(|(version, path)| {
                let name = full_name(drop_box, &path);
                (Cursor { version, name }, drop_box, path)
            }));
        }
        all.retain(|(place, ..)| before.is_none_or(|before| place < before));
        all.sort_by(|a, b| b.0.cmp(&a.0));
        let mut history = History::default();
        let mut last = None;
        for (place, drop_box, path) in all {
            if history.uploads.len() == limit {
                history.older = last;
                break;
            }
            history
                .uploads
                .extend(drop_box.read(&path, place.version.clone()));
            last = Some(place);
        }
        Ok(history)
    }

    /// The newest uploads of one name, at most `limit`, newest first.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn versions(&self, name: &RelPath, limit: usize) -> io::Result<Vec<Stored>> {
        let versions = self.of_name(name)?;
        Ok(versions.map_or_else(Vec::new, |versions| {
            versions.older_than(None).take(limit).collect()
        }))
    }

    /// What there is of one name; `None` when no box has that name.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn of_name(&self, name: &RelPath) -> io::Result<Option<Versions<'_>>> {
        let Some((drop_box, path)) = self.find(name) else {
            return Ok(None);
        };
        let all = versions_of(&drop_box.settings().directory, &path)?;
        Ok(Some(Versions {
            drop_box,
            path,
            all,
        }))
    }

    /// For each of these uploads the one before it of the same name, if there is one. Looks into each name's directory
    /// once.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn before(&self, uploads: &[Stored]) -> io::Result<Vec<Option<Stored>>> {
        let mut known = HashMap::new();
        let mut all = Vec::with_capacity(uploads.len());
        for stored in uploads {
            let versions = match known.entry(&stored.name) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.of_name(&stored.name)?),
            };
            let before = versions.as_ref();
            all.push(before.and_then(|versions| versions.older_than(Some(&stored.version)).next()));
        }
        Ok(all)
    }

    /// The content of one upload; `None` when there is no such.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open_version(&self, name: &RelPath, version: &Version) -> io::Result<Option<File>> {
        let Some((drop_box, path)) = self.find(name) else {
            return Ok(None);
        };
        let place = format!("{UPLOADS}/{path}/{version}");
        drop_box.tree()?.file(&place)
    }
}

impl Versions<'_> {
    /// How many there are; of some the record may be missing.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// One of them, if it is there.
    #[must_use]
    pub fn get(&self, version: &Version) -> Option<Stored> {
        self.drop_box.read(&self.path, version.clone())
    }

    /// Those older than `before` (all, if that is not given), newest first; each is read when it is its turn.
    pub fn older_than(&self, before: Option<&Version>) -> impl Iterator<Item = Stored> {
        let start = before.map_or(0, |before| self.all.partition_point(|v| v >= before));
        let versions = self.all[start..].iter().cloned();
        versions.filter_map(|version| self.drop_box.read(&self.path, version))
    }
}

impl DropBox {
    fn place_of(&self, path: &RelPath) -> PathBuf {
        let uploads = self.settings().directory.join(UPLOADS);
        uploads.join(path.as_str())
    }

    /// An upload, if it is still there, with its record.
    fn read(&self, path: &RelPath, version: Version) -> Option<Stored> {
        let place = self.place_of(path);
        let content = std::fs::symlink_metadata(place.join(version.as_str())).ok()?;
        let named = self.settings().overwrite == Overwrite::Version || content.nlink() > 1;
        if !content.is_file() || !named {
            return None;
        }
        let mut json = Vec::new();
        File::open(place.join(version.record_name()))
            .and_then(|file| file.take(RECORD_CAP).read_to_end(&mut json))
            .ok()?;
        Some(Stored {
            name: full_name(self, path),
            version,
            record: serde_json::from_slice(&json).ok()?,
        })
    }
}

impl Record {
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has no keys but texts")
    }
}

impl Version {
    /// Of an upload taken `now`, after `newest`: the clock may have been set back, and two may come within a millisecond.
    pub(super) fn after(now: SystemTime, newest: Option<&Version>) -> Version {
        let at = Timestamp::from(now);
        let now = Version::at(at.0);
        match newest.filter(|newest| **newest >= now) {
            Some(newest) => Version::at(newest.millis() + 1),
            None => now,
        }
    }

    /// As a file name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn record_name(&self) -> String {
        format!("{self}.json")
    }

    fn at(millis: i64) -> Version {
        let time = jiff::Timestamp::from_millisecond(millis.clamp(0, LAST)).unwrap_or_default();
        Version(time.strftime(FORMAT).to_string())
    }

    fn millis(&self) -> i64 {
        let time = jiff::civil::DateTime::strptime(FORMAT, &self.0)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
        time.map_or(0, |time| time.timestamp().as_millisecond())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Version {
    type Err = ();

    /// Only what [`Version`] itself writes: it becomes a file name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let version = Version(text.to_owned());
        let its_own = text.len() == LENGTH && Version::at(version.millis()) == version;
        if its_own { Ok(version) } else { Err(()) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.name)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (version, name) = text.split_once(' ').ok_or(())?;
        Ok(Cursor {
            version: version.parse()?,
            name: name.parse().map_err(|_| ())?,
        })
    }
}

/// The versions of a path within a box, newest first.
pub(super) fn versions_of(directory: &Path, path: &RelPath) -> io::Result<Vec<Version>> {
    let entries = match std::fs::read_dir(directory.join(UPLOADS).join(path.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut versions = Vec::new();
    for entry in entries {
        versions.extend(version_of(&entry?.file_name()));
    }
    versions.sort_by(|a, b| b.cmp(a));
    Ok(versions)
}

/// In boxes that keep no versions: removes uploads that have lost their name.
pub(super) fn remove_unnamed(uploads: &Path) -> io::Result<()> {
    let mut found = Vec::new();
    walk(uploads, None, &mut found)?;
    for (version, path) in found {
        let place = uploads.join(path.as_str());
        let content = place.join(version.as_str());
        match std::fs::symlink_metadata(&content) {
            Ok(stat) if stat.is_file() && stat.nlink() == 1 => std::fs::remove_file(&content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => continue,
        }
        std::fs::remove_file(place.join(version.record_name()))?;
        // It counts, too; others of that name may be in it.
        let _ = std::fs::remove_dir(&place);
    }
    Ok(())
}

/// Collects the uploads below a directory by their records.
fn walk(dir: &Path, path: Option<&RelPath>, found: &mut Vec<(Version, RelPath)>) -> io::Result<()> {
    // An upload that failed, or an operator, may have removed it just now.
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            let below = name.to_str().and_then(|name| match path {
                Some(path) => format!("{path}/{name}").parse().ok(),
                None => name.parse().ok(),
            });
            if let Some(below) = below {
                walk(&entry.path(), Some(&below), found)?;
            }
        } else if let (Some(version), Some(path)) = (version_of(&name), path) {
            found.push((version, path.clone()));
        }
    }
    Ok(())
}

fn version_of(record: &std::ffi::OsStr) -> Option<Version> {
    record.to_str()?.strip_suffix(".json")?.parse().ok()
}

const FORMAT: &str = "%Y-%m-%dT%H-%M-%S.%3fZ";
const LENGTH: usize = "2026-11-23T11-05-12.123Z".len();
/// The end of the year 9999: versions have one length, so that they sort as texts.
const LAST: i64 = 253_402_300_799_999;
/// Ours have some 200 bytes.
const RECORD_CAP: u64 = 4096;
