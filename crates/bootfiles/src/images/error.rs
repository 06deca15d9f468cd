//! Why something cannot be done with an image, for people.

use media::MediaError;
use std::io;

/// Why something cannot be done with an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not a name for an image.
    #[error(
        "'{0}' is no name for an image: letters, digits and . _ + - (and / between a directory and \
         a file in it), not beginning with a dot"
    )]
    Name(String),
    /// A word of the API's own addresses below `/images`.
    #[error("an image cannot be called '{0}', as that is an address of the API; call it otherwise")]
    Reserved(String),
    /// A file that would be no image by itself.
    #[error(
        "only ISO files stand alone; put {0} into a directory with what belongs to it, like \
         rescue/{0}"
    )]
    Alone(String),
    /// The name is taken.
    #[error("there is already an image {0}; remove it first, or choose another name")]
    Exists(String),
    /// Somebody brings another file of this name.
    #[error("another file is being brought in as {0}; wait for it, or cancel it")]
    UnderWay(String),
    /// No image or upload of this name.
    #[error("there is no image or upload {0}")]
    NotFound(String),
    /// It is being copied in at this moment.
    #[error("{0} is still being copied in")]
    Arriving(String),
    /// A chunk that does not follow what is there.
    #[error("there are {expected} bytes so far: go on from there, not from {offset}")]
    Offset {
        /// How many there are.
        expected: u64,
        /// Where the chunk would have begun.
        offset: u64,
    },
    /// More than was announced.
    #[error("more bytes came than the {announced} that were announced")]
    TooLong {
        /// How many were announced.
        announced: u64,
    },
    /// Less than was announced.
    #[error("only {have} of {announced} bytes have come: send the rest")]
    Incomplete {
        /// How many there are.
        have: u64,
        /// How many were announced.
        announced: u64,
    },
    /// Other bytes than were announced.
    #[error(
        "SHA-256 is {found}, announced was {expected}: this is another file, or it was damaged on its way"
    )]
    Checksum {
        /// What was announced.
        expected: String,
        /// What came.
        found: String,
    },
    /// Named like an image, but none.
    #[error("this is no image that could be served from inside: {0}")]
    NotAnImage(MediaError),
    /// The disk is full.
    #[error("there is no room for it on the disk of the images directory; {free} bytes are free")]
    NoSpace {
        /// What is left.
        free: u64,
    },
    /// Too many at once.
    #[error("{0} files are being brought in already; finish or cancel one")]
    TooMany(usize),
    /// The file system failed.
    #[error("the images directory cannot be used: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ImageError::NoSpace { free: 0 }
            }
            _ => ImageError::Io(error),
        }
    }
}
