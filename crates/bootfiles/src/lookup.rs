//! One lookup for both transports: a parsed name becomes a text, a file, or nothing.

use crate::{BootFiles, OpenFile};
use bootplan::menu::{self, Language};
use bootplan::{
    BootClient, BootPath, Catalog, ClientKey, Decision, Endpoint, EventKind, MacAddr, Outcome,
    Platform, Stage, SystemUuid, Transport, decide,
};
use std::net::Ipv4Addr;

/// Who asks, as far as the transport knows. Everything in it is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address.
    pub ip: Ipv4Addr,
    /// The hardware address last seen with that address.
    pub mac_hint: Option<MacAddr>,
    /// `uuid` of the iPXE query.
    pub uuid: Option<SystemUuid>,
    /// `serial` of the iPXE query.
    pub serial: Option<String>,
    /// `platform` and `buildarch` of the iPXE query.
    pub platform: Option<Platform>,
    /// `manufacturer` of the iPXE query.
    pub manufacturer: Option<String>,
    /// `product` of the iPXE query.
    pub product: Option<String>,
    /// `round` of the iPXE query: how often a waiting machine has asked.
    pub round: u32,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Found {
    /// A text rendered for this client.
    Text(Rendered),
    /// A file.
    File(OpenFile),
    /// Nothing, or nothing that may be served: clients cannot tell which.
    Absent,
}

/// A rendered menu or script with all that an event about it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text as it goes over the wire.
    pub body: String,
    /// Who asks for such a text.
    pub stage: Stage,
    /// The name in its canonical form.
    pub path: String,
    /// What was decided; `None` for the bootstraps, which are the same for everybody.
    pub decision: Option<Decision>,
    /// What the client claims; `None` for the bootstraps.
    pub client: Option<BootClient>,
}

impl Asker {
    /// A client of which nothing but its address is known.
    pub fn at(ip: Ipv4Addr) -> Asker {
        Asker {
            ip,
            mac_hint: None,
            uuid: None,
            serial: None,
            platform: None,
            manufacturer: None,
            product: None,
            round: 0,
        }
    }

    /// Takes in the decoded pairs of an iPXE query (`uuid`, `serial`, `platform`, `buildarch`,
    /// `manufacturer`, `product`, `round`). What is unknown, empty or malformed is left out.
    pub fn with_query<K: AsRef<str>, V: AsRef<str>>(
        self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Asker {
        let _ = pairs;
        self
    }
}

impl Rendered {
    /// The event that says this text was served; `None` for the bootstraps.
    pub fn event(&self, transport: Transport) -> Option<EventKind> {
        let _ = transport;
        None
    }
}

impl BootFiles {
    /// What this client gets under this name.
    pub fn lookup(
        &self,
        path: &BootPath,
        asker: &Asker,
        catalog: &Catalog,
        server: &Endpoint,
    ) -> Found {
        let _ = (path, asker, catalog, server);
        Found::Absent
    }
}
