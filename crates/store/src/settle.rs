//! What a person says of an address that was in doubt.

use crate::change::{Change, now, to_the_end};
use crate::rows::{self, failed};
use crate::{Conflict, SharedMac, Store, StoreError, validate};
use bootplan::identity::Claim;
use bootplan::{EventKind, MacAddr, Machine, MachineId, MachineState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a person says of an address in conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is this machine's, and what was said by it last is true of that machine: a card more, a
    /// card that moved, a new mainboard.
    Is(MachineId),
    /// It is a machine that nobody knows; what was said by it last is true of that one, and
    /// whatever holds for new machines holds for it.
    Another,
    /// Several machines use it: it tells nothing about any of them from now on.
    Shared {
        /// What it is, for people.
        why: String,
    },
    /// Nothing changes; what was said counts for nothing. It is asked again when it is said again.
    Dismiss,
}

impl Store {
    /// Ends a conflict. Returns the machine that the address has now, if it is one's.
    ///
    /// # Errors
    /// No conflict at this address; no such machine; a machine that would be left without anything
    /// to know it by, or is being installed; database failure.
    pub async fn settle(
        &self,
        mac: MacAddr,
        settlement: Settlement,
        by: &str,
    ) -> Result<Option<MachineId>, StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let conflict = change.must_be_in_conflict(mac)?;
            match settlement {
                Settlement::Is(id) => change.settle_as(&conflict, id, &by).await?,
                Settlement::Another => change.settle_as_new(&conflict, &by).await?,
                Settlement::Shared { why } => change.mark_shared(mac, &why, None, &by).await?,
                Settlement::Dismiss => {
                    let what = format!("what was said by {mac} dismissed; nothing changes");
                    let owner = change.owner(mac);
                    change.say(owner.map(|m| m.id), EventKind::Changed { what, by });
                }
            }
            let dropped = change.drop_conflicts(&[mac]).await;
            dropped.map_err(failed("settling a conflict"))?;
            change.finish().await?;
            Ok(store.model().with_mac(mac))
        })
        .await
    }

    /// Several machines use this adapter: its address tells nothing about any of them. Its labels
    /// stay when none are given.
    ///
    /// # Errors
    /// Its machine would be left without anything to know it by; an illegal text or label; database
    /// failure.
    pub async fn mark_shared(
        &self,
        mac: MacAddr,
        why: &str,
        labels: Option<BTreeMap<String, String>>,
        by: &str,
    ) -> Result<(), StoreError> {
        let (store, why, by) = (self.clone(), why.to_owned(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.mark_shared(mac, &why, labels, &by).await?;
            change.finish().await
        })
        .await
    }
}

impl Change {
    async fn settle_as(
        &mut self,
        conflict: &Conflict,
        id: MachineId,
        by: &str,
    ) -> Result<(), StoreError> {
        let mac = conflict.mac;
        let known = self.must_know(id)?;
        if let Some(owner) = self.owner(mac).filter(|owner| owner.id != id) {
            // A card that was taken for a machine: nothing else is known of it.
            if owner.macs.len() == 1 && owner.state == MachineState::Discovered {
                self.merge(id, owner.id, by).await?;
            } else {
                self.take_card(&owner, mac, by).await?;
            }
        }
        let known = self.must_know(known.id)?;
        let mut machine = Machine::clone(&known);
        if !machine.macs.contains(&mac) {
            machine.macs.push(mac);
        }
        believe(&mut machine, conflict.claims.last());
        machine.settled = true;
        if machine == *known {
            return Ok(());
        }
        validate::machine(&machine)?;
        let stored = self.update_machine(&known, &machine).await;
        stored.map_err(failed("storing a machine"))?;
        let what = format!("{mac} is machine '{}', as it says of itself", machine.name);
        let by = by.to_owned();
        self.say(Some(id), EventKind::Changed { what, by });
        Ok(())
    }

    async fn settle_as_new(&mut self, conflict: &Conflict, by: &str) -> Result<(), StoreError> {
        let mac = conflict.mac;
        let owner = self.owner(mac);
        let fits = |owner: &&Arc<Machine>| {
            let claim = conflict.claims.last();
            let own = claim_of(owner);
            claim.is_none_or(|claim| own.agrees(claim))
        };
        // It has been taken for a new machine already, and says nothing that this one cannot be.
        let id = match owner.as_ref().filter(fits) {
            Some(owner) => owner.id,
            None => {
                if let Some(owner) = &owner {
                    self.take_card(owner, mac, by).await?;
                }
                self.insert_card(mac, MachineState::Discovered).await?
            }
        };
        let known = self.must_know(id)?;
        let mut machine = Machine::clone(&known);
        believe(&mut machine, conflict.claims.last());
        machine.settled = true;
        let stored = self.update_machine(&known, &machine).await;
        stored.map_err(failed("storing a machine"))?;
        let what = format!("{mac} is a machine of its own, '{}'", machine.name);
        let by = by.to_owned();
        self.say(Some(id), EventKind::Changed { what, by });
        Ok(())
    }

