//! What a transfer reads: a rendered text, or a file through the cache that all transfers share.

use bootfiles::SharedFile;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::io;
use tftp::Source;

/// Content of one transfer. Reading never blocks: what is not in memory is asked for ([`Sender::wants`]), loaded
/// on another thread and [put in](Content::put).
///
/// [`Sender::wants`]: tftp::Sender::wants
pub(super) enum Content {
    /// A menu or script.
    Text(Bytes),
    /// A loader or a file of an image.
    File(FileContent),
}

/// A file with the piece that is being sent, so that a block costs no look into the cache, and so that a cache
/// that is too small for all that is running does not take the piece away between two blocks.
pub(super) struct FileContent {
    file: SharedFile,
    piece: RefCell<Piece>,
    /// Why the next read fails.
    failure: Cell<Option<io::Error>>,
}

#[derive(Default)]
struct Piece {
    offset: u64,
    bytes: Bytes,
}

impl Content {
    pub(super) fn file(file: SharedFile) -> Content {
        Content::File(FileContent {
            file,
            piece: RefCell::default(),
            failure: Cell::default(),
        })
    }

    /// The file, to load from; `None` for a text, which is all there.
    pub(super) fn shared(&self) -> Option<&SharedFile> {
        match self {
            Content::Text(_) => None,
            Content::File(content) => Some(&content.file),
        }
    }

    /// Takes what was read at `offset`, or why it could not be.
    pub(super) fn put(&self, offset: u64, read: io::Result<Bytes>) {
        if let Content::File(content) = self {
            match read {
                Ok(bytes) => drop(content.piece.replace(Piece { offset, bytes })),
                Err(error) => content.failure.set(Some(error)),
            }
        }
    }

    /// Lets the piece go: the client is silent, and its memory is better used by others.
    pub(super) fn rest(&self) {
        self.put(0, Ok(Bytes::new()));
    }

    /// Where the next piece begins, if it should be loaded before it is asked for.
    pub(super) fn ahead(&self) -> Option<u64> {
        let Content::File(content) = self else {
            return None;
        };
        let piece = content.piece.borrow();
        let next = piece.offset + piece.bytes.len() as u64;
        let wanted = !piece.bytes.is_empty() && next < content.file.len();
        (wanted && !content.file.is_cached(next)).then_some(next)
    }

    /// Where the piece begins that is being sent.
    pub(super) fn position(&self) -> u64 {
        match self {
            Content::Text(_) => 0,
            Content::File(content) => content.piece.borrow().offset,
        }
    }
}

impl Source for Content {
    fn len(&self) -> u64 {
        match self {
            Content::Text(text) => text.len() as u64,
            Content::File(content) => content.file.len(),
        }
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        match self {
            Content::Text(text) => Ok(cut(text, offset, max)),
            Content::File(content) => content.bytes_at(offset, max),
        }
    }
}

impl FileContent {
    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        if offset >= self.file.len() {
            return Ok(Bytes::new());
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut piece = self.piece.borrow_mut();
        let end = piece.offset + piece.bytes.len() as u64;
        if !(piece.offset..end).contains(&offset) {
            // After going back, the piece before this one is wanted again: it is still in the cache.
            let bytes = self.file.cached(offset).ok_or(io::ErrorKind::WouldBlock)?;
            *piece = Piece { offset, bytes };
        }
        Ok(cut(&piece.bytes, offset - piece.offset, max))
    }
}

/// At most `max` octets of `bytes` from `offset` on.
fn cut(bytes: &Bytes, offset: u64, max: usize) -> Bytes {
    let start = usize::try_from(offset).map_or(bytes.len(), |start| start.min(bytes.len()));
    let end = start.saturating_add(max).min(bytes.len());
    bytes.slice(start..end)
}
