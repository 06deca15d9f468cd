//! One lookup for both transports: a parsed name becomes a text, a file, or nothing.

use crate::opener::{Patience, Refused};
use crate::{BootFiles, SharedFile};
use answers::{Case, Links, Secrets};
use bootplan::menu::{self, Language};
use bootplan::{
    Because, BootClient, BootPath, Catalog, ClientKey, Decision, Endpoint, EventKind, IpxeFeatures,
    MacAddr, Outcome, Platform, RelPath, Stage, SystemUuid, Transport, decide,
};
use std::net::Ipv4Addr;

/// Who asks, as far as the transport knows. Everything in it is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address.
    pub ip: Ipv4Addr,
    /// The hardware address last seen with that address.
    pub mac_hint: Option<MacAddr>,
    /// The hardware address that a device tells of itself: ONIE's header `ONIE-ETH-ADDR`. Asked only
    /// where a router keeps the one above from being seen.
    pub said_mac: Option<MacAddr>,
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
    /// `asset` of the iPXE query: the asset tag.
    pub asset: Option<String>,
    /// `memsize` of the iPXE query: memory in MiB.
    pub memory_mib: Option<u32>,
    /// `cpumodel` of the iPXE query.
    pub cpu: Option<String>,
    /// `round` of the iPXE query: how often a waiting machine has asked.
    pub round: u32,
    /// How it asks. An iPXE that fetches its own script over TFTP was built without HTTP (the
    /// bootstrap tries HTTP first), so its files are named by TFTP, too.
    pub transport: Transport,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Found {
    /// A text rendered for this client.
    Text(Box<Rendered>),
    /// A file.
    File(SharedFile),
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
    /// The name of the answer that it is, for a device that asked by plain name.
    pub answer: Option<String>,
    /// Says that it holds links, and that nothing but the asking said whose card asked for it.
    pub unproved: Option<EventKind>,
}

impl Asker {
    /// A client of which nothing but its address is known, asking over HTTP.
    pub fn at(ip: Ipv4Addr) -> Asker {
        Asker {
            ip,
            mac_hint: None,
            said_mac: None,
            uuid: None,
            serial: None,
            platform: None,
            manufacturer: None,
            product: None,
            asset: None,
            memory_mib: None,
            cpu: None,
            round: 0,
            transport: Transport::Http,
        }
    }

    /// Takes in the decoded pairs of an iPXE query (`uuid`, `serial`, `platform`, `buildarch`,
    /// `manufacturer`, `product`, `asset`, `memsize`, `cpumodel`, `round`). What is unknown, empty, too long or unprintable is
    /// left out; of a key sent twice the first value counts.
    #[must_use]
    pub fn with_query<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Asker {
        let (mut platform, mut buildarch) = (None, None);
        for (key, value) in pairs {
            let Some(text) = claim(value.as_ref()) else {
                continue;
            };
            match key.as_ref() {
                "uuid" => self.uuid = self.uuid.or_else(|| text.parse().ok()),
                "serial" => self.serial = self.serial.or(Some(text)),
                "manufacturer" => self.manufacturer = self.manufacturer.or(Some(text)),
                "product" => self.product = self.product.or(Some(text)),
                "asset" => self.asset = self.asset.or(Some(text)),
                "memsize" => self.memory_mib = self.memory_mib.or(text.parse().ok()),
                "cpumodel" => self.cpu = self.cpu.or(Some(text)),
                "round" => self.round = text.parse().unwrap_or(self.round),
                "platform" => platform = platform.or(Some(text)),
                "buildarch" => buildarch = buildarch.or(Some(text)),
                _ => {}
            }
        }
        let told = ipxe_platform(platform.as_deref(), buildarch.as_deref());
        self.platform = self.platform.or(told);
        self
    }
}

