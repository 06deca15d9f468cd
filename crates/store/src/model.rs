//! What the database holds of machines, profiles and settings, in memory.

use crate::MachineRecord;
use crate::unstored::Owed;
use bootplan::{
    Catalog, Doubts, Hook, LoaderInventory, MacAddr, MachineId, Objects, Overlays, Profile,
    ProfileName, Rule, RuleName, Site, Unstored,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The rows that a Catalog is made of, and the look-ups that changes are checked with.
///
/// Rows get in here only as they were read back from the database inside the transaction that
/// changed them, so memory and disk cannot drift apart.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) revision: u64,
    pub(crate) site: Site,
    pub(crate) loaders: LoaderInventory,
    pub(crate) overlays: Arc<Overlays>,
    pub(crate) machines: BTreeMap<MachineId, Row>,
    pub(crate) profiles: BTreeMap<ProfileName, Arc<Profile>>,
    pub(crate) rules: BTreeMap<RuleName, Arc<Rule>>,
    pub(crate) doubts: Arc<Doubts>,
    /// Not part of a Catalog.
    pub(crate) hooks: Vec<Arc<Hook>>,
    pub(crate) objects: Arc<Objects>,
    /// What is known of runs and not in the database, and what of it the Catalog says.
    pub(crate) owed: Owed,
    pub(crate) unstored: Arc<Unstored>,
    by_mac: HashMap<MacAddr, MachineId>,
    by_name: HashMap<String, MachineId>,
}

/// One machine, and what of its last-seen time is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) record: MachineRecord,
    /// `last_seen` as stored; the record's own is newer between two writes.
    pub(crate) stored_seen: Option<i64>,
}

impl Model {
    /// Takes in a machine as the database has it.
    pub(crate) fn put(&mut self, mut record: MachineRecord) {
        let id = record.machine.id;
        let stored_seen = record.last_seen.map(|at| at.0);
        if let Some(old) = self.take(id) {
            // What was seen since the last write is only here.
            record.last_seen = record.last_seen.max(old.record.last_seen);
        }
        for mac in &record.machine.macs {
            self.by_mac.insert(*mac, id);
        }
        self.by_name.insert(name_key(&record.machine.name), id);
        self.machines.insert(
            id,
            Row {
                record,
                stored_seen,
            },
        );
    }

    /// Forgets a machine.
    pub(crate) fn take(&mut self, id: MachineId) -> Option<Row> {
        let row = self.machines.remove(&id)?;
        for mac in &row.record.machine.macs {
            if self.by_mac.get(mac) == Some(&id) {
                self.by_mac.remove(mac);
            }
        }
        let key = name_key(&row.record.machine.name);
        if self.by_name.get(&key) == Some(&id) {
            self.by_name.remove(&key);
        }
        Some(row)
    }

    pub(crate) fn machine(&self, id: MachineId) -> Option<&MachineRecord> {
        self.machines.get(&id).map(|row| &row.record)
    }

    pub(crate) fn with_mac(&self, mac: MacAddr) -> Option<MachineId> {
        self.by_mac.get(&mac).copied()
    }

    pub(crate) fn with_name(&self, name: &str) -> Option<MachineId> {
        self.by_name.get(&name_key(name)).copied()
    }

    /// The next snapshot.
    pub(crate) fn catalog(&mut self) -> Arc<Catalog> {
        self.revision += 1;
        let mut catalog = Catalog::from_shared(
            self.revision,
            self.site.clone(),
            self.loaders.clone(),
            self.machines.values().map(|row| row.record.machine.clone()),
            self.profiles.values().cloned(),
        );
        catalog.overlays = Arc::clone(&self.overlays);
        let rules = self.rules.values().cloned();
        Arc::new(
            catalog
                .with_rules(rules)
                .with_doubts(Arc::clone(&self.doubts))
                .with_objects(Arc::clone(&self.objects))
                .with_unstored(Arc::clone(&self.unstored)),
        )
    }
}

/// Names are compared without regard to case.
pub(crate) fn name_key(name: &str) -> String {
    name.to_lowercase()
}
