//! Drop boxes: directories that network hardware may write files into.
//!
//! ```text
//! <box>/sw1.cfg                                                the newest content of that name
//! <box>/.farrier/incoming/…                                    uploads under way, removed at the start
//! <box>/.farrier/uploads/sw1.cfg/2026-11-23T11-05-12.123Z      each upload's content (the same inode)
//! <box>/.farrier/uploads/sw1.cfg/2026-11-23T11-05-12.123Z.json who brought it, when, its checksum
//! ```
//!
//! The directories are the truth: what is listed is what is there, also after an operator removed files by hand.
//! A client names a [`RelPath`] and the kernel resolves it beneath the box's directory; names that begin with a dot
//! are no `RelPath`, so that nothing in `.farrier` can be named from outside.

mod history;
mod ledger;
mod tree;
mod upload;

pub use history::{Cursor, Device, History, Record, Stored, Version, Versions};
pub use upload::Upload;

use crate::networks::Networks;
use bootplan::{PathRefusal, RelPath};
use ledger::Ledger;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tree::Tree;

/// One drop box as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropBoxSettings {
    /// Names below this path are the box's.
    pub prefix: RelPath,
    /// Where its files lie.
    pub directory: PathBuf,
    /// Who may write into it, and read from it where that is allowed.
    pub networks: Networks,
    /// Most bytes in all. Each file counts with whole blocks of 4 KiB, each upload's record and each directory with one.
    pub quota: u64,
    /// Most bytes of one file.
    pub max_file: u64,
    /// What happens to a name that exists already.
    pub overwrite: Overwrite,
    /// Whether files can be read back by those who may write.
    pub readable: bool,
}

/// What happens to a name that exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// The upload is refused.
    Never,
    /// Every upload is kept under its time; the name means the newest.
    #[default]
    Version,
    /// The new content takes the place of the old.
    Replace,
}

/// The drop boxes there are. Cheap to clone. Every method that touches files blocks as the file system does.
#[derive(Clone, Debug, Default)]
pub struct DropBoxes(Arc<[DropBox]>);

/// One drop box. Cheap to clone: all clones are the same box.
#[derive(Clone, Debug)]
pub struct DropBox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: DropBoxSettings,
    ledger: Ledger,
    /// Held while an upload is put into its place: two of the same name come one after the other.
    turn: Mutex<()>,
}

/// Why a drop box cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {directory} as a drop box: {problem}")]
pub struct OpenBoxError {
    /// Its directory.
    pub directory: PathBuf,
    /// What is wrong, for people.
    pub problem: String,
}

/// Why an upload is not taken. Told to the client in its own words by whoever speaks its protocol.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// No drop box there, or not for this client.
    #[error("no drop box for this client has that name")]
    NotHere,
    /// The name cannot be a file's: below another file, a directory, too long for the file system.
    #[error("no file can have that name here: {0}")]
    Name(&'static str),
    /// It exists, and the box never overwrites.
    #[error("it exists already, and this drop box never overwrites")]
    Exists,
    /// Larger than one file may be.
    #[error("larger than the {cap} bytes that one file may have")]
    TooLarge {
        /// The limit.
        cap: u64,
    },
    /// Larger than what is left of the quota.
    #[error("the drop box's quota of {quota} bytes is used up")]
    Quota {
        /// The quota.
        quota: u64,
    },
    /// The file system has no room.
    #[error("the disk is full")]
    DiskFull,
    /// Something else.
    #[error("cannot be kept: {0}")]
    Failed(io::Error),
}

impl DropBoxes {
    /// Makes the directories, removes what an earlier run left unfinished, and counts what is there.
    ///
    /// # Errors
    /// Names the directory that cannot be used, and why.
    pub fn open(settings: Vec<DropBoxSettings>) -> Result<DropBoxes, OpenBoxError> {
        settings.into_iter().map(DropBox::open).collect()
    }

