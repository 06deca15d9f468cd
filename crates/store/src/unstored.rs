//! Hand-overs that are not on disk yet. They are noted in memory by the thread that sent the last
//! file, so that a journal that is slow, full or failing lets no machine be installed once more:
//! [`decide`](bootplan::decide()) sends it to its disk until the database knows.

use crate::change::to_the_end;
use crate::model::Model;
use crate::runs::FARRIER;
use crate::{Store, StoreError};
use bootplan::run::{self, Happening, Report};
use bootplan::{EventKind, MacAddr, MachineId, Run, RunId, Unstored};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the database is to be told.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    machines: BTreeMap<MachineId, Debt>,
    /// Whether it takes nothing at the moment.
    failing: bool,
}

#[derive(Clone, Debug)]
struct Debt {
    run: RunId,
    /// Events on their way through the journal.
    queued: usize,
    /// Events that did not come through.
    lost: usize,
    /// What the machine reported of which try, and could not be stored.
    said: Option<(u8, Report)>,
}

impl Store {
    /// Notes a hand-over before its event goes to the journal; `Some` when this is one.
    pub(crate) fn note_hand_over(
        &self,
        mac: Option<MacAddr>,
        kind: &EventKind,
    ) -> Option<MachineId> {
        let catalog = self.catalog();
        let machine = catalog.find(mac?, None)?;
        let run = machine.run.as_deref().filter(|run| run.is_at_work())?;
        let profile = catalog.profile(&run.profile)?;
        match run::happening(kind, profile, machine.facts.platform)? {
            Happening::HandedOver => {}
            Happening::Came { attempt } if attempt == run.attempt() => {}
            _ => return None,
        }
        self.owe(|owed| owed.of(machine.id, run).queued += 1);
        Some(machine.id)
    }

    /// The events of these hand-overs are on disk.
    pub(crate) fn hand_overs_stored(&self, machines: &[MachineId]) {
        if !machines.is_empty() {
            self.owe(|owed| {
                owed.settle(machines, |debt| debt.queued = debt.queued.saturating_sub(1))
            });
        }
    }

    /// The events of these hand-overs will never be: they are counted as soon as something can be.
    pub(crate) fn hand_overs_lost(&self, machines: &[MachineId]) {
        for id in machines {
            let name = self.machine(*id).map(|record| record.machine.name.clone());
            tracing::error!(
                machine = name,
                "it was handed over to its installer, and that could not be stored: it boots its \
                 local disk until it is"
            );
        }
        if !machines.is_empty() {
            self.owe(|owed| {
                owed.settle(machines, |debt| {
                    debt.queued = debt.queued.saturating_sub(1);
                    debt.lost += 1;
                });
            });
        }
    }

    /// A machine's report could not be stored; it may not say it again.
    pub(crate) fn report_lost(&self, machine: MachineId, run: RunId, attempt: u8, report: Report) {
        let known = self.machine(machine).and_then(|r| r.machine.run.clone());
        if let Some(known) = known.filter(|k| k.id == run && k.may_report(attempt)) {
            self.owe(|owed| owed.of(machine, &known).said = Some((attempt, report)));
        }
    }

    /// Whether the database takes nothing at the moment.
    pub(crate) fn set_failing(&self, failing: bool) {
        if self.model().owed.failing != failing {
            self.owe(|owed| owed.failing = failing);
        }
    }

    /// Tells the database what it missed, if anything.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        let owed: Vec<(MachineId, Debt)> = {
            let model = self.model();
            let missed = model.owed.machines.iter().filter(|(_, debt)| debt.missed());
            missed.map(|(id, debt)| (*id, debt.clone())).collect()
        };
        if owed.is_empty() {
            return Ok(());
        }
        let store = self.clone();
        to_the_end(async move {
            let mut change = store.begin().await?;
            for (id, debt) in &owed {
                let known = |change: &crate::change::Change| {
                    let run = change.must_know(*id).ok()?.run.clone()?;
                    Some(run.attempt()).filter(|_| run.id == debt.run)
                };
                // A machine or an order that is gone is owed nothing.
                let Some(attempt) = known(&change) else {
                    continue;
                };
                if debt.lost > 0 {
                    let came = Happening::Came { attempt };
                    change.happen(*id, &came, FARRIER).await?;
                }
                if let Some((attempt, report)) = &debt.said {
                    change.hear(*id, *attempt, report).await?;
                }
            }
            change.take_turns().await?;
            change.commit().await?;
            tracing::info!(
                machines = owed.len(),
                "what could not be stored before is stored"
            );
            store.owe(|all| {
                for (id, paid) in &owed {
                    all.settle(&[*id], |debt| {
                        debt.lost -= paid.lost.min(debt.lost);
                        if debt.said == paid.said {
                            debt.said = None;
                        }
                    });
                }
            });
            Ok(())
        })
        .await
    }

    /// Changes what is owed, and publishes what of it matters.
    fn owe(&self, change: impl FnOnce(&mut Owed)) {
        let mut model: std::sync::RwLockWriteGuard<'_, Model> = self.model_mut();
        change(&mut model.owed);
        let shown = model.owed.shown();
        if *model.unstored != shown {
            model.unstored = Arc::new(shown);
            let catalog = model.catalog();
            self.republish(catalog);
        }
    }
}

impl Owed {
    fn of(&mut self, machine: MachineId, run: &Run) -> &mut Debt {
        let fresh = || Debt {
            run: run.id,
            queued: 0,
            lost: 0,
            said: None,
        };
        let debt = self.machines.entry(machine).or_insert_with(fresh);
        if debt.run != run.id {
            *debt = fresh();
        }
        debt
    }

    fn settle(&mut self, machines: &[MachineId], mut change: impl FnMut(&mut Debt)) {
        for id in machines {
            if let Some(debt) = self.machines.get_mut(id) {
                change(debt);
                if debt.queued == 0 && !debt.missed() {
                    self.machines.remove(id);
                }
            }
        }
    }

    fn shown(&self) -> Unstored {
        let machines = self.machines.iter();
        Unstored {
            handed_over: machines.map(|(id, debt)| (*id, debt.run)).collect(),
            failing: self.failing,
        }
    }
}

impl Debt {
    fn missed(&self) -> bool {
        self.lost > 0 || self.said.is_some()
    }
}
