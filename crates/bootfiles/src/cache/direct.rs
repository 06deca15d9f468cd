//! Content that goes from the kernel's own memory of a file into a socket, without passing ours.
//!
//! What `sendfile` hands to a socket are the very pages of the file: whoever writes to the file
//! before they have arrived changes what arrives. So these octets are *not* known to belong to one
//! version until [`SharedFile::unchanged`] has said so after the client has them, and who sends
//! this way must be able to break the transfer off until then
//! (docs/decisions/0011-sendfile.md).

use super::PIECE;
use super::version::{CHANGED, SHORTER, SharedFile};
use crate::opener::Identity;
use rustix::fs::sendfile;
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

impl SharedFile {
    /// Whether this way is better (it would fill more than half of our memory, and lies in few
    /// runs) and safe: its file system is in this machine, so that its times can be trusted, and the
    /// next change is sure to carry another time.
    pub fn goes_direct(&self) -> bool {
        let version = &self.version;
        let better = self.len() > version.pool.budget() / 2 && version.layout.is_coarse();
        let safe = version.local && version.settled;
        if better && safe {
            // Only a look shows whether its file system lets us look.
            let _ = self.is_at_hand(0, 1);
        }
        better && safe && !version.refused.load(Relaxed)
    }

    /// Whether the kernel has these octets in memory, so that sending them does not wait for the
    /// disk. A look at one octet of each piece: the kernel reads and forgets more than that at a
    /// time. Never waits.
    pub fn is_at_hand(&self, offset: u64, len: u64) -> bool {
        if self.version.memory {
            return true; // and cannot be asked
        }
        let end = (offset + len).min(self.len());
        let step = usize::try_from(PIECE).expect("256 KiB");
        let mut looks = (offset..end).step_by(step).chain(end.checked_sub(1));
        looks.all(|at| {
            let mut octet = [0];
            let mut one = [IoSliceMut::new(&mut octet)];
            let version = &self.version;
            let Some((at, _)) = version.layout.place(at) else {
                return false;
            };
            let looked = preadv2(&version.file, &mut one, at, ReadWriteFlags::NOWAIT);
            // Where nobody can look, each stretch would be read first: our memory does better.
            if matches!(looked, Err(Errno::OPNOTSUPP | Errno::NOSYS)) {
                version.refused.store(true, Relaxed);
            }
            looked == Ok(1)
        })
    }

    /// Has the kernel read these octets. Blocks as the disk does.
    ///
    /// # Errors
    /// What reading says, and when the file has become shorter.
    pub fn bring_to_hand(&self, offset: u64, len: u64) -> io::Result<()> {
        // Small enough to stay in the processor's cache: the copy is not wanted.
        let mut scratch = vec![0; SCRATCH];
        let end = (offset + len).min(self.len());
        let mut at = offset;
        while at < end {
            at += self.read_some(&mut scratch, at)? as u64;
        }
        Ok(())
    }

    /// Sends up to `most` octets from `offset` on into a socket that does not block; how many it
    /// took, which is less where a run of a file inside an image ends. They may belong to another version of the file: ask [`SharedFile::unchanged`].
    ///
    /// # Errors
    /// `UnexpectedEof` when the file has become shorter; what the kernel says of the file or the
    /// socket.
    pub fn send(&self, socket: impl AsFd, offset: u64, most: usize) -> io::Result<usize> {
        let version = &self.version;
        if !version.refused.load(Relaxed) {
            let (mut at, most) = self.run(offset, most)?;
            match sendfile(&socket, &version.file, Some(&mut at), most) {
                Ok(0) if most > 0 => return Err(shorter()),
                // This file system cannot. What was promised to go this way is copied.
                Err(Errno::INVAL | Errno::NOSYS) => version.refused.store(true, Relaxed),
                other => return Ok(other?),
            }
        }
        let mut scratch = vec![0; SCRATCH.min(most)];
        let read = self.read_some(&mut scratch, offset)?;
        Ok(rustix::io::write(&socket, &scratch[..read])?)
    }

    /// Proof that all that was sent or read until now is of this version: who writes to a file
    /// changes its times before its content.
    ///
    /// # Errors
    /// When it was changed in place, or cannot be asked.
    pub fn unchanged(&self) -> io::Result<()> {
        let version = &self.version;
        if version.identity.same_content(&Identity::of(&version.file)?) {
            Ok(())
        } else {
            Err(io::Error::other(CHANGED))
        }
    }

    /// Where in the file on the disk an offset of the content is, and how many of so many octets
    /// follow there in one run.
    fn run(&self, offset: u64, most: usize) -> io::Result<(u64, usize)> {
        let (at, run) = self.version.layout.place(offset).ok_or_else(shorter)?;
        Ok((at, usize::try_from(run).unwrap_or(usize::MAX).min(most)))
    }

    fn read_some(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let (at, most) = self.run(offset, into.len())?;
        loop {
            match pread(&self.version.file, &mut into[..most], at) {
                Ok(0) => return Err(shorter()),
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, SHORTER)
}

/// Octets read at a time where they are not kept.
const SCRATCH: usize = 64 << 10;
