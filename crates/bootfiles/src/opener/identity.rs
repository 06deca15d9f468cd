//! Versions of files, and of files inside images.

use super::{Patience, stat};
use media::Entry;
use rustix::fs::Statx;
use sha2::{Digest, Sha256};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

/// What tells one version of a file's content from every other.
///
/// The change time is in it because tools that copy a modification time along would otherwise
/// make two versions look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: (u32, u32),
    inode: u64,
    /// Of the file on the disk.
    len: u64,
    modified: Instant,
    changed: Instant,
    /// Which part of it, when the file on the disk is an image.
    inside: Option<Inside>,
}

/// A file inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inside {
    place: Place,
    len: u64,
}

/// What two files inside one version of an image differ in. Two names of the same octets are the
/// same file, so that those are kept in memory once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Where its only run begins.
    At(u64),
    /// Its number in the image's tree: it has several runs, or none.
    Number(u32),
}

/// Seconds since the epoch and nanoseconds, as the file system has it.
type Instant = (i64, u32);

impl Identity {
    /// Of an open file or an `O_PATH` handle.
    pub(crate) fn of(fd: impl AsFd) -> io::Result<Identity> {
        Ok(Identity::from(&stat(&fd, Patience::Waits)?))
    }

    /// Of a file inside this version of an image.
    pub(crate) fn inside(&self, entry: &Entry) -> Identity {
        let place = match &*entry.extents {
            [only] => Place::At(only.offset),
            _ => Place::Number(entry.number),
        };
        let len = entry.len;
        Identity {
            inside: Some(Inside { place, len }),
            ..*self
        }
    }

    /// Length of the content in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.inside.map_or(self.len, |inside| inside.len)
    }

    /// When the content last changed.
    pub(crate) fn modified(&self) -> SystemTime {
        let (seconds, nanos) = self.modified;
        SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(seconds).unwrap_or(0), nanos)
    }

    /// Whether the content of an open file is still what it was: that of the whole file on the disk,
    /// for a file inside it, too. The change time does not count here: it changes also when the
    /// file loses its name to another one, and then the content is whole.
    pub(crate) fn same_content(&self, now: &Identity) -> bool {
        (self.len, self.modified) == (now.len, now.modified)
    }

    /// A strong entity tag with its quotes: hashed, because inode numbers are nobody's business.
    pub(crate) fn etag(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.device.0.to_be_bytes());
        hash.update(self.device.1.to_be_bytes());
        hash.update(self.inode.to_be_bytes());
        hash.update(self.len.to_be_bytes());
        for (seconds, nanos) in [self.modified, self.changed] {
            hash.update(seconds.to_be_bytes());
            hash.update(nanos.to_be_bytes());
        }
        if let Some(Inside { place, len }) = self.inside {
            let (kind, place) = match place {
                Place::At(offset) => (1_u8, offset),
                Place::Number(number) => (2, u64::from(number)),
            };
            hash.update([kind]);
            hash.update(place.to_be_bytes());
            hash.update(len.to_be_bytes());
        }
        let digest = hash.finalize();
        format!("\"{}\"", data_encoding::HEXLOWER.encode(&digest[..16]))
    }

    /// How long to wait until the next change is sure to carry another time; `None` if it is now.
    ///
    /// A file system's clock ticks every 4 to 10 ms (some only every second: then no time has a
    /// fraction), and two changes within a tick look alike.
    pub(super) fn unsettled(&self) -> Option<Duration> {
        let tick = if self.changed.1 == 0 { COARSE } else { TICK };
        let (seconds, nanos) = self.changed;
        let changed = Duration::new(u64::try_from(seconds).ok()?, nanos);
        // A change time in the future (a clock set back) is as good as one long ago.
        let age = (SystemTime::UNIX_EPOCH + changed).elapsed().ok()?;
        tick.checked_sub(age).filter(|wait| !wait.is_zero())
    }
}

impl From<&Statx> for Identity {
    fn from(stat: &Statx) -> Self {
        Identity {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            len: stat.stx_size,
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            inside: None,
        }
    }
}

/// Longer than a tick of any kernel's clock (10 ms at HZ=100).
pub(super) const TICK: Duration = Duration::from_millis(20);
/// Longer than a tick of a file system that counts seconds (FAT: two).
const COARSE: Duration = Duration::from_millis(2100);
