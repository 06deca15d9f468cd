//! One version of one file, open, with those of its pieces that are in memory.

use super::PIECE;
use super::pool::Pool;
use crate::layout::Layout;
use crate::opener::{Identity, OpenFile};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// An open file whose content everybody who serves it shares; cheap to clone.
///
/// It is one version for as long as it is held: a file replaced by renaming is still read as it
/// was, and one changed in place gives an error, never a mixture of two versions.
#[derive(Clone, Debug)]
pub struct SharedFile {
    pub(super) version: Arc<Version>,
}

#[derive(Debug)]
pub(super) struct Version {
    pub(super) file: File,
    /// Where in it the content lies; offsets of readers are those of the content.
    pub(super) layout: Layout,
    pub(super) identity: Identity,
    pub(super) local: bool,
    pub(super) memory: bool,
    pub(super) settled: bool,
    /// Its file system does not do what `direct.rs` needs.
    pub(super) refused: AtomicBool,
    etag: String,
    pub(super) pool: Arc<Pool>,
    pieces: Mutex<Pieces>,
    /// Signals that a piece has been loaded, or could not be.
    loaded: Condvar,
}

#[derive(Debug, Default)]
struct Pieces {
    kept: HashMap<u64, Piece>,
    /// Being read at this moment; whoever else wants one waits for it.
    loading: HashSet<u64>,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Asked for since the pool last looked.
    used: bool,
    /// Read ahead of a reader who has not come for it yet: counted already, as a miss.
    ahead: bool,
}

