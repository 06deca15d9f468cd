//! What a batch of sightings comes to; pure.

use super::{Sighted, Sighting};
use crate::model::{Model, name_key};
use crate::{Conflict, MachineRecord, validate};
use bootplan::identity::{self, Claim, Conclusion, Evidence, Observation, Suspect};
use bootplan::{MacAddr, Machine, MachineId, MachineState, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub(super) struct Plan {
    pub(super) drafts: Vec<Draft>,
    pub(super) doubts: Doubts,
    by_mac: HashMap<MacAddr, usize>,
    by_id: HashMap<MachineId, usize>,
    names: BTreeSet<String>,
    /// For each sighting that tells a machine its draft, and whether it was the one that made it.
    answers: Vec<(usize, bool)>,
    /// Who asked through a shared adapter last.
    users: HashMap<MacAddr, usize>,
}

/// A machine as it will be.
pub(super) struct Draft {
    /// Shared with `known` until it learns something.
    pub(super) machine: Arc<Machine>,
    /// As it is; `None` for a new one, which has a made-up identity below zero until it is stored.
    pub(super) known: Option<Arc<Machine>>,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    stored_seen: Option<i64>,
}

/// The conflicts that come, change, or (`None`) are none any more.
#[derive(Default)]
pub(super) struct Doubts(BTreeMap<MacAddr, Option<Conflict>>);

impl Plan {
    pub(super) fn new(model: &Model, sightings: &[Sighting]) -> Plan {
        let mut plan = Plan {
            drafts: Vec::new(),
            doubts: Doubts::default(),
            by_mac: HashMap::new(),
            by_id: HashMap::new(),
            names: BTreeSet::new(),
            answers: Vec::with_capacity(sightings.len()),
            users: HashMap::new(),
        };
        for sighting in sightings {
            let told = plan.take(model, sighting);
            plan.answers.extend(told);
        }
        plan
    }

    /// The draft of the machine that was seen, and whether it is a new one.
    fn take(&mut self, model: &Model, sighting: &Sighting) -> Option<(usize, bool)> {
        let sighting = &cleaned(sighting);
        let seen = Observation {
            mac: sighting.mac,
            uuid: sighting.uuid,
            serial: sighting.serial.as_deref(),
            product: sighting.product.as_deref(),
            asset: sighting.asset.as_deref(),
        };
        let shared = model.doubts.shared.contains_key(&sighting.mac);
        let owner = match shared {
            true => None,
            false => self.with_mac(model, sighting.mac),
        };
        let claim = Claim::of(&seen);
        let Some(claim) = &claim else {
            // It says nothing but its address.
            let found = owner.or_else(|| (!shared).then(|| self.discover(model, sighting)));
            return found.map(|draft| self.learn(draft, sighting, owner.is_none(), shared));
        };
        let candidates = self.candidates(model, &seen, owner);
        let known = candidates.iter().map(|machine| &**machine);
        let adapters = match shared {
            true => BTreeSet::from([sighting.mac]),
            false => BTreeSet::new(),
        };
        match identity::conclude(&seen, known, &adapters) {
            Conclusion::Is(id) => {
                let draft = self.draft_of(model, id)?;
                match self.resolve(model, sighting.mac, draft, claim) {
                    true => Some(self.learn(draft, sighting, false, shared)),
                    false => Some(self.glimpse(draft, sighting, false)),
                }
            }
            // A shared adapter tells nothing: only a UUID of its own makes a machine known again.
            Conclusion::New if shared && claim.uuid.is_none() => None,
            Conclusion::New => {
                let draft = self.discover(model, sighting);
                Some(self.learn(draft, sighting, true, shared))
            }
            Conclusion::Conflict(suspects) if !shared => {
                let draft = owner.unwrap_or_else(|| self.discover(model, sighting));
                self.doubt(model, sighting, draft, suspects, claim.clone());
                Some(self.glimpse(draft, sighting, owner.is_none()))
            }
            Conclusion::Conflict(_) | Conclusion::Untold => None,
        }
    }

    /// All machines that anything but an asset tag speaks for; those are never enough.
    fn candidates(
        &mut self,
        model: &Model,
        seen: &Observation<'_>,
        owner: Option<usize>,
    ) -> Vec<Arc<Machine>> {
        let mut ids: BTreeSet<MachineId> = model.alike(seen.uuid, seen.serial).collect();
        ids.retain(|id| !self.by_id.contains_key(id));
        let rows = ids.iter().filter_map(|id| model.machine(*id));
        let mut found: Vec<Arc<Machine>> = rows.map(|row| Arc::clone(&row.machine)).collect();
        for (index, draft) in self.drafts.iter().enumerate() {
            let machine = &draft.machine;
            let serial = |text: &str| Model::serial_key(text);
            let same_serial = match (seen.serial, machine.serial.as_deref()) {
                (Some(seen), Some(known)) => serial(seen) == serial(known),
                _ => false,
            };
            if Some(index) == owner || same_serial || identity::same_uuid(seen.uuid, machine) {
                found.push(Arc::clone(machine));
            }
        }
        found
    }

    fn with_mac(&mut self, model: &Model, mac: MacAddr) -> Option<usize> {
        if let Some(draft) = self.by_mac.get(&mac) {
            return Some(*draft);
        }
        self.draft_of(model, model.with_mac(mac)?)
    }

    fn draft_of(&mut self, model: &Model, id: MachineId) -> Option<usize> {
        if let Some(draft) = self.by_id.get(&id) {
            return Some(*draft);
        }
        let row = model.machines.get(&id)?;
        self.by_id.insert(id, self.drafts.len());
        self.drafts.push(Draft {
            machine: Arc::clone(&row.record.machine),
            known: Some(Arc::clone(&row.record.machine)),
            first_seen: row.record.first_seen,
            last_seen: row.record.last_seen.unwrap_or_default(),
            stored_seen: row.stored_seen,
        });
        Some(self.drafts.len() - 1)
    }

    fn discover(&mut self, model: &Model, sighting: &Sighting) -> usize {
        let shared = model.doubts.shared.contains_key(&sighting.mac);
        let plain = match sighting.uuid {
            // Several machines use that address.
            Some(uuid) if shared => uuid.to_string(),
            _ => sighting.mac.dashed(),
        };
        // Somebody may have given another machine this very name.
        let name = std::iter::once(plain.clone())
            .chain((2..).map(|n| format!("{plain}-{n}")))
            .find(|name| model.with_name(name).is_none() && !self.names.contains(&name_key(name)))
            .expect("an endless supply of names");
        self.names.insert(name_key(&name));
        let index = self.drafts.len();
        let made_up = MachineId(-1 - i64::try_from(index).expect("a batch fits in memory"));
        self.by_id.insert(made_up, index);
        self.drafts.push(Draft {
            machine: Arc::new(Machine {
                state: MachineState::Discovered,
                ..Machine::named(made_up, name)
            }),
            known: None,
            first_seen: sighting.at,
            last_seen: sighting.at,
            stored_seen: None,
        });
        index
    }

    fn learn(
        &mut self,
        draft: usize,
        sighting: &Sighting,
        new: bool,
        shared: bool,
    ) -> (usize, bool) {
        self.drafts[draft].learn(sighting, !shared);
        if shared {
            self.users.insert(sighting.mac, draft);
        } else {
            self.by_mac.insert(sighting.mac, draft);
        }
        (draft, new)
    }

    /// It asked, and that is all that is certain; a new one is at least known by its address.
    fn glimpse(&mut self, draft: usize, sighting: &Sighting, new: bool) -> (usize, bool) {
        if new {
            let nameless = Sighting {
                uuid: None,
                serial: None,
                asset: None,
                ..sighting.clone()
            };
            return self.learn(draft, &nameless, true, false);
        }
        let draft_ = &mut self.drafts[draft];
        draft_.last_seen = draft_.last_seen.max(sighting.at);
        (draft, false)
    }

    fn doubt(
        &mut self,
        model: &Model,
        sighting: &Sighting,
        owner: usize,
        mut suspects: Vec<Suspect>,
        claim: Claim,
    ) {
        let machine = &self.drafts[owner].machine;
        if !suspects.iter().any(|s| s.machine == machine.id) {
            suspects.push(Suspect {
                machine: machine.id,
                evidence: vec![Evidence::Mac],
            });
            suspects.sort_by_key(|suspect| suspect.machine);
        }
        let mac = sighting.mac;
        let known = self.doubts.of(model, mac);
        let mut conflict = known.cloned().unwrap_or_else(|| Conflict {
            mac,
            suspects: Vec::new(),
            claims: Vec::new(),
            quiet: false,
            since: sighting.at,
        });
        let twin = conflict.twin();
        let asked = std::mem::replace(&mut conflict.suspects, suspects);
        if twin && !conflict.twin() {
            // Whatever is said next, this stays the question.
            conflict.suspects = asked;
        }
        conflict.hear(claim);
        conflict.quiet = identity::same_uuid(sighting.uuid, machine) && !conflict.twin();
        self.doubts.put(model, conflict);
    }

    /// A machine was told apart through an address that may be in doubt; false when it still is,
    /// so that nothing can be learned of it.
    fn resolve(&mut self, model: &Model, mac: MacAddr, draft: usize, claim: &Claim) -> bool {
        let Some(conflict) = self.doubts.of(model, mac) else {
            return true;
        };
        if conflict.answered_by(claim) {
            self.doubts.drop(model, mac);
            return true;
        }
        let own = identity::same_uuid(claim.uuid, &self.drafts[draft].machine);
        let quiet = own && !conflict.twin();
        if quiet != conflict.quiet {
            let conflict = Conflict {
                quiet,
                ..conflict.clone()
            };
            self.doubts.put(model, conflict);
        }
        quiet
    }

    /// The discovered machines that give way, least recently seen first.
    pub(super) fn evictions(&self, model: &Model, limit: usize) -> Vec<MachineId> {
        let new = self.drafts.iter().filter(|d| d.known.is_none()).count();
        if new == 0 {
            return Vec::new();
        }
        let records = model.machines.values().map(|row| &row.record);
        let mut discovered: Vec<_> = records
            .filter(|r| r.machine.state == MachineState::Discovered && !r.machine.settled)
            .map(|r| (r.last_seen, r.machine.id))
            .collect();
        let surplus = (discovered.len() + new).saturating_sub(limit);
        discovered.retain(|(_, id)| !self.by_id.contains_key(id));
        discovered.sort_unstable();
        discovered.truncate(surplus);
        discovered.into_iter().map(|(_, id)| id).collect()
    }

    /// Events that tell only a shared adapter's address belong to whoever used it last.
    pub(super) fn note_users(&self, model: &mut Model) {
        let users = self.users.iter();
        let users = users.map(|(mac, draft)| (*mac, self.drafts[*draft].machine.id));
        model.users.extend(users);
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = Sighted> {
        self.answers.iter().map(|(draft, new)| {
            let draft = &self.drafts[*draft];
            Sighted {
                machine: MachineRecord {
                    machine: Arc::clone(&draft.machine),
                    first_seen: draft.first_seen,
                    last_seen: Some(draft.last_seen),
                },
                new: *new,
            }
        })
    }

    pub(super) fn writes_anything(&self) -> bool {
        !self.doubts.0.is_empty() || self.drafts.iter().any(Draft::writes_row)
    }
}

impl Doubts {
    fn of<'a>(&'a self, model: &'a Model, mac: MacAddr) -> Option<&'a Conflict> {
        match self.0.get(&mac) {
            Some(changed) => changed.as_ref(),
            None => model.doubts.conflicts.get(&mac),
        }
    }

    fn put(&mut self, model: &Model, conflict: Conflict) {
        let mac = conflict.mac;
        if model.doubts.conflicts.get(&mac) == Some(&conflict) {
            self.0.remove(&mac);
        } else {
            self.0.insert(mac, Some(conflict));
        }
    }

    fn drop(&mut self, model: &Model, mac: MacAddr) {
        if model.doubts.conflicts.contains_key(&mac) {
            self.0.insert(mac, None);
        } else {
            self.0.remove(&mac);
        }
    }

    /// A machine that was made up has got its identity.
    pub(super) fn rename(&mut self, made_up: MachineId, id: MachineId) {
        for conflict in self.0.values_mut().flatten() {
            for suspect in &mut conflict.suspects {
                if suspect.machine == made_up {
                    suspect.machine = id;
                }
            }
            conflict.suspects.sort_by_key(|suspect| suspect.machine);
        }
    }

    pub(super) fn changed(&self) -> impl Iterator<Item = (MacAddr, Option<&Conflict>)> {
        self.0
            .iter()
            .map(|(mac, conflict)| (*mac, conflict.as_ref()))
    }
}

impl Draft {
    fn learn(&mut self, sighting: &Sighting, carded: bool) {
        self.last_seen = self.last_seen.max(sighting.at);
        let known = &*self.machine;
        let mut facts = known.facts.clone();
        facts.platform = sighting.platform.or(facts.platform);
        facts.memory_mib = sighting.memory_mib.or(facts.memory_mib);
        let texts = [
            (&sighting.manufacturer, &mut facts.manufacturer),
            (&sighting.product, &mut facts.product),
            (&sighting.cpu, &mut facts.cpu),
        ];
        for (said, fact) in texts {
            if said.is_some() {
                fact.clone_from(said);
            }
        }
        if sighting.place.is_some() {
            facts.place = sighting.place;
            facts.relay = sighting.relay;
            facts.circuit = sighting.circuit;
        }
        // What an operator entered, or what was said before, stays: these are claims, and a
        // machine must not lose its identity to a forged packet. Nor must it be kept from its own
        // by one: what a single packet said gives way.
        let said = sighting.uuid.filter(|uuid| uuid.is_identity());
        let doubtful = known.uuid.is_none() || facts.uuid_said_once;
        let same = identity::same_uuid(said, known);
        let uuid = match said {
            Some(said) if doubtful && !same => {
                facts.uuid_said_once = true;
                Some(said)
            }
            said => {
                facts.uuid_said_once &= said.is_none();
                known.uuid
            }
        };
        let or_said = |known: &Option<String>, said: &Option<String>| {
            let real = said.as_ref().filter(|text| !identity::is_junk(text));
            known.clone().or_else(|| real.cloned())
        };
        // A serial number that is none is still shown, until a real one comes.
        let serial = or_said(&known.serial, &sighting.serial).or_else(|| sighting.serial.clone());
        let asset = or_said(&known.asset, &sighting.asset);
        let new_card = carded
            && !known.macs.contains(&sighting.mac)
            && known.macs.len() < validate::MACS_LIMIT;
        let learned = (uuid, &serial, &asset, &facts);
        if !new_card && learned == (known.uuid, &known.serial, &known.asset, &known.facts) {
            return;
        }
        let machine = Arc::make_mut(&mut self.machine);
        if new_card {
            machine.macs.push(sighting.mac);
        }
        machine.uuid = uuid;
        machine.serial = serial;
        machine.asset = asset;
        machine.facts = facts;
    }

    /// Whether the row is written, or this glimpse is remembered in memory only.
    pub(super) fn writes_row(&self) -> bool {
        let seen_due = match self.stored_seen {
            None => true,
            Some(stored) => self.last_seen.0.saturating_sub(stored) >= SEEN_EVERY_MS,
        };
        match &self.known {
            None => true,
            Some(old) => seen_due || *old != self.machine,
        }
    }
}

/// As it may be stored and shown.
fn cleaned(sighting: &Sighting) -> Sighting {
    let clean = |text: &Option<String>| validate::clean(text.as_deref());
    Sighting {
        serial: clean(&sighting.serial),
        asset: clean(&sighting.asset),
        manufacturer: clean(&sighting.manufacturer),
        product: clean(&sighting.product),
        cpu: clean(&sighting.cpu),
        ..sighting.clone()
    }
}

/// A machine that asks every second costs one small write in ten.
const SEEN_EVERY_MS: i64 = 10_000;

#[cfg(test)]
mod tests;
