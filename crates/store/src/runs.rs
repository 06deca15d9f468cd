//! Orders to install: what begins them, what happens to them, and whose turn it is.

use crate::change::{Change, now, to_the_end};
use crate::rows::{self, failed, to_json};
use crate::{Store, StoreError};
use bootplan::run::{self, Happening, Order};
use bootplan::{
    Arming, BootMethod, EventKind, MachineId, MachineState, Mode, ProfileName, Run, RunId, RunKind,
    RunState, Turn,
};
use std::sync::Arc;

impl Store {
    /// Orders machines to boot a profile: all of them or, on an error, none. An installation is
    /// also assigned, to be installed once. An earlier order that nothing has come of gives way.
    ///
    /// # Errors
    /// A machine or the profile does not exist; a conflict while one of them is being installed;
    /// database failure.
    pub async fn arm(&self, ids: &[MachineId], arming: Arming, by: &str) -> Result<(), StoreError> {
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.arm(&ids, &arming, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Something happens to the runs of these machines; then whoever's turn it is gets a slot.
    /// Returns how many of them it changed: none for a report that comes from nowhere.
    ///
    /// # Errors
    /// A machine does not exist, database failure; then nothing has happened.
    pub async fn happen(
        &self,
        ids: &[MachineId],
        happening: Happening,
        by: &str,
    ) -> Result<usize, StoreError> {
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let mut changed = 0;
            for id in ids {
                changed += usize::from(change.happen(id, &happening, &by).await?);
            }
            if changed > 0 {
                change.take_turns().await?;
                // Not every step has an event: the queue moves quietly.
                change.commit().await?;
            }
            Ok(changed)
        })
        .await
    }

    /// Time passes: windows open and close, limits are reached, slots come back. To be called
    /// some times a minute; `week_minute` counts from Monday 00:00 in the server's own zone.
    ///
    /// # Errors
    /// Database failure.
    pub async fn tick(&self, week_minute: u16) -> Result<(), StoreError> {
        let happening = Happening::Tick { week_minute };
        if !self.anything_due(&happening) {
            return Ok(());
        }
        let store = self.clone();
        to_the_end(async move {
            let mut change = store.begin().await?;
            for id in store.due(&happening) {
                change.happen(id, &happening, FARRIER).await?;
            }
            change.take_turns().await?;
            change.commit().await.map(drop)
        })
        .await
    }

    fn anything_due(&self, happening: &Happening) -> bool {
        let model = self.model();
        let machines = model.machines.values().map(|row| &row.record.machine);
        let runs = machines.filter_map(|m| Some((m.id, m.run.as_deref()?)));
        !run::next_turns(runs, model.site.install_slots).is_empty() || {
            drop(model);
            !self.due(happening).is_empty()
        }
    }

    fn due(&self, happening: &Happening) -> Vec<MachineId> {
        let model = self.model();
        let machines = model.machines.values().map(|row| &row.record.machine);
        let due = machines.filter(|machine| {
            let run = machine.run.as_deref();
            run.is_some_and(|run| run::step(run, happening, now()).is_some())
        });
        due.map(|machine| machine.id).collect()
    }
}

impl Change {
    pub(crate) async fn arm(
        &mut self,
        ids: &[MachineId],
        arming: &Arming,
        by: &str,
    ) -> Result<(), StoreError> {
        self.must_be_bootable(&arming.profile)?;
        let ids = self.those(ids, |_| true)?;
        for id in &ids {
            self.give_way(*id, arming.force, by).await?;
        }
        let doing = failed("storing an order");
        if arming.kind == RunKind::Install {
            let profile = Some(arming.profile.clone());
            let wanted = (&profile, Mode::InstallOnce);
            let changed = self.those(&ids, |m| (&m.profile, m.mode) != wanted)?;
            let name = profile.as_ref();
            let assigned = self.set_profile(&changed, name, Mode::InstallOnce).await;
            assigned.map_err(doing)?;
            for id in changed {
                let (profile, by) = (profile.clone(), by.to_owned());
                self.say(Some(id), EventKind::Assigned { profile, by });
            }
        }
        let new = self.those(&ids, |m| m.state == MachineState::Discovered)?;
        self.register(&new).await.map_err(doing)?;
        let first = rows::reserve(&mut self.tx, "runs", ids.len()).await;
        for (id, number) in ids.into_iter().zip(first.map_err(doing)?..) {
            let run = arming.clone().run(RunId(number), by, now());
            let told = run.told(by);
            self.put_run(id, run).await?;
            self.forget_old_runs(id).await.map_err(doing)?;
            self.say(Some(id), told);
        }
        Ok(())
    }