impl SharedFile {
    /// Length in bytes; never send more than this.
    pub fn len(&self) -> u64 {
        self.version.identity.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A strong entity tag with its quotes: other content means another tag.
    pub fn etag(&self) -> &str {
        &self.version.etag
    }

    /// When its content last changed.
    pub fn modified(&self) -> SystemTime {
        self.version.identity.modified()
    }

    /// What is in memory from `offset` on, up to the end of its piece; nothing at all at the end
    /// of the file. `None`: it is not in memory, [`SharedFile::load`] it. Never waits.
    pub fn cached(&self, offset: u64) -> Option<Bytes> {
        let Some((index, within)) = self.place(offset) else {
            return Some(Bytes::new());
        };
        let found = self.version.hit(&mut self.version.lock(), index)?;
        Some(found.slice(within..))
    }

    /// Whether something is in memory from `offset` on, without a reader who would be counted.
    pub fn is_cached(&self, offset: u64) -> bool {
        self.place(offset)
            .is_none_or(|(index, _)| self.version.lock().kept.contains_key(&index))
    }

    /// Reads the piece at `offset` for a reader who will come for it, unless it is in memory.
    ///
    /// # Errors
    /// As [`SharedFile::load`].
    pub fn load_ahead(&self, offset: u64) -> io::Result<()> {
        if self.is_cached(offset) {
            return Ok(());
        }
        self.load(offset)?;
        if let Some((index, _)) = self.place(offset)
            && let Some(piece) = self.version.lock().kept.get_mut(&index)
        {
            piece.ahead = true;
        }
        Ok(())
    }

    /// The same, read from the disk if need be, and then in memory for the others. Those who want
    /// the same piece at the same time wait for one reading of it.
    ///
    /// # Errors
    /// What reading says; and when the file was changed in place since it was opened: then what
    /// could be read belongs to another version.
    pub fn load(&self, offset: u64) -> io::Result<Bytes> {
        let Some((index, within)) = self.place(offset) else {
            return Ok(Bytes::new());
        };
        let version = &*self.version;
        let mut pieces = version.lock();
        loop {
            if let Some(found) = version.hit(&mut pieces, index) {
                return Ok(found.slice(within..));
            }
            if pieces.loading.insert(index) {
                break;
            }
            let waited = version.loaded.wait(pieces);
            pieces = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(pieces);
        let _claim = Claim { version, index };
        version.pool.misses.fetch_add(1, Relaxed);
        let bytes = version.read(index)?;
        version.pool.keep(&self.version, index, &bytes);
        Ok(bytes.slice(within..))
    }

    /// Whether readers hold so much of what has been pushed out of memory that everybody should
    /// take no more than a piece at a time.
    pub fn is_crowded(&self) -> bool {
        let pool = &self.version.pool;
        pool.in_hands() > pool.budget() / CROWD
    }

    /// Whether what the kernel knows by heart of this file is the truth.
    pub(crate) fn is_local(&self) -> bool {
        self.version.local
    }

    /// Number of the piece and the place in it; `None` at the end of the file and behind it.
    fn place(&self, offset: u64) -> Option<(u64, usize)> {
        // What remains is less than PIECE.
        (offset < self.len()).then_some((offset / PIECE, (offset % PIECE) as usize))
    }
}

impl From<Arc<Version>> for SharedFile {
    fn from(version: Arc<Version>) -> Self {
        SharedFile { version }
    }
}

impl Version {
    pub(super) fn new(open: OpenFile, pool: Arc<Pool>) -> Version {
        Version {
            etag: open.identity.etag(),
            file: open.file,
            layout: open.layout,
            identity: open.identity,
            local: open.local,
            memory: open.memory,
            settled: open.settled,
            refused: AtomicBool::new(false),
            pool,
            pieces: Mutex::default(),
            loaded: Condvar::new(),
        }
    }

    /// Whether a piece was asked for since the last time this was said of it.
    pub(super) fn was_used(&self, index: u64) -> bool {
        let mut pieces = self.lock();
        let piece = pieces.kept.get_mut(&index);
        piece.is_some_and(|piece| std::mem::take(&mut piece.used))
    }

    pub(super) fn keep(&self, index: u64, bytes: Bytes) {
        let piece = Piece {
            bytes,
            used: false,
            ahead: false,
        };
        self.lock().kept.insert(index, piece);
    }

    pub(super) fn forget(&self, index: u64) -> Option<Bytes> {
        self.lock().kept.remove(&index).map(|piece| piece.bytes)
    }

    /// A whole piece (the last one is shorter), and proof that it belongs to this version: who
    /// writes to a file changes its times before its content, so times that are unchanged *after*
    /// reading vouch for everything read before.
    fn read(&self, index: u64) -> io::Result<Bytes> {
        let start = index * PIECE;
        // At most PIECE.
        let len = (self.identity.len() - start).min(PIECE) as usize;
        let mut bytes = self.pool.buffer(len);
        let begin = bytes.len();
        while bytes.len() < begin + len {
            let held = bytes.len();
            let left = begin + len - held;
            let Some((at, run)) = self.layout.place(start + (held - begin) as u64) else {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, SHORTER));
            };
            let run = usize::try_from(run).unwrap_or(usize::MAX);
            let read = if run < left {
                // What lies behind this run is not ours. The rest of the piece is elsewhere.
                bytes.resize(held + run, 0);
                pread(&self.file, &mut bytes[held..], at)
            } else {
                // May read more than `left` if there is more room; that is cut off below.
                pread(&self.file, spare_capacity(&mut bytes), at)
            };
            // What was made longer for nothing is made shorter again.
            let got = *read.as_ref().unwrap_or(&0);
            bytes.truncate(held + got);
            match read {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, SHORTER)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(begin + len);
        if !self.identity.same_content(&Identity::of(&self.file)?) {
            return Err(io::Error::other(CHANGED));
        }
        Ok(self.pool.share(bytes, begin))
    }

    /// A piece for a reader, and counted.
    fn hit(&self, pieces: &mut Pieces, index: u64) -> Option<Bytes> {
        let piece = pieces.kept.get_mut(&index)?;
        piece.used = true;
        if !std::mem::take(&mut piece.ahead) {
            self.pool.hits.fetch_add(1, Relaxed);
        }
        Some(piece.bytes.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        let pieces = self.pieces.get_mut();
        let kept = &pieces.unwrap_or_else(PoisonError::into_inner).kept;
        let bytes = kept.values().map(|piece| piece.bytes.len() as u64).sum();
        self.pool.subtract(bytes, kept.len() as u64);
    }
}

/// The right to read one piece; given back however the reading ends.
struct Claim<'a> {
    version: &'a Version,
    index: u64,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.version.lock().loading.remove(&self.index);
        self.version.loaded.notify_all();
    }
}

/// This part of the budget again may be in the hands of readers before they have to hold less.
const CROWD: u64 = 4;

pub(super) const SHORTER: &str = "it has become shorter while it was sent";
pub(super) const CHANGED: &str = "it was changed while it was sent";
