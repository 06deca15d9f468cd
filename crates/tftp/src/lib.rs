//! The TFTP protocol as state machines: packets, options, a server's read and write transfers, a client's
//! `get` and `put`, and the bookkeeping of who may have a transfer.
//!
//! Nothing here opens a socket, reads a clock or knows what Farrier is: datagrams and `now` come in through
//! `handle_*`, datagrams and deadlines go out through `poll_*`. The caller owns one socket per transfer and
//! loops:
//!
//! ```text
//! Sender::start(request, source, limits, now)
//! loop { while poll_transmit(now, &mut buf) { send(buf) }     or poll_batch, for a window in one send
//!        if wants() is some { have it read; source_ready() }
//!        if is_closed() { break }
//!        wait for a datagram of this peer, or for poll_timeout()
//!        handle_datagram(now, bytes) | handle_timeout(now) }
//! outcome()
//! ```
//!
//! On the well-known port [`admission::Sessions`] decides first: `Start` begins a transfer, `Join` becomes
//! [`Sender::repeat_first`]. The caller tells it `proved` once [`Sender::is_proved`], and `end` as soon as there is
//! an outcome. A socket that is not connected filters strangers itself.
//!
//! A [`Writer`] is driven alike. The content it hands out is the caller's to keep: `hold` while that takes time, and
//! `committed` when it is durable, upon which the client gets its last ACK.
//!
//! Standards: RFC 1350 (protocol), 2347 (options), 2348 (blksize), 2349 (tsize, timeout), 7440 (windowsize),
//! 1123 section 4.2.3 (Sorcerer's Apprentice, retransmission).

pub mod admission;
pub mod batch;
pub mod limits;
pub mod options;
pub mod outcome;
pub mod packet;
pub mod receiver;
pub mod sender;
pub mod source;
pub mod writer;

mod ask;
mod blocks;
mod incoming;
mod netascii;
mod timer;
mod unproved;

pub use ask::Ask;
pub use batch::Batch;
pub use limits::Limits;
pub use options::Agreed;
pub use outcome::{Outcome, OutcomeKind, Stats};
pub use packet::{ErrorCode, ErrorPacket, Malformed, Mode, Request, RequestKind, parse_request};
pub use receiver::Receiver;
pub use sender::{Put, Sender};
pub use source::Source;
pub use writer::Writer;
