//! Everything Farrier asks of others over the network: downloads, management controllers, web hooks.
//!
//! One guarded client ([`Client`]) stands before all of it. A URL comes from a person or from a
//! server that answers with a redirect, so it may name a place that this host reaches and its
//! author does not. Therefore a name is resolved once and every address is checked before the
//! connection, which then goes to exactly these addresses; redirects are followed by hand and
//! checked in the same way; and every answer is bounded in time and size.

mod address;
mod answer;
mod client;
mod error;
pub mod hooks;
pub mod power;
mod request;
mod trust;

pub use address::{Allowed, BadNetwork, Kind, Network, Zone};
pub use answer::{Answer, Body};
pub use client::Client;
pub use error::{Error, Fault};
pub use request::{Limits, Login, Request, Resume};
pub use trust::{BadPin, Pin, Trust};
