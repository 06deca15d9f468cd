//! Machines that turn out to be one, and one that turns out to be two.

use crate::change::{Change, to_the_end};
use crate::machines::no_machine;
use crate::rows::failed;
use crate::{Conflict, MachineRecord, Store, StoreError, validate};
use bootplan::run::{Happening, Order};
use bootplan::{EventKind, MacAddr, Machine, MachineId, MachineState, RunState, Turn};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Store {
    /// Two machines are one: `into` gets the cards and the history of `from`, and what it does not
    /// have of the rest. Its own name, assignment and order stay; those of `from` are gone.
    ///
    /// # Errors
    /// One does not exist; they are the same; one of them is being installed; too many cards;
    /// database failure.
    pub async fn merge(
        &self,
        into: MachineId,
        from: MachineId,
        by: &str,
    ) -> Result<MachineRecord, StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.merge(into, from, &by).await?;
            change.finish().await?;
            store.machine(into).ok_or_else(|| no_machine(into))
        })
        .await
    }

    /// One machine is two: these cards are another one's, which is registered with nothing else,
    /// so that no rule takes it for new and orders anything. Its history stays where it is.
    ///
    /// # Errors
    /// No such machine; a MAC that it does not have; nothing would be left to know it by; it is
    /// being installed; database failure.
    pub async fn split(
        &self,
        id: MachineId,
        macs: Vec<MacAddr>,
        by: &str,
    ) -> Result<MachineRecord, StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let new = change.split(id, &macs, &by).await?;
            change.finish().await?;
            store.machine(new).ok_or_else(|| no_machine(new))
        })
        .await
    }
}

impl Change {
    pub(crate) async fn merge(
        &mut self,
        into: MachineId,
        from: MachineId,
        by: &str,
    ) -> Result<(), StoreError> {
        if into == from {
            return Err(StoreError::Invalid {
                field: "from".to_owned(),
                problem: "a machine is one already with itself".to_owned(),
            });
        }
        let (target, source) = (self.must_know(into)?, self.must_know(from)?);
        self.must_be_idle(&target)?;
        self.must_be_idle(&source)?;
        let mut merged = Machine::clone(&target);
        complete(&mut merged, &source);
        merged.settled = true;
        validate::machine(&merged)?;
        let cancel = Happening::Ordered(Order::Cancel);
        self.happen(from, &cancel, by).await?;
        let doing = failed("merging machines");
        for text in MOVES {
            let moved = sqlx::query(text).bind(into.0).bind(from.0);
            moved.execute(&mut *self.tx).await.map_err(doing)?;
        }
        self.hand_over_events(from, into);
        for conflict in self.conflicts_about(from) {
            let conflict = put_together(conflict, into, from);
            let answered = merged.macs.contains(&conflict.mac) && conflict.suspects.len() == 1;
            let stored = match answered {
                true => self.drop_conflicts(&[conflict.mac]).await,
                false => self.put_conflict(&conflict).await,
            };
            stored.map_err(doing)?;
        }
        self.delete_row(from).await.map_err(doing)?;
        let stored = self.update_machine(&target, &merged).await;
        stored.map_err(doing)?;
        let what = format!("machine '{}' is '{}': merged", source.name, target.name);
        let by = by.to_owned();
        self.say(Some(into), EventKind::Changed { what, by });
        Ok(())
    }

    async fn split(
        &mut self,
        id: MachineId,
        macs: &[MacAddr],
        by: &str,
    ) -> Result<MachineId, StoreError> {
        let unique: BTreeSet<_> = macs.iter().collect();
        let (Some(first), true) = (macs.first(), unique.len() == macs.len()) else {
            return Err(StoreError::Invalid {
                field: "macs".to_owned(),
                problem: "name the cards of the other machine, each once".to_owned(),
            });
        };
        let mut machine = self.must_know(id)?;
        for mac in macs {
            if !machine.macs.contains(mac) {
                return Err(StoreError::Invalid {
                    field: "macs".to_owned(),
                    problem: format!("{mac} is no card of machine '{}'", machine.name),
                });
            }
            self.take_card(&machine, *mac, by).await?;
            machine = self.must_know(id)?;
        }
        let new = self.insert_card(*first, MachineState::Registered).await?;
        let card = self.must_know(new)?;
        let whole = Machine {
            macs: macs.to_vec(),
            ..Machine::clone(&card)
        };
        let stored = self.update_machine(&card, &whole).await;
        stored.map_err(failed("splitting a machine"))?;
        let what = format!("machine '{}' split off '{}'", whole.name, machine.name);
        let by = by.to_owned();
        self.say(Some(new), EventKind::Changed { what, by });
        Ok(new)
    }

    /// What is being written must not become another machine under way.
    pub(crate) fn must_be_idle(&self, machine: &Machine) -> Result<(), StoreError> {
        let at_work = machine.run.as_ref().is_some_and(|run| {
            !run.is_over() && (run.state == RunState::Installing || run.turn == Turn::Granted)
        });
        match at_work {
            false => Ok(()),
            true => Err(StoreError::Conflict {
                what: format!("machine '{}' is being installed", machine.name),
                advice: "wait for its end, or cancel that first".to_owned(),
            }),
        }
    }
}

/// A conflict after `from` has become `into`.
fn put_together(mut conflict: Conflict, into: MachineId, from: MachineId) -> Conflict {
    let known = conflict.suspects.iter().any(|s| s.machine == into);
    if known {
        conflict.suspects.retain(|s| s.machine != from);
    }
    for suspect in &mut conflict.suspects {
        if suspect.machine == from {
            suspect.machine = into;
        }
    }
    conflict.suspects.sort_by_key(|suspect| suspect.machine);
    conflict
}

/// What `source` has and `machine` has not.
fn complete(machine: &mut Machine, source: &Arc<Machine>) {
    let source = Machine::clone(source);
    machine.macs.extend(source.macs);
    if machine.uuid.is_none() {
        machine.uuid = source.uuid;
        machine.facts.uuid_said_once = source.facts.uuid_said_once;
    }
    machine.serial = machine.serial.take().or(source.serial);
    machine.asset = machine.asset.take().or(source.asset);
    for (key, value) in source.labels {
        machine.labels.entry(key).or_insert(value);
    }
    if machine.notes.is_empty() {
        machine.notes = source.notes;
    } else if !source.notes.is_empty() {
        machine.notes = format!("{}\n{}", machine.notes, source.notes);
    }
    if machine.variables.is_empty() {
        machine.variables = source.variables;
    }
    machine.loader = machine.loader.or(source.loader);
    machine.local_boot = machine.local_boot.or(source.local_boot);
    if source.state == MachineState::Registered {
        machine.state = MachineState::Registered;
    }
    let (facts, said) = (&mut machine.facts, source.facts);
    facts.platform = facts.platform.or(said.platform);
    facts.memory_mib = facts.memory_mib.or(said.memory_mib);
    facts.manufacturer = facts.manufacturer.take().or(said.manufacturer);
    facts.product = facts.product.take().or(said.product);
    facts.cpu = facts.cpu.take().or(said.cpu);
    facts.hardware = facts.hardware.take().or(said.hardware);
}

/// Of the second machine to the first.
const MOVES: [&str; 2] = [
    "UPDATE events SET machine_id = $1 WHERE machine_id = $2",
    "UPDATE power SET machine_id = $1 WHERE machine_id = $2 \
     AND NOT EXISTS (SELECT 1 FROM power AS p WHERE p.machine_id = $1)",
];
