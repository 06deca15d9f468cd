//! From the octets of a datagram to a request that is ours to answer.

use crate::Ignored;
use bootplan::BootClient;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Which of our sockets a datagram came in on, or an answer leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// UDP 67.
    Dhcp,
    /// UDP 4011.
    BootServer,
}

impl Port {
    /// The UDP port number.
    pub fn number(self) -> u16 {
        match self {
            Port::Dhcp => 67,
            Port::BootServer => 4011,
        }
    }
}

/// A datagram as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The UDP payload.
    pub bytes: &'a [u8],
    /// The datagram's source.
    pub from: SocketAddrV4,
    /// The address it was sent to.
    pub to: Ipv4Addr,
    /// The socket it came in on.
    pub port: Port,
    /// Our address on the receiving interface.
    pub local: Ipv4Addr,
}

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A DISCOVER on port 67: wants an OFFER.
    Discover,
    /// A REQUEST or INFORM on port 4011: wants an ACK.
    BootServer,
    /// Boot-server discovery broadcast to port 67 (option 43 with sub-option 71): wants an ACK.
    Discovery,
}

/// A network-boot request that is ours to answer, if the decision says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) client: BootClient,
    pub(crate) kind: Kind,
}

impl Request {
    /// What the packet claims about the machine.
    pub fn client(&self) -> &BootClient {
        &self.client
    }

    /// What is being asked.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// Reads a datagram.
///
/// # Errors
/// Why it is not for us; never panics, whatever the octets.
pub fn parse(received: &Received<'_>) -> Result<Request, Ignored> {
    Err(Ignored::TooShort {
        length: received.bytes.len(),
    })
}
