//! From an answer to the octets that firmware accepts.

use crate::options::{self, code};
use crate::{Answer, BootItem, Ignored, Kind, Port, Request, identity, vendor};
use bootplan::{ClientClass, EfiStyle, Endpoint, Platform, Stage};
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A datagram to send, out of the interface the request came in on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// Where to. A relay's or client's address is as forgeable as the rest of the packet: a
    /// caller that knows its netmask should not send to a subnet's broadcast address.
    pub to: SocketAddrV4,
    /// Which of our sockets it leaves by.
    pub from_port: Port,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// [`Reply::to`].
    pub to: SocketAddrV4,
    /// [`Reply::from_port`].
    pub from_port: Port,
}

/// Builds the OFFER or ACK (protocol.md P3 to P8, A.6 to A.8). Deterministic.
///
/// # Errors
/// Why this request with this answer is better left alone.
pub fn respond(
    request: &Request<'_>,
    answer: &Answer,
    server: &Endpoint,
) -> Result<Reply, Ignored> {
    let mut bytes = Vec::with_capacity(MIN_BOOTP);
    let way = respond_into(request, answer, server, &mut bytes)?;
    Ok(Reply {
        bytes,
        to: way.to,
        from_port: way.from_port,
    })
}

/// [`respond`] into the memory of the last reply, which is overwritten.
///
/// # Errors
/// As [`respond`].
pub fn respond_into(
    request: &Request<'_>,
    answer: &Answer,
    server: &Endpoint,
    bytes: &mut Vec<u8>,
) -> Result<Way, Ignored> {
    let file = file_name(request, answer)?;
    let to = destination(request)?;
    let options = Body {
        request,
        answer,
        server: server.ip,
        file,
    };
    bytes.clear();
    header(request, server.ip, file, bytes);
    options.append(bytes)?;
    if bytes.len() < MIN_BOOTP {
        bytes.resize(MIN_BOOTP, 0);
    }
    if bytes.len() > request.length.max(MIN_BOOTP) && request.length < MIN_BOOTP {
        return Err(Ignored::Amplifies {
            length: bytes.len(),
            request: request.length,
        });
    }
    let from_port = match request.kind {
        Kind::Discover | Kind::Discovery => Port::Dhcp,
        Kind::BootServer => Port::BootServer,
    };
    Ok(Way { to, from_port })
}

/// The name to give: that of the chosen menu item, else the answer's own.
fn file_name<'a>(request: &Request<'_>, answer: &'a Answer) -> Result<&'a str, Ignored> {
    let name = match request.item {
        Some(choice) => {
            let wants_credentials = choice.layer & 0x8000 != 0;
            let offered = |item: &&BootItem| item.kind == choice.kind && !wants_credentials;
            let unknown = Ignored::UnknownItem { kind: choice.kind };
            &answer.items.iter().find(offered).ok_or(unknown)?.file
        }
        None => &answer.file,
    };
    let wanted = !answer.raspberry_pi && !offers_menu(request, answer);
    if name.is_empty() && wanted {
        return Err(Ignored::NoBootFile);
    }
    if name.len() > MAX_OPTION_NAME || name.contains('\0') {
        return Err(Ignored::BootFileName { length: name.len() });
    }
    Ok(name)
}

/// Where the answer goes (protocol.md A.8).
fn destination(request: &Request<'_>) -> Result<SocketAddrV4, Ignored> {
    let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
    let source = *request.from.ip();
    match request.kind {
        // To the datagram's source and nowhere else, whatever giaddr says (G.1): EDK2 listens
        // on 4011 only, BIOS ROMs on 68 only. A ROM without a source address gets a broadcast.
        Kind::BootServer if source.is_unspecified() => Ok(everyone),
        Kind::BootServer => Ok(request.from),
        _ if !request.giaddr.is_unspecified() => {
            Ok(SocketAddrV4::new(request.giaddr, Port::Dhcp.number()))
        }
        Kind::Discovery if !request.ciaddr.is_unspecified() && !source.is_unspecified() => {
            // A client that has an address speaks from it; anything else is forged.
            if source != request.ciaddr {
                return Err(Ignored::Address {
                    field: "ciaddr",
                    address: request.ciaddr,
                });
            }
            Ok(request.from)
        }
        Kind::Discover | Kind::Discovery => Ok(everyone),
    }
}

/// The 240 octets before the options.
fn header(request: &Request<'_>, server: Ipv4Addr, file: &str, bytes: &mut Vec<u8>) {
    let ciaddr = match request.kind {
        Kind::Discover => Ipv4Addr::UNSPECIFIED,
        Kind::BootServer | Kind::Discovery => request.ciaddr,
    };
    // yiaddr is always 0: only a broadcast reaches a client without an address, and relays look
    // at this bit too.
    let broadcast = if ciaddr.is_unspecified() { 0x8000 } else { 0 };
    bytes.extend([BOOTREPLY, request.htype, 6, 0]);
    bytes.extend(request.xid.to_be_bytes());
    bytes.extend([0; 2]); // secs
    bytes.extend((request.flags | broadcast).to_be_bytes());
    bytes.extend(ciaddr.octets());
    bytes.extend([0; 4]); // yiaddr
    bytes.extend(server.octets()); // siaddr
    bytes.extend(request.giaddr.octets());
    bytes.extend(request.client.mac.0);
    bytes.resize(FILE_FIELD, 0); // the rest of chaddr, sname
    // Always the header field when the name fits: shim reads nothing else (A.7).
    if file.len() <= MAX_FILE_FIELD {
        bytes.extend(file.as_bytes());
    }
    bytes.resize(COOKIE_FIELD, 0);
    bytes.extend(COOKIE);
}

