//! Machines as the boot network sees them.

use crate::change::{Change, to_the_end};
use crate::model::{Model, name_key};
use crate::rows::{self, failed};
use crate::{MachineRecord, Store, StoreError, validate};
use bootplan::{
    Catalog, CircuitId, Event, EventKind, MacAddr, Machine, MachineId, MachineState, Origin,
    Platform, SystemUuid, Timestamp,
};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// One glimpse of a machine: what a packet or URL said about it. Claims, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its hardware address.
    pub mac: MacAddr,
    /// When.
    pub at: Timestamp,
    /// SMBIOS UUID.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    pub serial: Option<String>,
    /// What it can run.
    pub platform: Option<Platform>,
    /// SMBIOS manufacturer.
    pub manufacturer: Option<String>,
    /// SMBIOS product.
    pub product: Option<String>,
    /// Where it asked DHCP from; then `relay` and `circuit` tell the rest of its way, and are
    /// `None` when there was none.
    pub place: Option<Ipv4Addr>,
    /// The relay it asked through.
    pub relay: Option<Ipv4Addr>,
    /// What that relay said of its port.
    pub circuit: Option<CircuitId>,
}

/// What a sighting led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighted {
    /// The machine it was taken for.
    pub machine: MachineRecord,
    /// True when it asked for the first time.
    pub new: bool,
}

impl Sighting {
    /// A sighting that tells nothing but the address.
    pub fn of(mac: MacAddr, at: Timestamp) -> Self {
        Sighting {
            mac,
            at,
            uuid: None,
            serial: None,
            platform: None,
            manufacturer: None,
            product: None,
            place: None,
            relay: None,
            circuit: None,
        }
    }
}

impl Store {
    /// Records that a machine was seen; one that nobody knows becomes a discovered machine.
    ///
    /// # Errors
    /// The MAC is no machine's (not unicast), database failure.
    pub async fn sight(&self, sighting: Sighting) -> Result<Sighted, StoreError> {
        let seen = self.sight_all(vec![sighting]).await?;
        Ok(seen.into_iter().next().expect("one answer per sighting"))
    }

    /// [`sight`](Self::sight) for many, in one transaction and one publication; one answer per
    /// sighting, in order.
    ///
    /// # Errors
    /// As [`sight`](Self::sight); then none is recorded.
    pub async fn sight_all(&self, sightings: Vec<Sighting>) -> Result<Vec<Sighted>, StoreError> {
        let plan = self.record_whole(sightings, Vec::new()).await?;
        Ok(plan.answers().collect())
    }

    /// The machines that were seen, then what happened, each event with the machine that has its
    /// MAC by then: one transaction, one publication.
    ///
    /// # Errors
    /// As [`sight`](Self::sight); then nothing is stored.
    pub(crate) async fn record(
        &self,
        sightings: Vec<Sighting>,
        events: Vec<Event>,
    ) -> Result<(), StoreError> {
        self.record_whole(sightings, events).await.map(drop)
    }

    async fn record_whole(
        &self,
        sightings: Vec<Sighting>,
        events: Vec<Event>,
    ) -> Result<Plan, StoreError> {
        for sighting in &sightings {
            validate::mac("mac", sighting.mac)?;
        }
        let store = self.clone();
        to_the_end(async move { store.record_now(sightings, events).await }).await
    }

    async fn record_now(
        &self,
        sightings: Vec<Sighting>,
        events: Vec<Event>,
    ) -> Result<Plan, StoreError> {
        let writer = self.lock().await?;
        let mut plan = Plan::new(&self.model(), &self.catalog(), &sightings);
        let evicted = plan.evictions(&self.model(), self.inner.options.discovered_limit);
        if plan.writes_anything() || !events.is_empty() {
            let mut change = self.begin_locked(writer).await?;
            change.delete_machines(&evicted).await?;
            let doing = failed("recording a machine that was seen");
            change.write(&mut plan).await.map_err(doing)?;
            change.tell(events).await?;
            change.commit().await?;
        }
        let mut model = self.model_mut();
        for draft in &plan.drafts {
            if let Some(row) = model.machines.get_mut(&draft.machine.id) {
                row.record.last_seen = row.record.last_seen.max(Some(draft.last_seen));
                if draft.writes_row() {
                    row.stored_seen = Some(draft.last_seen.0);
                }
            }
        }
        Ok(plan)
    }
}

