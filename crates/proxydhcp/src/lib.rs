//! proxyDHCP: bytes in, [`BootClient`](bootplan::BootClient) out; a plan in, bytes out.
//!
//! Sans-io: no sockets, no clock, no state. The caller receives a datagram, calls [`parse`], asks
//! [`bootplan::decide`], makes an [`Answer`] and sends what [`respond`] returns out of the
//! interface the request came in on. Who answers many asks [`bootplan::judge`] and
//! [`respond_into`] instead: for a packet as firmware sends it they allocate nothing. Leases are
//! never our business (protocol.md P3).

mod answer;
mod identity;
mod ignored;
pub mod options;
mod overhear;
mod request;
mod respond;
mod vendor;

pub use answer::{Answer, BootItem};
pub use ignored::Ignored;
pub use options::Note;
pub use overhear::{ForeignOffer, overhear};
pub use request::{Kind, Port, Received, Request, parse};
pub use respond::{Reply, Way, respond, respond_into};
