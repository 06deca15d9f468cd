//! `kind: machine`: what is to be changed of one machine. A field left out stays as it is, `null`
//! takes it away. A described machine is registered, unless the document says that it is only
//! discovered: then it tells who that is, as a person has said, and leaves it to be adopted.

use super::given;
use super::kinds::{Document, Kind};
use super::own;
use super::place::Place;
use super::plan::{Planner, Pruned};
use bootplan::{
    LoaderKind, LocalBoot, MacAddr, Machine, MachineId, MachineState, Mode, Power, ProfileName,
    SystemUuid, Variables,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use store::{MachineChange, NewMachine, Step};

/// A machine, found by any of its MACs, else by UUID and serial together, else by its name.
pub(super) const KIND: Kind = Kind {
    name: "machine",
    read: |yaml| Ok(Box::new(MachineDoc::deserialize(yaml)?)),
    export: |decided, out| {
        let catalog = &decided.catalog;
        let all = catalog.machines();
        for machine in all.filter(|m| m.state == MachineState::Registered || m.settled) {
            let profile = machine.profile.as_ref().and_then(|p| catalog.profile(p));
            let installs = profile.is_some_and(|profile| profile.installs());
            let power = decided.powers.get(&machine.id);
            out.push("machine", &MachineOut::of(machine, installs, power));
        }
    },
    owned: |decided, own| {
        let owned = decided.catalog.machines().filter(|m| own.has(&m.labels));
        owned.map(|m| Pruned::machine(m)).collect()
    },
};

/// What a document (or a row of a table) says of a machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineDoc {
    #[serde(rename = "kind")]
    pub(super) _kind: serde::de::IgnoredAny,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) macs: Vec<MacAddr>,
    #[serde(default, deserialize_with = "given")]
    pub(super) uuid: Option<Option<SystemUuid>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) serial: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) asset: Option<Option<String>>,
    #[serde(default)]
    pub(super) notes: Option<String>,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) variables: Option<Variables>,
    #[serde(default, deserialize_with = "given")]
    pub(super) loader: Option<Option<LoaderKind>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) local_boot: Option<Option<LocalBoot>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) profile: Option<Option<ProfileName>>,
    /// Says how the profile is meant, too; instead of `profile`.
    #[serde(default)]
    pub(super) assign: Option<AssignDoc>,
    /// `discovered`: only says who it is, and adopts nobody.
    #[serde(default)]
    pub(super) state: Option<MachineState>,
    /// The ways to its power switch, as a whole.
    #[serde(default, deserialize_with = "given")]
    pub(super) power: Option<Option<Power>>,
}

/// An assignment; one to be installed once orders nothing by itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignDoc {
    pub(super) profile: ProfileName,
    /// Left out: at every boot.
    #[serde(default)]
    pub(super) mode: Option<Mode>,
}

#[derive(Serialize)]
struct MachineOut<'a> {
    name: &'a str,
    macs: &'a [MacAddr],
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<SystemUuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    notes: &'a str,
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<&'a Variables>,
    loader: Option<LoaderKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_boot: Option<LocalBoot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Option<&'a ProfileName>>,
    /// Of a machine that is installed once: its profile alone would be read back as one for every
    /// boot, and install for ever. And of one that is meant to: that is not read back unsaid.
    #[serde(skip_serializing_if = "Option::is_none")]
    assign: Option<AssignOut<'a>>,
    /// Of one that nobody has adopted, though a person said who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<MachineState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    power: Option<&'a Power>,
}

#[derive(Serialize)]
struct AssignOut<'a> {
    profile: &'a ProfileName,
    mode: Mode,
}

impl<'a> MachineOut<'a> {
    fn of(machine: &'a Machine, installs: bool, power: Option<&'a Power>) -> Self {
        let discovered = machine.state == MachineState::Discovered;
        let said = machine.profile.as_ref();
        let said = said.filter(|_| installs || !machine.mode.is_always());
        MachineOut {
            name: &machine.name,
            macs: &machine.macs,
            uuid: machine.uuid,
            serial: machine.serial.as_deref(),
            asset: machine.asset.as_deref(),
            notes: &machine.notes,
            labels: &machine.labels,
            variables: Some(&machine.variables).filter(|v| **v != Variables::default()),
            loader: machine.loader,
            local_boot: machine.local_boot,
            profile: (said.is_none() && !discovered).then_some(machine.profile.as_ref()),
            assign: said.map(|profile| AssignOut {
                profile,
                mode: machine.mode,
            }),
            state: discovered.then_some(machine.state),
            power,
        }
    }
}

