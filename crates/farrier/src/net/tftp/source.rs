//! What a transfer reads: a rendered text, or an open file in large pieces.

use bootfiles::OpenFile;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;
use tftp::Source;

/// Content of one transfer.
pub(super) enum Content {
    /// A menu or script.
    Text(Vec<u8>),
    /// A loader or a file of an image.
    File(FileContent),
}

/// An open file, read ahead in pieces.
pub(super) struct FileContent {
    file: File,
    len: u64,
    modified: SystemTime,
    piece: RefCell<Piece>,
}

#[derive(Default)]
struct Piece {
    offset: u64,
    bytes: Vec<u8>,
    /// Whether something was read before: then the client has answered.
    begun: bool,
}

impl Content {
    pub(super) fn file(open: OpenFile) -> Content {
        let OpenFile {
            file,
            len,
            modified,
            ..
        } = open;
        Content::File(FileContent {
            file,
            len,
            modified,
            piece: RefCell::default(),
        })
    }
}

impl Source for Content {
    fn len(&self) -> u64 {
        match self {
            Content::Text(text) => Source::len(text),
            Content::File(file) => file.len,
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Text(text) => text.read_at(offset, buf),
            Content::File(file) => file.read_at(offset, buf),
        }
    }
}

impl FileContent {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.piece.borrow_mut();
        let end = piece.offset + piece.bytes.len() as u64;
        let needed = offset + buf.len() as u64;
        if offset < piece.offset || (needed > end && end < self.len) || offset > end {
            // Reading blocks as the disk does; others go on meanwhile.
            tokio::task::block_in_place(|| self.refill(&mut piece, offset, buf.len()))?;
        }
        let start = usize::try_from(offset - piece.offset).unwrap_or(usize::MAX);
        let rest = piece.bytes.get(start..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn refill(&self, piece: &mut Piece, offset: u64, wanted: usize) -> io::Result<()> {
        // A file overwritten in place would give the client a mixture of two versions.
        let now = self.file.metadata()?;
        if now.len() != self.len || now.modified()? != self.modified {
            return Err(io::Error::other(
                "the file was changed while it was being sent",
            ));
        }
        // The first block goes to an address that may be forged: it costs one block of memory.
        let ahead = if piece.begun {
            PIECE.max(wanted)
        } else {
            wanted
        };
        piece.begun = true;
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let size = ahead.min(rest);
        piece.bytes.clear();
        piece.bytes.reserve_exact(size);
        piece.bytes.resize(size, 0);
        let mut filled = 0;
        while filled < size {
            match self
                .file
                .read_at(&mut piece.bytes[filled..], offset + filled as u64)?
            {
                0 => break,
                n => filled += n,
            }
        }
        piece.bytes.truncate(filled);
        piece.offset = offset;
        Ok(())
    }
}

/// Bytes read at once: a window of 16 blocks and some. Each transfer under way holds as much, so
/// a storm of 4,096 (the limit) holds 128 MiB; a shared cache of hot files comes with the work on speed.
const PIECE: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn opened(bytes: &[u8]) -> (tempfile::NamedTempFile, Content) {
        let mut named = tempfile::NamedTempFile::new().expect("temporary file");
        named.write_all(bytes).expect("written");
        let file = named.reopen().expect("reopened");
        let meta = file.metadata().expect("readable");
        let open = OpenFile {
            file,
            len: meta.len(),
            modified: meta.modified().expect("known"),
            etag: String::new(),
        };
        (named, Content::file(open))
    }

    #[test]
    fn reads_forwards_backwards_and_over_the_end() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let (_named, content) = opened(&bytes);
        let mut buf = [0u8; 1468];
        for offset in [0, 1468, 131_000, 131_072, 5, 299_000, 298_999, 300_000] {
            let count = content.read_at(offset, &mut buf).expect("readable");
            let expected = &bytes[offset as usize..][..count];
            assert_eq!(&buf[..count], expected, "at {offset}");
            assert_eq!(
                count,
                1468.min(bytes.len() - offset as usize),
                "at {offset}"
            );
        }
    }

    #[test]
    fn a_client_that_has_not_answered_costs_one_block() {
        let (_named, content) = opened(&vec![7; 300_000]);
        let mut buf = [0u8; 512];
        content.read_at(0, &mut buf).expect("readable");
        let Content::File(file) = &content else {
            panic!("a file");
        };
        assert_eq!(file.piece.borrow().bytes.capacity(), 512);
        content.read_at(512, &mut buf).expect("readable");
        assert_eq!(file.piece.borrow().bytes.capacity(), PIECE);
    }

    #[test]
    fn a_file_changed_in_place_is_an_error_and_never_a_mixture() {
        let (mut named, content) = opened(&vec![1; 300_000]);
        let mut buf = [0u8; 512];
        assert_eq!(content.read_at(0, &mut buf).expect("readable"), 512);
        named.as_file_mut().set_len(200_000).expect("truncated");
        assert!(content.read_at(200_000, &mut buf).is_err());
    }
}
