//! What documents would change. Pure: from a Catalog and documents to steps and a difference.

use super::documents::{Document, MachineDoc, Place, Placed, SiteDoc};
use crate::api::problem::Fault;
use crate::api::site::out_of_range;
use bootplan::{Catalog, MacAddr, Machine, MachineId, MachineState, Mode, Profile, ProfileName};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use store::{MachineChange, NewMachine, Step};
use utoipa::ToSchema;

/// Steps in the order they must be taken, and the difference they make.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// For each step, where its document stands.
    pub(super) places: Vec<Place>,
    pub(super) changes: Vec<Change>,
}

/// What one document changes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Change {
    /// Which document of the stream, from 1.
    pub(super) document: usize,
    /// `profile`, `machine` or `site`.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: String,
    /// `create`, `update` or `unchanged`.
    pub(super) action: &'static str,
    /// What becomes different.
    pub(super) fields: Vec<FieldChange>,
}

/// One field that becomes different.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct FieldChange {
    /// Its name.
    pub(super) field: String,
    /// What it is; `null` when it is not set.
    #[schema(value_type = Value)]
    pub(super) from: Value,
    /// What it becomes.
    #[schema(value_type = Value)]
    pub(super) to: Value,
}

/// Compares documents with what is there, and finds all that is wrong with them, where the store
/// would name only the first thing.
pub(super) fn plan(documents: &[Placed], catalog: &Catalog) -> Result<Plan, Vec<Fault>> {
    let mut planner = Planner::new(catalog, documents);
    // Profiles first: machines may be assigned to one that only now comes to be.
    for pass in ["profile", "site", "machine"] {
        for placed in documents {
            match &placed.document {
                Document::Profile(profile) if pass == "profile" => {
                    planner.profile(profile, &placed.place);
                }
                Document::Site(doc) if pass == "site" => planner.site(doc, &placed.place),
                Document::Machine(doc) if pass == "machine" => planner.machine(doc, &placed.place),
                _ => {}
            }
        }
    }
    planner.finish()
}

struct Planner<'a> {
    catalog: &'a Catalog,
    profiles: BTreeSet<ProfileName>,
    named: BTreeSet<(&'static str, String)>,
    /// The machines as they would be; new ones have negative identities.
    machines: BTreeMap<MachineId, Machine>,
    touched: BTreeMap<MachineId, Place>,
    plan: Plan,
    faults: Vec<Fault>,
}

impl<'a> Planner<'a> {
    fn new(catalog: &'a Catalog, documents: &[Placed]) -> Self {
        let mut profiles: BTreeSet<_> = catalog.profiles().map(|p| p.name.clone()).collect();
        profiles.extend(
            documents
                .iter()
                .filter_map(|placed| match &placed.document {
                    Document::Profile(profile) => Some(profile.name.clone()),
                    _ => None,
                }),
        );
        let machines = catalog.machines().map(|m| (m.id, m.as_ref().clone()));
        Planner {
            catalog,
            profiles,
            named: BTreeSet::new(),
            machines: machines.collect(),
            touched: BTreeMap::new(),
            plan: Plan::default(),
            faults: Vec::new(),
        }
    }

    fn profile(&mut self, profile: &Profile, place: &Place) {
        let name = profile.name.to_string();
        if !self.once("profile", &name, place, "name") {
            return;
        }
        if let Err(error) = profile.validate() {
            let text = error.to_string();
            let field = text.split(':').next().unwrap_or("").to_owned();
            self.faults.push(place.fault(&field, text));
            return;
        }
        let old = self.catalog.profile(&profile.name);
        let fields = differences(old.map(|p| p.as_ref()), profile, &["name"]);
        if self.note(place, "profile", name, old.is_some(), fields) {
            self.step(place, Step::PutProfile(profile.clone()));
        }
    }

    fn site(&mut self, doc: &SiteDoc, place: &Place) {
        if !self.once("site", "site", place, "kind") {
            return;
        }
        let site = doc.over(&self.catalog.site);
        if let Some((field, problem)) = out_of_range(&site) {
            self.faults.push(place.fault(field, problem));
            return;
        }
        let fields = differences(Some(&self.catalog.site), &site, &[]);
        if self.note(place, "site", "site".to_owned(), true, fields) {
            self.step(place, Step::SetSite(site));
        }
    }

