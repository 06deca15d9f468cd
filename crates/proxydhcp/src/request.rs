//! From the octets of a datagram to a request that is ours to answer.

use crate::options::{self, Note, Options, code};
use crate::vendor::ItemChoice;
use crate::{Ignored, identity};
use bootplan::{BootClient, CircuitId, MacAddr};
use std::borrow::Cow;
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

/// A network-boot request that is ours to answer, if the decision says so. Borrows what it
/// echoes from the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub(crate) client: BootClient,
    pub(crate) kind: Kind,
    pub(crate) from: SocketAddrV4,
    pub(crate) htype: u8,
    pub(crate) xid: u32,
    pub(crate) flags: u16,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    /// Octets of the whole request.
    pub(crate) length: usize,
    /// Option 57.
    pub(crate) max_size: Option<u16>,
    /// Option 97 as sent.
    pub(crate) uuid: Option<Cow<'a, [u8]>>,
    /// Option 82 as sent, with its code and length.
    pub(crate) relay_info: Cow<'a, [u8]>,
    /// Server identifier override of the relay (RFC 5107).
    pub(crate) server_id: Option<Ipv4Addr>,
    /// Option 43 sub-option 71.
    pub(crate) item: Option<ItemChoice>,
    notes: Vec<Note>,
}

impl Request<'_> {
    /// What the packet claims about the machine.
    pub fn client(&self) -> &BootClient {
        &self.client
    }

    /// What is being asked.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The client's own IPv4 address, once it has one.
    pub fn client_ip(&self) -> Option<Ipv4Addr> {
        let known = |ip: &Ipv4Addr| !ip.is_unspecified();
        let source = Some(*self.from.ip()).filter(|_| self.kind == Kind::BootServer);
        Some(self.ciaddr).filter(known).or(source.filter(known))
    }

    /// The transaction number. Never a key by itself: iPXE repeats it across machines.
    pub fn xid(&self) -> u32 {
        self.xid
    }

    /// What was odd about the packet; worth a log line, no reason for silence.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Reads a datagram: cheap checks of the header first, then the options.
///
/// # Errors
/// Why it is not for us; never panics, whatever the octets.
pub fn parse<'a>(received: &Received<'a>) -> Result<Request<'a>, Ignored> {
    let header = Header::parse(received.bytes)?;
    check_source(received)?;
    for (field, address) in [("ciaddr", header.ciaddr), ("giaddr", header.giaddr)] {
        if !address.is_unspecified() && !may_be_answered(address, received.local) {
            return Err(Ignored::Address { field, address });
        }
    }
    let options = options::scan(received.bytes);
    let item = options.get(code::VENDOR).and_then(ItemChoice::find);
    let kind = kind(received.port, &options, item)?;
    let class = identity::class(&options).ok_or(Ignored::NotNetworkBoot)?;
    if let Some(server) = address(options.get(code::SERVER_ID))
        && server != received.local
    {
        return Err(Ignored::OtherServer { server });
    }
    let relay = Some(header.giaddr).filter(|ip| !ip.is_unspecified());
    let mut notes = options.notes().to_vec();
    let client = BootClient {
        circuit: relay_option(&options, CIRCUIT_ID).and_then(CircuitId::from_octets),
        place: Some(relay.unwrap_or(received.local)),
        ..identity::client(header.mac, class, relay, &options, &mut notes)
    };
    Ok(Request {
        client,
        kind,
        from: received.from,
        htype: header.htype,
        xid: header.xid,
        flags: header.flags,
        ciaddr: header.ciaddr,
        giaddr: header.giaddr,
        length: received.bytes.len(),
        max_size: options
            .get(code::MAX_SIZE)
            .and_then(|raw| raw.try_into().ok())
            .map(u16::from_be_bytes),
        uuid: options.keep(code::UUID),
        relay_info: options.relay_info().clone(),
        server_id: relay.and(server_id_override(&options)),
        item,
        notes,
    })
}