impl Change {
    async fn write(&mut self, plan: &mut Plan) -> Result<(), sqlx::Error> {
        let mut seen = Vec::new();
        let new = plan.drafts.iter().filter(|d| d.known.is_none()).count();
        let mut next = match new {
            0 => 0,
            n => rows::reserve(&mut self.tx, "machines", n).await?,
        };
        for draft in &mut plan.drafts {
            match &draft.known {
                None => {
                    Arc::make_mut(&mut draft.machine).id = MachineId(next);
                    next += 1;
                    let (machine, first) = (&draft.machine, draft.first_seen);
                    self.insert_machine(machine, first, Some(draft.last_seen))
                        .await?;
                    let kind = EventKind::Discovered {
                        platform: machine.facts.platform,
                    };
                    let mac = machine.macs.first().copied();
                    let origin = Origin {
                        mac,
                        ..Origin::default()
                    };
                    let at = first;
                    self.event(Some(machine.id), Event { at, origin, kind });
                }
                Some(old) if *old != draft.machine => {
                    self.update_machine(old, &draft.machine).await?;
                    seen.push((draft.machine.id, draft.last_seen));
                }
                Some(_) if draft.writes_row() => {
                    seen.push((draft.machine.id, draft.last_seen));
                }
                Some(_) => {}
            }
        }
        self.set_last_seen(&seen).await
    }

    /// Many to a statement: of a rack that boots, the journal would do little else.
    async fn set_last_seen(&mut self, seen: &[(MachineId, Timestamp)]) -> Result<(), sqlx::Error> {
        // Not laid over: the Catalog does not hold it, so nothing is published for it.
        for piece in rows::pieces(seen) {
            // Both databases call the columns of VALUES so.
            let mut query = sqlx::query(AssertSqlSafe(format!(
                "UPDATE machines SET last_seen = seen.column2 FROM (VALUES {}) AS seen \
                 WHERE machines.id = seen.column1",
                rows::values(&self.tx, piece.len(), 2)
            )));
            for (id, at) in piece {
                query = query.bind(id.0).bind(at.0);
            }
            query.execute(&mut *self.tx).await?;
        }
        Ok(())
    }
}

/// What a batch of sightings comes to; pure.
struct Plan {
    drafts: Vec<Draft>,
    by_mac: HashMap<MacAddr, usize>,
    by_id: HashMap<MachineId, usize>,
    names: BTreeMap<String, ()>,
    /// For each sighting its draft, and whether it was the one that made it.
    answers: Vec<(usize, bool)>,
}

/// A machine as it will be.
struct Draft {
    /// Shared with `known` until it learns something.
    machine: Arc<Machine>,
    /// As it is; `None` for a new one.
    known: Option<Arc<Machine>>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    stored_seen: Option<i64>,
}

impl Plan {
    fn new(model: &Model, catalog: &Catalog, sightings: &[Sighting]) -> Plan {
        let mut plan = Plan {
            drafts: Vec::new(),
            by_mac: HashMap::new(),
            by_id: HashMap::new(),
            names: BTreeMap::new(),
            answers: Vec::with_capacity(sightings.len()),
        };
        for sighting in sightings {
            let found = plan.find(model, catalog, sighting);
            let new = found.is_none();
            let draft = found.unwrap_or_else(|| plan.discover(model, sighting));
            plan.drafts[draft].learn(sighting);
            plan.by_mac.insert(sighting.mac, draft);
            plan.answers.push((draft, new));
        }
        plan
    }

