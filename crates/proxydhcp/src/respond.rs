//! From an answer to the octets that firmware accepts.

use crate::options::{self, code};
use crate::{Answer, BootItem, Ignored, Kind, Port, Request, identity, vendor};
use bootplan::{ClientClass, EfiStyle, Endpoint, Platform, Stage};
use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};
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

/// Builds the OFFER or ACK (protocol.md P3 to P8, A.6 to A.8). Deterministic.
///
/// # Errors
/// Why this request with this answer is better left alone.
pub fn respond(request: &Request, answer: &Answer, server: &Endpoint) -> Result<Reply, Ignored> {
    let file = file_name(request, answer)?;
    let to = destination(request)?;
    let options = Body {
        request,
        answer,
        server: server.ip,
        file: &file,
    };
    let mut bytes = header(request, server.ip, &file);
    options.append(&mut bytes)?;
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
    Ok(Reply {
        bytes,
        to,
        from_port,
    })
}

/// The name to give: that of the chosen menu item, else the answer's own.
fn file_name(request: &Request, answer: &Answer) -> Result<String, Ignored> {
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
    Ok(name.clone())
}

/// Where the answer goes (protocol.md A.8).
fn destination(request: &Request) -> Result<SocketAddrV4, Ignored> {
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
fn header(request: &Request, server: Ipv4Addr, file: &str) -> Vec<u8> {
    let ciaddr = match request.kind {
        Kind::Discover => Ipv4Addr::UNSPECIFIED,
        Kind::BootServer | Kind::Discovery => request.ciaddr,
    };
    // yiaddr is always 0: only a broadcast reaches a client without an address, and relays look
    // at this bit too.
    let broadcast = if ciaddr.is_unspecified() { 0x8000 } else { 0 };
    let mut message = Message::new_with_id(
        request.xid,
        ciaddr,
        Ipv4Addr::UNSPECIFIED,
        server,
        request.giaddr,
        &request.client.mac.0,
    );
    message
        .set_opcode(Opcode::BootReply)
        .set_htype(HType::from(request.htype))
        .set_flags(Flags::from(request.flags | broadcast));
    // Always the header field when the name fits: shim reads nothing else (A.7).
    if file.len() <= MAX_FILE_FIELD {
        message.set_fname(file.as_bytes());
    }
    let mut bytes = Vec::with_capacity(MIN_BOOTP);
    message
        .encode(&mut Encoder::new(&mut bytes))
        .expect("a growing buffer takes a header");
    bytes
}

/// What is needed for the options of one answer.
struct Body<'a> {
    request: &'a Request,
    answer: &'a Answer,
    server: Ipv4Addr,
    file: &'a str,
}

impl Body<'_> {
    /// Appends the options in our order, option 82 last, and END.
    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), Ignored> {
        let limit = limit(self.request);
        let mut tail = Vec::new();
        if let Some(value) = self.vendor() {
            options::encode(code::VENDOR, &value, &mut tail);
        }
        if self.file.len() > MAX_FILE_FIELD {
            // One trailing NUL inside the length: EDK2 writes one there anyway and old ROMs cut
            // the last letter without it (A.7).
            let mut name = self.file.as_bytes().to_vec();
            name.push(0);
            options::encode(code::BOOT_FILE, &name, &mut tail);
        }
        tail.extend_from_slice(&self.request.relay_info);
        tail.push(code::END);

        let kind = match self.request.kind {
            Kind::Discover => MessageType::Offer,
            Kind::BootServer | Kind::Discovery => MessageType::Ack,
        };
        let server_id = self.request.server_id.unwrap_or(self.server);
        options::append(&DhcpOption::MessageType(kind), bytes);
        options::append(&DhcpOption::ServerIdentifier(server_id), bytes);
        options::encode(
            code::CLASS,
            identity::class_text(self.request.client.class),
            bytes,
        );
        if let Some(uuid) = &self.request.uuid {
            let room = bytes.len() + 2 + uuid.len() + tail.len() <= limit;
            // A senseless option 97 is echoed too, unless there is no room for nonsense.
            if uuid.len() <= 255 && (room || uuid.len() == 17) {
                options::encode(code::UUID, uuid, bytes);
            }
        }
        bytes.extend(tail);
        if bytes.len() > limit {
            return Err(Ignored::TooLong {
                length: bytes.len(),
                limit,
            });
        }
        Ok(())
    }

    /// Option 43 by protocol.md P5 and A.11.
    fn vendor(&self) -> Option<Vec<u8>> {
        let client = &self.request.client;
        if let Some(choice) = self.request.item {
            return Some(choice.echo());
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
            return Some(block.to_vec());
        }
        if offers_menu(self.request, self.answer) {
            return Some(vendor::menu(&self.answer.items, self.server));
        }
        match (client.class, client.stage, client.platform) {
            (ClientClass::Http, ..) | (_, Stage::Ipxe, _) => None,
            (_, _, Some(Platform::Bios)) => Some(vendor::DIRECT_BIOS.to_vec()),
            (_, _, Some(platform))
                if platform.is_efi() && self.answer.efi_style == EfiStyle::Direct =>
            {
                Some(vendor::DIRECT_EFI.to_vec())
            }
            _ => None,
        }
    }
}

/// A firmware menu is for PXE firmware only: in an iPXE it leads to loops (A.9).
fn offers_menu(request: &Request, answer: &Answer) -> bool {
    !answer.items.is_empty()
        && request.kind == Kind::Discover
        && request.client.class == ClientClass::Pxe
        && request.client.stage == Stage::Firmware
}

/// BOOTP octets the client takes: option 57 less IP and UDP headers, within reason.
fn limit(request: &Request) -> usize {
    let datagram = request.max_size.map_or(MIN_DATAGRAM, usize::from);
    datagram.clamp(MIN_DATAGRAM, MAX_DATAGRAM) - 28
}

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
