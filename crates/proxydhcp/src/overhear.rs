//! What other servers of the LAN say to clients.

use std::net::Ipv4Addr;

/// An OFFER or ACK of some DHCP or boot server, seen on port 68.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignOffer {
    /// Its address: option 54, else `siaddr`. May be one of our own; the caller knows.
    pub server: Ipv4Addr,
    /// True when it offers boot files, not only addresses.
    pub boots: bool,
}

/// Reads a datagram seen on port 68; `None` for anything but an OFFER or ACK with a server.
pub fn overhear(bytes: &[u8]) -> Option<ForeignOffer> {
    let _ = bytes;
    None
}
