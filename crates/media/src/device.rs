//! An image as the reader of its file system sees it: blocks, and no more of them than is sane.

use hadris_storage::sync::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Octets that can be read at any offset.
pub trait Source {
    /// How many there are.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// What reading says; `UnexpectedEof` when there are not so many octets.
    fn fetch(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn fetch(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }
}

impl Source for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn fetch(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(into.len()));
        let octets = start.zip(end).and_then(|(start, end)| self.get(start..end));
        into.copy_from_slice(octets.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A source in blocks of [`SECTOR`], which refuses to be read more often than [`MOST_READS`].
///
/// The budget is what bounds the work a hostile image can cause: nothing of it can be looked at
/// without a read.
pub(crate) struct Device<'a> {
    source: &'a dyn Source,
    size: u64,
    reads: u32,
}

impl<'a> Device<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> io::Result<Device<'a>> {
        Ok(Device {
            size: source.size()?,
            source,
            reads: 0,
        })
    }

    /// Octets in the image, those behind the last whole block included.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl hadris_io::ErrorType for Device<'_> {
    type Error = io::Error;
}

impl BlockDevice for Device<'_> {
    fn block_size(&self) -> BlockSize {
        BlockSize::new(SECTOR).expect("it is not 0")
    }

    fn block_count(&self) -> u64 {
        self.size / u64::from(SECTOR)
    }

    fn read_blocks(
        &mut self,
        first: BlockIndex,
        into: &mut [u8],
    ) -> Result<(), hadris_io::Error<io::Error>> {
        let failed = |error| hadris_io::Error::device(error, "reading the image");
        if self.reads >= MOST_READS {
            return Err(failed(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        self.reads += 1;
        let offset = first.get().checked_mul(u64::from(SECTOR));
        let offset = offset.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
        self.source.fetch(into, offset).map_err(failed)
    }
}

/// A logical sector of ISO 9660 (ECMA-119, 6.1.2) and the block of every UDF image there is.
pub(crate) const SECTOR: u32 = 2048;

/// An image of 100,000 files needs about four reads for each.
pub(crate) const MOST_READS: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_from_their_offset_and_the_end_is_an_end() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut two = [0; 2];
        bytes.fetch(&mut two, 254).expect("there");
        assert_eq!(two, [254, 255]);
        for offset in [255, 256, u64::MAX] {
            let error = bytes.fetch(&mut two, offset).expect_err("behind the end");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn only_whole_blocks_are_blocks() {
        let bytes = vec![7; 2048 * 3 + 100];
        let mut device = Device::new(&bytes).expect("a size");
        assert_eq!((device.block_count(), device.size()), (3, 6244));
        let mut block = [0; 2048];
        assert!(device.read_blocks(BlockIndex::new(2), &mut block).is_ok());
        assert_eq!(block, [7; 2048]);
        assert!(
            device
                .read_blocks(BlockIndex::new(u64::MAX), &mut block)
                .is_err()
        );
    }

    #[test]
    fn the_budget_ends() {
        let bytes = vec![0; 2048];
        let mut device = Device::new(&bytes).expect("a size");
        device.reads = MOST_READS - 1;
        let mut block = [0; 2048];
        assert!(device.read_blocks(BlockIndex::new(0), &mut block).is_ok());
        let error = device
            .read_blocks(BlockIndex::new(0), &mut block)
            .expect_err("spent");
        let error = error.into_device_error().expect("ours");
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    }
}