    fn machine(&mut self, doc: &MachineDoc, place: &Place) {
        if doc.assign.is_some() && doc.profile.is_some() {
            let problem = "write either 'profile' (for every boot) or 'assign', not both";
            self.faults.push(place.fault("assign", problem));
            return;
        }
        if let (Some(Some(profile)), _) = &doc.assignment()
            && !self.profiles.contains(profile)
        {
            let problem = format!("profile '{profile}' does not exist and no document makes it");
            self.faults.push(place.fault("profile", problem));
            return;
        }
        if let Some(mac) = doc.macs.iter().find(|mac| !mac.is_unicast()) {
            let problem = format!("{mac} is not the address of a network card");
            self.faults.push(place.fault("macs", problem));
            return;
        }
        match self.meant(doc) {
            Err((field, problem)) => self.faults.push(place.fault(field, problem)),
            Ok(Some(id)) => self.update(id, doc, place),
            Ok(None) => self.create(doc, place),
        }
    }

    /// The machine that has one of the MACs, else the one of that name.
    fn meant(&self, doc: &MachineDoc) -> Result<Option<MachineId>, (&'static str, String)> {
        let of_mac = |mac: &MacAddr| self.catalog.find(*mac, None).map(|m| m.id);
        let by_mac: BTreeSet<MachineId> = doc.macs.iter().filter_map(of_mac).collect();
        let by_name = doc.name.as_deref().and_then(|name| {
            let mut all = self.catalog.machines();
            all.find(|m| m.name.eq_ignore_ascii_case(name))
                .map(|m| m.id)
        });
        let ids: Vec<MachineId> = by_mac.into_iter().collect();
        match (ids.as_slice(), by_name) {
            ([], Some(id)) => Ok(Some(id)),
            ([], None) if doc.macs.is_empty() && doc.name.is_none() => Err((
                "macs",
                "a machine is named by its macs or by its name".to_owned(),
            )),
            ([], None) if doc.macs.is_empty() => {
                let problem = "no machine has this name, and a new one needs its macs";
                Err(("name", problem.to_owned()))
            }
            ([], None) => Ok(None),
            ([id], _) => Ok(Some(*id)),
            _ => Err((
                "macs",
                "they belong to several machines; delete all but one".to_owned(),
            )),
        }
    }

    fn create(&mut self, doc: &MachineDoc, place: &Place) {
        let name = doc
            .name
            .clone()
            .or_else(|| doc.macs.first().map(|mac| mac.dashed()))
            .or_else(|| doc.uuid.flatten().map(|uuid| uuid.to_string()))
            .unwrap_or_default();
        let new = NewMachine {
            name: doc.name.clone(),
            macs: doc.macs.clone(),
            uuid: doc.uuid.flatten(),
            serial: doc.serial.clone().flatten(),
            labels: doc.labels.clone().unwrap_or_default(),
            loader: doc.loader.flatten(),
            local_boot: doc.local_boot.flatten(),
            profile: doc.assignment().0.flatten(),
            mode: doc.assignment().1.unwrap_or_default(),
            ..NewMachine::default()
        };
        let id = MachineId(-1 - self.touched.len() as i64);
        let machine = Machine {
            macs: new.macs.clone(),
            uuid: new.uuid,
            serial: new.serial.clone(),
            labels: new.labels.clone(),
            loader: new.loader,
            local_boot: new.local_boot,
            profile: new.profile.clone(),
            mode: new.mode,
            ..Machine::named(id, name.clone())
        };
        let fields = differences(None, &machine, &NOT_DOCUMENTED);
        self.machines.insert(id, machine);
        self.touched.insert(id, place.clone());
        self.note(place, "machine", name, false, fields);
        self.step(place, Step::CreateMachine(new));
    }

