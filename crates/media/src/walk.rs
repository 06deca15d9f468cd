//! From a mounted file system to a listing: the same way for ISO 9660 and UDF.

use crate::listing::{ROOT, What};
use crate::tree::Extent;
use crate::{Listing, MediaError, device};
use hadris_fs::sync::FileSystem;
use hadris_fs::{DirCursor, DirEntry, ErrorKind, FileType, NodeId};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;

/// What a file system says of itself beyond what all of them can.
pub(crate) trait Volume: FileSystem<DeviceError = io::Error> {
    /// `ISO 9660` or `UDF`.
    const FORMAT: &'static str;

    /// Where the content of a file lies, as the volume has it.
    fn pieces(&mut self, file: NodeId) -> Result<Vec<hadris_fs::Extent>, Fault>;
}

/// Why one file or directory is left out, or everything is.
#[derive(Debug)]
pub(crate) enum Fault {
    /// This one is damaged.
    Here(&'static str),
    /// Nothing can be read any more.
    All(MediaError),
}

/// A fault of the reader.
pub(crate) type ReadError = hadris_fs::Error<io::Error>;

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        if error.kind() != ErrorKind::Io {
            return Fault::Here("is damaged");
        }
        Fault::All(of_device(error))
    }
}

/// What a failed device says, and the budget of reads.
fn of_device(error: ReadError) -> MediaError {
    let inner = error.into_device_error();
    let inner = inner.unwrap_or_else(|| io::ErrorKind::Other.into());
    match inner.kind() {
        io::ErrorKind::QuotaExceeded => MediaError::TooMuchReading {
            limit: device::MOST_READS,
        },
        _ => MediaError::Read(inner),
    }
}

/// Why a volume cannot be mounted.
pub(crate) fn not_mounted(format: &'static str, error: ReadError) -> MediaError {
    match error.kind() {
        ErrorKind::Io => of_device(error),
        _ => MediaError::Volume {
            format,
            why: error.to_string(),
        },
    }
}

/// Goes through all directories. One that leads back to another is not entered twice, so a loop
/// ends; the number of names is bounded by the listing, the work by the device.
///
/// # Errors
/// When nothing can be read any more, or there is more than we keep. What is damaged is left out
/// and noted.
pub(crate) fn walk<V: Volume>(volume: &mut V, image: u64) -> Result<Listing, MediaError> {
    let mut label = [0; LABEL];
    let label = match volume.label(&mut label) {
        Ok(label) => label.unwrap_or_default().trim_end().to_owned(),
        Err(_) => String::new(),
    };
    let mut listing = Listing::new(&label);
    let root = volume.root();
    let mut seen = HashSet::from([root.get()]);
    let mut waiting = VecDeque::from([(root, ROOT, 0)]);
    while let Some((directory, number, depth)) = waiting.pop_front() {
        let mut cursor = DirCursor::START;
        loop {
            let entry = match volume.readdir(directory, cursor) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    match Fault::from(error) {
                        Fault::All(error) => return Err(error),
                        Fault::Here(_) => listing.flaw(number, "", "is damaged from some place on"),
                    }
                    break;
                }
            };
            // A cursor that stands still would never end.
            let next = entry.next_cursor();
            if next.into_raw() <= cursor.into_raw() {
                break;
            }
            cursor = next;
            let what = match what_is(volume, &entry, image) {
                Ok(what) => what,
                Err(Fault::All(error)) => return Err(error),
                Err(Fault::Here(why)) => {
                    let name = String::from_utf8_lossy(entry.name().as_bytes());
                    listing.flaw(number, &name.escape_debug().to_string(), why);
                    continue;
                }
            };
            let is_directory = matches!(what, What::Directory(_));
            let modified = entry.metadata().modified().map_or(0, |t| t.unix_seconds());
            let added = listing.add(number, entry.name().as_bytes(), what, modified)?;
            let Some(added) = added.filter(|_| is_directory) else {
                continue;
            };
            let node = entry.node();
            if depth >= MOST_DEPTH || !seen.insert(node.get()) {
                listing.flaw(added, "", "leads back to another directory, or too deep");
                continue;
            }
            waiting.push_back((node, added, depth + 1));
        }
    }
    Ok(listing.finish())
}

