//! Machines: what people do to them.

use crate::{Store, StoreError};
use bootplan::{LoaderKind, MacAddr, Machine, MachineId, ProfileName, SystemUuid, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A machine and when it was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MachineRecord {
    /// The machine, as in the Catalog.
    #[serde(flatten)]
    pub machine: Arc<Machine>,
    /// When it first asked the network, or was created.
    pub first_seen: Timestamp,
    /// When it last asked; `None` when it never did.
    pub last_seen: Option<Timestamp>,
}

/// A machine that an operator enters by hand.
#[derive(Clone, Debug, Default)]
pub struct NewMachine {
    /// What people call it; `None`: the first MAC with dashes.
    pub name: Option<String>,
    /// Its network cards; at least one.
    pub macs: Vec<MacAddr>,
    /// SMBIOS UUID.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    pub serial: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Loader preference.
    pub loader: Option<LoaderKind>,
    /// Profile to boot.
    pub profile: Option<ProfileName>,
}

/// What to change of a machine; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct MachineChange {
    /// What people call it; unique without regard to case.
    pub name: Option<String>,
    /// All its network cards, in order; at least one.
    pub macs: Option<Vec<MacAddr>>,
    /// SMBIOS UUID.
    pub uuid: Option<Option<SystemUuid>>,
    /// SMBIOS serial number.
    pub serial: Option<Option<String>>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Loader preference.
    pub loader: Option<Option<LoaderKind>>,
    /// Assignment.
    pub profile: Option<Option<ProfileName>>,
}

impl Store {
    /// Every machine, by identity. From memory: cheap, and last seen to the moment.
    pub fn machines(&self) -> Vec<MachineRecord> {
        unimplemented!("store: in work")
    }

    /// One machine. From memory.
    pub fn machine(&self, id: MachineId) -> Option<MachineRecord> {
        let _ = id;
        unimplemented!("store: in work")
    }

    /// One machine by name, without regard to case. From memory.
    pub fn machine_named(&self, name: &str) -> Option<MachineRecord> {
        let _ = name;
        unimplemented!("store: in work")
    }

    /// Enters a machine by hand; it is registered at once.
    ///
    /// # Errors
    /// Name or MAC taken, profile unknown, illegal text, database failure.
    pub async fn create_machine(
        &self,
        new: NewMachine,
        by: &str,
    ) -> Result<MachineRecord, StoreError> {
        let _ = (new, by);
        unimplemented!("store: in work")
    }

    /// Changes a machine. An operator who edits a discovered machine thereby adopts it.
    ///
    /// # Errors
    /// As [`create_machine`](Self::create_machine), and no such machine.
    pub async fn update_machine(
        &self,
        id: MachineId,
        change: MachineChange,
        by: &str,
    ) -> Result<MachineRecord, StoreError> {
        let _ = (id, change, by);
        unimplemented!("store: in work")
    }

    /// Assigns a profile to machines (`None` takes it away): all of them or, on an error, none.
    /// Assigning adopts a discovered machine.
    ///
    /// # Errors
    /// A machine or the profile does not exist, database failure.
    pub async fn assign(
        &self,
        ids: &[MachineId],
        profile: Option<ProfileName>,
        by: &str,
    ) -> Result<(), StoreError> {
        let _ = (ids, profile, by);
        unimplemented!("store: in work")
    }

    /// Makes discovered machines registered ones: all of them or, on an error, none.
    ///
    /// # Errors
    /// A machine does not exist, database failure.
    pub async fn adopt(&self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        let _ = (ids, by);
        unimplemented!("store: in work")
    }

    /// Forgets a machine. Its events stay; if it asks again it is discovered anew.
    ///
    /// # Errors
    /// No such machine, database failure.
    pub async fn delete_machine(&self, id: MachineId, by: &str) -> Result<(), StoreError> {
        let _ = (id, by);
        unimplemented!("store: in work")
    }
}
