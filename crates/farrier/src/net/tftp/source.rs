//! What a transfer reads: a rendered text, or an open file in large pieces.

use bootfiles::OpenFile;
use bytes::Bytes;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;
use tftp::Source;

/// Content of one transfer.
pub(super) enum Content {
    /// A menu or script.
    Text(Bytes),
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
    bytes: Bytes,
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

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        match self {
            Content::Text(text) => text.bytes_at(offset, max),
            Content::File(file) => file.bytes_at(offset, max),
        }
    }
}

impl FileContent {
    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let mut piece = self.piece.borrow_mut();
        let end = piece.offset + piece.bytes.len() as u64;
        if offset < piece.offset || (offset >= end && end < self.len) || offset > end {
            // Reading blocks as the disk does; others go on meanwhile.
            tokio::task::block_in_place(|| self.refill(&mut piece, offset, max))?;
        }
        piece.bytes.bytes_at(offset - piece.offset, max)
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
        let mut bytes = vec![0; size];
        let mut filled = 0;
        while filled < size {
            match self
                .file
                .read_at(&mut bytes[filled..], offset + filled as u64)?
            {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        piece.bytes = bytes.into();
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
        for offset in [0, 1468, 131_000, 131_072, 5, 299_000, 298_999, 300_000] {
            let mut got = Vec::new();
            let expected = &bytes[offset as usize..][..1468.min(bytes.len() - offset as usize)];
            while got.len() < expected.len() {
                let left = expected.len() - got.len();
                let run = content.bytes_at(offset + got.len() as u64, left);
                got.extend_from_slice(&run.expect("readable"));
            }
            assert_eq!(got, expected, "at {offset}");
        }
    }

    #[test]
    fn a_client_that_has_not_answered_costs_one_block() {
        let (_named, content) = opened(&vec![7; 300_000]);
        content.bytes_at(0, 512).expect("readable");
        let Content::File(file) = &content else {
            panic!("a file");
        };
        assert_eq!(file.piece.borrow().bytes.len(), 512);
        content.bytes_at(512, 512).expect("readable");
        assert_eq!(file.piece.borrow().bytes.len(), PIECE);
    }

    #[test]
    fn a_file_changed_in_place_is_an_error_and_never_a_mixture() {
        let (mut named, content) = opened(&vec![1; 300_000]);
        assert_eq!(content.bytes_at(0, 512).expect("readable").len(), 512);
        named.as_file_mut().set_len(200_000).expect("truncated");
        assert!(content.bytes_at(200_000, 512).is_err());
    }
}
