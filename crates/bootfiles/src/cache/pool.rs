//! Which pieces are in memory, and which goes when another must come in.

use super::PIECE;
use super::version::Version;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The budget that all versions share.
///
/// Pieces stand in a queue. The one in front goes, unless it was asked for since it last stood
/// there; then it goes back to the end once more. A file read once from end to end thus passes
/// through without pushing out what many read.
#[derive(Debug)]
pub(super) struct Pool {
    budget: u64,
    queue: Mutex<VecDeque<Entry>>,
    bytes: AtomicU64,
    pieces: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    /// Bytes of all buffers: of the pieces that are held and of those that have been pushed out
    /// while somebody was still sending them.
    alive: AtomicU64,
    /// Buffers that nobody needs at this moment. The memory of a new one costs more than reading
    /// into it: the kernel hands it out, and clears it, page by page.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// The memory of one piece; given back when its last reader has finished.
struct Buffer {
    bytes: Vec<u8>,
    /// Where the content begins.
    start: usize,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Entry {
    version: Weak<Version>,
    index: u64,
}

impl Pool {
    pub(super) fn new(budget: u64) -> Pool {
        Pool {
            budget,
            queue: Mutex::default(),
            bytes: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            alive: AtomicU64::new(0),
            spare: Mutex::default(),
        }
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes and pieces held.
    pub(super) fn held(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.pieces.load(Relaxed))
    }

    /// Bytes in the hands of readers beyond what is held for everybody.
    pub(super) fn in_hands(&self) -> u64 {
        let (held, _) = self.held();
        self.alive.load(Relaxed).saturating_sub(held)
    }

    /// A buffer with room for at least `len` bytes behind those that are in it already, which are
    /// there to let the content begin where a page of memory does.
    ///
    /// A large allocation begins 16 bytes into a page. Copying whole pages from the kernel to
    /// there is the worst case of the copy instruction of today's processors: 0.72 s for a GiB
    /// instead of 0.20 s (AMD EPYC; docs/decisions/0008-file-cache.md).
    pub(super) fn buffer(&self, len: usize) -> Vec<u8> {
        if len < ALIGNED_FROM {
            return Vec::with_capacity(len);
        }
        let spare = (len as u64 == PIECE).then(|| self.spare().pop()).flatten();
        let mut buffer = spare.unwrap_or_else(|| Vec::with_capacity(len + PAGE));
        let padding = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        buffer.resize(padding, 0);
        buffer
    }

    /// The content of a buffer from `start` on, to be shared.
    pub(super) fn share(self: &Arc<Pool>, bytes: Vec<u8>, start: usize) -> Bytes {
        self.alive.fetch_add((bytes.len() - start) as u64, Relaxed);
        let pool = Arc::clone(self);
        Bytes::from_owner(Buffer { bytes, start, pool })
    }

    /// Gives spare memory back to the system.
    pub(super) fn tidy(&self) {
        let spare = std::mem::take(&mut *self.spare());
        drop(spare);
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a piece that has just been read; others make room first. The caller has claimed the
    /// piece (see `SharedFile::load`), so nobody else keeps the same one.
    pub(super) fn keep(&self, version: &Arc<Version>, index: u64, bytes: &Bytes) {
        let len = bytes.len() as u64;
        if len > self.budget {
            return;
        }
        let mut gone = Vec::new();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // One second chance each: readers who keep asking must not keep us here.
        let mut chances = queue.len();
        while self.bytes.load(Relaxed) + len > self.budget {
            let Some(entry) = queue.pop_front() else {
                return; // what is left is just being dropped by somebody else
            };
            let Some(owner) = entry.version.upgrade() else {
                continue;
            };
            if chances > 0 && owner.was_used(entry.index) {
                chances -= 1;
                queue.push_back(entry);
            } else if let Some(piece) = owner.forget(entry.index) {
                self.subtract(piece.len() as u64, 1);
                gone.push((owner, piece));
            }
        }
        self.bytes.fetch_add(len, Relaxed);
        self.pieces.fetch_add(1, Relaxed);
        version.keep(index, bytes.clone());
        queue.push_back(Entry {
            version: Arc::downgrade(version),
            index,
        });
        if queue.len() as u64 > 2 * self.pieces.load(Relaxed) + SLACK {
            queue.retain(|entry| entry.version.strong_count() > 0);
        }
        drop(queue);
        drop(gone); // may close files
    }

    /// A version has gone with these pieces.
    pub(super) fn subtract(&self, bytes: u64, pieces: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.pieces.fetch_sub(pieces, Relaxed);
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let len = (bytes.len() - self.start) as u64;
        self.pool.alive.fetch_sub(len, Relaxed);
        let mut spare = self.pool.spare();
        if len == PIECE && spare.len() < SPARE {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

/// Of memory.
const PAGE: usize = 4096;

/// Shorter contents are copied in no time, and would grow by up to a page.
const ALIGNED_FROM: usize = 64 << 10;

/// Buffers kept for reuse: as many as a few readers of big files go through at a time.
const SPARE: usize = 32;

/// Entries of versions that have gone stay in the queue until they are this many too many.
const SLACK: u64 = 64;
