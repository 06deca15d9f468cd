//! Machines: what people do to them.

use crate::change::{now, to_the_end};
use crate::profiles::no_profile;
use crate::rows::{self, failed};
use crate::{Store, StoreError, validate};
use bootplan::{
    EventKind, Facts, LoaderKind, MacAddr, Machine, MachineId, MachineState, ProfileName,
    SystemUuid, Timestamp,
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

    /// Enters a machine by hand; it is registered at once. When one of its MACs has asked the
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
        to_the_end(async move { store.create_machine_now(new, by).await }).await
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
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move { store.update_machine_now(id, change, by).await }).await
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
        to_the_end(async move { store.assign_now(ids, profile, by).await }).await
    }

    /// Makes discovered machines registered ones: all of them or, on an error, none.
    ///
    /// # Errors
    /// A machine does not exist, database failure.
    pub async fn adopt(&self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move { store.adopt_now(ids, by).await }).await
    }

    /// Forgets a machine. Its events stay; if it asks again it is discovered anew.
    ///
    /// # Errors
    /// No such machine, database failure.
    pub async fn delete_machine(&self, id: MachineId, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let machine = store.must_know(id)?;
            change.delete_machines(&[id]).await?;
            let what = format!("machine '{}' deleted", machine.name);
            change.say(Some(id), EventKind::Changed { what, by });
            change.commit().await.map(drop)
        })
        .await
    }

    async fn create_machine_now(
        &self,
        new: NewMachine,
        by: String,
    ) -> Result<MachineRecord, StoreError> {
        let mut change = self.begin().await?;
        if let Some(known) = self.discovered_as(&new) {
            drop(change);
            return self
                .update_machine_now(known.id, adoption(&known, new), by)
                .await;
        }
        let first = new.macs.first().map(|mac| mac.dashed());
        let mut machine = Machine {
            id: MachineId(0),
            name: new.name.or(first).unwrap_or_default(),
            macs: new.macs,
            uuid: new.uuid,
            serial: new.serial,
            labels: new.labels,
            state: MachineState::Registered,
            loader: new.loader,
            profile: new.profile,
            facts: Facts::default(),
        };
        self.check(&machine)?;
        let doing = failed("storing a machine");
        let id = rows::reserve(&mut change.tx, "machines", 1)
            .await
            .map_err(doing)?;
        machine.id = MachineId(id);
        change
            .insert_machine(&machine, now(), None)
            .await
            .map_err(doing)?;
        let mac = machine.macs.first().copied();
        let what = format!("machine '{}' created", machine.name);
        let at = now();
        let mut kinds = vec![EventKind::Changed {
            what,
            by: by.clone(),
        }];
        if let profile @ Some(_) = machine.profile {
            kinds.push(EventKind::Assigned { profile, by });
        }
        for kind in kinds {
            let origin = bootplan::Origin {
                mac,
                ..Default::default()
            };
            change.event(Some(machine.id), bootplan::Event { at, origin, kind });
        }
        change.commit().await?;
        self.machine(machine.id)
            .ok_or_else(|| no_machine(machine.id))
    }

    async fn update_machine_now(
        &self,
        id: MachineId,
        wanted: MachineChange,
        by: String,
    ) -> Result<MachineRecord, StoreError> {
        let mut change = self.begin().await?;
        let old = self.must_know(id)?;
        let mut new = Machine::clone(&old);
        new.state = MachineState::Registered;
        set(&mut new.name, wanted.name);
        set(&mut new.macs, wanted.macs);
        set(&mut new.uuid, wanted.uuid);
        set(&mut new.serial, wanted.serial);
        set(&mut new.labels, wanted.labels);
        set(&mut new.loader, wanted.loader);
        set(&mut new.profile, wanted.profile);
        self.check(&new)?;
        if *old != new {
            change
                .update_machine(&old, &new)
                .await
                .map_err(failed("storing a machine"))?;
            if let Some(what) = described(&old, &new) {
                change.say(
                    Some(id),
                    EventKind::Changed {
                        what,
                        by: by.clone(),
                    },
                );
            }
            if old.profile != new.profile {
                let profile = new.profile.clone();
                change.say(Some(id), EventKind::Assigned { profile, by });
            }
            change.commit().await?;
        }
        self.machine(id).ok_or_else(|| no_machine(id))
    }

    async fn assign_now(
        &self,
        ids: Vec<MachineId>,
        profile: Option<ProfileName>,
        by: String,
    ) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        if let Some(name) = &profile {
            self.must_have_profile(name)?;
        }
        let mut changed = Vec::new();
        for id in ids {
            let machine = self.must_know(id)?;
            let adopts = profile.is_some() && machine.state == MachineState::Discovered;
            if (machine.profile != profile || adopts) && !changed.contains(&id) {
                changed.push(id);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let doing = failed("assigning a profile");
        change
            .set_profile(&changed, profile.as_ref())
            .await
            .map_err(doing)?;
        if profile.is_some() {
            change.register(&changed).await.map_err(doing)?;
        }
        for id in changed {
            let (profile, by) = (profile.clone(), by.clone());
            change.say(Some(id), EventKind::Assigned { profile, by });
        }
        change.commit().await.map(drop)
    }

    async fn adopt_now(&self, ids: Vec<MachineId>, by: String) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        let mut changed = Vec::new();
        for id in ids {
            let machine = self.must_know(id)?;
            if machine.state == MachineState::Discovered && !changed.contains(&id) {
                changed.push(id);
                let what = format!("machine '{}' adopted", machine.name);
                let by = by.clone();
                change.say(Some(id), EventKind::Changed { what, by });
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        change
            .register(&changed)
            .await
            .map_err(failed("adopting machines"))?;
        change.commit().await.map(drop)
    }

    fn must_know(&self, id: MachineId) -> Result<Arc<Machine>, StoreError> {
        let model = self.model();
        let record = model.machine(id).ok_or_else(|| no_machine(id))?;
        Ok(Arc::clone(&record.machine))
    }

    fn must_have_profile(&self, name: &ProfileName) -> Result<(), StoreError> {
        if self.model().profiles.contains_key(name) {
            Ok(())
        } else {
            Err(no_profile(name))
        }
    }

    /// The one machine that has MACs of this one and that nobody has adopted.
    fn discovered_as(&self, new: &NewMachine) -> Option<Arc<Machine>> {
        let model = self.model();
        let mut owners = new.macs.iter().filter_map(|mac| model.with_mac(*mac));
        let id = owners.next()?;
        let machine = &model.machine(id)?.machine;
        let only = owners.all(|other| other == id);
        (only && machine.state == MachineState::Discovered).then(|| Arc::clone(machine))
    }

    /// Whether this machine may stand beside the others.
    fn check(&self, machine: &Machine) -> Result<(), StoreError> {
        validate::machine(machine)?;
        let model = self.model();
        if let Some(other) = model
            .with_name(&machine.name)
            .filter(|id| *id != machine.id)
        {
            return Err(StoreError::Conflict {
                what: format!("the name '{}' belongs to machine {}", machine.name, other.0),
                advice: "choose another name, or rename that machine first".to_owned(),
            });
        }
        for mac in &machine.macs {
            let owner = model.with_mac(*mac).and_then(|id| model.machine(id));
            if let Some(owner) = owner.filter(|owner| owner.machine.id != machine.id) {
                return Err(StoreError::Conflict {
                    what: format!("the MAC {mac} belongs to machine '{}'", owner.machine.name),
                    advice: "take it away from that machine, or delete that machine, first"
                        .to_owned(),
                });
            }
        }
        drop(model);
        machine
            .profile
            .as_ref()
            .map_or(Ok(()), |name| self.must_have_profile(name))
    }
}

/// The change that makes a discovered machine the one an operator enters.
fn adoption(known: &Machine, new: NewMachine) -> MachineChange {
    let mut macs = new.macs;
    let others = known.macs.iter().filter(|mac| !macs.contains(mac));
    let others: Vec<_> = others.copied().collect();
    macs.extend(others);
    MachineChange {
        name: new.name,
        macs: Some(macs),
        uuid: new.uuid.map(Some),
        serial: new.serial.map(Some),
        labels: Some(new.labels),
        loader: Some(new.loader),
        profile: Some(new.profile),
    }
}

/// Which fields of a machine an operator changed; `None` when it was only its assignment.
fn described(old: &Machine, new: &Machine) -> Option<String> {
    let fields = [
        ("name", old.name != new.name),
        ("MACs", old.macs != new.macs),
        ("UUID", old.uuid != new.uuid),
        ("serial", old.serial != new.serial),
        ("labels", old.labels != new.labels),
        ("loader", old.loader != new.loader),
        ("state", old.state != new.state),
    ];
    let changed: Vec<&str> = fields.iter().filter(|f| f.1).map(|f| f.0).collect();
    if changed.is_empty() {
        return None;
    }
    let renamed = match old.name == new.name {
        true => String::new(),
        false => format!(" (now '{}')", new.name),
    };
    Some(format!(
        "machine '{}'{renamed} changed: {}",
        old.name,
        changed.join(", ")
    ))
}

fn set<T>(field: &mut T, wanted: Option<T>) {
    if let Some(value) = wanted {
        *field = value;
    }
}

fn no_machine(id: MachineId) -> StoreError {
    StoreError::NotFound {
        what: format!("machine {}", id.0),
    }
}
