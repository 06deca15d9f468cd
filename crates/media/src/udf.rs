//! UDF (ECMA-167, OSTA UDF 1.02 to 2.01): Windows' images and DVDs.

use crate::device::Device;
use crate::walk::{Fault, Volume, not_mounted, walk};
use crate::{Listing, MediaError, Source};
use hadris_fs::{ErrorKind, Extent, MountOptions, NodeId};
use hadris_udf::sync::UdfFs;

/// Reads a UDF volume; `None` if the image does not say that it has one (ECMA-167, 2/9.1: a
/// descriptor `NSR02` or `NSR03` among the first).
///
/// An image that says so and cannot be read as such is an error: its ISO 9660 side may show wrong
/// lengths.
pub(crate) fn list(source: &dyn Source) -> Result<Option<Listing>, MediaError> {
    let device = Device::new(source).map_err(MediaError::Read)?;
    let image = device.size();
    match UdfFs::mount(device, MountOptions::new()) {
        Ok(mut volume) => walk(&mut volume, image).map(Some),
        Err(failed) => {
            let error = failed.into_error();
            match error.kind() {
                ErrorKind::NotRecognized => Ok(None),
                // Shorter than the place where the descriptors would be.
                ErrorKind::Corrupt if image < SMALLEST => Ok(None),
                _ => Err(not_mounted(UdfFs::<Device<'_>>::FORMAT, error)),
            }
        }
    }
}

impl Volume for UdfFs<Device<'_>> {
    const FORMAT: &'static str = "UDF";

    fn pieces(&mut self, file: NodeId) -> Result<Vec<Extent>, Fault> {
        let mut found = vec![Extent::new(0, 0); MOST_PIECES];
        let count = self.extents(file, 0, &mut found)?;
        if count == MOST_PIECES {
            return Err(Fault::Here("is in too many pieces"));
        }
        found.truncate(count);
        Ok(found)
    }
}

/// The first descriptor is in sector 16, the anchor in sector 256 (UDF 2.60, 2.2.3).
const SMALLEST: u64 = 257 * 2048;
/// Each has up to 1 GiB. A fragmented disk that people wrote to has more; an image has a handful.
const MOST_PIECES: usize = 1024;
