//! The server put together: [`build`] opens and binds everything, top to bottom; [`Server::run`]
//! only then starts tasks, and drains them at the end.

use crate::applier::{Applier, Told};
use crate::config::{Config, DhcpMode, Overrides};
use crate::counters::Requests;
use crate::diskless;
use crate::foreign::ForeignServers;
use crate::net::dhcp::{self, Responder};
use crate::net::interfaces::{self, Interfaces};
use crate::net::tftp::TftpServer;
use crate::net::udp::PktInfo;
use crate::reload::Reloader;
use crate::status::{StatusSources, dhcp_rows, port};
use crate::{bind, clerk, image_watch, setup};
use answers::links::LinkKey;
use anyhow::Context;
use bootfiles::dropbox::DropBoxes;
use bootfiles::images::ImageStore;
use bootfiles::{BootFiles, FileCache, TIDY_EVERY};
use bootplan::Origin;
use fetch::{Fetcher, Means, Patience, Releases};
use proxydhcp::Port;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use store::Store;
use store::journal::{Journal, JournalOptions};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use web::listen::{self, Budget};
use web::people::{Actor, Passwords, PeopleOptions, PeopleState};
use web::transfers::Transfers;

/// A server with everything open and nothing running yet.
pub(crate) struct Server {
    store: Store,
    journal: Journal,
    sockets: Sockets,
    responder: Responder,
    boot: web::boot::BootPlane,
    people: axum::Router,
    /// Of the people's plane, to end its streams at shutdown.
    pages: PeopleState,
    control: axum::Router,
    reloader: Reloader,
    diskless: diskless::Keeper,
    applier: Option<Applier>,
    files: Arc<BootFiles>,
    images: ImageStore,
    fetcher: Fetcher,
    /// For web hooks.
    client: reach::Client,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    config: Config,
}

struct Sockets {
    dhcp: Option<PktInfo>,
    boot_server: Option<PktInfo>,
    overhear: Option<PktInfo>,
    tftp: Option<TftpServer>,
    http: TcpListener,
    ui: TcpListener,
    control: UnixListener,
}

/// Builds the server and runs it until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting, with what to do about it.
pub(crate) async fn run(
    config: Config,
    config_path: Option<PathBuf>,
    said: Overrides,
) -> anyhow::Result<()> {
    let server = build(config, config_path, said).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    server
        .run(async move { first_of(&mut terminate, &mut interrupt).await })
        .await
}

/// Closes files that nobody fetches any more.
async fn tidy(files: Arc<BootFiles>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        let files = Arc::clone(&files);
        // Closing waits where a file server does.
        let _ = tokio::task::spawn_blocking(move || files.cache().tidy()).await;
    }
}

/// Passwords of controllers and keys of hooks.
fn passwords(store: &Store) -> Passwords {
    let store = store.clone();
    Arc::new(move |name| Some(store.secrets().get(name)?.expose().to_owned()))
}

async fn first_of(a: &mut Signal, b: &mut Signal) {
    tokio::select! { _ = a.recv() => {}, _ = b.recv() => {} }
}