impl Rendered {
    /// The event that says this text was served; `None` for the bootstraps.
    pub fn event(&self, transport: Transport) -> Option<EventKind> {
        if let Some(name) = &self.answer {
            return Some(EventKind::AnswerServed {
                name: name.clone(),
                attempt: 0,
                bytes: self.body.len() as u64,
            });
        }
        let decision = self.decision.as_ref()?;
        let intent = match &decision.outcome {
            Outcome::Boot(plan) => Some(plan.intent),
            Outcome::LocalDisk | Outcome::Silent => None,
        };
        let profile = decision.because.profile().cloned();
        Some(EventKind::MenuServed {
            stage: self.stage,
            transport,
            path: self.path.clone(),
            intent,
            profile,
            files: menu::default_files(decision),
            because: decision.because.clone(),
        })
    }
}

impl BootFiles {
    /// What this client gets under this name. Blocks as the file system does.
    ///
    /// Menus are rendered from the same [`decide`] that DHCP asks. A machine that is to be left
    /// alone ([`Outcome::Silent`]) got no offer from us; when its loader asks nevertheless
    /// (another boot server named our files, or the assignment changed meanwhile):
    ///
    /// * under its **own key** (MAC, UUID, its address; iPXE's own script) it gets a text that
    ///   says so and boots the local disk. Absence would leave PXELINUX and GRUB at a prompt for
    ///   ever, and a machine that nobody chose anything for should start as if we were not there;
    /// * under PXELINUX's **`default`** it gets nothing: that name is the last of a long list,
    ///   asked by whoever found nothing under its own names, and we say nothing to strangers.
    ///
    /// A key that leads to no hardware address is absent, so that the client goes on to its next
    /// name: a UUID no machine has, an address in hexadecimal that is not the asker's own.
    pub fn lookup(
        &self,
        path: &BootPath,
        asker: &Asker,
        catalog: &Catalog,
        server: &Endpoint,
    ) -> Found {
        let found = self.find(path, asker, catalog, server, Patience::Waits);
        found.unwrap_or(Found::Absent) // a patient one is always answered
    }

    /// The same without ever waiting for a disk or a file server. `None`: only
    /// [`BootFiles::lookup`], on a thread that may block, can tell. Menus are always answered; so is
    /// a file (or its absence) that was asked for before, on a file system of this machine.
    pub fn lookup_cached(
        &self,
        path: &BootPath,
        asker: &Asker,
        catalog: &Catalog,
        server: &Endpoint,
    ) -> Option<Found> {
        self.find(path, asker, catalog, server, Patience::Never)
    }

    fn find(
        &self,
        path: &BootPath,
        asker: &Asker,
        catalog: &Catalog,
        server: &Endpoint,
        patience: Patience,
    ) -> Option<Found> {
        let text = match path {
            BootPath::Loader(name) => {
                let opened = match self.open_published(name, asker.ip, patience) {
                    Some(opened) => opened,
                    None => self.open_loader(name, patience),
                };
                let found = file(path, asker, opened)?;
                let device = match found {
                    Found::Absent => device_file(name, asker, catalog, server),
                    Found::Text(_) | Found::File(_) => None,
                };
                return Some(device.map_or(found, |text| Found::Text(Box::new(text))));
            }
            BootPath::Image(image) => return file(path, asker, self.open_image(image, patience)),
            BootPath::IpxeBootstrap => Some(bootstrap(
                Stage::Ipxe,
                "boot.ipxe",
                menu::ipxe_bootstrap(server),
            )),
            BootPath::GrubBootstrap => Some(bootstrap(
                Stage::Grub,
                "grub/grub.cfg",
                menu::grub_bootstrap(server),
            )),
            BootPath::Ipxe { mac } => {
                let ask = Ask {
                    language: Language::Ipxe,
                    stage: Stage::Ipxe,
                    key: ClientKey::Mac(*mac),
                    round: asker.round,
                    path: format!("{}/boot.ipxe", mac.dashed()),
                };
                ask.answer(asker, catalog, server, self.links())
            }
            BootPath::Pxelinux { key, round } => {
                let name = key_name(key);
                let ask = Ask {
                    language: Language::Pxelinux,
                    stage: Stage::Pxelinux,
                    key: *key,
                    round: *round,
                    path: match round {
                        0 => format!("pxelinux.cfg/{name}"),
                        n => format!("farrier/wait/{n}/pxelinux.cfg/{name}"),
                    },
                };
                ask.answer(asker, catalog, server, self.links())
            }
            BootPath::Grub { key } => {
                let ask = Ask {
                    language: Language::Grub,
                    stage: Stage::Grub,
                    key: *key,
                    round: asker.round,
                    path: format!("grub/grub.cfg-{}", key_name(key)),
                };
                ask.answer(asker, catalog, server, self.links())
            }
        };
        Some(text.map_or(Found::Absent, |text| Found::Text(Box::new(text))))
    }
}

