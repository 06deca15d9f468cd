//! Which pieces are in memory, and which goes when another must come in.

use super::version::Version;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};

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
        }
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes and pieces held.
    pub(super) fn held(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.pieces.load(Relaxed))
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

/// Entries of versions that have gone stay in the queue until they are this many too many.
const SLACK: u64 = 64;
