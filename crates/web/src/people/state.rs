//! What the people's plane is given by the program, and what the status page shows.

use super::auth::Auth;
use super::batches::Batches;
use super::power::{Passwords, PowerRoom};
use crate::kept::Kept;
use crate::transfers::Transfers;
use bootfiles::FileCache;
use bootfiles::dropbox::DropBoxes;
use bootfiles::images::ImageStore;
use bootplan::{
    BootMethod, Diskless, Endpoint, FileRef, Profile, RelPath, Timestamp, UnassignedPolicy,
};
use fetch::Fetcher;
use reach::Client;
use reach::power::Switches;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use store::{Store, StoredEvent};
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

/// Everything a page or an API call needs. Cheap to clone.
#[derive(Clone)]
pub struct PeopleState {
    /// Everything durable.
    pub store: Store,
    /// Events as the journal stored them; `/live` listens here.
    pub live: broadcast::Sender<Arc<StoredEvent>>,
    /// What the program knows about itself at this moment.
    pub status: Arc<dyn Fn() -> ServerStatus + Send + Sync>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) options: Arc<PeopleOptions>,
    /// What network hardware has stored.
    pub(crate) drop_boxes: DropBoxes,
    closing: Arc<watch::Sender<bool>>,
    images: Option<HasImage>,
    pub(crate) image_store: Option<ImageStore>,
    pub(crate) fetcher: Option<Fetcher>,
    pub(crate) transfers: Transfers,
    pub(crate) cache: Option<FileCache>,
    pub(crate) power: Option<PowerRoom>,
    pub(crate) batches: Batches,
    pub(crate) kept: Option<Arc<dyn Kept>>,
}

/// Whether a file of this name can be served from below the images directory.
pub type HasImage = Arc<dyn Fn(&RelPath) -> bool + Send + Sync>;

/// Settings of the people's plane.
#[derive(Clone, Debug)]
pub struct PeopleOptions {
    /// Host names people reach the pages by, besides `localhost` and IP literals: the machine's
    /// own name and what the configuration adds. Others are refused (DNS rebinding).
    pub host_names: Vec<String>,
    /// True when browsers reach us by https; marks the cookie `Secure`.
    pub tls: bool,
    /// TCP port of the HTTP boot plane, for previews.
    pub http_port: u16,
    /// TCP port of these pages, for previews.
    pub ui_port: u16,
}

impl Default for PeopleOptions {
    fn default() -> Self {
        PeopleOptions {
            host_names: Vec::new(),
            tls: false,
            http_port: 80,
            ui_port: 8080,
        }
    }
}

impl PeopleState {
    /// Puts the state together; sign-in limits and the set-up link start empty.
    pub fn new(
        store: Store,
        live: broadcast::Sender<Arc<StoredEvent>>,
        status: Arc<dyn Fn() -> ServerStatus + Send + Sync>,
        options: PeopleOptions,
    ) -> Self {
        PeopleState {
            store,
            live,
            status,
            auth: Arc::new(Auth::default()),
            options: Arc::new(options),
            drop_boxes: DropBoxes::default(),
            closing: Arc::new(watch::Sender::new(false)),
            images: None,
            image_store: None,
            fetcher: None,
            transfers: Transfers::default(),
            cache: None,
            power: None,
            batches: Batches::default(),
            kept: None,
        }
    }

    /// With a look into the images directory, so that pages can warn of files that are not there.
    pub fn with_images(self, has: HasImage) -> Self {
        PeopleState {
            images: Some(has),
            ..self
        }
    }

    /// With what machines without a disk keep.
    pub fn with_kept(self, kept: Arc<dyn Kept>) -> Self {
        let kept = Some(kept);
        PeopleState { kept, ..self }
    }

    /// With the images directory, which the pages show and change.
    pub fn with_image_store(self, store: ImageStore) -> Self {
        let image_store = Some(store);
        PeopleState {
            image_store,
            ..self
        }
    }

    /// With those who fetch images by URL.
    pub fn with_fetcher(self, fetcher: Fetcher) -> Self {
        let fetcher = Some(fetcher);
        PeopleState { fetcher, ..self }
    }

    /// With the list that those who move bytes write into; without it nothing is ever under way.
    pub fn with_transfers(self, transfers: Transfers) -> Self {
        PeopleState { transfers, ..self }
    }

    /// With the drop boxes, whose uploads the pages show.
    pub fn with_drop_boxes(self, drop_boxes: DropBoxes) -> Self {
        PeopleState { drop_boxes, ..self }
    }

    /// With the memory of file contents, to tell what it holds.
    pub fn with_cache(self, cache: FileCache) -> Self {
        let cache = Some(cache);
        PeopleState { cache, ..self }
    }

    /// With a client for all that is asked of others, the program that speaks IPMI, and the passwords
    /// of controllers and hooks.
    pub fn with_power(
        self,
        client: Client,
        ipmitool: impl Into<PathBuf>,
        passwords: Passwords,
    ) -> Self {
        let room = PowerRoom {
            switches: Switches::new(client.clone(), ipmitool),
            client,
            passwords,
        };
        PeopleState {
            power: Some(room),
            ..self
        }
    }

