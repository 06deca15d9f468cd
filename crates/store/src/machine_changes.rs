//! What each change of machines does inside its transaction, and what it is checked against.

use crate::change::{Change, now};
use crate::machines::no_machine;
use crate::rows::{self, failed};
use crate::{MachineChange, NewMachine, StoreError, validate};
use bootplan::{EventKind, Machine, MachineId, MachineState, Mode, ProfileName};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Change {
    pub(crate) async fn enter(
        &mut self,
        new: NewMachine,
        by: &str,
    ) -> Result<MachineId, StoreError> {
        if let Some(known) = self.discovered_as(&new) {
            self.edit(known.id, adoption(&known, new), by).await?;
            return Ok(known.id);
        }
        let first = new.macs.first().map(|mac| mac.dashed());
        let first = first.or_else(|| new.uuid.map(|uuid| uuid.to_string()));
        // Whoever gives it something to boot adopts it.
        let unadopted = new.unadopted && new.profile.is_none();
        let mut machine = Machine {
            state: match unadopted {
                true => MachineState::Discovered,
                false => MachineState::Registered,
            },
            settled: unadopted,
            macs: new.macs,
            uuid: new.uuid,
            serial: new.serial,
            asset: new.asset,
            labels: new.labels,
            notes: new.notes,
            variables: new.variables,
            loader: new.loader,
            local_boot: new.local_boot,
            mode: new.mode,
            profile: new.profile,
            ..Machine::named(MachineId(0), new.name.or(first).unwrap_or_default())
        };
        self.check(&machine)?;
        let doing = failed("storing a machine");
        let id = rows::reserve(&mut self.tx, "machines", 1).await;
        machine.id = MachineId(id.map_err(doing)?);
        self.insert_machine(&machine, now(), None)
            .await
            .map_err(doing)?;
        let what = format!("machine '{}' created", machine.name);
        let by = by.to_owned();
        let created = EventKind::Changed {
            what,
            by: by.clone(),
        };
        self.say(Some(machine.id), created);
        if let profile @ Some(_) = machine.profile {
            self.say(Some(machine.id), EventKind::Assigned { profile, by });
        }
        Ok(machine.id)
    }

    /// Changes a machine, and registers it. That orders nothing, whatever rules say: whoever
    /// corrects a name, or describes a running host in a file, has not asked for an installation.
    pub(crate) async fn edit(
        &mut self,
        id: MachineId,
        wanted: MachineChange,
        by: &str,
    ) -> Result<(), StoreError> {
        let old = self.must_know(id)?;
        let mut new = Machine::clone(&old);
        set(&mut new.name, wanted.name);
        set(&mut new.macs, wanted.macs);
        if wanted.uuid.is_some() {
            // A person has said it.
            new.facts.uuid_said_once = false;
        }
        set(&mut new.uuid, wanted.uuid);
        set(&mut new.serial, wanted.serial);
        set(&mut new.asset, wanted.asset);
        set(&mut new.labels, wanted.labels);
        set(&mut new.notes, wanted.notes);
        set(&mut new.variables, wanted.variables);
        set(&mut new.loader, wanted.loader);
        set(&mut new.local_boot, wanted.local_boot);
        if wanted.profile.as_ref().is_some_and(|p| *p != new.profile) {
            new.mode = Mode::Always;
        }
        set(&mut new.profile, wanted.profile);
        match wanted.unadopted && new.profile.is_none() {
            true => new.settled |= new.state == MachineState::Discovered,
            false => new.state = MachineState::Registered,
        }
        set(&mut new.mode, wanted.mode.filter(|_| new.profile.is_some()));
        self.check(&new)?;
        if *old == new {
            return Ok(());
        }
        self.update_machine(&old, &new)
            .await
            .map_err(failed("storing a machine"))?;
        if let Some(what) = described(&old, &new) {
            let by = by.to_owned();
            self.say(Some(id), EventKind::Changed { what, by });
        }
        if (&old.profile, old.mode) != (&new.profile, new.mode) {
            let (profile, by) = (new.profile, by.to_owned());
            self.call_off(id, &by).await?;
            self.say(Some(id), EventKind::Assigned { profile, by });
        }
        Ok(())
    }

    pub(crate) async fn assign(
        &mut self,
        ids: &[MachineId],
        profile: Option<ProfileName>,
        by: &str,
    ) -> Result<(), StoreError> {
        if let Some(name) = &profile {
            self.must_have_profile(name)?;
        }
        let changed = self.those(ids, |machine| {
            let adopts = profile.is_some() && machine.state == MachineState::Discovered;
            (&machine.profile, machine.mode) != (&profile, Mode::Always) || adopts
        })?;
        let doing = failed("assigning a profile");
        self.set_profile(&changed, profile.as_ref(), Mode::Always)
            .await
            .map_err(doing)?;
        if profile.is_some() {
            self.register(&changed).await.map_err(doing)?;
        }
        for id in changed {
            let (profile, by) = (profile.clone(), by.to_owned());
            self.call_off(id, &by).await?;
            self.say(Some(id), EventKind::Assigned { profile, by });
        }
        Ok(())
    }

    /// What a person approves, rules may order.
    pub(crate) async fn adopt(&mut self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        let changed = self.those(ids, |machine| machine.state == MachineState::Discovered)?;
        self.register(&changed)
            .await
            .map_err(failed("adopting machines"))?;
        for id in &changed {
            let what = format!("machine '{}' adopted", self.must_know(*id)?.name);
            let by = by.to_owned();
            self.say(Some(*id), EventKind::Changed { what, by });
        }
        self.order_by_rules(&changed).await
    }

    pub(crate) fn must_know(&self, id: MachineId) -> Result<Arc<Machine>, StoreError> {
        let model = self.store.model();
        let found = self.overlay.machine(&model, id).cloned();
        found.ok_or_else(|| no_machine(id))
    }

    /// Those that a change makes different, each once, in order.
    pub(crate) fn those(
        &self,
        ids: &[MachineId],
        differs: impl Fn(&Machine) -> bool,
    ) -> Result<Vec<MachineId>, StoreError> {
        let mut seen = BTreeSet::new();
        let mut those = Vec::new();
        for id in ids {
            if differs(&*self.must_know(*id)?) && seen.insert(*id) {
                those.push(*id);
            }
        }
        Ok(those)
    }

    /// The one machine that has MACs of this one and that nobody has adopted.
    fn discovered_as(&self, new: &NewMachine) -> Option<Arc<Machine>> {
        let model = self.store.model();
        let owner = |mac| self.overlay.with_mac(&model, mac);
        let mut owners = new.macs.iter().filter_map(|mac| owner(*mac));
        let id = owners.next()?;
        let machine = self.overlay.machine(&model, id)?;
        let only = owners.all(|other| other == id);
        (only && machine.state == MachineState::Discovered).then(|| Arc::clone(machine))
    }

    /// Whether this machine may stand beside the others.
    fn check(&self, machine: &Machine) -> Result<(), StoreError> {
        validate::machine(machine)?;
        let model = self.store.model();
        let namesake = self.overlay.with_name(&model, &machine.name);
        if let Some(other) = namesake.filter(|id| *id != machine.id) {
            return Err(StoreError::Conflict {
                what: format!("the name '{}' belongs to machine {}", machine.name, other.0),
                advice: "choose another name, or rename that machine first".to_owned(),
            });
        }
        for mac in &machine.macs {
            let owner = self.overlay.with_mac(&model, *mac);
            let owner = owner.and_then(|id| self.overlay.machine(&model, id));
            if let Some(owner) = owner.filter(|owner| owner.id != machine.id) {
                return Err(StoreError::Conflict {
                    what: format!("the MAC {mac} belongs to machine '{}'", owner.name),
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
        asset: new.asset.map(Some),
        labels: Some(new.labels),
        notes: Some(new.notes),
        variables: Some(new.variables),
        loader: Some(new.loader),
        local_boot: Some(new.local_boot),
        mode: Some(new.mode),
        profile: Some(new.profile),
        unadopted: new.unadopted,
    }
}

/// Which fields of a machine an operator changed; `None` when it was only its assignment.
fn described(old: &Machine, new: &Machine) -> Option<String> {
    let fields = [
        ("name", old.name != new.name),
        ("MACs", old.macs != new.macs),
        ("UUID", old.uuid != new.uuid),
        ("serial", old.serial != new.serial),
        ("asset tag", old.asset != new.asset),
        ("labels", old.labels != new.labels),
        ("notes", old.notes != new.notes),
        ("variables", old.variables != new.variables),
        ("loader", old.loader != new.loader),
        ("local boot", old.local_boot != new.local_boot),
        ("state", old.state != new.state),
        ("evidence", old.settled != new.settled),
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
