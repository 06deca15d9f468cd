//! What documents would change. Pure: from a Catalog, what files last made of it, and documents to
//! steps and a difference.

use super::Options;
use super::conflict::{self, Conflict};
use super::diff::{self, Change, FieldChange};
use super::erased::{self, Said};
use super::kinds::{KINDS, Placed};
use super::machine::NOT_DOCUMENTED;
use super::place::{Fault, Place};
use bootplan::{Catalog, MacAddr, Machine, MachineId, Power, ProfileName};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{Decided, Mark, Marks, Step};

/// Steps in the order they must be taken, and the difference they make.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// For each step, where its document stands.
    pub(super) places: Vec<Place>,
    pub(super) changes: Vec<Change>,
    /// What was edited since files were last applied, and would be overwritten.
    pub(super) conflicts: Vec<Conflict>,
    /// What these files make of each object, to be remembered.
    pub(super) marks: Vec<Mark>,
}

/// Something that is deleted because no document describes it.
pub(super) struct Pruned {
    kind: &'static str,
    name: String,
    /// Of a machine.
    id: Option<MachineId>,
    step: Step,
}

impl Pruned {
    /// Of a kind whose objects are known by their names.
    pub(super) fn named(kind: &'static str, name: &impl ToString, step: Step) -> Pruned {
        Pruned {
            kind,
            name: name.to_string(),
            id: None,
            step,
        }
    }

    pub(super) fn machine(machine: &Machine) -> Pruned {
        Pruned {
            kind: "machine",
            name: machine.name.clone(),
            id: Some(machine.id),
            step: Step::DeleteMachines(vec![machine.id]),
        }
    }
}

/// Compares documents with what is there, and finds all that is wrong with them, where the store
/// would name only the first thing.
pub(super) fn plan(
    documents: &[Placed],
    decided: &Decided,
    marks: &Marks,
    options: &Options,
) -> Result<Plan, Vec<Fault>> {
    let mut planner = Planner::new(decided, marks, options);
    // Kind by kind: a machine may be assigned to a profile that only now comes to be.
    for kind in &KINDS {
        for placed in documents.iter().filter(|placed| placed.kind == kind.name) {
            placed.document.plan(&mut planner, &placed.place);
        }
    }
    if options.prune {
        planner.prune(documents.is_empty());
    }
    planner.finish()
}

/// A machine and its power switch, as differences and marks tell of them.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    machine: &'a Machine,
    #[serde(skip_serializing_if = "Power::is_empty")]
    power: &'a Power,
}

/// A plan being made; each kind of document adds its own.
pub(super) struct Planner<'a> {
    pub(super) decided: &'a Decided,
    pub(super) catalog: &'a Catalog,
    pub(super) options: &'a Options,
    /// The profiles that there will be.
    pub(super) profiles: BTreeSet<ProfileName>,
    /// What documents say of what is booted.
    pub(super) said: Said,
    pub(super) marks: &'a Marks,
    described: BTreeSet<(&'static str, String)>,
    by_name: HashMap<String, MachineId>,
    /// The machines that documents describe, as they would be; new ones have negative identities.
    machines: BTreeMap<MachineId, (Machine, Place)>,
    pruned: BTreeSet<MachineId>,
    plan: Plan,
    faults: Vec<Fault>,
}

impl<'a> Planner<'a> {
    fn new(decided: &'a Decided, marks: &'a Marks, options: &'a Options) -> Self {
        let catalog = decided.catalog.as_ref();
        let named = catalog.machines().map(|m| (m.name.to_lowercase(), m.id));
        Planner {
            decided,
            catalog,
            options,
            profiles: catalog.profiles().map(|p| p.name.clone()).collect(),
            said: Said::default(),
            marks,
            described: BTreeSet::new(),
            by_name: named.collect(),
            machines: BTreeMap::new(),
            pruned: BTreeSet::new(),
            plan: Plan::default(),
            faults: Vec::new(),
        }
    }

    /// Something is wrong.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// False (and a fault) when an earlier document is about the same thing.
    pub(super) fn once(
        &mut self,
        kind: &'static str,
        name: &str,
        place: &Place,
        field: &str,
    ) -> bool {
        let first = self.described.insert((kind, name.to_owned()));
        if !first {
            let problem = format!("an earlier document already describes {kind} '{name}'");
            self.faults.push(place.fault(field, problem));
        }
        first
    }

    /// An object that is known by its name becomes this, by this step.
    pub(super) fn object<T: Serialize>(
        &mut self,
        place: &Place,
        kind: &'static str,
        name: &str,
        old: Option<&T>,
        new: &T,
        step: Step,
    ) {
        let fields = diff::fields(old, new, &["name"]);
        let spec = diff::spec(new, &[]);
        self.named(place, (kind, name), old.is_some(), fields, spec, step);
    }

