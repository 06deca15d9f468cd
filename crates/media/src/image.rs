//! An image with its file.

use crate::tree::{Entry, Tree};
use crate::{Listing, MediaError, Source, list};
use std::fs::File;
use std::io;

/// A listing together with the file that it is of, so that content can be read.
#[derive(Debug)]
pub struct Image {
    listing: Listing,
    file: File,
}

impl Image {
    /// Reads what is inside. Blocks as reading does.
    ///
    /// # Errors
    /// As [`list`].
    pub fn open(file: File) -> Result<Image, MediaError> {
        Ok(Image {
            listing: list(&file)?,
            file,
        })
    }

    /// Names and places alone.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }
}

impl Tree for Image {
    fn label(&self) -> &str {
        self.listing.label()
    }

    fn find(&self, path: &str) -> Option<Entry> {
        self.listing.find(path)
    }

    fn list(&self, directory: &str) -> Vec<Entry> {
        self.listing.list(directory)
    }

    fn read(&self, entry: &Entry, most: usize) -> io::Result<Vec<u8>> {
        read_extents(&self.file, entry, most)
    }
}

/// The beginning of a file whose extents lie in `source`.
///
/// # Errors
/// What reading says.
pub(crate) fn read_extents(source: &dyn Source, entry: &Entry, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for extent in entry.extents.iter() {
        let begin = bytes.len();
        let len = usize::try_from(extent.len).unwrap_or(usize::MAX);
        bytes.resize(begin + len.min(most - begin), 0);
        source.fetch(&mut bytes[begin..], extent.offset)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Extent, Kind};

    #[test]
    fn content_is_put_together_from_its_extents() {
        let source: Vec<u8> = (0..100).collect();
        let entry = Entry {
            path: "f".to_owned(),
            kind: Kind::File,
            len: 7,
            extents: [Extent { offset: 90, len: 3 }, Extent { offset: 10, len: 4 }].into(),
            modified: 0,
            number: 1,
        };
        let read = |most| read_extents(&source, &entry, most).expect("readable");
        assert_eq!(read(100), [90, 91, 92, 10, 11, 12, 13]);
        assert_eq!(read(5), [90, 91, 92, 10, 11]);
        assert_eq!(read(2), [90, 91]);
        assert!(read(0).is_empty());
    }

    #[test]
    fn what_is_no_image_is_said_to_be_none() {
        let mut file = tempfile::tempfile().expect("a file");
        for content in [&b""[..], b"#!ipxe\n", &[0; 100_000], &[0; 1_000_000]] {
            file.set_len(0).expect("emptied");
            io::Seek::rewind(&mut file).expect("rewound");
            io::Write::write_all(&mut file, content).expect("written");
            let opened = Image::open(file.try_clone().expect("a handle"));
            assert!(matches!(opened, Err(MediaError::NotAnImage)), "{opened:?}");
        }
    }
}