    fn update(&mut self, id: MachineId, doc: &MachineDoc, place: &Place) {
        if let Some(earlier) = self.touched.get(&id) {
            let problem = format!(
                "document {} already describes this machine",
                earlier.index()
            );
            self.faults.push(place.fault("name", problem));
            return;
        }
        let Some(old) = self.machines.get(&id).cloned() else {
            return;
        };
        let mut new = old.clone();
        if let Some(name) = &doc.name {
            new.name.clone_from(name);
        }
        if !doc.macs.is_empty() {
            new.macs.clone_from(&doc.macs);
        }
        new.uuid = doc.uuid.unwrap_or(new.uuid);
        new.serial = doc.serial.clone().unwrap_or(new.serial);
        new.labels = doc.labels.clone().unwrap_or(new.labels);
        new.loader = doc.loader.unwrap_or(new.loader);
        let (profile, mode) = doc.assignment();
        new.local_boot = doc.local_boot.unwrap_or(new.local_boot);
        new.profile = profile.unwrap_or(new.profile);
        // A profile by its name alone is for every boot, unless it is what was ordered.
        new.mode = match mode {
            Some(mode) => mode,
            None if new.profile != old.profile => Mode::Always,
            None => old.mode,
        };
        new.state = MachineState::Registered;
        let fields = differences(Some(&old), &new, &["id", "facts"]);
        self.touched.insert(id, place.clone());
        self.machines.insert(id, new.clone());
        if !self.note(place, "machine", new.name.clone(), true, fields) {
            return;
        }
        // This registers a discovered machine, too, and lets no rule order anything.
        let change = MachineChange {
            name: changed(&old.name, new.name),
            macs: changed(&old.macs, new.macs),
            uuid: changed(&old.uuid, new.uuid),
            serial: changed(&old.serial, new.serial),
            labels: changed(&old.labels, new.labels),
            loader: changed(&old.loader, new.loader),
            local_boot: changed(&old.local_boot, new.local_boot),
            profile: changed(&old.profile, new.profile),
            mode: changed(&old.mode, new.mode),
            ..MachineChange::default()
        };
        self.step(place, Step::UpdateMachine(id, change));
    }

    fn step(&mut self, place: &Place, step: Step) {
        self.plan.steps.push(step);
        self.plan.places.push(place.clone());
    }

    /// False (and a fault) when an earlier document is about the same thing.
    fn once(&mut self, kind: &'static str, name: &str, place: &Place, field: &str) -> bool {
        let first = self.named.insert((kind, name.to_owned()));
        if !first {
            let problem = format!("an earlier document already describes {kind} '{name}'");
            self.faults.push(place.fault(field, problem));
        }
        first
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

    /// Names and MACs must be unique once everything is done.
    fn finish(mut self) -> Result<Plan, Vec<Fault>> {
        for (id, place) in &self.touched {
            let Some(machine) = self.machines.get(id) else {
                continue;
            };
            let others = || self.machines.values().filter(|other| other.id != *id);
            if let Some(other) = others().find(|o| o.name.eq_ignore_ascii_case(&machine.name)) {
                let problem = format!("'{}' is the name of another machine", other.name);
                self.faults.push(place.fault("name", problem));
            }
            let mut macs = machine.macs.iter();
            let taken = macs.find_map(|mac| Some((mac, others().find(|o| o.macs.contains(mac))?)));
            if let Some((mac, other)) = taken {
                let problem = format!("{mac} belongs to machine '{}'", other.name);
                self.faults.push(place.fault("macs", problem));
            }
        }
        if !self.faults.is_empty() {
            self.faults.sort_by_key(|fault| (fault.line, fault.column));
            return Err(self.faults);
        }
        self.plan.changes.sort_by_key(|change| change.document);
        Ok(self.plan)
    }
}

fn changed<T: PartialEq>(old: &T, new: T) -> Option<T> {
    (*old != new).then_some(new)
}

/// Field by field, as JSON shows them.
fn differences<T: Serialize>(old: Option<&T>, new: &T, except: &[&str]) -> Vec<FieldChange> {
    let fields = |value: Option<&T>| match value.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => fields,
        _ => Map::new(),
    };
    let (old, new) = (fields(old), fields(Some(new)));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let names = names
        .into_iter()
        .filter(|name| !except.contains(&name.as_str()));
    names
        .map(|name| FieldChange {
            field: name.clone(),
            from: old.get(name).cloned().unwrap_or(Value::Null),
            to: new.get(name).cloned().unwrap_or(Value::Null),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

/// The difference as a person reads it.
pub(super) fn text(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let sign = match change.action {
            "create" => '+',
            "update" => '~',
            _ => '=',
        };
        text.push_str(&format!("{sign} {} {}\n", change.kind, change.name));
        for field in &change.fields {
            let line = match field.from {
                Value::Null => format!("    {}: {}\n", field.field, field.to),
                _ => format!("    {}: {} -> {}\n", field.field, field.from, field.to),
            };
            text.push_str(&line);
        }
    }
    text
}

/// Fields of a machine that no document sets.
const NOT_DOCUMENTED: [&str; 4] = ["id", "facts", "state", "run"];
