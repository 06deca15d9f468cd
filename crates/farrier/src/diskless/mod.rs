//! Machines without a disk: their overlays are made before they ask, and nbdkit is run while
//! anybody needs it (decision 15).

mod exports;
mod nbdkit;
mod open;
mod overlays;

pub(crate) use overlays::{OverlayFile, OverlayFiles};

use crate::config::Config;
use bootfiles::images::ImageStore;
use bootplan::diskless::{IMAGES_PORT, OVERLAYS_PORT, Overlay};
use bootplan::{
    BootClient, BootMethod, Catalog, Diskless, Intent, MachineId, Outcome, Stage, decide,
};
use nbdkit::Nbdkit;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::Store;
use tokio::sync::watch;
use web::people::PortStatus;

/// Everything that machines without a disk need of this host.
pub(crate) struct Keeper {
    store: Store,
    images: ImageStore,
    exports: PathBuf,
    files: OverlayFiles,
    program: String,
    ports: Ports,
}

/// What the status page says of nbdkit's ports; empty while nobody needs them.
pub(crate) type Ports = Arc<Mutex<BTreeMap<u16, PortStatus>>>;

/// What the catalog asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Images exported by NBD.
    images: Vec<bootplan::RelPath>,
    /// Machines that keep what they write, and how many GiB at most.
    overlays: BTreeMap<MachineId, u16>,
}

impl Keeper {
    /// For this configuration; makes nothing yet.
    pub(crate) fn new(config: &Config, store: &Store, images: &ImageStore, ports: &Ports) -> Self {
        Keeper {
            store: store.clone(),
            images: images.clone(),
            exports: config.data_dir.join("run").join("exports"),
            files: OverlayFiles::of(config),
            program: config.diskless.nbdkit.clone(),
            ports: Arc::clone(ports),
        }
    }

    /// Keeps files and programs as the catalog asks, until it is dropped.
    pub(crate) async fn run(self) {
        let mut catalog = self.store.watch();
        let (needed, needs) = watch::channel((false, false));
        let readers = Arc::new(AtomicU32::new(0));
        let serve = |port, dir: &PathBuf, writable| Nbdkit {
            program: self.program.clone(),
            port,
            dir: dir.clone(),
            writable,
            ports: Arc::clone(&self.ports),
            process: match writable {
                true => Arc::default(),
                false => Arc::clone(&readers),
            },
        };
        let images = serve(IMAGES_PORT, &self.exports, false);
        let overlays = serve(OVERLAYS_PORT, self.files.dir(), true);
        let keep = async {
            loop {
                let now = Arc::clone(&catalog.borrow_and_update());
                let provided = self.provide(wanted(&now), readers.load(Relaxed)).await;
                needed.send_replace(provided);
                // A file that somebody took away (`farrier diskless reset`) is made anew, and who
                // reads what is looked up.
                let changed = tokio::time::timeout(LOOK_EVERY, catalog.changed());
                if let Ok(Err(_)) = changed.await {
                    return;
                }
            }
        };
        let pick = |of: fn(&(bool, bool)) -> bool| {
            let needs = needs.clone();
            (needs, of)
        };
        let (images_needed, overlays_needed) = (pick(|n| n.0), pick(|n| n.1));
        tokio::join!(
            keep,
            images.keep(images_needed.0, images_needed.1),
            overlays.keep(overlays_needed.0, overlays_needed.1)
        );
    }

    /// Makes what is missing; says whether there is anything to serve, read-only and writable.
    /// What `readers`, the process that serves images, has open stays exported.
    async fn provide(&self, wanted: Wanted, readers: u32) -> (bool, bool) {
        let (files, images) = (self.files.clone(), self.images.clone());
        let exports = self.exports.clone();
        let keep_any = !wanted.overlays.is_empty();
        let made = tokio::task::spawn_blocking(move || {
            let read = match readers {
                0 => BTreeSet::new(),
                readers => open::of_process(readers).unwrap_or_default(),
            };
            let exported = exports::link(&exports, images.directory(), &wanted.images, &read);
            images.exported(exported.read.iter().cloned().collect(), now_ms());
            (exported, files.provide(&wanted.overlays))
        });
        let Ok((exported, overlays)) = made.await else {
            return (false, false);
        };
        for fault in &exported.faults {
            tracing::warn!("not exported for diskless machines: {fault}");
        }
        let any = keep_any && !overlays.is_empty();
        if let Some(fault) = overlays
            .fault
            .as_ref()
            .filter(|_| self.store.catalog().overlays.fault != overlays.fault)
        {
            tracing::warn!("a diskless machine gets no overlay: {fault}");
        }
        self.store.set_overlays(overlays);
        (exported.any, any)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Asks for each machine what it would get: the same question that its menu asks.
fn wanted(catalog: &Catalog) -> Wanted {
    let diskless = |boot: &BootMethod| match boot {
        BootMethod::Diskless(diskless) => Some(diskless.clone()),
        _ => None,
    };
    let profiles: Vec<Diskless> = catalog
        .profiles()
        .filter(|p| p.enabled)
        .filter_map(|p| diskless(&p.boot))
        .collect();
    let images = profiles.iter().filter_map(Diskless::exported_image);
    let mut wanted = Wanted {
        images: images.collect(),
        overlays: BTreeMap::new(),
    };
    if profiles.iter().all(|p| p.overlay == Overlay::Ram) {
        return wanted;
    }
    for machine in catalog.machines() {
        let Some(mac) = machine.macs.first() else {
            continue;
        };
        let client = BootClient {
            uuid: machine.uuid,
            ..BootClient::asking(*mac, Stage::Ipxe)
        };
        let Outcome::Boot(plan) = decide(&client, catalog).outcome else {
            continue;
        };
        let assigned = plan.entries.first();
        let assigned = assigned.filter(|_| plan.intent == Intent::Assigned);
        if let Some(profile) = assigned.and_then(|p| diskless(&p.boot))
            && profile.overlay == Overlay::PerMachine
        {
            wanted.overlays.insert(machine.id, profile.overlay_gib);
        }
    }
    wanted
}

/// Between two looks at the directory.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
