//! The only place that turns a client's name into an open file.
//!
//! A name has already been parsed into a [`RelPath`]: no `..`, no leading slash, no dot-files.
//! Here the kernel enforces the rest (`openat2`), so that what lies on the disk cannot lead out:
//!
//! * `RESOLVE_BENEATH`: a symbolic link is followed only while it stays below the served
//!   directory (an operator's `images/stable -> debian-12` works); an absolute link or one that
//!   climbs out is refused, whatever it points at.
//! * `RESOLVE_NO_MAGICLINKS`: no `/proc/*/fd/*` tricks.
//! * Only regular files: the kind is looked at through an `O_PATH` handle first, so that a FIFO
//!   is never waited on and a device is never opened; then again on the handle that is read.
//! * Files of `/proc` and `/sys` are refused even when somebody bind-mounts one into the
//!   directory; other mounts (an ISO, an NFS share) are the operator's to make.
//! * A hard link is served like any file: whoever can make one here can copy the content here.

use bootplan::RelPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A regular file from below one of our directories, open for reading at any offset.
///
/// The handle outlives renames: a file replaced during a transfer is still sent as it was. A file
/// truncated in place gives short reads; whoever sends it must then end the transfer.
#[derive(Debug)]
pub struct OpenFile {
    /// The handle; use positioned reads.
    pub file: File,
    /// Length in bytes when it was opened; never send more than this.
    pub len: u64,
    /// When its content last changed.
    pub modified: SystemTime,
    /// A strong entity tag with its quotes: other content means another tag.
    pub etag: String,
}

/// Why a name opens nothing. Clients are told the same in every case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no such file")]
    Absent,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("cannot be opened")]
    Failed(#[source] io::Error),
}

/// Opens a regular file below `root`; see the module's text for what is refused.
pub(crate) fn open_beneath(root: &Path, path: &RelPath) -> Result<OpenFile, Refused> {
    // The directory is opened afresh each time: it may be mounted over or replaced while we run.
    let root = open_root(root).map_err(refusal)?;
    let open = |flags| resolve(&root, path.as_str(), flags).map_err(|e| refusal(e.into()));
    let looked_at = open(OFlag::O_PATH)?;
    regular(&looked_at)?;
    let fd = open(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
    let stat = regular(&fd)?;
    let kind = fstatfs(&fd).map_err(|e| Refused::Failed(e.into()))?;
    if [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&kind.filesystem_type()) {
        return Err(Refused::Forbidden("a file of the kernel"));
    }
    Ok(OpenFile {
        len: u64::try_from(stat.st_size).unwrap_or(0),
        modified: modified(&stat),
        etag: etag(&stat),
        file: File::from(fd),
    })
}

/// Whether a directory can be opened with `openat2` at all.
pub(crate) fn probe(root: &Path) -> io::Result<()> {
    let fd = open_root(root)?;
    resolve(&fd, ".", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    Ok(())
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(root)?;
    Ok(file.into())
}

fn resolve(root: &OwnedFd, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    // EAGAIN: a rename elsewhere raced with `..` of a symbolic link; the manual says try again.
    for _ in 0..RACE_RETRIES {
        match openat2(root, path, how) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

fn regular(fd: &impl AsFd) -> Result<FileStat, Refused> {
    let stat = fstat(fd).map_err(|e| Refused::Failed(e.into()))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFREG {
        Ok(stat)
    } else {
        Err(Refused::Forbidden("not a regular file"))
    }
}

fn refusal(error: io::Error) -> Refused {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => Refused::Absent,
        Some(Errno::EXDEV) => Refused::Forbidden("a link out of the served directory"),
        Some(Errno::ELOOP) => Refused::Forbidden("a loop of links"),
        _ => Refused::Failed(error),
    }
}

fn modified(stat: &FileStat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// Identity, length and both times, hashed: inode numbers are nobody's business. The change time
/// is in it because tools that copy a modification time along would otherwise repeat a tag.
fn etag(stat: &FileStat) -> String {
    let mut hash = Sha256::new();
    hash.update(stat.st_dev.to_be_bytes());
    hash.update(stat.st_ino.to_be_bytes());
    hash.update(stat.st_size.to_be_bytes());
    for time in [
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec,
    ] {
        hash.update(time.to_be_bytes());
    }
    let digest = hash.finalize();
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&digest[..16]))
}

/// More than a handful means somebody renames without end; the client asks again anyway.
const RACE_RETRIES: u32 = 8;

#[cfg(test)]
mod tests;
