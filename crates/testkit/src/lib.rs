//! What the other side of the wire does: pretend firmware, packets and captures. For tests only.
//!
//! Written apart from the rooms under test, from captures and protocol descriptions, so that a
//! shared mistake does not cancel out: nothing here uses `proxydhcp`.

pub mod firmware;
pub mod fixtures;
pub mod gpg;
pub mod hex;
pub mod image;
pub mod lan;
pub mod nbd;
pub mod packet;
pub mod pcap;
pub mod site;
pub mod web;

use std::net::SocketAddrV4;

/// One UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source.
    pub from: SocketAddrV4,
    /// Destination.
    pub to: SocketAddrV4,
    /// UDP payload.
    pub bytes: Vec<u8>,
}