fn what_is<V: Volume>(volume: &mut V, entry: &DirEntry, image: u64) -> Result<What, Fault> {
    let node = entry.node();
    let metadata = entry.metadata();
    match metadata.file_type() {
        FileType::Dir => Ok(What::Directory(Vec::new())),
        FileType::Symlink => {
            let mut target = [0; TARGET];
            let target = volume.readlink(node, &mut target)?;
            let target = std::str::from_utf8(target);
            let target = target.map_err(|_| Fault::Here("is a link to a name that is no text"))?;
            Ok(What::Link(target.into()))
        }
        FileType::File => {
            let len = metadata.len();
            if len == 0 {
                // A damaged file is listed as an empty one; only a second look tells them apart.
                volume.stat(node)?;
                let extents = Arc::default();
                return Ok(What::File { len, extents });
            }
            let extents = whole(&volume.pieces(node)?, len, image).map_err(Fault::Here)?;
            Ok(What::File { len, extents })
        }
        _ => Err(Fault::Here("is no regular file")),
    }
}

/// Checks that pieces make up a whole file inside the image, and joins those that touch.
pub(crate) fn whole(
    pieces: &[hadris_fs::Extent],
    len: u64,
    image: u64,
) -> Result<Arc<[Extent]>, &'static str> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut sum = 0_u64;
    for piece in pieces {
        if piece.is_unwritten() || piece.file_offset() != sum {
            return Err("has a hole");
        }
        let end = piece.offset().checked_add(piece.len());
        if end.is_none_or(|end| end > image) {
            return Err("lies beyond the end of the image, which may be cut off");
        }
        sum += piece.len();
        // Pieces that lie over each other would make more of an image than there is.
        if sum > image {
            return Err("is longer than the image");
        }
        match extents.last_mut() {
            Some(last) if last.offset + last.len == piece.offset() => last.len += piece.len(),
            _ => extents.push(Extent {
                offset: piece.offset(),
                len: piece.len(),
            }),
        }
    }
    if sum != len {
        return Err("is cut short");
    }
    Ok(extents.into())
}

/// What the reader asks for: room for the label of any format.
const LABEL: usize = 384;
/// As everywhere on Linux.
const TARGET: usize = 4096;
/// Deeper than any path a client can name (255 octets).
const MOST_DEPTH: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(file: u64, offset: u64, len: u64) -> hadris_fs::Extent {
        hadris_fs::Extent::new(offset, len).with_file_offset(file)
    }

    #[test]
    fn pieces_that_touch_are_one() {
        let pieces = [
            piece(0, 4096, 2048),
            piece(2048, 6144, 100),
            piece(2148, 20480, 5),
        ];
        let extents = whole(&pieces, 2153, 1 << 20).expect("whole");
        let expected = [(4096, 2148), (20480, 5)];
        assert_eq!(
            *extents,
            expected.map(|(offset, len)| Extent { offset, len })
        );
    }

    #[test]
    fn a_file_that_is_not_whole_is_left_out() {
        let hole = [piece(0, 0, 10), piece(20, 40, 10)];
        let unwritten = [piece(0, 0, 10).with_unwritten()];
        let beyond = [piece(0, 90, 11)];
        let wraps = [piece(0, u64::MAX, 2)];
        let short = [piece(0, 0, 10)];
        let bomb: Vec<_> = (0..3).map(|n| piece(n * 60, 0, 60)).collect();
        for (pieces, len) in [
            (&hole[..], 30),
            (&unwritten[..], 10),
            (&beyond[..], 11),
            (&wraps[..], 2),
            (&short[..], 11),
            (&bomb[..], 180),
            (&[][..], 1),
        ] {
            assert!(whole(pieces, len, 100).is_err(), "{pieces:?}");
        }
    }
}
