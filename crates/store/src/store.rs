//! The store itself: opening, reading from memory, publishing.

use crate::change::Fresh;
use crate::doubts::Doubted;
use crate::model::Model;
use crate::objects::load_objects;
use crate::rows::{self, failed};
use crate::vault::Opened;
use crate::{OpenError, StoreError, StoredEvent, database};
use bootplan::{Catalog, LoaderInventory, MachineId, Overlays};
use sqlx::AnyPool;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{Mutex, broadcast, watch};

/// The database and the published [`Catalog`]. Clones share both.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: AnyPool,
    pub(crate) options: StoreOptions,
    pub(crate) writer: Arc<Mutex<()>>,
    pub(crate) live: broadcast::Sender<Arc<StoredEvent>>,
    model: RwLock<Model>,
    vault: RwLock<Option<Opened>>,
    stale: AtomicBool,
    catalog: watch::Sender<Arc<Catalog>>,
    /// Held while the database is open; released by the system if we are killed.
    _lock: Option<crate::sqlite_file::Lock>,
}

/// Limits of a [`Store`]; the defaults are right except in tests.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How many discovered (not adopted, not assigned) machines are kept. When one more asks,
    /// the one seen least recently gives way, so that a flood of made-up MACs cannot fill the
    /// disk.
    pub discovered_limit: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            discovered_limit: 10_000,
        }
    }
}

impl Store {
    /// Opens the database at `url` (`sqlite:/path/farrier.db`, the path taken literally, or
    /// `postgres://…`), making or migrating it as needed, and publishes the first Catalog.
    ///
    /// # Errors
    /// See [`OpenError`]; a damaged or newer database is left untouched.
    pub async fn open(url: &str) -> Result<Store, OpenError> {
        Store::open_with(url, StoreOptions::default()).await
    }

    /// [`open`](Self::open) with other limits.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_with(url: &str, options: StoreOptions) -> Result<Store, OpenError> {
        let opened = database::open(url, database::migrator()).await?;
        let store = Store {
            inner: Arc::new(Inner {
                pool: opened.pool,
                options,
                writer: Arc::default(),
                live: broadcast::Sender::new(LIVE_CAPACITY),
                model: RwLock::default(),
                vault: RwLock::default(),
                stale: AtomicBool::new(true),
                catalog: watch::Sender::new(Arc::default()),
                _lock: opened.lock,
            }),
        };
        match store.reload_if_stale().await {
            Ok(()) => Ok(store),
            Err(StoreError::Database { doing, cause }) => {
                store.close().await;
                Err(database::unreadable(opened.name, opened.path, doing, cause))
            }
            Err(other) => unreachable!("reading reports only database errors: {other}"),
        }
    }

    /// The snapshot in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.inner.catalog.borrow().clone()
    }

    /// Follows the published snapshots.
    pub fn watch(&self) -> watch::Receiver<Arc<Catalog>> {
        self.inner.catalog.subscribe()
    }

    /// Publishes which loaders are on disk.
    pub fn set_loaders(&self, loaders: LoaderInventory) {
        let mut model = self.model_mut();
        model.loaders = loaders;
        self.inner.catalog.send_replace(model.catalog());
    }

    /// Publishes what machines without a disk write into.
    pub fn set_overlays(&self, overlays: Overlays) {
        let mut model = self.model_mut();
        if *model.overlays != overlays {
            model.overlays = Arc::new(overlays);
            self.inner.catalog.send_replace(model.catalog());
        }
    }

    /// Events as they are stored, from the journal and from changes alike: subscribe for live
    /// pages.
    pub fn live(&self) -> broadcast::Sender<Arc<StoredEvent>> {
        self.inner.live.clone()
    }

    /// Waits for the change in progress and closes the database.
    pub async fn close(&self) {
        let _writer = self.inner.writer.lock().await;
        self.inner.pool.close().await;
    }

    pub(crate) fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.inner.model.read().expect("no change panics half-way")
    }

    pub(crate) fn vault(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.inner.vault.read().expect("no change panics half-way")
    }

    pub(crate) fn vault_mut(&self) -> RwLockWriteGuard<'_, Option<Opened>> {
        self.inner.vault.write().expect("no change panics half-way")
    }

    pub(crate) fn model_mut(&self) -> RwLockWriteGuard<'_, Model> {
        self.inner.model.write().expect("no change panics half-way")
    }

    /// Takes in what a committed change left, and publishes it. Caller holds the writer's turn.
    pub(crate) fn publish(&self, touched: &BTreeSet<MachineId>, fresh: Fresh) {
        let mut model = self.model_mut();
        let changed = fresh.is_some() || !touched.is_empty();
        let present: BTreeSet<MachineId> = fresh.machines.iter().map(|r| r.machine.id).collect();
        for gone in touched.difference(&present) {
            model.take(*gone);
        }
        for record in fresh.machines {
            model.put(record);
        }
        if let Some(profiles) = fresh.profiles {
            let named = profiles.into_iter().map(|p| (p.name.clone(), Arc::new(p)));
            model.profiles = named.collect();
        }
        if let Some(site) = fresh.site {
            model.site = site;
        }
        if let Some(rules) = fresh.rules {
            let named = rules.into_iter().map(|r| (r.name.clone(), Arc::new(r)));
            model.rules = named.collect();
        }
        if let Some(doubts) = fresh.doubts {
            model.put_doubts(doubts);
        }
        if let Some(hooks) = fresh.hooks {
            model.hooks = hooks;
        }
        if let Some(objects) = fresh.objects {
            model.objects = Arc::new(objects);
        }
        if changed {
            self.inner.catalog.send_replace(model.catalog());
        }
    }

    /// Publishes a snapshot whose rows are those of the last one.
    pub(crate) fn republish(&self, catalog: Arc<Catalog>) {
        self.inner.catalog.send_replace(catalog);
    }

    pub(crate) fn set_stale(&self) {
        self.inner.stale.store(true, Ordering::Release);
    }

    /// Whether the last change ended so that nobody knows whether it was stored.
    pub(crate) fn is_stale(&self) -> bool {
        self.inner.stale.load(Ordering::Acquire)
    }

    /// Reads everything anew if memory may differ from the database.
    pub(crate) async fn reload_if_stale(&self) -> Result<(), StoreError> {
        if !self.is_stale() {
            return Ok(());
        }
        let doing = failed("reading machines, profiles, rules and settings");
        let mut tx = self.inner.pool.begin().await.map_err(doing)?;
        let fresh = Fresh {
            machines: rows::load_machines(&mut tx).await.map_err(doing)?,
            profiles: Some(rows::load_profiles(&mut tx).await.map_err(doing)?),
            site: Some(rows::load_site(&mut tx).await.map_err(doing)?),
            rules: Some(rows::load_rules(&mut tx).await.map_err(doing)?),
            doubts: Some(Doubted::load(&mut tx).await.map_err(doing)?),
            hooks: Some(crate::hooks::load_hooks(&mut tx).await.map_err(doing)?),
            objects: Some(load_objects(&mut tx).await.map_err(doing)?),
            secrets: Vec::new(),
        };
        tx.rollback().await.map_err(doing)?;
        let known = self.model().machines.keys().copied().collect();
        self.publish(&known, fresh);
        self.inner.stale.store(false, Ordering::Release);
        Ok(())
    }
}

/// A page that has fallen this many events behind reads the history instead.
const LIVE_CAPACITY: usize = 4096;