    /// What a run makes of this; false when nothing.
    pub(crate) async fn happen(
        &mut self,
        id: MachineId,
        happening: &Happening,
        by: &str,
    ) -> Result<bool, StoreError> {
        let machine = self.must_know(id)?;
        let Some(run) = machine.run.as_deref() else {
            return Ok(false);
        };
        let Some(next) = run::step(run, happening, now()) else {
            return Ok(false);
        };
        let event = next.event(run, by);
        self.put_run(id, next).await?;
        if let Some(kind) = event {
            self.say(Some(id), kind);
        }
        Ok(true)
    }

    /// Gives free slots to those that have waited longest.
    pub(crate) async fn take_turns(&mut self) -> Result<(), StoreError> {
        let next = {
            let model = self.store.model();
            let slots = self.overlay.site(&model).install_slots;
            let machines = self.overlay.machines(&model);
            let runs = machines.filter_map(|m| Some((m.id, m.run.as_deref()?)));
            run::next_turns(runs, slots)
        };
        for id in next {
            self.happen(id, &Happening::Granted, FARRIER).await?;
        }
        Ok(())
    }

    /// Somebody assigned something else: what was to be installed is not any more.
    pub(crate) async fn call_off(&mut self, id: MachineId, by: &str) -> Result<(), StoreError> {
        let machine = self.must_know(id)?;
        if machine
            .run
            .as_ref()
            .is_some_and(|run| run.kind == RunKind::Install)
        {
            let cancel = Happening::Ordered(Order::Cancel);
            self.happen(id, &cancel, by).await?;
        }
        Ok(())
    }

    /// Ends a run that a new order replaces; one that is at work is not to be replaced unseen.
    async fn give_way(&mut self, id: MachineId, force: bool, by: &str) -> Result<(), StoreError> {
        let machine = self.must_know(id)?;
        let at_work = machine
            .run
            .as_ref()
            .is_some_and(|run| run.state == RunState::Installing || run.turn == Turn::Granted);
        if at_work && !force {
            return Err(StoreError::Conflict {
                what: format!("machine '{}' is being installed", machine.name),
                advice: "cancel that first, or order it with `force`".to_owned(),
            });
        }
        let cancel = Happening::Ordered(Order::Cancel);
        self.happen(id, &cancel, by).await.map(drop)
    }

    /// An order boots something, or it would never come to an end.
    fn must_be_bootable(&self, name: &ProfileName) -> Result<(), StoreError> {
        self.must_have_profile(name)?;
        let model = self.store.model();
        let profile = self.overlay.profile(&model, name);
        match profile {
            Some(profile) if matches!(profile.boot, BootMethod::LocalDisk {}) => {
                Err(StoreError::Invalid {
                    field: "profile".to_owned(),
                    problem: format!("'{name}' boots the local disk: assign it instead"),
                })
            }
            Some(profile) if !profile.enabled => Err(StoreError::Conflict {
                what: format!("profile '{name}' is disabled"),
                advice: "enable it first".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    async fn put_run(&mut self, id: MachineId, run: Run) -> Result<(), StoreError> {
        let ended = run.is_over().then_some(run.since.0);
        sqlx::query(
            "INSERT INTO runs (id, machine_id, spec, ended) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, ended = excluded.ended",
        )
        .bind(run.id.0)
        .bind(id.0)
        .bind(to_json(&run))
        .bind(ended)
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing a run"))?;
        let run = Arc::new(run);
        self.alter(&[id], |machine| machine.run = Some(Arc::clone(&run)));
        Ok(())
    }

    async fn forget_old_runs(&mut self, id: MachineId) -> Result<(), sqlx::Error> {
        sqlx::query(
            "DELETE FROM runs WHERE machine_id = $1 AND id NOT IN \
             (SELECT id FROM runs WHERE machine_id = $1 ORDER BY id DESC LIMIT 20)",
        )
        .bind(id.0)
        .execute(&mut *self.tx)
        .await
        .map(drop)
    }
}

/// Who did what nobody did.
pub(crate) const FARRIER: &str = "farrier";
