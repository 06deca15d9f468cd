//! What the database holds of machines, profiles and settings, in memory.

use crate::MachineRecord;
use crate::doubts::Doubted;
use crate::unstored::Owed;
use bootplan::{
    Catalog, Doubts, Hook, LoaderInventory, MacAddr, Machine, MachineId, Objects, Overlays,
    Profile, ProfileName, Rule, RuleName, Site, SystemUuid, Timestamp, Unstored, identity,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Not part of a Catalog.
    pub(crate) hooks: Vec<Arc<Hook>>,
    pub(crate) objects: Arc<Objects>,
    /// What is known of runs and not in the database, and what of it the Catalog says.
    pub(crate) owed: Owed,
    pub(crate) unstored: Arc<Unstored>,
    pub(crate) doubts: Doubted,
    /// What of it is published.
    doubts_told: Arc<Doubts>,
    /// Who asked through a shared adapter last.
    pub(crate) users: HashMap<MacAddr, MachineId>,
    /// By [`SystemUuid::either_order`] and [`Model::serial_key`]; what identifies nothing is not there.
    by_uuid: HashMap<SystemUuid, BTreeSet<MachineId>>,
    by_serial: HashMap<String, BTreeSet<MachineId>>,
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
        let (uuid, serial) = identity_keys(&record.machine);
        if let Some(uuid) = uuid {
            self.by_uuid.entry(uuid).or_default().insert(id);
        }
        if let Some(serial) = serial {
            self.by_serial.entry(serial).or_default().insert(id);
        }
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
        let (uuid, serial) = identity_keys(&row.record.machine);
        if let Some(uuid) = uuid {
            take_out(&mut self.by_uuid, &uuid, id);
        }
        if let Some(serial) = serial {
            take_out(&mut self.by_serial, &serial, id);
        }
        Some(row)
    }

    /// The machine was seen; `stored` when the database knows.
    pub(crate) fn seen(&mut self, id: MachineId, at: Timestamp, stored: bool) {
        if let Some(row) = self.machines.get_mut(&id) {
            row.record.last_seen = row.record.last_seen.max(Some(at));
            if stored {
                row.stored_seen = Some(at.0);
            }
        }
    }

    /// Takes in shared adapters and conflicts as the database has them.
    pub(crate) fn put_doubts(&mut self, doubts: Doubted) {
        self.doubts_told = Arc::new(doubts.published());
        self.users.retain(|mac, _| doubts.shared.contains_key(mac));
        self.doubts = doubts;
    }

    /// Machines with this UUID or serial number, if these tell machines apart. Of many that share
    /// one only a few: enough to know that it is shared.
    pub(crate) fn alike(
        &self,
        uuid: Option<SystemUuid>,
        serial: Option<&str>,
    ) -> impl Iterator<Item = MachineId> {
        let uuid = uuid.and_then(|uuid| self.by_uuid.get(&uuid.either_order()));
        let serial = serial.and_then(|serial| self.by_serial.get(&Model::serial_key(serial)));
        let few = |set: Option<&BTreeSet<MachineId>>, limit| {
            let few: Vec<MachineId> = set.into_iter().flatten().take(limit).copied().collect();
            few
        };
        // Serial numbers are shared only within a product.
        few(uuid, 2).into_iter().chain(few(serial, 16))
    }

    /// Serial numbers are compared so.
    pub(crate) fn serial_key(serial: &str) -> String {
        serial.trim().to_ascii_lowercase()
    }

    /// Whose an event is that tells this shared adapter's address and nothing else.
    pub(crate) fn last_user(&self, mac: MacAddr) -> Option<MachineId> {
        let id = *self.users.get(&mac)?;
        self.machines.contains_key(&id).then_some(id)
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
                .with_doubts(Arc::clone(&self.doubts_told))
                .with_objects(Arc::clone(&self.objects))
                .with_unstored(Arc::clone(&self.unstored)),
        )
    }
}

/// Names are compared without regard to case.
pub(crate) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

fn identity_keys(machine: &Machine) -> (Option<SystemUuid>, Option<String>) {
    let uuid = machine.uuid.filter(|uuid| uuid.is_identity());
    let serial = machine.serial.as_deref();
    let serial = serial.filter(|serial| !identity::is_junk(serial));
    (
        uuid.map(SystemUuid::either_order),
        serial.map(Model::serial_key),
    )
}

fn take_out<K: std::hash::Hash + Eq>(
    index: &mut HashMap<K, BTreeSet<MachineId>>,
    key: &K,
    id: MachineId,
) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
