//! What is known of an image.

use super::disk::{self, RECORDS, write_whole};
use super::look::Stamp;
use crate::iso_stem;
use bootplan::menu::files_named;
use bootplan::{BootMethod, FileRef, Profile, Variables};
use media::Recognised;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// What it is called in the images directory: `debian.iso`, or a directory's name.
    pub name: String,
    /// A file, or a directory.
    pub kind: ImageKind,
    /// Whether it can be used.
    pub state: ImageState,
    /// Bytes of the file, or of the files of the directory.
    pub len: u64,
    /// There are more files than are counted in `len`.
    pub larger: bool,
    /// The label that it has for itself; may be empty, and strangers wrote it.
    pub label: String,
    /// What it holds, the likeliest first; nothing: nobody knows.
    pub recognised: Vec<Recognised>,
    /// SHA-256 of the file in hexadecimal, as soon as it is known.
    pub sha256: Option<String>,
    /// When it came, in milliseconds since 1970.
    pub added: i64,
    /// How it came: `copied into the directory`, or `uploaded by NAME`.
    pub source: String,
    /// The URL that Farrier fetched it from, without what may be secret in it.
    pub from: Option<String>,
    /// What it was checked against when it was fetched, for people.
    pub verified: Option<String>,
    /// When a client last fetched something of it, in milliseconds since 1970.
    pub last_served: Option<i64>,
}

/// What an image is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// An untouched image, served from inside.
    Iso,
    /// Files as they are.
    Directory,
}

/// Whether an image can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// It is being copied in.
    Arriving(String),
    /// It can be served.
    Ready,
    /// Nothing can be served from inside, and why.
    Unreadable(String),
    /// Its content is not what it was, though nobody wrote to it: the disk fails.
    Damaged(String),
}

impl ImageInfo {
    /// The first part of the names of its files: `debian` for `debian.iso`.
    pub fn prefix(&self) -> &str {
        match self.kind {
            ImageKind::Iso => iso_stem(&self.name).unwrap_or(&self.name),
            ImageKind::Directory => &self.name,
        }
    }

    /// Every profile that is offered for it.
    pub fn offers(&self) -> impl Iterator<Item = &Profile> {
        self.recognised.iter().flat_map(|found| &found.profiles)
    }

    /// Whether a profile boots from it, or one of its own texts names a file of it.
    pub fn is_used_by(&self, profile: &Profile) -> bool {
        // Arguments name the whole image by its usual spelling, whichever it has.
        let usual = format!("{}.iso", self.prefix());
        let whole = self.kind == ImageKind::Iso && uses(profile, &usual);
        whole || uses(profile, self.prefix()) || uses(profile, &self.name)
    }

    /// Whether a text, which may be a template, names a file of it.
    pub fn is_named_in(&self, text: &str) -> bool {
        names(text, self.prefix()) || names(text, &self.name)
    }

    /// Whether a variable's value is the name of a file of it: what `file(VARIABLE)` makes an
    /// address of.
    pub fn is_named_by(&self, variables: &Variables) -> bool {
        let mut texts = variables.iter().filter_map(|(_, value)| value.as_str());
        texts.any(|text| text.contains('/') && self.holds(text))
    }

    fn holds(&self, path: &str) -> bool {
        inside(path, self.prefix()) || inside(path, &self.name)
    }
}

/// Whether a path leads to `images/PREFIX` or into it.
fn inside(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// By `file('...')`, or by its address.
fn names(text: &str, prefix: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+~/@=%".contains(c);
    let addresses = text.split("images/").skip(1);
    let mut addresses = addresses.filter_map(|rest| rest.split(|c| !plain(c)).next());
    files_named(text).any(|path| inside(path, prefix)) || addresses.any(|path| inside(path, prefix))
}

/// Whether a profile names a file of `images/PREFIX`, or that itself.
pub fn uses(profile: &Profile, prefix: &str) -> bool {
    let file = |file: &FileRef| match file {
        FileRef::Image(path) => inside(path.as_str(), prefix),
        FileRef::Url(_) => false,
    };
    let boots = match &profile.boot {
        BootMethod::Linux {
            kernel,
            initrds,
            args,
            ..
        } => file(kernel) || initrds.iter().any(file) || names(args, prefix),
        BootMethod::Diskless(diskless) => {
            file(&diskless.kernel)
                || diskless.initrds.iter().any(file)
                || inside(&diskless.root, prefix)
                || names(&diskless.args, prefix)
        }
        BootMethod::Program { files } => files.values().any(file),
        BootMethod::Chain { url } => file(url),
        BootMethod::LocalDisk {} => false,
    };
    let extras = profile.extras.all();
    let answers = profile.answers.iter().filter_map(|a| a.text.as_deref());
    boots
        || extras.iter().any(|(_, _, text)| names(text, prefix))
        || answers.into_iter().any(|text| names(text, prefix))
}

/// What lies beside an image: what cannot be read off it quickly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Of which version of the file `sha256` is.
    pub(super) size: u64,
    pub(super) modified: (i64, u32),
    pub(super) sha256: Option<String>,
    pub(super) added: i64,
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<String>,
    /// For people who look into the directory; found out again at each start.
    pub(super) recognised: Vec<String>,
    pub(super) last_served: Option<i64>,
}

impl Record {
    pub(super) fn path(root: &Path, name: &str) -> PathBuf {
        root.join(RECORDS).join(format!("{name}.json"))
    }

    /// The record of an image, if there is one that can be read.
    pub(super) fn read(root: &Path, name: &str) -> Option<Record> {
        let bytes = fs::read(Record::path(root, name)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// For an image that nobody has a record of.
    pub(super) fn found(now: i64) -> Record {
        Record {
            added: now,
            source: "copied into the directory".to_owned(),
            ..Record::default()
        }
    }

    pub(super) fn write(&self, root: &Path, name: &str) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        write_whole(&Record::path(root, name), &bytes)
    }

    pub(super) fn remove(root: &Path, name: &str) {
        let _ = disk::remove(&Record::path(root, name));
    }

    /// The checksum, if it is of this version.
    pub(super) fn sha256_of(&self, stamp: &Stamp) -> Option<String> {
        let same = (self.size, self.modified) == (stamp.len, stamp.modified);
        self.sha256.clone().filter(|_| same)
    }
}