    /// The machine behind a sighting, by the rule of [`Catalog::find`]: its MAC, else a machine
    /// that was entered by this UUID alone and now gets its first MAC; unless it claims another
    /// serial number than was entered.
    fn find(&mut self, model: &Model, catalog: &Catalog, sighting: &Sighting) -> Option<usize> {
        if let Some(draft) = self.by_mac.get(&sighting.mac) {
            return Some(*draft);
        }
        if let Some(id) = model.with_mac(sighting.mac) {
            return self.draft_of(model, id);
        }
        let entered = catalog.find(sighting.mac, sighting.uuid)?.id;
        let draft = self.draft_of(model, entered)?;
        let machine = &self.drafts[draft].machine;
        let claimed = validate::clean(sighting.serial.as_deref());
        let same = match (machine.serial.as_deref(), claimed.as_deref()) {
            (Some(known), Some(claimed)) => known == claimed,
            _ => true,
        };
        // Another card may have come first in this very batch.
        (same && machine.macs.is_empty()).then_some(draft)
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
        let plain = sighting.mac.dashed();
        // Somebody may have given another machine this very name.
        let name = std::iter::once(plain.clone())
            .chain((2..).map(|n| format!("{plain}-{n}")))
            .find(|name| {
                model.with_name(name).is_none() && !self.names.contains_key(&name_key(name))
            })
            .expect("an endless supply of names");
        self.names.insert(name_key(&name), ());
        self.drafts.push(Draft {
            machine: Arc::new(Machine {
                state: MachineState::Discovered,
                ..Machine::named(MachineId(0), name)
            }),
            known: None,
            first_seen: sighting.at,
            last_seen: sighting.at,
            stored_seen: None,
        });
        self.drafts.len() - 1
    }

    /// The discovered machines that give way, least recently seen first.
    fn evictions(&self, model: &Model, limit: usize) -> Vec<MachineId> {
        let new = self.drafts.iter().filter(|d| d.known.is_none()).count();
        if new == 0 {
            return Vec::new();
        }
        let records = model.machines.values().map(|row| &row.record);
        let mut discovered: Vec<_> = records
            .filter(|r| r.machine.state == MachineState::Discovered)
            .map(|r| (r.last_seen, r.machine.id))
            .collect();
        let surplus = (discovered.len() + new).saturating_sub(limit);
        discovered.retain(|(_, id)| !self.by_id.contains_key(id));
        discovered.sort_unstable();
        discovered.truncate(surplus);
        discovered.into_iter().map(|(_, id)| id).collect()
    }

    fn answers(&self) -> impl Iterator<Item = Sighted> {
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

    fn writes_anything(&self) -> bool {
        self.drafts.iter().any(Draft::writes_row)
    }
}

impl Draft {
    fn learn(&mut self, sighting: &Sighting) {
        self.last_seen = self.last_seen.max(sighting.at);
        let known = &*self.machine;
        let mut facts = known.facts.clone();
        facts.platform = sighting.platform.or(facts.platform);
        let newer = |said: &Option<String>, known: &mut Option<String>| {
            if let Some(text) = validate::clean(said.as_deref()) {
                *known = Some(text);
            }
        };
        newer(&sighting.manufacturer, &mut facts.manufacturer);
        newer(&sighting.product, &mut facts.product);
        if sighting.place.is_some() {
            facts.place = sighting.place;
            facts.relay = sighting.relay;
            facts.circuit = sighting.circuit;
        }
        // What an operator entered, or what was said first, stays: these are claims, and a
        // machine must not lose its identity to a forged packet.
        let uuid = known.uuid.or(sighting.uuid.filter(|u| u.is_identity()));
        let serial = match &known.serial {
            None => validate::clean(sighting.serial.as_deref()),
            known => known.clone(),
        };
        let carded = known.macs.contains(&sighting.mac);
        if carded && uuid == known.uuid && serial == known.serial && facts == known.facts {
            return;
        }
        let machine = Arc::make_mut(&mut self.machine);
        if !carded {
            machine.macs.push(sighting.mac);
        }
        machine.uuid = uuid;
        machine.serial = serial;
        machine.facts = facts;
    }

    /// Whether the row is written, or this glimpse is remembered in memory only.
    fn writes_row(&self) -> bool {
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

/// A machine that asks every second costs one small write in ten.
const SEEN_EVERY_MS: i64 = 10_000;