    pub(crate) async fn mark_shared(
        &mut self,
        mac: MacAddr,
        why: &str,
        labels: Option<BTreeMap<String, String>>,
        by: &str,
    ) -> Result<(), StoreError> {
        validate::mac("mac", mac)?;
        validate::name("why", why, validate::NAME_LIMIT)?;
        let known = self.store.model().doubts.shared.get(&mac).cloned();
        let had = known.as_ref().map(|known| known.labels.clone());
        let shared = SharedMac {
            mac,
            why: why.to_owned(),
            labels: labels.or(had).unwrap_or_default(),
            since: known.as_ref().map_or_else(now, |known| known.since),
        };
        validate::labels(&shared.labels)?;
        if known.as_ref() == Some(&shared) {
            return Ok(());
        }
        let owner = self.owner(mac);
        if let Some(owner) = &owner {
            let nothing_else = owner.macs.len() == 1 && owner.uuid.is_none();
            if nothing_else && owner.state == MachineState::Discovered {
                self.delete_machines(&[owner.id]).await?;
            } else {
                self.take_card(owner, mac, by).await?;
            }
        }
        let doing = failed("storing a shared adapter");
        self.put_shared(&shared).await.map_err(doing)?;
        self.drop_conflicts(&[mac]).await.map_err(doing)?;
        let what = format!("adapter '{mac}' marked as shared: {why}");
        let by = by.to_owned();
        self.say(owner.map(|m| m.id), EventKind::Changed { what, by });
        Ok(())
    }

    /// A card is not this machine's any more.
    pub(crate) async fn take_card(
        &mut self,
        machine: &Arc<Machine>,
        mac: MacAddr,
        by: &str,
    ) -> Result<(), StoreError> {
        let mut without = Machine::clone(machine);
        without.macs.retain(|known| *known != mac);
        if validate::machine(&without).is_err() {
            return Err(StoreError::Conflict {
                what: format!("machine '{}' is known by {mac} alone", machine.name),
                advice: "merge it into the other machine, enter its UUID first, or delete it"
                    .to_owned(),
            });
        }
        self.must_be_idle(machine)?;
        let stored = self.update_machine(machine, &without).await;
        stored.map_err(failed("storing a machine"))?;
        let what = format!("card {mac} taken away from machine '{}'", machine.name);
        let by = by.to_owned();
        self.say(Some(machine.id), EventKind::Changed { what, by });
        Ok(())
    }

    /// A machine of which nothing but one card is known.
    pub(crate) async fn insert_card(
        &mut self,
        mac: MacAddr,
        state: MachineState,
    ) -> Result<MachineId, StoreError> {
        let doing = failed("storing a machine");
        let id = rows::reserve(&mut self.tx, "machines", 1).await;
        let id = MachineId(id.map_err(doing)?);
        let name = {
            let model = self.store.model();
            let taken = |name: &str| self.overlay.with_name(&model, name).is_some();
            let plain = mac.dashed();
            std::iter::once(plain.clone())
                .chain((2..).map(|n| format!("{plain}-{n}")))
                .find(|name| !taken(name))
                .expect("an endless supply of names")
        };
        let machine = Machine {
            macs: vec![mac],
            state,
            ..Machine::named(id, name)
        };
        let stored = self.insert_machine(&machine, now(), None).await;
        stored.map_err(doing)?;
        Ok(id)
    }

    pub(crate) fn owner(&self, mac: MacAddr) -> Option<Arc<Machine>> {
        let model = self.store.model();
        let id = self.overlay.with_mac(&model, mac)?;
        self.overlay.machine(&model, id).cloned()
    }

    fn must_be_in_conflict(&self, mac: MacAddr) -> Result<Conflict, StoreError> {
        let found = self.store.model().doubts.conflicts.get(&mac).cloned();
        found.ok_or_else(|| StoreError::NotFound {
            what: format!("a conflict at {mac}"),
        })
    }
}

/// What a machine would say of itself.
fn claim_of(machine: &Machine) -> Claim {
    Claim {
        uuid: machine.uuid.filter(|_| !machine.facts.uuid_said_once),
        serial: machine.serial.clone(),
        product: machine.facts.product.clone(),
        asset: machine.asset.clone(),
    }
}

/// A person has said that this is true.
fn believe(machine: &mut Machine, claim: Option<&Claim>) {
    let Some(claim) = claim else {
        return;
    };
    if claim.uuid.is_some() {
        machine.uuid = claim.uuid;
        machine.facts.uuid_said_once = false;
    }
    let texts = [
        (&mut machine.serial, &claim.serial),
        (&mut machine.asset, &claim.asset),
        (&mut machine.facts.product, &claim.product),
    ];
    for (known, said) in texts {
        if said.is_some() {
            known.clone_from(said);
        }
    }
}
