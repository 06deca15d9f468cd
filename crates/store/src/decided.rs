//! Everything that operators have decided, at one moment: what documents are compared with, and what
//! an export is made of.

use crate::power::load_powers;
use crate::rows::{Tx, failed};
use crate::vault::load_secrets;
use crate::{SharedMac, Store, StoreError};
use bootplan::{Catalog, Hook, MachineId, Power, Secret, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Catalog, and what is in none because no machine is booted by it.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Machines, profiles, rules, templates, settings.
    pub catalog: Arc<Catalog>,
    /// Web hooks by name.
    pub hooks: Vec<Arc<Hook>>,
    /// The switches of machines that have one.
    pub powers: BTreeMap<MachineId, Power>,
    /// Adapters that several machines use.
    pub shared: Vec<SharedMac>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Held>,
}

/// A secret as it is held.
#[derive(Clone, Debug)]
pub struct Held {
    /// `None`: it is only named, or the server runs without its key file.
    pub value: Option<Secret>,
    /// When it was last set.
    pub changed: Timestamp,
    /// Who did that.
    pub by: String,
}

impl Store {
    /// Everything that operators have decided.
    ///
    /// # Errors
    /// Database failure.
    pub async fn decided(&self) -> Result<Decided, StoreError> {
        let doing = failed("reading what was decided");
        let mut tx = self.inner.pool.begin().await.map_err(doing)?;
        let decided = self.decided_in(&mut tx).await.map_err(doing)?;
        tx.rollback().await.map_err(doing)?;
        Ok(decided)
    }

    /// Exact while the writer's turn is held.
    pub(crate) async fn decided_in(&self, tx: &mut Tx) -> Result<Decided, sqlx::Error> {
        let powers = load_powers(tx).await?;
        let records = load_secrets(tx).await?;
        let values = self.secrets();
        let held = records.into_iter().map(|record| {
            let value = values.get(&record.name).cloned();
            let held = Held {
                value,
                changed: record.changed,
                by: record.by,
            };
            (record.name, held)
        });
        Ok(Decided {
            catalog: self.catalog(),
            hooks: self.hooks(),
            powers,
            shared: self.shared_macs(),
            secrets: held.collect(),
        })
    }
}