impl Document for MachineDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        if self.assign.is_some() && self.profile.is_some() {
            let problem = "write either 'profile' (for every boot) or 'assign', not both";
            return planner.fault(place.fault("assign", problem));
        }
        if let (Some(Some(profile)), _) = &self.assignment()
            && !planner.profiles.contains(profile)
        {
            let problem = format!("profile '{profile}' does not exist and no document makes it");
            return planner.fault(place.fault("profile", problem));
        }
        if self.unadopted() && self.assignment().0.flatten().is_some() {
            let problem =
                "whoever gives a machine something to boot adopts it: leave the state out";
            return planner.fault(place.fault("state", problem));
        }
        if let Some(mac) = self.macs.iter().find(|mac| !mac.is_unicast()) {
            let problem = format!("{mac} is not the address of a network card");
            return planner.fault(place.fault("macs", problem));
        }
        if let Some(Err(fault)) = self.power.iter().flatten().next().map(Power::validate) {
            let field = format!("power.{}", fault.field);
            return planner.fault(place.fault(&field, fault.problem));
        }
        match self.meant(planner) {
            Err((field, problem)) => planner.fault(place.fault(field, problem)),
            Ok(Some(id)) => self.update(planner, id, place),
            Ok(None) => self.create(planner, place),
        }
    }
}

impl MachineDoc {
    /// Whether it is only said who it is.
    fn unadopted(&self) -> bool {
        self.state == Some(MachineState::Discovered)
    }

    /// What is said of its profile, and how that is meant if that is said.
    fn assignment(&self) -> (Option<Option<ProfileName>>, Option<Mode>) {
        match &self.assign {
            Some(assign) => {
                let mode = assign.mode.unwrap_or_default();
                (Some(Some(assign.profile.clone())), Some(mode))
            }
            None => (self.profile.clone(), None),
        }
    }

    /// Notes what is said of its profile.
    fn speaks(&self, planner: &mut Planner<'_>, id: MachineId) {
        let always = self.assign.as_ref().and_then(|assign| assign.mode);
        let profile = self.assignment().0.is_some();
        planner
            .said
            .machine(id, always == Some(Mode::Always), profile);
    }

    fn meant(&self, planner: &Planner<'_>) -> Result<Option<MachineId>, (&'static str, String)> {
        let catalog = planner.catalog;
        let of_mac = |mac: &MacAddr| catalog.find(*mac, None).map(|m| m.id);
        let by_mac: BTreeSet<MachineId> = self.macs.iter().filter_map(of_mac).collect();
        let ids: Vec<MachineId> = by_mac.into_iter().collect();
        match ids.as_slice() {
            [id] => return Ok(Some(*id)),
            [] => {}
            _ => {
                let problem = "they belong to several machines; delete all but one";
                return Err(("macs", problem.to_owned()));
            }
        }
        if let (Some(Some(uuid)), Some(Some(serial))) = (self.uuid, &self.serial) {
            let same = |m: &&std::sync::Arc<Machine>| {
                m.uuid == Some(uuid) && uuid.is_identity() && m.serial.as_ref() == Some(serial)
            };
            let mut found = catalog.machines().filter(same);
            if let (Some(machine), None) = (found.next(), found.next()) {
                return Ok(Some(machine.id));
            }
        }
        let Some(name) = &self.name else {
            return match self.macs.is_empty() {
                true => Err(("macs", NAMELESS.to_owned())),
                false => Ok(None),
            };
        };
        match planner.machine_named(name) {
            Some(id) => Ok(Some(id)),
            None if self.macs.is_empty() => {
                let problem = "no machine has this name, and a new one needs its macs";
                Err(("name", problem.to_owned()))
            }
            None => Ok(None),
        }
    }

