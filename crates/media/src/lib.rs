//! What is inside an image: reading and recognising.
//!
//! An image is served from inside the untouched file, so reading means finding out *where* in it
//! the content of each file lies ([`Extent`]); whoever serves it reads there. [`list`] takes a
//! source that can be read at any offset and gives a [`Listing`], which holds no file and answers
//! from memory. [`Image`] is a listing with its file, for those who want content.
//!
//! An image is written by strangers. Reading one costs a bounded number of reads and a bounded
//! memory, whatever stands in it; a damaged part is left out and noted
//! ([`Listing::flaws`]), never guessed; and no name and no symbolic link leads out of it.
//!
//! [`recognise()`] finds out which distribution a tree holds, from data ([`Recipes`]) that operators
//! can extend, and offers profiles for it.

mod device;
mod directory;
mod error;
mod image;
mod iso;
mod listing;
mod recipe;
mod recipes;
mod recognise;
mod tree;
mod udf;
mod walk;

pub use device::Source;
pub use directory::Directory;
pub use error::MediaError;
pub use image::Image;
pub use iso::claimed_len;
pub use listing::Listing;
pub use recipes::{RecipeError, Recipes};
pub use recognise::{Outside, Recognised, recognise};
pub use tree::{Entry, Extent, Kind, Tree};

/// Reads what is inside an image: UDF where there is one, else ISO 9660 with the best names it has
/// (Rock Ridge, then Joliet, then plain).
///
/// UDF goes first because the ISO 9660 side of a disk with both cannot say how long a file over
/// 4 GiB is, and shows a wrong length instead of none (Windows' `install.wim`).
///
/// Blocks as reading does.
///
/// # Errors
/// [`MediaError`] when it is no image, or none of which anything could be trusted.
pub fn list(source: &dyn Source) -> Result<Listing, MediaError> {
    match udf::list(source)? {
        Some(listing) => Ok(listing),
        None => iso::list(source),
    }
}
