//! Secrets at rest: sealed with a key that is a file beside the database, never in it. A stolen
//! copy of the database, or an export, opens none of them.

mod book;
mod key_file;
mod seal;

pub(crate) use book::{Opened, load_sealed, load_secrets};
pub use book::{SecretRecord, UnlockError};
pub use key_file::{Absent, KeyFileError, MasterKey};
pub use seal::{SealError, Sealer};