/// The fixed part of a request that could be answered.
struct Header {
    htype: u8,
    xid: u32,
    flags: u16,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    mac: MacAddr,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, Ignored> {
        let Some(fixed) = bytes.first_chunk::<{ options::HEADER }>() else {
            return Err(Ignored::TooShort {
                length: bytes.len(),
            });
        };
        let word = |at: usize| [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
        let [op, htype, hlen, hops] = word(0);
        if op != BOOTREQUEST {
            return Err(Ignored::NotARequest { op });
        }
        if word(236) != COOKIE {
            return Err(Ignored::Cookie);
        }
        // Any link layer with six-octet addresses; InfiniBand would need option 61.
        if hlen != 6 {
            return Err(Ignored::Hardware { htype, hlen });
        }
        if hops > MAX_HOPS {
            return Err(Ignored::Hops { hops });
        }
        let [a, b, c, d] = word(28);
        let mac = MacAddr([a, b, c, d, fixed[32], fixed[33]]);
        if !mac.is_unicast() {
            return Err(Ignored::HardwareAddress { mac });
        }
        Ok(Header {
            htype,
            xid: u32::from_be_bytes(word(4)),
            flags: u16::from_be_bytes([fixed[10], fixed[11]]),
            ciaddr: Ipv4Addr::from(word(12)),
            giaddr: Ipv4Addr::from(word(24)),
            mac,
        })
    }
}

/// Ports and addresses that must never be sent to, whatever the packet says.
fn check_source(received: &Received<'_>) -> Result<(), Ignored> {
    let (address, port) = (*received.from.ip(), received.from.port());
    let ours = port == Port::Dhcp.number() || port == Port::BootServer.number();
    // On loopback (tests) both ends have the one address.
    if address == received.local && (ours || !address.is_loopback()) {
        return Err(Ignored::OwnPacket { from: address });
    }
    if port <= LAST_SERVICE_PORT && !matches!(port, 67 | 68) {
        return Err(Ignored::SourcePort { port });
    }
    let senseless = address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback() && !received.local.is_loopback();
    if senseless {
        return Err(Ignored::Address {
            field: "source",
            address,
        });
    }
    Ok(())
}

/// Whether an address could be that of a client or relay: not our own, not loopback (unless that
/// is where we are), not multicast, not broadcast, not "this network".
fn may_be_answered(address: Ipv4Addr, local: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    address != local && first != 0 && first < 224 && (first != 127 || local.is_loopback())
}

/// P1 and P2: DISCOVER and boot-server discovery on 67, REQUEST and INFORM on 4011.
fn kind(port: Port, options: &Options<'_>, item: Option<ItemChoice>) -> Result<Kind, Ignored> {
    let Some([message]) = options.get(code::MESSAGE_TYPE) else {
        return Err(Ignored::NoMessageType);
    };
    match (port, *message) {
        (Port::Dhcp, DISCOVER) => Ok(Kind::Discover),
        (Port::Dhcp, REQUEST | INFORM) if item.is_some() => Ok(Kind::Discovery),
        (Port::Dhcp, REQUEST) => Err(Ignored::LeaseRequest {
            server: address(options.get(code::SERVER_ID)),
        }),
        (Port::BootServer, REQUEST | INFORM) => Ok(Kind::BootServer),
        (_, kind) => Err(Ignored::MessageType { kind }),
    }
}

/// Sub-option 11 of the relay's option 82: the address clients are to know the server by.
fn server_id_override(options: &Options<'_>) -> Option<Ipv4Addr> {
    address(relay_option(options, SERVER_ID_OVERRIDE))
}

/// A sub-option of the relay's option 82; the first of its kind.
fn relay_option<'a>(options: &'a Options<'_>, wanted: u8) -> Option<&'a [u8]> {
    let mut rest = options.get(code::RELAY_INFO)?;
    while let [tag, len, tail @ ..] = rest {
        let (value, after) = tail.split_at_checked(usize::from(*len))?;
        if *tag == wanted {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// Four octets as an address; any other length counts as absent.
fn address(raw: Option<&[u8]>) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = raw?.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

const BOOTREQUEST: u8 = 1;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const INFORM: u8 = 8;
/// RFC 3046 3.1.
const CIRCUIT_ID: u8 = 1;
const SERVER_ID_OVERRIDE: u8 = 11;
/// RFC 1542 4.1.1: relays must give up at 16.
const MAX_HOPS: u8 = 16;
/// Up to here ports belong to services (echo, chargen, DNS ...), except DHCP's own two: an answer
/// there could start a loop. 1024 is reserved by IANA and no client's port either.
const LAST_SERVICE_PORT: u16 = 1024;