/// Opens the store and the boot files, binds every port, and wires the rooms together.
pub(crate) async fn build(
    config: Config,
    config_path: Option<PathBuf>,
    said: Overrides,
) -> anyhow::Result<Server> {
    let data = config.data_dir.clone();
    let hangup = signal(SignalKind::hangup())?;
    setup::make_directories(&data)?;
    setup::raise_open_files();
    let store = Store::open(&config.database_url()).await?;
    store.unlock(&config.key_file()).await?;
    let files = BootFiles::open(
        &[data.join("loaders/local"), data.join("loaders/packaged")],
        &data.join("images"),
    )?;
    let cache = FileCache::new(u64::from(config.cache.memory_mib) << 20);
    for published in &config.tftp.publish {
        if !published.directory.is_dir() {
            let (prefix, directory) = (&published.prefix, published.directory.display());
            tracing::warn!("tftp.publish: '{prefix}': {directory} is not there; nothing is served");
        }
    }
    let mut files = files.with_cache(cache).with_published(config.published());
    if let Some(key) = store.link_key() {
        files = files.with_link_key(LinkKey::new(key));
    }
    let files = Arc::new(files);
    let drop_boxes = DropBoxes::open(config.drop_boxes())?;
    let image_store = ImageStore::open(&data.join("images"), &data.join("distributions"))
        .context("cannot use the images directory")?;
    store.set_loaders(files.inventory());

    let (wanted, wanted_interfaces) = watch::channel(config.interfaces.clone());
    let interfaces =
        interfaces::follow(wanted_interfaces).context("cannot read the network interfaces")?;
    let journal = Journal::spawn(store.clone(), JournalOptions::default());
    let events = journal.sink.clone();
    let neighbours = events.neighbours().clone();
    let counters = Arc::new(Requests::default());
    let foreign = Arc::new(ForeignServers::default());

    let http = bind::tcp(config.http.listen, "http.listen").await?;
    let ui = bind::tcp(config.ui.listen, "ui.listen").await?;
    let (http_port, ui_port) = (http.local_addr()?.port(), ui.local_addr()?.port());
    let responder = Responder {
        catalog: store.watch(),
        interfaces: interfaces.clone(),
        events: events.clone(),
        neighbours: neighbours.clone(),
        counters: Arc::clone(&counters),
        foreign: Arc::clone(&foreign),
        http_port,
        ui_port,
    };
    let (dhcp, boot_server) = match config.dhcp.mode {
        DhcpMode::Proxy => (Some(dhcp::bind_dhcp()?), Some(dhcp::bind_boot_server()?)),
        DhcpMode::BootServerOnly => (None, Some(dhcp::bind_boot_server()?)),
        DhcpMode::Off => (None, None),
    };
    let overhear = match config.dhcp.mode {
        DhcpMode::Off => None,
        _ => dhcp::bind_overhear()
            .inspect_err(|e| tracing::debug!("{e}"))
            .ok(),
    };
    let transfers = Transfers::default();
    let tftp = match config.tftp.enabled {
        true => Some(TftpServer::bind(
            &config.tftp,
            &responder,
            Arc::clone(&files),
            drop_boxes.clone(),
            transfers.clone(),
        )?),
        false => None,
    };

    let mut ports = dhcp_rows(config.dhcp.mode);
    ports.push(match &tftp {
        Some(_) => port("TFTP", "0.0.0.0:69", "open", ""),
        None => port("TFTP", "0.0.0.0:69", "off", "switched off by tftp.enabled"),
    });
    ports.push(port(
        "HTTP boot",
        &http.local_addr()?.to_string(),
        "open",
        "",
    ));
    ports.push(port("Pages", &ui.local_addr()?.to_string(), "open", ""));
    if overhear.is_none() && config.dhcp.mode != DhcpMode::Off {
        let detail = "held by this host's DHCP client; other servers are recognised by clients' requests only";
        ports.push(port("Overhearing", "0.0.0.0:68", "off", detail));
    }
    let config_fault = Arc::new(Mutex::new(None));
    let nbd = diskless::Ports::default();
    let files_told = Told::default();
    let sources = StatusSources {
        nbd: Arc::clone(&nbd),
        started: SystemTime::now(),
        interfaces: interfaces.clone(),
        ports,
        files: Arc::clone(&files),
        counters,
        events: events.clone(),
        foreign,
        store: store.clone(),
        config_fault: Arc::clone(&config_fault),
        files_told: Arc::clone(&files_told),
    };

    let options = PeopleOptions {
        host_names: setup::host_names(&config.ui.hosts),
        tls: false,
        http_port,
        ui_port,
    };
    let state = PeopleState::new(
        store.clone(),
        journal.live.clone(),
        Arc::new(move || sources.read()),
        options,
    );
    let images = Arc::clone(&files);
    let state = state
        .with_images(Arc::new(move |path| images.has_image(path)))
        .with_image_store(image_store.clone())
        .with_kept(Arc::new(diskless::OverlayFiles::of(&config)))
        .with_transfers(transfers.clone())
        .with_drop_boxes(drop_boxes)
        .with_cache(files.cache().clone());
    let client = reach::Client::new(config.outgoing.allow.clone());
    let ipmitool = &config.power.ipmitool;
    let state = state.with_power(client.clone(), ipmitool, passwords(&store));
    let journal_of_fetches = events.clone();
    let means = Means {
        images: image_store.clone(),
        client: client.clone(),
        tell: Arc::new(move |kind| journal_of_fetches.emit(Origin::default(), kind)),
        patience: Patience::USUAL,
        keyrings: vec![data.join("keyrings"), "/usr/share/keyrings".into()],
        recipes: data.join("mirrors"),
        mirrors: config.outgoing.mirrors.clone(),
        releases: Releases::at(&data.join("releases.json")),
    };
    let fetcher = Fetcher::open(&data.join("fetches"), means)
        .context("cannot use the directory of what is being fetched")?;
    let state = state.with_fetcher(fetcher.clone());
    let control_path = config.control_socket();
    let control = bind::unix(&control_path).await?;
    let boot = web::boot::BootPlane::from(web::boot::BootState {
        files: Arc::clone(&files),
        catalog: store.watch(),
        events,
        machines: store.clone().into(),
        transfers,
        http_port,
        ui_port,
    });
    let applier = Applier {
        settings: config.apply.clone(),
        store: store.clone(),
        told: files_told,
    };
    let reloader = Reloader {
        path: config_path,
        said,
        running: config.clone(),
        wanted,
        files: Arc::clone(&files),
        loader_dirs: vec![data.join("loaders/local"), data.join("loaders/packaged")],
        store: store.clone(),
        fault: config_fault,
        hangup,
    };
    Ok(Server {
        control: web::people::router(state.clone()).layer(axum::Extension(Actor::cli())),
        people: web::people::router(state.clone()),
        pages: state,
        sockets: Sockets {
            dhcp,
            boot_server,
            overhear,
            tftp,
            http,
            ui,
            control,
        },
        diskless: diskless::Keeper::new(&config, &store, &image_store, &nbd),
        store,
        journal,
        responder,
        boot,
        reloader,
        applier: (!config.apply.directory.as_os_str().is_empty()).then_some(applier),
        files,
        images: image_store,
        fetcher,
        client,
        interfaces,
        config,
    })
}