/// One question for a menu or script.
struct Ask {
    language: Language,
    stage: Stage,
    key: ClientKey,
    round: u32,
    path: String,
}

impl Ask {
    fn answer(
        self,
        asker: &Asker,
        catalog: &Catalog,
        server: &Endpoint,
        links: Links<'_>,
    ) -> Option<Rendered> {
        let client = self.client(asker, catalog)?;
        let mut decision = decide(&client, catalog);
        let nobody = decision.because == Because::NoMachineAddress;
        let stranger = self.key == ClientKey::Default && decision.outcome == Outcome::Silent;
        if nobody || stranger {
            return None;
        }
        let foreign = is_of_another(asker, &decision, catalog);
        answers::fill(&mut decision, &client, catalog, server, links);
        let body = menu::render(self.language, &client, &decision, server, self.round);
        let links = body.contains(&format!("{}/a/", server.http_base()));
        // A menu with links in it is for its machine only.
        if foreign && links {
            return None;
        }
        // Behind a router no card is seen: whoever asks first by this machine's name is served.
        let unproved = (links && asker.mac_hint.is_none()).then(|| EventKind::UnknownCard {
            what: "menu with links".to_owned(),
            card: None,
        });
        Some(Rendered {
            body,
            unproved,
            stage: self.stage,
            path: self.path,
            decision: Some(decision),
            client: Some(client),
            answer: None,
        })
    }

    /// Whose menu it is. Only the platform of iPXE's query is taken over; for the others
    /// `decide` falls back to what the machine said when it asked by DHCP.
    fn client(&self, asker: &Asker, catalog: &Catalog) -> Option<BootClient> {
        let (mac, uuid) = match self.key {
            ClientKey::Mac(mac) => (mac, asker.uuid),
            // Two boards with one UUID exist, and PXELINUX asks by UUID before it asks by MAC: only
            // a card that is known to be this machine's (or the first of a machine entered by its
            // UUID alone) gets its menu; the others are asked for by their MAC next.
            ClientKey::Uuid(uuid) => {
                let machine = catalog.find_uuid(uuid)?;
                let mac = asker.mac_hint?;
                let its_own = machine.macs.is_empty() || machine.macs.contains(&mac);
                (its_own.then_some(mac)?, machine.uuid)
            }
            // Only the asker's own address: the hint belongs to no other.
            ClientKey::Address(ip) => (asker.mac_hint.filter(|_| ip == asker.ip)?, asker.uuid),
            ClientKey::Default => (asker.mac_hint?, asker.uuid),
        };
        let without_http = self.stage == Stage::Ipxe && asker.transport == Transport::Tftp;
        Some(BootClient {
            uuid,
            platform: asker.platform,
            ipxe: without_http.then(IpxeFeatures::default),
            ..BootClient::asking(mac, self.stage)
        })
    }
}

