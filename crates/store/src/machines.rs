//! Machines: what people do to them.

use crate::change::{Change, now, to_the_end};
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

    /// Enters a machine by hand; it is registered at once.
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

impl Change {
    pub(crate) async fn insert_machine(
        &mut self,
        machine: &Machine,
        first_seen: Timestamp,
        last_seen: Option<Timestamp>,
    ) -> Result<(), sqlx::Error> {
        self.touch(machine.id);
        sqlx::query(
            "INSERT INTO machines (id, name, name_key, uuid, serial, labels, state, loader, \
             facts, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(machine.id.0)
        .bind(machine.name.clone())
        .bind(crate::model::name_key(&machine.name))
        .bind(machine.uuid.map(|uuid| uuid.to_string()))
        .bind(machine.serial.clone())
        .bind(rows::to_json(&machine.labels))
        .bind(machine.state.slug())
        .bind(machine.loader.map(LoaderKind::slug))
        .bind(rows::to_json(&machine.facts))
        .bind(first_seen.0)
        .bind(last_seen.map(|at| at.0))
        .execute(&mut *self.tx)
        .await?;
        self.insert_macs(machine).await?;
        if machine.profile.is_some() {
            self.set_profile(&[machine.id], machine.profile.as_ref())
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn update_machine(
        &mut self,
        old: &Machine,
        new: &Machine,
    ) -> Result<(), sqlx::Error> {
        self.touch(new.id);
        sqlx::query(
            "UPDATE machines SET name = $1, name_key = $2, uuid = $3, serial = $4, labels = $5, \
             state = $6, loader = $7, facts = $8 WHERE id = $9",
        )
        .bind(new.name.clone())
        .bind(crate::model::name_key(&new.name))
        .bind(new.uuid.map(|uuid| uuid.to_string()))
        .bind(new.serial.clone())
        .bind(rows::to_json(&new.labels))
        .bind(new.state.slug())
        .bind(new.loader.map(LoaderKind::slug))
        .bind(rows::to_json(&new.facts))
        .bind(new.id.0)
        .execute(&mut *self.tx)
        .await?;
        if old.macs != new.macs {
            sqlx::query("DELETE FROM machine_macs WHERE machine_id = $1")
                .bind(new.id.0)
                .execute(&mut *self.tx)
                .await?;
            self.insert_macs(new).await?;
        }
        if old.profile != new.profile {
            self.set_profile(&[new.id], new.profile.as_ref()).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_machines(&mut self, ids: &[MachineId]) -> Result<(), StoreError> {
        for id in ids {
            self.touch(*id);
            // MACs and assignment go by the foreign keys.
            sqlx::query("DELETE FROM machines WHERE id = $1")
                .bind(id.0)
                .execute(&mut *self.tx)
                .await
                .map_err(failed("deleting a machine"))?;
        }
        Ok(())
    }

    async fn insert_macs(&mut self, machine: &Machine) -> Result<(), sqlx::Error> {
        for (position, mac) in (0_i64..).zip(&machine.macs) {
            sqlx::query("INSERT INTO machine_macs (mac, machine_id, position) VALUES ($1, $2, $3)")
                .bind(mac.to_string())
                .bind(machine.id.0)
                .bind(position)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    async fn set_profile(
        &mut self,
        ids: &[MachineId],
        profile: Option<&ProfileName>,
    ) -> Result<(), sqlx::Error> {
        for id in ids {
            self.touch(*id);
            let query = match profile {
                Some(name) => sqlx::query(
                    "INSERT INTO assignments (machine_id, profile) VALUES ($1, $2) \
                     ON CONFLICT (machine_id) DO UPDATE SET profile = excluded.profile",
                )
                .bind(id.0)
                .bind(name.to_string()),
                None => sqlx::query("DELETE FROM assignments WHERE machine_id = $1").bind(id.0),
            };
            query.execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    async fn register(&mut self, ids: &[MachineId]) -> Result<(), sqlx::Error> {
        for id in ids {
            self.touch(*id);
            sqlx::query("UPDATE machines SET state = $1 WHERE id = $2")
                .bind(MachineState::Registered.slug())
                .bind(id.0)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
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
