//! How much of a quota is used.

use super::{DropBox, NotTaken, Overwrite, history, tree};
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is used, and what uploads under way have reserved.
#[derive(Debug)]
pub(super) struct Ledger {
    quota: u64,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    kept: u64,
    reserved: u64,
    counted: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(quota: u64) -> Self {
        Ledger {
            quota,
            sums: Mutex::default(),
        }
    }

    pub(super) fn used(&self) -> u64 {
        let sums = self.sums();
        sums.kept + sums.reserved
    }

    /// Takes `bytes` out of what is left, if there is so much.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let mut sums = self.sums();
        let fits = sums.kept + sums.reserved + bytes <= self.quota;
        if fits {
            sums.reserved += bytes;
        }
        fits
    }

    /// Gives back what was reserved.
    pub(super) fn release(&self, bytes: u64) {
        let mut sums = self.sums();
        sums.reserved = sums.reserved.saturating_sub(bytes);
    }

    /// What was reserved became files of `bytes`, and other files of `removed` went.
    pub(super) fn keep(&self, reserved: u64, bytes: u64, removed: u64) {
        let mut sums = self.sums();
        sums.reserved = sums.reserved.saturating_sub(reserved);
        sums.kept = (sums.kept + bytes).saturating_sub(removed);
    }

    /// Whether a look at the directory is due, which a client may cause by asking for too much.
    fn may_count(&self) -> bool {
        let mut sums = self.sums();
        let due = sums.counted.is_none_or(|at| at.elapsed() >= COUNT_AGAIN);
        if due {
            sums.counted = Some(Instant::now());
        }
        due
    }

    fn set_kept(&self, bytes: u64) {
        self.sums().kept = bytes;
    }

    /// Valid after any panic: the sums are only added to.
    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DropBox {
    /// Reserves bytes of the quota; looks at the directory once more before it says no, for an operator may have made room.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), NotTaken> {
        let ledger = &self.0.ledger;
        if ledger.reserve(bytes) {
            return Ok(());
        }
        if ledger.may_count() {
            let _turn = self.turn();
            self.recount();
            if ledger.reserve(bytes) {
                return Ok(());
            }
        }
        let quota = self.settings().quota;
        Err(NotTaken::Quota { quota })
    }

    /// One upload at a time is put into its place.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is there. In a box that keeps no versions, an upload whose file an operator has removed (or that
    /// never got its name, because we were killed) is removed, too.
    pub(super) fn recount(&self) {
        let directory = &self.settings().directory;
        if self.settings().overwrite != Overwrite::Version
            && let Err(error) = history::remove_unnamed(&directory.join(tree::UPLOADS))
        {
            tracing::warn!(directory = %directory.display(), %error, "a drop box could not be tidied");
        }
        let (mut bytes, mut seen) = (0, HashSet::new());
        match count(directory, &mut bytes, &mut seen, DEPTH) {
            Ok(()) => self.0.ledger.set_kept(bytes),
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "a drop box could not be counted");
            }
        }
    }
}

/// What a file of this length takes of the quota. Whole blocks, or a flood of empty files would be free.
pub(super) fn charge(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1) * BLOCK
}

fn count(
    dir: &Path,
    bytes: &mut u64,
    seen: &mut HashSet<(u64, u64)>,
    depth: u32,
) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let stat = match entry.metadata() {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if stat.is_dir() && depth > 0 {
            // Our own three are no client's.
            let path = entry.path();
            let is_ours = [".farrier", tree::INCOMING, tree::UPLOADS]
                .iter()
                .any(|ours| path.ends_with(ours));
            *bytes += if is_ours { 0 } else { BLOCK };
            if !path.ends_with(tree::INCOMING) {
                count(&path, bytes, seen, depth - 1)?;
            }
        } else if stat.is_file() && (stat.nlink() == 1 || seen.insert((stat.dev(), stat.ino()))) {
            *bytes += charge(stat.len());
        }
    }
    Ok(())
}

/// What a directory takes of the quota, and the unit of what a file takes.
pub(super) const BLOCK: u64 = 4096;
/// A client that asks for more than there is makes us look at the directory at most so often.
const COUNT_AGAIN: Duration = Duration::from_secs(5);
/// Names have at most 255 octets, so at most 128 components; ours are two more.
const DEPTH: u32 = 130;
