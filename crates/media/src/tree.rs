//! The words of this room: trees, entries, extents.

use std::io;
use std::sync::Arc;

/// A run of octets in the file that an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where it begins, in octets from the start of the image's file.
    pub offset: u64,
    /// How many octets; never 0.
    pub len: u64,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// A file or a directory of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its own path in the tree with forward slashes, symbolic links resolved; empty for the root.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Length of a file in octets; 0 for a directory.
    pub len: u64,
    /// Where the content lies, in order. Together as long as `len`. Empty for an empty file, for a
    /// directory, and in trees that are no image.
    pub extents: Arc<[Extent]>,
    /// When the content was last changed, in seconds since 1970; 0 when nobody wrote that down.
    pub modified: i64,
    /// Its number in the tree, the same for each listing of the same octets.
    pub number: u32,
}

/// Files below one root: an image, or a directory of the operator's.
pub trait Tree: Send + Sync {
    /// The name that the tree has for itself (a volume's label); may be empty.
    fn label(&self) -> &str;

    /// What stands under a relative path with forward slashes: by its exact name, else by the only
    /// name that differs in case alone. Symbolic links are followed while they stay inside.
    fn find(&self, path: &str) -> Option<Entry>;

    /// What is in a directory, by name; nothing if it is none. The path of an entry that is
    /// reached by a symbolic link is the link's.
    fn list(&self, directory: &str) -> Vec<Entry>;

    /// The beginning of a file: all of it, but no more than `most` octets.
    ///
    /// # Errors
    /// What reading says.
    fn read(&self, entry: &Entry, most: usize) -> io::Result<Vec<u8>>;
}