/// Whether the neighbour table says that the asker has a card which is not of the machine that is
/// decided about; behind a router nobody can say. A card that no machine has counts, too: unlike the
/// holder of a link it has shown nothing but a MAC that anybody can read off the wire, and loaders
/// ask by the card they run on.
fn is_of_another(asker: &Asker, decision: &Decision, catalog: &Catalog) -> bool {
    let machine = decision.machine.and_then(|id| catalog.machine(id));
    let (Some(machine), Some(hint)) = (machine, asker.mac_hint) else {
        return false;
    };
    !machine.macs.is_empty() && !machine.macs.contains(&hint)
}

fn bootstrap(stage: Stage, path: &str, body: String) -> Rendered {
    Rendered {
        body,
        stage,
        path: path.to_owned(),
        decision: None,
        client: None,
        answer: None,
        unproved: None,
    }
}

/// A switch's or router's file, by its plain name, chosen by the hardware address behind the
/// asker's, or else by the one it tells: the devices that ask so can be given no link, so such a
/// file holds no secret.
fn device_file(
    name: &RelPath,
    asker: &Asker,
    catalog: &Catalog,
    server: &Endpoint,
) -> Option<Rendered> {
    let mac = asker.mac_hint.or(asker.said_mac)?;
    let client = BootClient::asking(mac, Stage::Firmware);
    let machine = catalog.find(client.mac, None)?;
    let decision = decide(&client, catalog);
    let profile = catalog.profile(decision.because.profile()?)?;
    let plain = |answer: &&bootplan::Answer| answer.is_plain() && answer.name == name.as_str();
    let answer = profile.answers.iter().find(plain)?;
    let case = Case::new(catalog, machine, profile, server, Links::Hidden);
    let made = case.answer(answer, &Secrets::none());
    let body = made
        .inspect_err(|fault| tracing::warn!(machine = machine.name, %fault, "a device file"))
        .ok()?
        .text;
    Some(Rendered {
        body,
        stage: Stage::Firmware,
        path: answer.name.clone(),
        decision: None,
        client: Some(client),
        answer: Some(answer.name.clone()),
        unproved: None,
    })
}

/// What a client may not have looks like what is not there; the log knows the difference. `None`:
/// it cannot be told without waiting.
fn file(path: &BootPath, asker: &Asker, opened: Result<SharedFile, Refused>) -> Option<Found> {
    match opened {
        Ok(file) => return Some(Found::File(file)),
        Err(Refused::WouldBlock) => return None,
        Err(Refused::Absent) => {}
        Err(Refused::Forbidden(why)) => {
            tracing::warn!(?path, client = %asker.ip, why, "boot file refused");
        }
        Err(Refused::Failed(error)) => {
            tracing::warn!(?path, client = %asker.ip, %error, "boot file cannot be read");
        }
    }
    Some(Found::Absent)
}

fn key_name(key: &ClientKey) -> String {
    match key {
        ClientKey::Mac(mac) => format!("01-{}", mac.dashed()),
        ClientKey::Uuid(uuid) => uuid.to_string(),
        ClientKey::Address(ip) => format!("{:08X}", ip.to_bits()),
        ClientKey::Default => "default".to_owned(),
    }
}

fn ipxe_platform(platform: Option<&str>, buildarch: Option<&str>) -> Option<Platform> {
    match (platform?, buildarch) {
        ("pcbios", _) => Some(Platform::Bios),
        ("efi", Some("x86_64")) => Some(Platform::EfiX64),
        ("efi", Some("i386")) => Some(Platform::EfiIa32),
        ("efi", Some("arm64")) => Some(Platform::EfiArm64),
        _ => None,
    }
}

/// A claimed text as it may be kept: trimmed, printable, of a sane length.
fn claim(text: &str) -> Option<String> {
    let text = text.trim();
    let fine = !text.is_empty() && text.len() <= CLAIM_LIMIT && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
}

/// SMBIOS strings are at most 64 characters on old and seldom more on new machines.
const CLAIM_LIMIT: usize = 128;

#[cfg(test)]
mod tests;