    fn create(&self, planner: &mut Planner<'_>, place: &Place) {
        let labels = match own::labels(planner.options, None, self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let first = self.macs.first().map(|mac| mac.dashed());
        let name = self.name.clone().or(first).unwrap_or_default();
        let new = NewMachine {
            name: self.name.clone(),
            macs: self.macs.clone(),
            uuid: self.uuid.flatten(),
            serial: self.serial.clone().flatten(),
            asset: self.asset.clone().flatten(),
            notes: self.notes.clone().unwrap_or_default(),
            labels,
            variables: self.variables.clone().unwrap_or_default(),
            loader: self.loader.flatten(),
            local_boot: self.local_boot.flatten(),
            profile: self.assignment().0.flatten(),
            mode: self.assignment().1.unwrap_or_default(),
            unadopted: self.unadopted(),
        };
        let machine = Machine {
            macs: new.macs.clone(),
            uuid: new.uuid,
            serial: new.serial.clone(),
            asset: new.asset.clone(),
            notes: new.notes.clone(),
            labels: new.labels.clone(),
            variables: new.variables.clone(),
            loader: new.loader,
            local_boot: new.local_boot,
            profile: new.profile.clone(),
            mode: new.mode,
            state: self.state.unwrap_or(MachineState::Registered),
            settled: self.unadopted(),
            ..Machine::named(planner.new_machine(), name)
        };
        self.speaks(planner, machine.id);
        let power = self.power.clone().flatten().unwrap_or_default();
        let mut steps = vec![Step::CreateMachine(new)];
        if !power.is_empty() {
            steps.push(Step::SetPower(machine.name.clone(), power.clone()));
        }
        planner.machine(place, machine, &power, None, steps);
    }

    fn update(&self, planner: &mut Planner<'_>, id: MachineId, place: &Place) {
        if let Some(earlier) = planner.described(id) {
            let problem = format!("document {earlier} already describes this machine");
            return planner.fault(place.fault("name", problem));
        }
        let Some(old) = planner.catalog.machine(id).cloned() else {
            return;
        };
        let labels = match own::labels(planner.options, Some(&old.labels), self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let mut new = Machine::clone(&old);
        if let Some(name) = &self.name {
            new.name.clone_from(name);
        }
        if !self.macs.is_empty() {
            new.macs.clone_from(&self.macs);
        }
        new.uuid = self.uuid.unwrap_or(new.uuid);
        new.serial = self.serial.clone().unwrap_or(new.serial);
        new.asset = self.asset.clone().unwrap_or(new.asset);
        new.notes = self.notes.clone().unwrap_or(new.notes);
        new.labels = labels;
        new.variables = self.variables.clone().unwrap_or(new.variables);
        new.loader = self.loader.unwrap_or(new.loader);
        new.local_boot = self.local_boot.unwrap_or(new.local_boot);
        let (profile, mode) = self.assignment();
        new.profile = profile.unwrap_or(new.profile);
        // A profile by its name alone is for every boot, unless it is what was ordered.
        new.mode = match mode {
            Some(mode) => mode,
            None if new.profile != old.profile => Mode::Always,
            None => old.mode,
        };
        match self.unadopted() && new.profile.is_none() {
            true => new.settled |= new.state == MachineState::Discovered,
            false => new.state = MachineState::Registered,
        }
        self.speaks(planner, id);
        let mut steps = Vec::new();
        if *old != new {
            // This registers a discovered machine, too, and lets no rule order anything.
            let change = MachineChange {
                name: changed(&old.name, &new.name),
                macs: changed(&old.macs, &new.macs),
                uuid: changed(&old.uuid, &new.uuid),
                serial: changed(&old.serial, &new.serial),
                asset: changed(&old.asset, &new.asset),
                notes: changed(&old.notes, &new.notes),
                labels: changed(&old.labels, &new.labels),
                variables: changed(&old.variables, &new.variables),
                loader: changed(&old.loader, &new.loader),
                local_boot: changed(&old.local_boot, &new.local_boot),
                profile: changed(&old.profile, &new.profile),
                mode: changed(&old.mode, &new.mode),
                unadopted: self.unadopted(),
            };
            steps.push(Step::UpdateMachine(id, change));
        }
        let had = planner.decided.powers.get(&id).cloned().unwrap_or_default();
        let power = match &self.power {
            Some(power) => power.clone().unwrap_or_default(),
            None => had.clone(),
        };
        if power != had {
            steps.push(Step::SetPower(new.name.clone(), power.clone()));
        }
        planner.machine(place, new, &power, Some((old.as_ref(), &had)), steps);
    }
}

fn changed<T: PartialEq + Clone>(old: &T, new: &T) -> Option<T> {
    (old != new).then(|| new.clone())
}

const NAMELESS: &str = "a machine is named by its macs or by its name";
/// Fields of a machine that no document sets.
pub(super) const NOT_DOCUMENTED: [&str; 5] = ["id", "facts", "state", "run", "settled"];
