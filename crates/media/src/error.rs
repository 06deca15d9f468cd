//! Why an image cannot be read.

use std::io;

/// Why nothing of an image can be used.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Neither ISO 9660 nor UDF.
    #[error("not an ISO 9660 or UDF image")]
    NotAnImage,
    /// The volume's own structures are wrong.
    #[error("the {format} volume cannot be read: {why}")]
    Volume {
        /// `ISO 9660` or `UDF`.
        format: &'static str,
        /// What is wrong, in the words of the reader.
        why: String,
    },
    /// More files and directories than we keep in mind.
    #[error("more than {limit} files and directories")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// Names that take more memory than we give.
    #[error("names of more than {limit} bytes together")]
    TooLong {
        /// How many bytes are allowed.
        limit: usize,
    },
    /// Directories that lead to more reading than any honest image needs.
    #[error("its directories need more than {limit} reads")]
    TooMuchReading {
        /// How many reads are allowed.
        limit: u32,
    },
    /// The file itself cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
}
