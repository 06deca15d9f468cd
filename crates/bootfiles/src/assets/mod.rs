//! Loaders and sample images: which ones there are, and how they come from Debian's packages.
//!
//! [`Manifest`] says what there should be, [`sync()`] installs it, and [`Record`] remembers what was
//! installed, from which package and with which checksum.
//!
//! Nothing is installed on the host itself: packages are downloaded with apt under a private
//! state of its own, checked by apt against Debian's archive keys, unpacked beside the data and
//! thrown away but for the files we serve. Works as root and as an ordinary user.

mod apt;
mod deb;
mod manifest;
mod mirror;
mod place;
mod record;
mod report;
mod run;
mod sync;
mod work;

pub use manifest::{ImageEntry, LoaderEntry, Manifest, ManifestError, PackageFile};
pub use record::{Installed, Record, RecordError};
pub use report::{FileReport, Kind, Outcome, Report};
pub use sync::{Progress, SyncError, SyncOptions, sync};

pub(crate) use record::{FILE_NAME as RECORD_FILE, digest};
