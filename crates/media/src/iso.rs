//! ISO 9660 (ECMA-119) with Rock Ridge (IEEE P1282) or Joliet names.

use crate::device::Device;
use crate::walk::{Fault, Volume, not_mounted, walk};
use crate::{Listing, MediaError, Source};
use hadris_fs::{ErrorKind, Extent, MountOptions, NodeId};
use hadris_iso::CacheOptions;
use hadris_iso::sync::IsoFs;

/// Reads the best tree an ISO 9660 image has.
pub(crate) fn list(source: &dyn Source) -> Result<Listing, MediaError> {
    let device = Device::new(source).map_err(MediaError::Read)?;
    let image = device.size();
    let volume = match IsoFs::mount(device, MountOptions::new()) {
        Ok(volume) => volume,
        Err(failed) => {
            let error = failed.into_error();
            return Err(match error.kind() {
                ErrorKind::NotRecognized => MediaError::NotAnImage,
                // Too short to hold even the descriptors.
                ErrorKind::Corrupt if image < SMALLEST => MediaError::NotAnImage,
                _ => not_mounted(IsoFs::<Device<'_>>::FORMAT, error),
            });
        }
    };
    // Without the table of links each name of a file with several costs a walk over all others.
    let links = CacheOptions::new().with_links(LINKS);
    walk(&mut volume.with_cache(links), image)
}

/// How many octets an ISO 9660 image says it has, from its primary descriptor (ECMA-119, 8.4);
/// `None` when it is none, or says nothing. A copy that was cut off has less than that.
pub fn claimed_len(source: &dyn Source) -> Option<u64> {
    let mut descriptor = [0; 2048];
    source.fetch(&mut descriptor, 16 * 2048).ok()?;
    if !descriptor.starts_with(b"\x01CD001") {
        return None;
    }
    // 8.4.8 and 8.4.12, the little-endian halves.
    let blocks = u32::from_le_bytes(descriptor[80..84].try_into().ok()?);
    let block = u16::from_le_bytes(descriptor[128..130].try_into().ok()?);
    Some(u64::from(blocks) * u64::from(block))
}

impl Volume for IsoFs<Device<'_>> {
    const FORMAT: &'static str = "ISO 9660";

    fn pieces(&mut self, file: NodeId) -> Result<Vec<Extent>, Fault> {
        let mut found = [Extent::new(0, 0); MOST_RECORDS];
        let count = match self.records(file, &mut found) {
            Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                return Err(Fault::Here("is in too many pieces"));
            }
            other => other?,
        };
        for record in &found[..count] {
            let mut fields = [0; FIELDS];
            self.read_raw(record.offset(), &mut fields)?;
            // ECMA-119, 9.1.7 and 9.1.8: pieces with gaps between them, which nobody writes.
            if fields[FILE_UNIT_SIZE] != 0 || fields[INTERLEAVE_GAP] != 0 {
                return Err(Fault::Here("is interleaved"));
            }
            // 9.1.9: on another disk of a set.
            let disk = u16::from_le_bytes([fields[VOLUME_NUMBER], fields[VOLUME_NUMBER + 1]]);
            if disk > 1 {
                return Err(Fault::Here("is on another disk of the set"));
            }
        }
        let count = self.extents(file, 0, &mut found)?;
        Ok(found[..count].to_vec())
    }
}

/// Sixteen sectors nobody uses and two descriptors (ECMA-119, 6.2.1 and 6.3).
const SMALLEST: u64 = 18 * 2048;
/// Each has up to 4 GiB.
const MOST_RECORDS: usize = 64;
/// The fixed part of a directory record (ECMA-119, 9.1), and places in it.
const FIELDS: usize = 33;
const FILE_UNIT_SIZE: usize = 26;
const INTERLEAVE_GAP: usize = 27;
const VOLUME_NUMBER: usize = 28;
/// Keys of hard links that are kept while a tree is read.
const LINKS: usize = 1 << 16;
