//! Machines: what people do to them.

use crate::change::to_the_end;
use crate::{Store, StoreError};
use bootplan::{
    EventKind, LoaderKind, LocalBoot, MacAddr, Machine, MachineId, Mode, ProfileName, SystemUuid,
    Timestamp, Variables,
};
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
    /// SMBIOS asset tag.
    pub asset: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Free text of several lines.
    pub notes: String,
    /// For its arguments and answers.
    pub variables: Variables,
    /// Loader preference.
    pub loader: Option<LoaderKind>,
    /// How it starts its local disk.
    pub local_boot: Option<LocalBoot>,
    /// Profile to boot.
    pub profile: Option<ProfileName>,
    /// How that is meant; nothing is ordered by it.
    pub mode: Mode,
    /// Only said who it is, and not adopted: a new one is a discovered machine.
    pub unadopted: bool,
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
    /// SMBIOS asset tag.
    pub asset: Option<Option<String>>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// All its notes.
    pub notes: Option<String>,
    /// All its variables.
    pub variables: Option<Variables>,
    /// Loader preference.
    pub loader: Option<Option<LoaderKind>>,
    /// How it starts its local disk.
    pub local_boot: Option<Option<LocalBoot>>,
    /// Assignment.
    pub profile: Option<Option<ProfileName>>,
    /// How that is meant; left out with another profile: always.
    pub mode: Option<Mode>,
    /// Only says who it is: one that nobody has adopted stays so.
    pub unadopted: bool,
}

impl Store {
    /// Every machine, by identity. From memory: cheap, and last seen to the moment.
    pub fn machines(&self) -> Vec<MachineRecord> {
        let model = self.model();
        model
            .machines
            .values()
            .map(|row| row.record.clone())
            .collect()
    }

    /// One machine. From memory.
    pub fn machine(&self, id: MachineId) -> Option<MachineRecord> {
        self.model().machine(id).cloned()
    }

    /// One machine by name, without regard to case. From memory.
    pub fn machine_named(&self, name: &str) -> Option<MachineRecord> {
        let model = self.model();
        model.machine(model.with_name(name)?).cloned()
    }

    /// Enters a machine by hand; it is registered at once, and no rule orders it installed. When one of its MACs has asked the
    /// network before and nobody adopted that machine, it is that one: it is adopted with what
    /// is given here, and keeps what it said about itself.
    ///
    /// # Errors
    /// Name or MAC taken, profile unknown, illegal text, database failure.
    pub async fn create_machine(
        &self,
        new: NewMachine,
        by: &str,
    ) -> Result<MachineRecord, StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let id = change.enter(new, &by).await?;
            change.finish().await?;
            store.machine(id).ok_or_else(|| no_machine(id))
        })
        .await
    }

    /// Changes a machine. One that was merely discovered is registered thereby; no rule orders it
    /// installed, as [`adopt`](Self::adopt) lets it.
    ///
    /// # Errors
    /// As [`create_machine`](Self::create_machine), and no such machine.
    pub async fn update_machine(
        &self,
        id: MachineId,
        change: MachineChange,
        by: &str,
    ) -> Result<MachineRecord, StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let wanted = change;
            let mut change = store.begin().await?;
            change.edit(id, wanted, &by).await?;
            change.finish().await?;
            store.machine(id).ok_or_else(|| no_machine(id))
        })
        .await
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
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.assign(&ids, profile, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Makes discovered machines registered ones: all of them or, on an error, none. For each, a
    /// rule that says *install-once* makes its order now
    /// ([`effect::adopted`](bootplan::effect::adopted) tells before), and never again.
    ///
    /// # Errors
    /// A machine does not exist, database failure.
    pub async fn adopt(&self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.adopt(&ids, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Forgets a machine. Its events stay; if it asks again it is discovered anew.
    ///
    /// # Errors
    /// No such machine, database failure.
    pub async fn delete_machine(&self, id: MachineId, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let machine = change.must_know(id)?;
            change.delete_machines(&[id]).await?;
            let what = format!("machine '{}' deleted", machine.name);
            change.say(Some(id), EventKind::Changed { what, by });
            change.commit().await.map(drop)
        })
        .await
    }
}

pub(crate) fn no_machine(id: MachineId) -> StoreError {
    StoreError::NotFound {
        what: format!("machine {}", id.0),
    }
}
