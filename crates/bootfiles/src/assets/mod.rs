//! Loaders and sample images: which ones there are, and how they come from Debian's packages.
//!
//! [`Manifest`] says what there should be; [`Record`] what was installed, from which package and
//! with which checksum.

mod manifest;
mod record;

pub use manifest::{ImageEntry, LoaderEntry, Manifest, ManifestError, PackageFile};
pub(crate) use record::{FILE_NAME as RECORD_FILE, digest};
pub use record::{Installed, Record, RecordError};