    /// The local files of this profile that cannot be served at this moment; none when nobody
    /// can tell.
    pub(crate) fn missing(&self, profile: &Profile) -> Vec<String> {
        let Some(has) = &self.images else {
            return Vec::new();
        };
        let files: Vec<&FileRef> = match &profile.boot {
            BootMethod::Linux {
                kernel, initrds, ..
            }
            | BootMethod::Diskless(Diskless {
                kernel, initrds, ..
            }) => std::iter::once(kernel).chain(initrds).collect(),
            BootMethod::Program { files } => files.values().collect(),
            BootMethod::LocalDisk {} | BootMethod::Chain { .. } => Vec::new(),
        };
        let local = files.into_iter().filter_map(|file| match file {
            FileRef::Image(path) => Some(path),
            FileRef::Url(_) => None,
        });
        // What the operating system fetches is as necessary as what the loader does.
        let root = match &profile.boot {
            BootMethod::Diskless(diskless) => diskless.root_image(),
            _ => None,
        };
        local
            .chain(&root)
            .filter(|path| !has(path))
            .map(ToString::to_string)
            .collect()
    }

    /// The server is going down: streams that would never end by themselves end now, so that an
    /// open page does not hold up the shutdown.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until [`close`](Self::close); for ever when that never comes.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let sender = Arc::clone(&self.closing);
        async move {
            // The sender is held here, so only the value can end this.
            let mut closing = sender.subscribe();
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// The address previews are rendered for: the first interface that answers clients.
    pub fn endpoint(&self) -> Endpoint {
        let status = (self.status)();
        let serving = status.interfaces.iter().filter(|i| i.serving);
        let ip = serving
            .filter_map(|i| i.address.split('/').next()?.parse().ok())
            .next();
        Endpoint {
            ip: ip.unwrap_or(Ipv4Addr::LOCALHOST),
            http_port: self.options.http_port,
            ui_port: self.options.ui_port,
        }
    }
}

/// What the server knows about itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServerStatus {
    /// Version of the program.
    pub version: String,
    /// When it started, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    pub started: Timestamp,
    /// Network interfaces, serving or not.
    pub interfaces: Vec<InterfaceStatus>,
    /// Listening sockets, or why one is not open.
    pub ports: Vec<PortStatus>,
    /// Loaders, present or missing.
    pub loaders: Vec<LoaderLine>,
    /// Requests that were not for us, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// The same for each UDP port, with what was answered.
    pub requests: Vec<PortRequests>,
    /// Events lost because the queue was full.
    pub events_dropped: u64,
    /// Events of machines nobody registered, left out because there were too many at once.
    pub events_left_out: u64,
    /// Events that the database did not take.
    pub events_failed: u64,
    /// Other DHCP and boot servers heard on the LAN.
    pub foreign_servers: Vec<ForeignServer>,
    /// What machines without an assignment get.
    #[schema(value_type = String)]
    pub unassigned: UnassignedPolicy,
    /// The directory of documents that are applied as they are saved; null when none is.
    pub files: Option<FilesStatus>,
}

/// What came of the watched directory last.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FilesStatus {
    /// Where it is.
    pub directory: String,
    /// The label of everything that its files describe; empty: none.
    pub owner: String,
    /// Whether what has that label and is not described is deleted.
    pub prune: bool,
    /// When its files were last applied, or refused, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// What was done, for people.
    pub summary: String,
    /// Why nothing was: `FILE:LINE:COLUMN: PROBLEM`.
    pub faults: Vec<String>,
}

/// One network interface.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InterfaceStatus {
    /// Its name (`eth0`).
    pub name: String,
    /// Its IPv4 address, with or without prefix length; empty when it has none.
    pub address: String,
    /// Whether boot requests are answered here.
    pub serving: bool,
    /// Why, or why not, for people.
    pub reason: String,
}

/// What came of the requests on one UDP port.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PortRequests {
    /// The port.
    pub port: u16,
    /// Answers sent; null for TFTP, where answers are transfers.
    pub answered: Option<u64>,
    /// Requests without an answer, by reason.
    pub ignored: BTreeMap<String, u64>,
}

/// One listening socket.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PortStatus {
    /// What it is for (`DHCP`, `Boot server`, `TFTP`, `HTTP boot`, `Pages`).
    pub plane: String,
    /// Address and port (`0.0.0.0:67`).
    pub address: String,
    /// `open`, or `failed`, or `off`.
    pub state: String,
    /// What to do when it is not open.
    pub detail: String,
}

/// One loader file of the manifest or of the operator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LoaderLine {
    /// File name on the wire (`snponly.efi`).
    pub name: String,
    /// Platform, for people (`UEFI x64`).
    pub platform: String,
    /// What it is for (`iPXE`, `shim`).
    pub role: String,
    /// Which set it comes from (`local`, `packaged`).
    pub set: String,
    /// Whether it is on disk.
    pub present: bool,
    /// Bytes, when present.
    pub size: Option<u64>,
    /// Package version, when known.
    pub version: Option<String>,
    /// How to get it, when missing.
    pub how_to_get: String,
}

/// Another DHCP or boot server heard on the LAN.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ForeignServer {
    /// Its address (option 54).
    pub address: String,
    /// True when it offers boot files, which competes with ours.
    pub boots: bool,
    /// When it was last heard, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    pub last_seen: Timestamp,
}