impl Server {
    /// Runs every loop until `shutdown` resolves, then drains: responses and transfers under way
    /// get a few seconds, queued events are stored.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.greet().await?;
        let (stop, stopping) = watch::channel(());
        let stopped = || {
            let mut stopping = stopping.clone();
            async move {
                let _ = stopping.changed().await;
            }
        };
        let Sockets {
            dhcp,
            boot_server,
            overhear,
            tftp,
            http,
            ui,
            control,
        } = self.sockets;
        let mut packets = JoinSet::new();
        for (socket, port) in [(dhcp, Port::Dhcp), (boot_server, Port::BootServer)] {
            if let Some(socket) = socket {
                packets.spawn(self.responder.clone().serve(socket, port));
            }
        }
        if let Some(socket) = overhear {
            packets.spawn(self.responder.clone().overhear(socket));
        }
        let mut draining = JoinSet::new();
        if let Some(tftp) = tftp {
            draining.spawn(tftp.serve(stopped()));
        }
        draining.spawn(listen::serve(
            http,
            self.boot,
            Budget::boot_plane(),
            stopped(),
        ));
        draining.spawn(listen::serve(ui, self.people, Budget::people(), stopped()));
        draining.spawn(listen::serve(
            control,
            self.control,
            Budget::people(),
            stopped(),
        ));
        let mut reloading = tokio::spawn(self.reloader.run());
        let tidying = tokio::spawn(tidy(self.files));
        let clerk = tokio::spawn(clerk::run(self.store.clone()));
        let diskless = tokio::spawn(self.diskless.run());
        let watching = tokio::spawn(image_watch::follow(
            self.images.clone(),
            self.journal.live.subscribe(),
        ));
        self.fetcher.start();
        let secrets = passwords(&self.store);
        let hooks = tokio::spawn(crate::hooks::run(self.store.clone(), self.client, secrets));
        let applying = self.applier.map(|applier| tokio::spawn(applier.run()));

        tokio::pin!(shutdown);
        let failure = tokio::select! {
            () = &mut shutdown => None,
            // A packet loop ends only when its socket is unusable: better to be restarted than
            // to look alive and answer nobody.
            Some(ended) = packets.join_next() => Some(format!("a packet loop ended: {ended:?}")),
            Some(ended) = draining.join_next() => Some(format!("a listener ended: {ended:?}")),
            ended = &mut reloading => Some(format!("the reload task ended: {ended:?}")),
        };
        tracing::info!("stopping: no new requests; transfers under way may finish");
        packets.abort_all();
        reloading.abort();
        tidying.abort();
        clerk.abort();
        diskless.abort();
        watching.abort();
        self.fetcher.stop();
        self.images.stop();
        hooks.abort();
        // A change that has begun is finished by the store.
        applying.inspect(|task| task.abort());
        self.pages.close();
        drop(stop);
        while draining.join_next().await.is_some() {}
        self.journal.shutdown().await;
        self.store.close().await;
        let _ = std::fs::remove_file(self.config.control_socket());
        tracing::info!("stopped");
        match failure {
            None => Ok(()),
            Some(failure) => anyhow::bail!(failure),
        }
    }

    /// The first lines an admin reads: where we answer, where the pages are, what is missing.
    async fn greet(&self) -> anyhow::Result<()> {
        let ui_port = self.sockets.ui.local_addr()?.port();
        let interfaces = self.interfaces.borrow().clone();
        let serving: Vec<_> = interfaces.iter().filter(|i| i.serving.is_ok()).collect();
        for interface in &serving {
            let address = interface
                .address_towards(None)
                .map(|a| a.to_string())
                .unwrap_or_default();
            tracing::info!(
                interface = interface.name,
                address,
                "answering boot requests"
            );
        }
        if serving.is_empty() {
            tracing::warn!("no interface to answer on yet; 'farrier status' says why for each");
        }
        let host = serving.iter().find_map(|i| i.address_towards(None));
        let host = host.map_or_else(|| "localhost".to_owned(), |ip| ip.to_string());
        tracing::info!("pages for people: http://{host}:{ui_port}/");
        if self.store.catalog().loaders.iter().next().is_none() {
            tracing::warn!(
                "no loaders are installed, so no machine can boot: run 'farrier assets sync'"
            );
        }
        if let Some(secret) = self.store.create_setup_secret().await? {
            tracing::info!(
                "first start: make your login at http://{host}:{ui_port}/setup?token={secret}"
            );
        }
        Ok(())
    }
}
