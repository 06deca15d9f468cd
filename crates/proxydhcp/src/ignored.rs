//! Why a datagram is left unanswered.

use bootplan::MacAddr;
use std::net::Ipv4Addr;

/// Why a datagram is not for us, or cannot be answered: a value, counted by [`Ignored::slug`].
/// Nothing here is an error of ours; silence is the answer (protocol.md P1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Shorter than a BOOTP header with its cookie (240 octets).
    #[error("{length} octets, too short for DHCP (240 at least)")]
    TooShort {
        /// Its length in octets.
        length: usize,
    },
    /// BOOTREPLY, or no BOOTP at all. Our own OFFER reflected back ends here.
    #[error("op {op} is not a request")]
    NotARequest {
        /// The first octet.
        op: u8,
    },
    /// Not `63825363`.
    #[error("the magic cookie is wrong: not DHCP")]
    Cookie,
    /// A link layer whose addresses are not six octets.
    #[error("hardware type {htype} with an address of {hlen} octets is not supported")]
    Hardware {
        /// `htype`.
        htype: u8,
        /// `hlen`.
        hlen: u8,
    },
    /// All-zero, broadcast or multicast `chaddr`.
    #[error("{mac} is not the hardware address of a machine")]
    HardwareAddress {
        /// The address claimed.
        mac: MacAddr,
    },
    /// Relayed more than 16 times (RFC 1542 4.1.1).
    #[error("relayed {hops} times (16 at most)")]
    Hops {
        /// `hops`.
        hops: u8,
    },
    /// Sent from our own address: no client, and an answer could come back as a question.
    #[error("sent by ourselves, from {from}")]
    OwnPacket {
        /// Our address.
        from: Ipv4Addr,
    },
    /// A source port that belongs to some other service: an answer could start a loop
    /// (echo, chargen) or hit a server (protocol.md G.4).
    #[error("source port {port} belongs to another service, not to a DHCP client")]
    SourcePort {
        /// The source port.
        port: u16,
    },
    /// An address that no answer may be sent to: loopback, multicast, broadcast, our own.
    #[error("{field} {address} is not the address of a client or relay")]
    Address {
        /// `ciaddr`, `giaddr` or `source`.
        field: &'static str,
        /// Its value.
        address: Ipv4Addr,
    },
    /// Option 53 is absent or not one octet.
    #[error("no DHCP message type (option 53)")]
    NoMessageType,
    /// A message type that a proxyDHCP never answers on this port.
    #[error("DHCP message type {kind} is not ours to answer on this port")]
    MessageType {
        /// Option 53.
        kind: u8,
    },
    /// A client takes its lease from the site's DHCP server.
    #[error("a lease REQUEST to another DHCP server")]
    LeaseRequest {
        /// The site's DHCP server (option 54), when the client names it.
        server: Option<Ipv4Addr>,
    },
    /// Neither `PXEClient` nor `HTTPClient`: an ordinary DHCP client.
    #[error("not a network-boot client (option 60)")]
    NotNetworkBoot,
    /// Option 54 names another boot server.
    #[error("meant for boot server {server}")]
    OtherServer {
        /// Option 54.
        server: Ipv4Addr,
    },
    /// A boot item that we do not offer, or one that wants credentials.
    #[error("asks for boot item {kind}, which we do not offer")]
    UnknownItem {
        /// The item type of sub-option 71.
        kind: u16,
    },
    /// The plan names nothing to boot.
    #[error("nothing to name: the plan has no boot file")]
    NoBootFile,
    /// No field of the answer takes this name (254 octets at most, no NUL).
    #[error("a boot file name of {length} octets fits no field of a DHCP answer (254 at most)")]
    BootFileName {
        /// Its length in octets.
        length: usize,
    },
    /// The answer would be larger than the client takes (576 octets or option 57).
    #[error("an answer of {length} octets is over the client's limit of {limit}")]
    TooLong {
        /// Octets needed.
        length: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// A small (so probably forged) request must not be turned into a larger packet.
    #[error("an answer of {length} octets to a request of {request} would amplify")]
    Amplifies {
        /// Octets needed.
        length: usize,
        /// Octets received.
        request: usize,
    },
}

impl Ignored {
    /// A stable word for counters.
    pub fn slug(&self) -> &'static str {
        match self {
            Ignored::TooShort { .. } => "too-short",
            Ignored::NotARequest { .. } => "not-a-request",
            Ignored::Cookie => "cookie",
            Ignored::Hardware { .. } => "hardware",
            Ignored::HardwareAddress { .. } => "hardware-address",
            Ignored::Hops { .. } => "hops",
            Ignored::OwnPacket { .. } => "own-packet",
            Ignored::SourcePort { .. } => "source-port",
            Ignored::Address { .. } => "address",
            Ignored::NoMessageType => "no-message-type",
            Ignored::MessageType { .. } => "message-type",
            Ignored::LeaseRequest { .. } => "lease-request",
            Ignored::NotNetworkBoot => "not-network-boot",
            Ignored::OtherServer { .. } => "other-server",
            Ignored::UnknownItem { .. } => "unknown-item",
            Ignored::NoBootFile => "no-boot-file",
            Ignored::BootFileName { .. } => "boot-file-name",
            Ignored::TooLong { .. } => "too-long",
            Ignored::Amplifies { .. } => "amplifies",
        }
    }
}