/// What is needed for the options of one answer.
struct Body<'a> {
    request: &'a Request<'a>,
    answer: &'a Answer,
    server: Ipv4Addr,
    file: &'a str,
}

impl Body<'_> {
    /// Appends the options in our order, option 82 last, and END.
    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), Ignored> {
        let limit = limit(self.request);
        let vendor = self.vendor();
        let long_name = self.file.len() > MAX_FILE_FIELD;
        let tail = vendor
            .as_ref()
            .map_or(0, |v| options::encoded_length(v.len()))
            + if long_name { self.file.len() + 3 } else { 0 }
            + self.request.relay_info.len()
            + 1;

        let kind = match self.request.kind {
            Kind::Discover => OFFER,
            Kind::BootServer | Kind::Discovery => ACK,
        };
        let server_id = self.request.server_id.unwrap_or(self.server);
        options::encode(code::MESSAGE_TYPE, &[kind], bytes);
        options::encode(code::SERVER_ID, &server_id.octets(), bytes);
        let class = identity::class_text(self.request.client.class);
        options::encode(code::CLASS, class, bytes);
        if let Some(uuid) = &self.request.uuid {
            let room = bytes.len() + 2 + uuid.len() + tail <= limit;
            // A senseless option 97 is echoed too, unless there is no room for nonsense.
            if uuid.len() <= 255 && (room || uuid.len() == 17) {
                options::encode(code::UUID, uuid, bytes);
            }
        }
        if let Some(value) = vendor {
            options::encode(code::VENDOR, &value, bytes);
        }
        if long_name {
            // One trailing NUL inside the length: EDK2 writes one there anyway and old ROMs cut
            // the last letter without it (A.7). It fits: see MAX_OPTION_NAME.
            bytes.extend([code::BOOT_FILE, self.file.len() as u8 + 1]);
            bytes.extend(self.file.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&self.request.relay_info);
        bytes.push(code::END);
        if bytes.len() > limit {
            return Err(Ignored::TooLong {
                length: bytes.len(),
                limit,
            });
        }
        Ok(())
    }

    /// Option 43 by protocol.md P5 and A.11.
    fn vendor(&self) -> Option<Cow<'static, [u8]>> {
        let client = &self.request.client;
        if let Some(choice) = self.request.item {
            return Some(Cow::Owned(choice.echo().to_vec()));
        }
        if self.request.kind != Kind::Discover {
            return None;
        }
        if self.answer.raspberry_pi {
            let old = identity::is_pi_3(client.mac, self.request.uuid.as_deref());
            let block = if old {
                vendor::RASPBERRY_PI_3
            } else {
                vendor::RASPBERRY_PI
            };
            return Some(Cow::Borrowed(block));
        }
        if offers_menu(self.request, self.answer) {
            return Some(Cow::Owned(vendor::menu(&self.answer.items, self.server)));
        }
        match (client.class, client.stage, client.platform) {
            (ClientClass::Http, ..) | (_, Stage::Ipxe, _) => None,
            (_, _, Some(Platform::Bios)) => Some(Cow::Borrowed(vendor::DIRECT_BIOS)),
            (_, _, Some(platform))
                if platform.is_efi() && self.answer.efi_style == EfiStyle::Direct =>
            {
                Some(Cow::Borrowed(vendor::DIRECT_EFI))
            }
            _ => None,
        }
    }
}

/// A firmware menu is for PXE firmware only: in an iPXE it leads to loops (A.9).
fn offers_menu(request: &Request<'_>, answer: &Answer) -> bool {
    !answer.items.is_empty()
        && request.kind == Kind::Discover
        && request.client.class == ClientClass::Pxe
        && request.client.stage == Stage::Firmware
}

/// BOOTP octets the client takes: option 57 less IP and UDP headers, within reason.
fn limit(request: &Request<'_>) -> usize {
    let datagram = request.max_size.map_or(MIN_DATAGRAM, usize::from);
    datagram.clamp(MIN_DATAGRAM, MAX_DATAGRAM) - 28
}

const BOOTREPLY: u8 = 2;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const OFFER: u8 = 2;
const ACK: u8 = 5;
/// Offsets in the header.
const FILE_FIELD: usize = 108;
const COOKIE_FIELD: usize = 236;
const CLIENT_PORT: u16 = 68;
/// RFC 1542 2.1; relays and old ROMs drop shorter ones.
const MIN_BOOTP: usize = 300;
/// What every client takes (RFC 2131 2).
const MIN_DATAGRAM: usize = 576;
/// One Ethernet frame; EDK2 ignores anything larger, and its later packets claim 65280.
const MAX_DATAGRAM: usize = 1500;
/// 128 octets of `file` with a NUL.
const MAX_FILE_FIELD: usize = 127;
/// 255 octets of option 67 with a NUL; firmware does not join split options.
const MAX_OPTION_NAME: usize = 254;
