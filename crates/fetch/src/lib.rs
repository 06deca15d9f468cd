//! Images that the server fetches itself: from a URL, with what vouches for them.
//!
//! A [`Fetcher`] has jobs. Each is written down before its first octet is asked for, so that a
//! restart goes on with it: what has come lies where uploads lie (`bootfiles::images::Staging`),
//! and is asked on by range, if the server says that the file is still the same. What has come
//! whole is compared with what was ordered (a SHA-256, a list of them) before it is an image.
//! What is asked of others is asked by `reach` and by nothing else.
//! The reasons are in docs/decisions/0019-fetching-images.md.

mod download;
mod error;
mod fetcher;
mod job;
mod order;
mod proof;
mod sums;
mod work;

pub use error::FetchError;
pub use fetcher::{Fetcher, Patience, Tell};
pub use job::{JobView, Stage};
pub use order::{Order, Proof, name_of};
