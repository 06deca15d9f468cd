//! Opening, publishing, and the one way every change goes.

use crate::OpenError;
use bootplan::{Catalog, LoaderInventory};
use std::sync::Arc;
use tokio::sync::watch;

/// The database and the published [`Catalog`]. Clones share both.
#[derive(Clone)]
pub struct Store {
    catalog: watch::Sender<Arc<Catalog>>,
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
    /// Opens the database at `url` (`sqlite:/path/farrier.db` or `postgres://…`), making or
    /// migrating it as needed, and publishes the first Catalog.
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
        let _ = (url, options);
        unimplemented!("store: in work")
    }

    /// The snapshot in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.borrow().clone()
    }

    /// Follows the published snapshots.
    pub fn watch(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.subscribe()
    }

    /// Publishes which loaders are on disk.
    pub fn set_loaders(&self, loaders: LoaderInventory) {
        let _ = loaders;
        unimplemented!("store: in work")
    }

    /// Events as they are stored: from the journal and from changes alike.
    pub fn live(&self) -> tokio::sync::broadcast::Sender<Arc<crate::StoredEvent>> {
        unimplemented!("store: in work")
    }

    /// Waits for the change in progress and closes the database.
    pub async fn close(&self) {
        unimplemented!("store: in work")
    }
}
