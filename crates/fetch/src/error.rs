//! Why something does not become an image, for people.

use bootfiles::images::ImageError;
use std::io;

/// Why a job cannot be begun, or has failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An order that cannot be carried out.
    #[error("{0}")]
    Order(String),
    /// No job of this name.
    #[error("there is no job {0}; it may be done: look at the list of images")]
    NotFound(String),
    /// Somebody fetches another file under this name.
    #[error("{0} is being fetched from elsewhere already; wait for it, or cancel it")]
    UnderWay(String),
    /// Too many jobs.
    #[error("{0} jobs are there already; cancel one that failed, or wait")]
    TooMany(usize),
    /// Nothing can be done with it in this state.
    #[error("{name} {why}")]
    State {
        /// What the image is called.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// What the images directory says.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What was asked of others did not come.
    #[error(transparent)]
    Reach(#[from] reach::Error),
    /// The file on the server is another one now.
    #[error("{asked}: {what}, so what had come cannot be gone on with")]
    Changed {
        /// What was asked.
        asked: String,
        /// What the server says.
        what: String,
    },
    /// A list of checksums that does not help.
    #[error("{sums}: {why}")]
    Sums {
        /// The list's URL.
        sums: String,
        /// What is wrong.
        why: String,
    },
    /// A signature that is none, or is nobody's whom we know.
    #[error("{0}")]
    Signature(String),
    /// Tried for as long as it is worth it.
    #[error("{last}; given up after {tries} tries without progress")]
    GaveUp {
        /// How often.
        tries: u32,
        /// The last failure.
        last: Box<FetchError>,
    },
    /// The disk failed, or the server is stopping.
    #[error("the job cannot be written down: {0}")]
    Io(#[from] io::Error),
}

impl FetchError {
    /// Whether the same may work in a while, without anybody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            FetchError::Reach(error) => error.is_passing(),
            FetchError::Changed { .. } => true,
            _ => false,
        }
    }
}
