//! One upload, from the first byte to its place.

use super::history::{Device, Record, Stored, Version};
use super::ledger::{BLOCK, charge};
use super::tree::{INCOMING, Made, Place, Tree, UPLOADS};
use super::{DropBox, NotTaken, Overwrite};
use bootplan::RelPath;
use rustix::fs::FileType;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::time::SystemTime;

/// An upload under way. Dropped before it is committed it leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    into: DropBox,
    /// Within the box.
    path: RelPath,
    file: File,
    /// Its name among the uploads under way.
    temporary: String,
    hash: Sha256,
    written: u64,
    unsynced: u64,
    /// Room that the file was given before anything was written.
    allocated: u64,
    /// What the directories that are missing will take of the quota.
    directories: u64,
    /// Taken out of the quota for it.
    reserved: u64,
}

impl Upload {
    /// Begins; `announced` bytes are reserved.
    pub(super) fn begin(
        into: &DropBox,
        path: RelPath,
        announced: Option<u64>,
    ) -> Result<Upload, NotTaken> {
        let announced = announced.unwrap_or_default();
        let tree = may_begin(into, &path, announced)?;
        let directories = missing(&tree, &path)? * BLOCK;
        let reserved = charge(announced) + RECORD + directories;
        into.reserve(reserved)?;
        let mut upload = match tree.new_incoming() {
            Ok((file, temporary)) => Upload {
                into: into.clone(),
                path,
                file,
                temporary,
                hash: Sha256::new(),
                written: 0,
                unsynced: 0,
                allocated: 0,
                directories,
                reserved,
            },
            Err(error) => {
                into.0.ledger.release(reserved);
                return Err(error.into());
            }
        };
        upload.allocate(announced)?;
        Ok(upload)
    }

    /// The name it will have, with the box's prefix.
    #[must_use]
    pub fn name(&self) -> RelPath {
        full_name(&self.into, &self.path)
    }

    /// The box it goes into.
    #[must_use]
    pub fn drop_box(&self) -> &DropBox {
        &self.into
    }

    /// Most bytes it may have.
    #[must_use]
    pub fn cap(&self) -> u64 {
        self.into.settings().max_file
    }

    /// Adds bytes to its end.
    ///
    /// # Errors
    /// What there is no room for is not taken, and the upload is of no use any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NotTaken> {
        let length = self.written + bytes.len() as u64;
        if length > self.cap() {
            let cap = self.cap();
            return Err(NotTaken::TooLarge { cap });
        }
        let needed = charge(length) + RECORD + self.directories;
        if needed > self.reserved {
            self.into.reserve(needed - self.reserved)?;
            self.reserved = needed;
        }
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.written = length;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Puts it into its place; when this returns, it is durable. `now` is the time it is kept under.
    ///
    /// # Errors
    /// Then nothing of it is there, with one exception: when only the last step fails, to make its name durable. It
    /// then counts and is listed as any other, but may be gone after a power cut: the client must not rely on it.
    pub fn commit(mut self, device: Device, now: SystemTime) -> Result<Stored, NotTaken> {
        if self.allocated > self.written {
            // In netascii fewer bytes come than were announced, and what lies behind the end would be kept with the file.
            self.file.set_len(self.written)?;
        }
        self.file.sync_all()?;
        let into = self.into.clone();
        let _turn = into.turn();
        let tree = into.tree()?;
        let mut made = Made::default();
        let stored = self.place_in(&tree, &mut made, device, now);
        if stored.is_err() && self.reserved > 0 {
            tree.unmake(&made);
        }
        stored
    }

    fn place_in(
        &mut self,
        tree: &Tree,
        made: &mut Made,
        device: Device,
        now: SystemTime,
    ) -> Result<Stored, NotTaken> {
        let into = self.into.clone();
        let incoming = tree.place(INCOMING)?;
        let (visible, name) = tree.place_of(self.path.as_str(), made)?;
        let uploads = tree.place_noting(&uploads_of(&self.path), made)?;
        let before = super::history::versions_of(&into.settings().directory, &self.path)?;
        let version = Version::after(now, before.first());
        let record = Record {
            at: now.into(),
            device,
            bytes: self.written,
            sha256: data_encoding::HEXLOWER.encode(&self.hash.clone().finalize()),
        };
        let place = Placing {
            incoming: &incoming,
            visible: &visible,
            uploads: &uploads,
            name,
            version: &version,
        };
        place.put(&self.temporary, &record, into.settings().overwrite)?;
        // From now on it is there: it counts, whatever fails.
        let kept = charge(self.written) + RECORD + made.count() * BLOCK;
        into.0
            .ledger
            .keep(std::mem::take(&mut self.reserved), kept, 0);
        visible.sync()?;
        let removed = match into.settings().overwrite {
            Overwrite::Replace => remove_older(&uploads, &before),
            Overwrite::Never | Overwrite::Version => 0,
        };
        into.0.ledger.keep(0, 0, removed);
        Ok(Stored {
            name: self.name(),
            version,
            record,
        })
    }

