//! Which hardware address is behind an IPv4 address.

use bootplan::MacAddr;
use std::net::Ipv4Addr;

/// A small shared table from IPv4 address to MAC, for requests that do not say their MAC (TFTP,
/// HTTP). Learned from packets that say both; a hint, never a credential.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {}

impl Neighbours {
    /// Notes that this MAC was seen with this address.
    pub fn learn(&self, ip: Ipv4Addr, mac: MacAddr) {
        let _ = (ip, mac);
        unimplemented!("store: in work")
    }

    /// The MAC last seen with this address.
    pub fn lookup(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        let _ = ip;
        unimplemented!("store: in work")
    }
}
