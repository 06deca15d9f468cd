//! Where a transfer's bytes come from.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

/// Content of a length fixed when the transfer starts, readable at any offset.
///
/// The contract that keeps a client from getting a mixture of two files: every read gives bytes of the *same*
/// version, or an error. A file replaced by renaming keeps its old content behind the open handle; one that is
/// overwritten in place must be noticed by the implementation (modification time and size before and after)
/// and reported as an error. A file that got shorter shows as nothing where something is due, which ends the
/// transfer with an ERROR.
pub trait Source {
    /// Octets in all, the same for the whole transfer.
    fn len(&self) -> u64;

    /// Up to `max` octets from `offset` on, as shared memory: at least one, unless `offset` is the end. It may
    /// end early at a border of the pieces that are in memory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the content is not in memory yet: the transfer then
    /// [wants](crate::Sender::wants) it and goes on after [`Sender::source_ready`](crate::Sender::source_ready).
    /// Whatever else keeps the content from being read ends the transfer with an ERROR to the client.
    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source for Bytes {
    fn len(&self) -> u64 {
        Bytes::len(self) as u64
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let end = Bytes::len(self);
        let start = usize::try_from(offset).map_or(end, |start| start.min(end));
        Ok(self.slice(start..end.min(start.saturating_add(max))))
    }
}

impl<T: Source + ?Sized> Source for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        (**self).bytes_at(offset, max)
    }
}

impl<T: Source + ?Sized> Source for Box<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        (**self).bytes_at(offset, max)
    }
}
