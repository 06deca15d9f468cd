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

mod identity;

pub(crate) use identity::Identity;

use crate::layout::Layout;
use bootplan::RelPath;
use identity::TICK;
use media::Entry;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstatfs, openat2, statx,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Whether the caller may wait for a disk or a file server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// On a thread that may block.
    Waits,
    /// Only what the kernel knows by heart; else [`Refused::WouldBlock`].
    Never,
}

/// A regular file from below one of our directories, open for reading at any offset.
///
/// The handle outlives renames: a file replaced during a transfer is still sent as it was.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// The handle; use positioned reads.
    pub(crate) file: File,
    /// Where in it the content lies.
    pub(crate) layout: Layout,
    /// What was opened.
    pub(crate) identity: Identity,
    /// Whether a later change is sure to have another identity. False for a moment after a change
    /// on file systems that count time in seconds.
    pub(crate) settled: bool,
    /// Whether the file system is in this machine, so that what the kernel knows by heart of a
    /// file is the truth. A file server's file may have changed without our kernel's knowledge.
    pub(crate) local: bool,
    /// Whether the file system has no disk behind it.
    pub(crate) memory: bool,
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
    #[error("cannot be answered without waiting")]
    WouldBlock,
}

/// Which version of which file this name stands for at this moment, without opening it.
pub(crate) fn look(root: &Path, path: &RelPath, patience: Patience) -> Result<Identity, Refused> {
    let root = open_root(root, patience)?;
    let looked_at = resolve(&root, path.as_str(), OFlags::PATH, patience)?;
    regular(&looked_at, patience)
}

/// Opens a regular file below `root`; see the module's text for what is refused. Blocks as the
/// file system does, and for a tick of the kernel's clock when the file has only just changed.
pub(crate) fn open_beneath(root: &Path, path: &RelPath) -> Result<OpenFile, Refused> {
    // The directory is opened afresh each time: it may be mounted over or replaced while we run.
    let root = open_root(root, Patience::Waits)?;
    let open = |flags| resolve(&root, path.as_str(), flags, Patience::Waits);
    let looked_at = open(OFlags::PATH)?;
    regular(&looked_at, Patience::Waits)?;
    let fd = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let kind = fstatfs(&fd).map_err(|e| Refused::Failed(e.into()))?.f_type as u64;
    if KERNELS_OWN.contains(&kind) {
        return Err(Refused::Forbidden("a file of the kernel"));
    }
    let mut identity = regular(&fd, Patience::Waits)?;
    for _ in 0..SETTLE_TRIES {
        let Some(wait) = identity.unsettled().filter(|wait| *wait <= TICK) else {
            break;
        };
        std::thread::sleep(wait);
        identity = regular(&fd, Patience::Waits)?;
    }
    Ok(OpenFile {
        file: File::from(fd),
        layout: Layout::Whole,
        settled: identity.unsettled().is_none(),
        identity,
        local: LOCAL.contains(&kind),
        memory: MEMORY.contains(&kind),
    })
}

/// Whether a directory can be opened with `openat2` at all.
pub(crate) fn probe(root: &Path) -> io::Result<()> {
    let into = |refused| match refused {
        Refused::Failed(error) => error,
        other => io::Error::other(other.to_string()),
    };
    let fd = open_root(root, Patience::Waits).map_err(into)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    resolve(&fd, ".", flags, Patience::Waits).map_err(into)?;
    Ok(())
}

impl OpenFile {
    /// A file inside this one, which is an image.
    pub(crate) fn inside(self, entry: &Entry) -> OpenFile {
        OpenFile {
            layout: Layout::inside(&entry.extents),
            identity: self.identity.inside(entry),
            ..self
        }
    }
}

fn open_root(root: &Path, patience: Patience) -> Result<OwnedFd, Refused> {
    let cached = match patience {
        Patience::Waits => ResolveFlags::empty(),
        Patience::Never => ResolveFlags::CACHED,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, root, flags, Mode::empty(), cached).map_err(|e| refusal(e, patience))
}

fn resolve(
    root: &OwnedFd,
    path: &str,
    flags: OFlags,
    patience: Patience,
) -> Result<OwnedFd, Refused> {
    let flags = flags | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let (how, tries) = match patience {
        // EAGAIN: a rename elsewhere raced with `..` of a symbolic link; the manual says try again.
        Patience::Waits => (beneath, RACE_RETRIES),
        Patience::Never => (beneath | ResolveFlags::CACHED, 1),
    };
    let mut result = Err(Errno::AGAIN);
    for _ in 0..tries {
        result = openat2(root, path, flags, Mode::empty(), how);
        if !matches!(result, Err(Errno::AGAIN)) {
            break;
        }
    }
    result.map_err(|e| refusal(e, patience))
}

fn regular(fd: &OwnedFd, patience: Patience) -> Result<Identity, Refused> {
    let stat = stat(fd, patience).map_err(|e| refusal(e, patience))?;
    let kind = FileType::from_raw_mode(stat.stx_mode.into());
    if kind == FileType::RegularFile {
        Ok(Identity::from(&stat))
    } else {
        Err(Refused::Forbidden("not a regular file"))
    }
}

fn stat(fd: impl AsFd, patience: Patience) -> Result<Statx, Errno> {
    let sync = match patience {
        Patience::Waits => AtFlags::STATX_SYNC_AS_STAT,
        Patience::Never => AtFlags::STATX_DONT_SYNC,
    };
    statx(fd, "", AtFlags::EMPTY_PATH | sync, StatxFlags::BASIC_STATS)
}

fn refusal(error: Errno, patience: Patience) -> Refused {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Refused::Absent,
        Errno::XDEV => Refused::Forbidden("a link out of the served directory"),
        Errno::LOOP => Refused::Forbidden("a loop of links"),
        // Kernels before 5.12 do not know RESOLVE_CACHED and say EINVAL.
        Errno::AGAIN | Errno::INVAL if patience == Patience::Never => Refused::WouldBlock,
        error => Refused::Failed(error.into()),
    }
}

/// More than a handful means somebody renames without end; the client asks again anyway.
const RACE_RETRIES: u32 = 8;
/// A file that changes all the time is served as it is after that.
const SETTLE_TRIES: u32 = 2;

/// proc, sysfs.
const KERNELS_OWN: [u64; 2] = [0x9fa0, 0x6265_6572];

/// File systems of which our kernel knows everything: `man 2 statfs` has the numbers. What is
/// not here is still served, only always by a thread that may wait.
const LOCAL: [u64; 14] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0xf2f5_2010, // F2FS
    0x2fc1_2fc1, // ZFS
    0x9660,      // ISO 9660
    0x1501_3346, // UDF
    0x7371_7368, // SquashFS
    0xe0f5_e1e2, // EROFS
    0x4d44,      // FAT
    0x2011_bab0, // exFAT
];

/// tmpfs, ramfs.
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

#[cfg(test)]
mod tests;