    /// What was announced gets its room at once, where the file system can do that: a full disk is said before the
    /// first byte, and not after the last.
    fn allocate(&mut self, announced: u64) -> Result<(), NotTaken> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        if announced == 0 {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, announced) {
            Ok(()) => {
                self.allocated = announced;
                Ok(())
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.into.0.ledger.release(self.reserved);
        let removed = self
            .into
            .tree()
            .and_then(|tree| tree.place(INCOMING))
            .and_then(|incoming| incoming.remove(&self.temporary));
        if let Err(error) = removed {
            tracing::warn!(name = %self.path, %error, "an unfinished upload could not be removed; the next start will");
        }
    }
}

/// Whether an upload may be taken, as far as that can be told without counting the box: what is left of the quota is
/// looked at when it begins.
pub(super) fn check(
    into: &DropBox,
    path: &RelPath,
    announced: Option<u64>,
) -> Result<(), NotTaken> {
    let announced = announced.unwrap_or_default();
    may_begin(into, path, announced)?;
    let free = rustix::fs::statvfs(&into.settings().directory).map_err(io::Error::from)?;
    if free.f_bavail.saturating_mul(free.f_frsize) < announced {
        return Err(NotTaken::DiskFull);
    }
    Ok(())
}

/// What is to be said before a byte came.
fn may_begin(into: &DropBox, path: &RelPath, announced: u64) -> Result<Tree, NotTaken> {
    let settings = into.settings();
    if announced > settings.max_file {
        let cap = settings.max_file;
        return Err(NotTaken::TooLarge { cap });
    }
    if path.as_str().split('/').count() > DEPTH_CAP {
        return Err(NotTaken::Name("it has too many directories"));
    }
    let tree = into.tree()?;
    match tree.kind(path.as_str())? {
        Some(FileType::Directory) => Err(NotTaken::Name("it is a directory")),
        Some(_) if settings.overwrite == Overwrite::Never => Err(NotTaken::Exists),
        _ => Ok(tree),
    }
}

/// Everything that putting an upload into its place needs.
struct Placing<'a> {
    incoming: &'a Place,
    visible: &'a Place,
    uploads: &'a Place,
    name: &'a str,
    version: &'a Version,
}

impl Placing<'_> {
    /// First the record and the content under its time, then, in one step, the name that clients know. Whatever
    /// fails, and whenever we are killed: a name means the whole old content or the whole new one. The name is to be
    /// made durable after it.
    fn put(&self, temporary: &str, record: &Record, rule: Overwrite) -> Result<(), NotTaken> {
        let result = self.try_put(temporary, record, rule);
        if result.is_err() {
            let _ = self.uploads.remove(self.version.as_str());
            let _ = self.uploads.remove(&self.version.record_name());
        }
        result
    }

    fn try_put(&self, temporary: &str, record: &Record, rule: Overwrite) -> Result<(), NotTaken> {
        let mut file = self.uploads.create(&self.version.record_name())?;
        file.write_all(&record.to_json())?;
        file.sync_all()?;
        self.incoming
            .link(temporary, self.uploads, self.version.as_str())?;
        self.uploads.sync()?;
        match rule {
            // A link, unlike a rename, takes no other file's place.
            Overwrite::Never => self
                .incoming
                .link(temporary, self.visible, self.name)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => NotTaken::Exists,
                    _ => error.into(),
                })?,
            Overwrite::Version | Overwrite::Replace => {
                let second = format!("{temporary}-named");
                self.incoming.link(temporary, self.incoming, &second)?;
                let renamed = self.incoming.rename(&second, self.visible, self.name);
                if renamed.is_err() {
                    let _ = self.incoming.remove(&second);
                }
                renamed?;
            }
        }
        Ok(())
    }
}

/// The name a path within a box has for clients.
pub(super) fn full_name(drop_box: &DropBox, path: &RelPath) -> RelPath {
    let prefix = &drop_box.settings().prefix;
    prefix.join(path).unwrap_or_else(|_| path.clone())
}

/// What the new content has replaced; returns what that took of the quota.
fn remove_older(uploads: &Place, versions: &[Version]) -> u64 {
    let mut freed = 0;
    for version in versions {
        let size = uploads.size(version.as_str()).unwrap_or_default();
        let content = uploads.remove(version.as_str()).is_ok();
        let record = uploads.remove(&version.record_name()).is_ok();
        freed += if content { charge(size) } else { 0 } + if record { RECORD } else { 0 };
    }
    freed
}

/// Where the versions of a path lie.
fn uploads_of(path: &RelPath) -> String {
    format!("{UPLOADS}/{path}")
}

/// How many directories an upload of this path has to make.
fn missing(tree: &Tree, path: &RelPath) -> io::Result<u64> {
    let visible = match path.as_str().rsplit_once('/') {
        Some((above, _)) => tree.missing(above)?,
        None => 0,
    };
    Ok(visible + tree.missing(&uploads_of(path))?)
}

/// What an upload's record takes of the quota.
const RECORD: u64 = BLOCK;

/// Components that a name may have within a box. Each makes two directories, and nobody's switches are sorted by more
/// than site, building, rack and kind.
const DEPTH_CAP: usize = 8;

/// Bytes after which the disk is made to write: a client waits some 20 s for its last ACK, and must not wait until a
/// gigabyte is written then.
const SYNC_EVERY: u64 = 16 << 20;
