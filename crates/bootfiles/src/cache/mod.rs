//! One bounded memory of file contents for everybody who serves files.
//!
//! A boot storm is hundreds of machines reading one file at slightly different places. The content
//! is kept once, in pieces of [`PIECE`] bytes, for all of them and both transports, and never
//! takes more than the budget; what is not kept is read from the disk when it is needed.
//!
//! What is kept belongs to one *version* of a file ([`Identity`]). Every lookup asks the file
//! system which version a name stands for now, so nothing has to be invalidated: a changed or
//! replaced file is another version, and the old one goes when its last reader has finished.
//!
//! An idle file is forgotten within a minute ([`FileCache::tidy`]): the kernel's own cache has it
//! still, while an open handle would keep a deleted image's space on the disk and a mounted ISO
//! from being unmounted.

mod direct;
mod pool;
mod version;

pub use version::SharedFile;

use crate::opener::{Identity, OpenFile};
use pool::Pool;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use version::Version;

/// The memory of file contents; clones share it.
#[derive(Clone, Debug)]
pub struct FileCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    versions: Mutex<HashMap<Identity, Kept>>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Kept {
    version: Arc<Version>,
    /// Nobody used it when [`FileCache::tidy`] last looked, and nobody asked for it since.
    idle: bool,
}

/// What the cache holds and how often it helped, for the status page and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes of file content held.
    pub bytes: u64,
    /// Most bytes it will hold.
    pub budget: u64,
    /// Pieces held.
    pub pieces: u64,
    /// Bytes that were pushed out while somebody was sending them, and still is.
    pub in_hands: u64,
    /// Files kept open, those being served included.
    pub files: u64,
    /// Pieces that a reader found in memory since the start.
    pub hits: u64,
    /// Pieces read from the disk for a reader since the start.
    pub misses: u64,
}

impl FileCache {
    /// A cache that holds at most `budget` bytes of content. With less than one [`PIECE`] big
    /// files are read from the disk by each of their readers.
    pub fn new(budget: u64) -> FileCache {
        FileCache {
            inner: Arc::new(Inner {
                versions: Mutex::default(),
                pool: Arc::new(Pool::new(budget)),
            }),
        }
    }

    /// What it holds at this moment.
    pub fn stats(&self) -> CacheStats {
        let pool = &self.inner.pool;
        let (bytes, pieces) = pool.held();
        CacheStats {
            bytes,
            budget: pool.budget(),
            pieces,
            in_hands: pool.in_hands(),
            files: self.versions().len() as u64,
            hits: pool.hits.load(Relaxed),
            misses: pool.misses.load(Relaxed),
        }
    }

    /// Forgets the files that nobody has used or asked for since the last call but one; call it
    /// every [`TIDY_EVERY`]. Closes files, which a file server can make slow.
    pub fn tidy(&self) {
        let mut gone = Vec::new();
        self.versions().retain(|_, kept| {
            let unused = kept.unused();
            let forget = unused && kept.idle;
            kept.idle = unused;
            if forget {
                gone.push(Arc::clone(&kept.version));
            }
            !forget
        });
        drop(gone); // here, because the lock is free again
        self.inner.pool.tidy();
    }

    /// The open version with this identity.
    pub(crate) fn find(&self, identity: &Identity) -> Option<SharedFile> {
        let mut versions = self.versions();
        let kept = versions.get_mut(identity)?;
        kept.idle = false;
        Some(SharedFile::from(Arc::clone(&kept.version)))
    }

    /// Takes an open file in, unless that version is there already.
    pub(crate) fn adopt(&self, open: OpenFile) -> SharedFile {
        let (identity, settled) = (open.identity, open.settled);
        let version = Arc::new(Version::new(open, Arc::clone(&self.inner.pool)));
        if !settled {
            // A later version might look the same: this one is for its asker alone.
            return SharedFile::from(version);
        }
        let mut versions = self.versions();
        let gone = make_room(&mut versions);
        let kept = versions.entry(identity).or_insert(Kept {
            version,
            idle: false,
        });
        kept.idle = false;
        let found = SharedFile::from(Arc::clone(&kept.version));
        drop(versions);
        drop(gone);
        found
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<Identity, Kept>> {
        let versions = &self.inner.versions;
        versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Under the lock of the table nobody else can take a reference, so one means nobody.
    fn unused(&self) -> bool {
        Arc::strong_count(&self.version) == 1
    }
}

/// Takes out one unused file when there are too many, an idle one rather than another; to be
/// dropped without the lock. When all are in use the table grows: those who use them are bounded.
fn make_room(versions: &mut HashMap<Identity, Kept>) -> Option<Kept> {
    if versions.len() < OPEN_FILES {
        return None;
    }
    let unused = |idle_only: bool| {
        let mut kept = versions.iter().filter(|(_, kept)| kept.unused());
        kept.find(|(_, kept)| kept.idle || !idle_only)
            .map(|(identity, _)| *identity)
    };
    let victim = unused(true).or_else(|| unused(false))?;
    versions.remove(&victim)
}

/// Bytes in a piece: the unit that is read, kept and forgotten. Big enough that a piece costs
/// little beside its content, small enough that a slow reader who holds on to one is no burden.
pub const PIECE: u64 = 256 << 10;

/// Bytes of content to hold unless configured otherwise.
pub const DEFAULT_BUDGET: u64 = 256 << 20;

/// How often [`FileCache::tidy`] is to be called.
pub const TIDY_EVERY: std::time::Duration = std::time::Duration::from_secs(30);

/// Files kept open besides those in use; the process may have 16,384 descriptors.
const OPEN_FILES: usize = 1024;

#[cfg(test)]
mod tests;
