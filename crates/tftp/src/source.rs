//! Where a transfer's bytes come from.

use std::sync::Arc;

/// Content of a length fixed when the transfer starts, readable at any offset.
///
/// The contract that keeps a client from getting a mixture of two files: every read gives bytes of the *same*
/// version, or an error. A file replaced by renaming keeps its old content behind the open handle; one that is
/// overwritten in place must be noticed by the implementation (modification time and size before and after)
/// and reported as an error. A file that got shorter shows as a short read, which ends the transfer with an
/// ERROR.
pub trait Source {
    /// Octets in all, the same for the whole transfer.
    fn len(&self) -> u64;

    /// Reads up to `buf.len()` octets at `offset`; 0 means the end.
    ///
    /// # Errors
    ///
    /// Whatever keeps the content from being read; the transfer then ends with an ERROR to the client.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        Source::len(self.as_slice())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<T: Source + ?Sized> Source for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        (**self).read_at(offset, buf)
    }
}

impl<T: Source + ?Sized> Source for Box<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        (**self).read_at(offset, buf)
    }
}