    /// The same, of an object whose difference is told in another way; the mark remembers `spec`.
    pub(super) fn named(
        &mut self,
        place: &Place,
        (kind, name): (&'static str, &str),
        exists: bool,
        fields: Vec<FieldChange>,
        spec: Map<String, Value>,
        step: Step,
    ) {
        let found = conflict::find(self.marks, kind, name, name, exists, place, &fields);
        self.plan.conflicts.extend(found);
        self.plan.marks.push(Mark::set(kind, name, spec));
        if self.note(place, kind, name.to_owned(), exists, fields) {
            self.step(place, step);
        }
    }

    /// A machine becomes this, by these steps.
    pub(super) fn machine(
        &mut self,
        place: &Place,
        machine: Machine,
        power: &Power,
        old: Option<(&Machine, &Power)>,
        steps: Vec<Step>,
    ) {
        let exists = old.is_some();
        let whole = Whole {
            machine: &machine,
            power,
        };
        let fields = match old {
            Some((machine, power)) => {
                let old = Whole { machine, power };
                diff::fields(Some(&old), &whole, &["id", "facts", "run"])
            }
            None if machine.settled => {
                diff::fields(None, &whole, &["id", "facts", "run", "settled"])
            }
            None => diff::fields(None, &whole, &NOT_DOCUMENTED),
        };
        let spec = diff::spec(&whole, &NOT_DOCUMENTED);

        let found = match exists {
            true => {
                let id = machine.id.0.to_string();
                conflict::find(
                    self.marks,
                    "machine",
                    &id,
                    &machine.name,
                    true,
                    place,
                    &fields,
                )
            }
            false => conflict::vanished(self.marks, self.catalog, &machine, place)
                .inspect(|gone| self.plan.marks.push(Mark::forget("machine", &gone.key)))
                .into_iter()
                .collect(),
        };
        self.plan.conflicts.extend(found);
        self.plan
            .marks
            .push(Mark::set("machine", &machine.name, spec));
        self.note(place, "machine", machine.name.clone(), exists, fields);
        self.machines.insert(machine.id, (machine, place.clone()));
        for step in steps {
            self.step(place, step);
        }
    }

    /// The identity of one more machine that does not exist yet.
    pub(super) fn new_machine(&self) -> MachineId {
        MachineId(-1 - self.machines.len() as i64)
    }

    /// The machine of this name, without regard to case.
    pub(super) fn machine_named(&self, name: &str) -> Option<MachineId> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    /// The machines that documents describe, as they would be.
    pub(super) fn described_machines(&self) -> impl Iterator<Item = (&Machine, &Place)> {
        self.machines
            .values()
            .map(|(machine, place)| (machine, place))
    }

    /// This machine as a document would have it, if one describes it.
    pub(super) fn machine_described(&self, id: MachineId) -> Option<&Machine> {
        self.machines.get(&id).map(|(machine, _)| machine)
    }

    /// Whether this machine goes.
    pub(super) fn is_pruned(&self, id: MachineId) -> bool {
        self.pruned.contains(&id)
    }

    /// All steps so far.
    pub(super) fn steps(&self) -> &[Step] {
        &self.plan.steps
    }

    /// Which document describes this machine, from 1.
    pub(super) fn described(&self, id: MachineId) -> Option<usize> {
        self.machines.get(&id).map(|(_, place)| place.index())
    }

    fn step(&mut self, place: &Place, step: Step) {
        self.plan.steps.push(step);
        self.plan.places.push(place.clone());
    }

    /// Writes the difference down; true when there is one.
    fn note(
        &mut self,
        place: &Place,
        kind: &'static str,
        name: String,
        exists: bool,
        fields: Vec<FieldChange>,
    ) -> bool {
        let action = match (exists, fields.is_empty()) {
            (false, _) => "create",
            (true, false) => "update",
            (true, true) => "unchanged",
        };
        self.plan.changes.push(Change {
            document: place.index(),
            kind,
            name,
            action,
            fields,
        });
        action != "unchanged"
    }

    /// Deletes what has the owner's label and stands in no document. Machines go first, so that
    /// their names and MACs are free; everything else goes last, when nothing names it any more.
    fn prune(&mut self, nothing: bool) {
        let Some(own) = &self.options.own else {
            let problem = "pruning needs an owner: only what has its label is ever deleted";
            return self.faults.push(Place::default().fault("prune", problem));
        };
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for kind in KINDS.iter().rev() {
            for pruned in (kind.owned)(self.decided, own) {
                let kept = match pruned.id {
                    Some(id) => self.machines.contains_key(&id),
                    None => self.described.contains(&(pruned.kind, pruned.name.clone())),
                };
                if kept {
                    continue;
                }
                let key = pruned
                    .id
                    .map_or_else(|| pruned.name.clone(), |id| id.0.to_string());
                self.plan.marks.push(Mark::forget(pruned.kind, &key));
                self.pruned.extend(pruned.id);
                self.plan.changes.push(Change {
                    document: 0,
                    kind: pruned.kind,
                    name: pruned.name,
                    action: "delete",
                    fields: Vec::new(),
                });
                match pruned.id {
                    Some(_) => first.push(pruned.step),
                    None => last.push(pruned.step),
                }
            }
        }
        let count = first.len() + last.len();
        if nothing && count > 0 && !self.options.force {
            let problem = format!(
                "there is no document at all, so everything of {own} ({count}) would be deleted; \
                 force does it nevertheless"
            );
            self.faults.push(Place::default().fault("prune", problem));
        }
        self.plan
            .places
            .splice(0..0, vec![Place::default(); first.len()]);
        self.plan.steps.splice(0..0, first);
        self.plan.places.extend(vec![Place::default(); last.len()]);
        self.plan.steps.extend(last);
    }

    /// Names and MACs must be unique once everything is done.
    fn finish(mut self) -> Result<Plan, Vec<Fault>> {
        if !self.machines.is_empty() {
            self.faults.extend(self.doubles());
            self.faults.extend(self.shared_cards());
        }
        let unsaid = erased::unsaid(&self);
        self.faults.extend(unsaid);
        if !self.faults.is_empty() {
            self.faults.sort_by_key(|fault| (fault.line, fault.column));
            return Err(self.faults);
        }
        self.plan.changes.sort_by_key(|change| change.document);
        Ok(self.plan)
    }

    /// What several machines use tells nothing about the one that a document gives it to.
    fn shared_cards(&self) -> Vec<Fault> {
        let known = self.decided.shared.iter().map(|shared| shared.mac);
        let gone = |mac: &MacAddr| {
            let name = mac.to_string();
            let mut deleted = self.plan.changes.iter().filter(|c| c.action == "delete");
            deleted.any(|c| c.kind == "adapter" && c.name == name)
        };
        let mut shared: BTreeSet<MacAddr> = known.filter(|mac| !gone(mac)).collect();
        let described = self.described.iter().filter(|(kind, _)| *kind == "adapter");
        shared.extend(described.filter_map(|(_, name)| name.parse::<MacAddr>().ok()));
        let mut faults = Vec::new();
        for (machine, place) in self.machines.values() {
            let known = self.catalog.machine(machine.id);
            // What it has already is no matter of this document.
            let new = |mac: &&MacAddr| !known.is_some_and(|known| known.macs.contains(mac));
            for mac in machine.macs.iter().filter(new) {
                if shared.contains(mac) {
                    let problem = format!(
                        "several machines use {mac} (kind: adapter), so it tells nothing about one"
                    );
                    faults.push(place.fault("macs", problem));
                }
            }
        }
        faults
    }

    fn doubles(&self) -> Vec<Fault> {
        let untouched = self
            .catalog
            .machines()
            .filter(|m| !self.machines.contains_key(&m.id) && !self.pruned.contains(&m.id));
        let described = self.machines.values().map(|(machine, _)| machine);
        let all: Vec<&Machine> = untouched.map(|m| m.as_ref()).chain(described).collect();
        let mut names: HashMap<String, Vec<&Machine>> = HashMap::new();
        let mut macs: HashMap<MacAddr, Vec<&Machine>> = HashMap::new();
        for machine in all {
            names
                .entry(machine.name.to_lowercase())
                .or_default()
                .push(machine);
            for mac in &machine.macs {
                macs.entry(*mac).or_default().push(machine);
            }
        }
        let mut faults = Vec::new();
        for (machine, place) in self.machines.values() {
            let other = |all: Option<&Vec<&Machine>>| {
                let mut all = all.into_iter().flatten();
                all.find(|other| other.id != machine.id)
                    .map(|other| other.name.clone())
            };
            if let Some(name) = other(names.get(&machine.name.to_lowercase())) {
                let problem = format!("'{name}' is the name of another machine");
                faults.push(place.fault("name", problem));
            }
            let taken = machine
                .macs
                .iter()
                .find_map(|mac| Some((mac, other(macs.get(mac))?)));
            if let Some((mac, name)) = taken {
                let problem = format!("{mac} belongs to machine '{name}'");
                faults.push(place.fault("macs", problem));
            }
        }
        faults
    }
}
