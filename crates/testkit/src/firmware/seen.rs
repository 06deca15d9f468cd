//! A reply as firmware reads it.

use crate::Datagram;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A BOOTREPLY, with what firmware looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The datagram's source.
    pub from: SocketAddrV4,
    /// Octets of the whole packet.
    pub length: usize,
    /// Transaction number.
    pub xid: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// The address given; 0 in a proxy's reply.
    pub yiaddr: Ipv4Addr,
    /// Next server.
    pub siaddr: Ipv4Addr,
    /// `file`, up to its NUL.
    pub file: String,
    /// Option 67, up to its NUL.
    pub option_67: Option<String>,
    /// Option 53.
    pub kind: Option<u8>,
    /// Option 54, when it is an address at all.
    pub server_id: Option<Ipv4Addr>,
    /// Option 60.
    pub class: Vec<u8>,
    /// PXE tags of option 43.
    pub tags: PxeTags,
    /// An option reaches past the end, or one of fixed size has another.
    pub malformed: bool,
}

/// PXE sub-options of option 43.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PxeTags {
    /// Tag 6.
    pub control: Option<u8>,
    /// Tag 8: type and first address.
    pub servers: Vec<(u16, Ipv4Addr)>,
    /// Tag 9: type and text.
    pub menu: Vec<(u16, String)>,
    /// Tag 10 is there.
    pub prompt: bool,
    /// Tag 71: the item type repeated.
    pub item: Option<u16>,
    /// How many of the MTFTP tags 1 to 5 are there.
    pub mtftp: usize,
}

impl Seen {
    /// Reads a reply; `None` when no client would take it for one.
    pub fn parse(datagram: &Datagram) -> Option<Seen> {
        let b = &datagram.bytes;
        if b.len() < 240 || b[0] != 2 || b[236..240] != [0x63, 0x82, 0x53, 0x63] {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3]);
        let mut seen = Seen {
            from: datagram.from,
            length: b.len(),
            xid: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
            mac: [b[28], b[29], b[30], b[31], b[32], b[33]],
            yiaddr: address(16),
            siaddr: address(20),
            file: text(&b[108..236]),
            option_67: None,
            kind: None,
            server_id: None,
            class: Vec::new(),
            tags: PxeTags::default(),
            malformed: false,
        };
        let whole = walk(&b[240..], |code, value| match (code, value) {
            (43, value) => seen.malformed |= !seen.tags.read(value),
            (53, [kind]) => seen.kind = Some(*kind),
            (54, [a, b, c, d]) => seen.server_id = Some(Ipv4Addr::new(*a, *b, *c, *d)),
            (53 | 54, _) => seen.malformed = true,
            (60, value) => seen.class = value.to_vec(),
            (67, value) => seen.option_67 = Some(text(value)),
            _ => {}
        });
        seen.malformed |= !whole;
        Some(seen)
    }

    /// Comes from a proxyDHCP.
    pub fn is_proxy(&self) -> bool {
        self.yiaddr.is_unspecified()
    }

    /// Class `PXEClient…`.
    pub fn is_pxe(&self) -> bool {
        self.class.starts_with(b"PXEClient")
    }

    /// Option 67, else `file`; empty when neither names anything. EDK2's order.
    pub fn name_by_option(&self) -> &str {
        match &self.option_67 {
            Some(name) if !name.is_empty() => name,
            _ => &self.file,
        }
    }

    /// `file`, else option 67. iPXE's order.
    pub fn name_by_header(&self) -> &str {
        match (&*self.file, &self.option_67) {
            ("", Some(name)) => name,
            (file, _) => file,
        }
    }

    /// Option 54 unless 0, else `siaddr` unless 0, else the source: how iPXE names a server.
    pub fn identity(&self) -> Ipv4Addr {
        let known = |ip: &Ipv4Addr| !ip.is_unspecified();
        let id = self.server_id.filter(known);
        id.or(Some(self.siaddr).filter(known))
            .unwrap_or(*self.from.ip())
    }

    /// `siaddr` unless 0, else option 54: how EDK2 names a server.
    pub fn next_server(&self) -> Option<Ipv4Addr> {
        let known = |ip: &Ipv4Addr| !ip.is_unspecified();
        Some(self.siaddr)
            .filter(known)
            .or(self.server_id.filter(known))
    }
}

impl PxeTags {
    /// Any of the tags that make an offer a PXE offer of its own (EDK2's "PXE10").
    pub fn is_pxe10(&self) -> bool {
        self.control.is_some() || !self.servers.is_empty() || !self.menu.is_empty() || self.prompt
    }

    /// Discovery control bit 3: just boot the file.
    pub fn is_direct(&self) -> bool {
        self.control.is_some_and(|bits| bits & 8 != 0)
    }

    /// The menu's first item, and the server that tag 8 lists for it. A prompt with a timeout of
    /// 0 chooses it at once.
    pub fn first_item(&self) -> Option<(u16, Option<Ipv4Addr>)> {
        let (kind, _) = self.menu.first()?;
        let server = self.servers.iter().find(|(k, _)| k == kind);
        Some((*kind, server.map(|(_, ip)| *ip)))
    }

    fn read(&mut self, value: &[u8]) -> bool {
        walk(value, |tag, value| match (tag, value) {
            (1..=5, _) => self.mtftp += 1,
            (6, [bits]) => self.control = Some(*bits),
            (8, mut rest) => {
                while let [a, b, count, w, x, y, z, ..] = rest {
                    let server = Ipv4Addr::new(*w, *x, *y, *z);
                    self.servers.push((u16::from_be_bytes([*a, *b]), server));
                    rest = rest.get(3 + 4 * usize::from(*count)..).unwrap_or_default();
                }
            }
            (9, mut rest) => {
                while let [a, b, len, tail @ ..] = rest {
                    let end = usize::from(*len).min(tail.len());
                    self.menu
                        .push((u16::from_be_bytes([*a, *b]), text(&tail[..end])));
                    rest = &tail[end..];
                }
            }
            (10, _) => self.prompt = true,
            (71, [a, b, ..]) => self.item = Some(u16::from_be_bytes([*a, *b])),
            _ => {}
        })
    }
}

/// Walks options up to END; false when one reaches past the end.
pub(crate) fn walk(mut rest: &[u8], mut each: impl FnMut(u8, &[u8])) -> bool {
    loop {
        match rest {
            [] | [255, ..] => return true,
            [0, tail @ ..] => rest = tail,
            [code, len, tail @ ..] if tail.len() >= usize::from(*len) => {
                let (value, after) = tail.split_at(usize::from(*len));
                each(*code, value);
                rest = after;
            }
            _ => return false,
        }
    }
}

fn text(octets: &[u8]) -> String {
    let end = octets.iter().position(|b| *b == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(&octets[..end]).into_owned()
}