    /// Whether there is none: writing is off.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The boxes, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &DropBox> {
        self.0.iter()
    }

    /// Whether an upload of this name may be taken, and the most bytes it may have; what is left of the quota is
    /// looked at by [`DropBoxes::begin`]. Makes, reserves and counts nothing: who asks may not be there.
    ///
    /// # Errors
    /// Why it would not be taken.
    pub fn check(
        &self,
        name: &[u8],
        client: Ipv4Addr,
        announced: Option<u64>,
    ) -> Result<u64, NotTaken> {
        let (drop_box, below) = self.resolve(name, client)?;
        upload::check(drop_box, &below, announced)?;
        Ok(drop_box.settings().max_file)
    }

    /// Begins an upload of this name, as the client sent it; `announced` is the length it told, if it did.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn begin(
        &self,
        name: &[u8],
        client: Ipv4Addr,
        announced: Option<u64>,
    ) -> Result<Upload, NotTaken> {
        let (drop_box, below) = self.resolve(name, client)?;
        Upload::begin(drop_box, below, announced)
    }

    fn resolve(&self, name: &[u8], client: Ipv4Addr) -> Result<(&DropBox, RelPath), NotTaken> {
        let name = RelPath::from_wire(name).map_err(|refusal| match refusal {
            PathRefusal::TooLong => NotTaken::Name("it is too long"),
            PathRefusal::Traversal => NotTaken::NotHere,
            _ => NotTaken::Name("it is no plain file name"),
        })?;
        self.find(&name)
            .filter(|(drop_box, _)| drop_box.settings().networks.contains(client))
            .ok_or(NotTaken::NotHere)
    }

    /// The box that this name belongs to, and the name within it.
    pub fn find(&self, name: &RelPath) -> Option<(&DropBox, RelPath)> {
        self.iter()
            .find_map(|drop_box| Some((drop_box, name.below(&drop_box.settings().prefix)?)))
    }
}

impl FromIterator<DropBox> for DropBoxes {
    fn from_iter<I: IntoIterator<Item = DropBox>>(boxes: I) -> Self {
        DropBoxes(boxes.into_iter().collect())
    }
}

impl DropBox {
    fn open(settings: DropBoxSettings) -> Result<DropBox, OpenBoxError> {
        let failed = |problem: String| OpenBoxError {
            directory: settings.directory.clone(),
            problem,
        };
        let tree = Tree::make(&settings.directory).map_err(|e| failed(e.to_string()))?;
        tree.clear_incoming().map_err(|e| failed(e.to_string()))?;
        tree.probe().map_err(failed)?;
        let inner = Inner {
            ledger: Ledger::new(settings.quota),
            turn: Mutex::new(()),
            settings,
        };
        let opened = DropBox(Arc::new(inner));
        opened.recount();
        Ok(opened)
    }

    /// How it is configured.
    #[must_use]
    pub fn settings(&self) -> &DropBoxSettings {
        &self.0.settings
    }

    /// Bytes of the quota that are in use, with what uploads under way have reserved.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.ledger.used()
    }

    /// Its directory, opened afresh: it may have been mounted over or replaced while we run.
    fn tree(&self) -> io::Result<Tree> {
        Tree::open(&self.settings().directory)
    }
}

impl NotTaken {
    /// Every [`NotTaken::slug`].
    pub const SLUGS: [&str; 7] = [
        "upload-not-here",
        "upload-bad-name",
        "upload-exists",
        "upload-too-large",
        "upload-quota",
        "upload-disk-full",
        "upload-failed",
    ];

    /// One of few words, for counting.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        let at = match self {
            NotTaken::NotHere => 0,
            NotTaken::Name(_) => 1,
            NotTaken::Exists => 2,
            NotTaken::TooLarge { .. } => 3,
            NotTaken::Quota { .. } => 4,
            NotTaken::DiskFull => 5,
            NotTaken::Failed(_) => 6,
        };
        NotTaken::SLUGS[at]
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NotTaken::DiskFull,
            io::ErrorKind::NotADirectory => NotTaken::Name("a part of it is a file"),
            io::ErrorKind::IsADirectory => NotTaken::Name("it is a directory"),
            io::ErrorKind::InvalidFilename => NotTaken::Name("it is too long"),
            // A symbolic link that leads out of the box.
            io::ErrorKind::CrossesDevices => NotTaken::Name("it leads elsewhere"),
            _ => NotTaken::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests;
