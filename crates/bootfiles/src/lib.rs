//! Files of the boot plane: the one lookup that TFTP and HTTP share, and where loaders come from.
//!
//! A client names what it wants; [`bootplan::BootPath`] turns the name into a type; and
//! [`BootFiles::lookup`] answers it with a text rendered for that machine, an open regular file
//! from below one of our directories, or [`Found::Absent`]. A file that exists but may not be
//! served (a symbolic link that leaves its directory, a FIFO, a device) is answered like a file
//! that does not exist.
//!
//! A file below `images/NAME/` that is in no directory of that name is looked for inside
//! `images/NAME.iso` (or `NAME.ISO`) and served from there, by its place in it: nothing is copied or mounted.
//!
//! [`assets`] installs loaders and sample images from Debian's packages; no binary is committed.

pub mod assets;
mod cache;
pub mod dropbox;
mod files;
pub mod images;
mod inside;
mod iso_name;
mod layout;
mod loaders;
mod lookup;
mod networks;
mod opener;
mod published;

pub use cache::{CacheStats, DEFAULT_BUDGET, FileCache, PIECE, SharedFile, TIDY_EVERY};
pub use files::{BootFiles, OpenError};
pub use iso_name::{is_like_iso, iso_stem};
pub use loaders::{LoaderSet, LoaderStatus};
pub use lookup::{Asker, Found, Rendered};
pub use networks::{Network, Networks, NotANetwork};
pub use published::Published;
