//! Machines as the boot network sees them.

mod plan;

use crate::change::{Change, to_the_end};
use crate::rows::{self, failed};
use crate::{MachineRecord, Store, StoreError, validate};
use bootplan::{
    CircuitId, Event, EventKind, MacAddr, MachineId, Origin, Platform, SystemUuid, Timestamp,
};
use plan::{Draft, Plan};
use sqlx::AssertSqlSafe;
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
    /// SMBIOS asset tag.
    pub asset: Option<String>,
    /// What it can run.
    pub platform: Option<Platform>,
    /// SMBIOS manufacturer.
    pub manufacturer: Option<String>,
    /// SMBIOS product.
    pub product: Option<String>,
    /// Its memory, in MiB.
    pub memory_mib: Option<u32>,
    /// Its processor.
    pub cpu: Option<String>,
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
            asset: None,
            platform: None,
            manufacturer: None,
            product: None,
            memory_mib: None,
            cpu: None,
            place: None,
            relay: None,
            circuit: None,
        }
    }
}

impl Store {
    /// Records that a machine was seen; one that nobody knows becomes a discovered machine. Where
    /// the evidence contradicts itself, the one that has the MAC is told, nothing is learned, and a
    /// [`Conflict`](crate::Conflict) waits for a person.
    ///
    /// # Errors
    /// The MAC is no machine's (not unicast); it is a shared adapter's and nothing else was said;
    /// database failure.
    pub async fn sight(&self, sighting: Sighting) -> Result<Sighted, StoreError> {
        let what = format!(
            "a machine that says nothing but the shared address {}",
            sighting.mac
        );
        let seen = self.sight_all(vec![sighting]).await?;
        seen.into_iter().next().ok_or(StoreError::NotFound { what })
    }

    /// [`sight`](Self::sight) for many, in one transaction and one publication; one answer per
    /// sighting, in order, but none for those that say nothing but a shared adapter's address.
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
        let mut plan = Plan::new(&self.model(), &sightings);
        let evicted = plan.evictions(&self.model(), self.inner.options.discovered_limit);
        if plan.writes_anything() || !events.is_empty() {
            let mut change = self.begin_locked(writer).await?;
            change.delete_machines(&evicted).await?;
            let doing = failed("recording a machine that was seen");
            change.write(&mut plan).await.map_err(doing)?;
            plan.note_users(&mut self.model_mut());
            change.tell(events).await?;
            change.commit().await?;
        }
        let mut model = self.model_mut();
        for draft in &plan.drafts {
            model.seen(draft.machine.id, draft.last_seen, draft.writes_row());
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
                    let made_up = draft.machine.id;
                    Arc::make_mut(&mut draft.machine).id = MachineId(next);
                    plan.doubts.rename(made_up, draft.machine.id);
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
                    self.say_joined(draft);
                }
                Some(_) if draft.writes_row() => {
                    seen.push((draft.machine.id, draft.last_seen));
                }
                Some(_) => {}
            }
        }
        self.write_doubts(plan).await?;
        self.set_last_seen(&seen).await
    }

    /// Another card of a machine that had some already is worth a line.
    fn say_joined(&mut self, draft: &Draft) {
        let Some(known) = draft.known.as_ref().filter(|known| !known.macs.is_empty()) else {
            return;
        };
        let new = draft.machine.macs.iter();
        for mac in new.filter(|mac| !known.macs.contains(mac)) {
            let what = format!("card {mac} is one more of machine '{}'", known.name);
            let by = "farrier".to_owned();
            let origin = Origin {
                mac: Some(*mac),
                ..Origin::default()
            };
            let kind = EventKind::Changed { what, by };
            let at = draft.last_seen;
            self.event(Some(known.id), Event { at, origin, kind });
        }
    }

    async fn write_doubts(&mut self, plan: &Plan) -> Result<(), sqlx::Error> {
        for (mac, conflict) in plan.doubts.changed() {
            let Some(conflict) = conflict else {
                self.drop_conflicts(&[mac]).await?;
                continue;
            };
            self.put_conflict(conflict).await?;
            let (told, owner, machines) = {
                let model = self.store.model();
                let machine = |id| self.overlay.machine(&model, id);
                let suspects = conflict.suspects.iter();
                let machines = suspects.filter_map(|suspect| machine(suspect.machine));
                let machines: Vec<String> = machines.map(|m| m.name.clone()).collect();
                let told = model.doubts.conflicts.contains_key(&mac);
                (told, self.overlay.with_mac(&model, mac), machines)
            };
            if !told {
                let origin = Origin {
                    mac: Some(mac),
                    ..Origin::default()
                };
                let at = conflict.since;
                let kind = EventKind::IdentityConflict { mac, machines };
                self.event(owner, Event { at, origin, kind });
            }
        }
        Ok(())
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
