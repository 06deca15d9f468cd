//! Images that the server fetches itself: from a URL, with what vouches for them.
//!
//! A [`Fetcher`] has jobs. Each is written down before its first octet is asked for, so that a
//! restart goes on with it: what has come lies where uploads lie (`bootfiles::images::Staging`),
//! and is asked on by range, if the server says that the file is still the same. What has come
//! whole is compared with what was ordered (a SHA-256, a list of them, a signature) before it is an
//! image. A distribution's netboot files come from a mirror by its signed checksums, together.
//! What is asked of others is asked by `reach` and by nothing else.
//! The reasons are in docs/decisions/0019-fetching-images.md.

mod download;
mod error;
mod fetcher;
mod job;
mod mirror;
mod openpgp;
mod order;
mod proof;
mod recipe;
mod release;
mod releases;
mod sums;
mod work;

pub use error::FetchError;
pub use fetcher::{Fetcher, Means, Patience, Tell};
pub use job::{JobView, Stage};
pub use order::{Given, Octets, Order, Proof};
pub use recipe::Mirror;
pub use releases::Releases;
