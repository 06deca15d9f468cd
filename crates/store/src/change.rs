//! The one way every change goes: lock, transaction, steps, events, read back, commit, publish.

use crate::StoreError;
use crate::doubts::Doubted;
use crate::events::{StoredEvent, insert_events};
use crate::journal::log;
use crate::objects::load_objects;
use crate::overlay::Overlay;
use crate::rows::{self, Tx, failed};
use crate::store::Store;
use crate::vault::load_sealed;
use bootplan::{
    Event, EventKind, Hook, MachineId, Objects, Origin, Profile, Rule, Site, Timestamp,
};
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::OwnedMutexGuard;

/// A change in progress. Dropped without [`commit`](Self::commit), it never happened.
pub(crate) struct Change {
    pub(crate) tx: Tx,
    pub(crate) store: Store,
    /// What it has done so far.
    pub(crate) overlay: Overlay,
    events: Vec<(Option<MachineId>, Event)>,
    // Last, so that the transaction is rolled back before the next change may begin.
    _writer: OwnedMutexGuard<()>,
}

impl Store {
    /// Waits for its turn and begins a change. One writer at a time: SQLite knows no more, and
    /// what was checked against memory stays true until the commit.
    pub(crate) async fn begin(&self) -> Result<Change, StoreError> {
        let writer = self.lock().await?;
        self.begin_locked(writer).await
    }

    /// The turn alone, to look before there is something to write.
    pub(crate) async fn lock(&self) -> Result<OwnedMutexGuard<()>, StoreError> {
        let writer = Arc::clone(&self.inner.writer).lock_owned().await;
        self.reload_if_stale().await?;
        Ok(writer)
    }

    pub(crate) async fn begin_locked(
        &self,
        writer: OwnedMutexGuard<()>,
    ) -> Result<Change, StoreError> {
        let tx = self
            .inner
            .pool
            .begin()
            .await
            .map_err(failed("beginning a change"))?;
        Ok(Change {
            tx,
            store: self.clone(),
            overlay: Overlay::default(),
            events: Vec::new(),
            _writer: writer,
        })
    }
}

impl Change {
    /// Notes an event of this change.
    pub(crate) fn event(&mut self, machine: Option<MachineId>, event: Event) {
        self.events.push((machine, event));
    }

    /// What this change said of one machine belongs to another.
    pub(crate) fn hand_over_events(&mut self, from: MachineId, into: MachineId) {
        for (machine, _) in &mut self.events {
            if *machine == Some(from) {
                *machine = Some(into);
            }
        }
    }

    /// Notes what happened, each with the machine that has its MAC now, and what it comes to.
    pub(crate) async fn tell(&mut self, events: Vec<Event>) -> Result<(), StoreError> {
        let told: Vec<_> = {
            let model = self.store.model();
            let of = |mac| {
                let owner = self.overlay.with_mac(&model, mac);
                owner.or_else(|| model.last_user(mac))
            };
            let told = events.into_iter();
            told.map(|event| (event.origin.mac.and_then(of), event))
                .collect()
        };
        self.events.extend(told.iter().cloned());
        self.observe(&told).await
    }

    /// Notes what somebody did. The event is found by the MAC that the machine had before.
    pub(crate) fn say(&mut self, machine: Option<MachineId>, kind: EventKind) {
        let mac = machine.and_then(|id| {
            let model = self.store.model();
            let before = model.machine(id).map(|record| &record.machine);
            let machine = before.or_else(|| self.overlay.machine(&model, id))?;
            machine.macs.first().copied()
        });
        let origin = Origin {
            mac,
            ..Origin::default()
        };
        let at = now();
        self.event(machine, Event { at, origin, kind });
    }

    /// [`commit`](Self::commit), unless nothing turned out different: whatever people change has
    /// its event.
    pub(crate) async fn finish(self) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Ok(());
        }
        self.commit().await.map(drop)
    }

    /// Makes the change durable, then publishes it.
    pub(crate) async fn commit(mut self) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        let doing = failed("storing a change");
        let events = insert_events(&mut self.tx, std::mem::take(&mut self.events))
            .await
            .map_err(doing)?;
        self.tell_hooks(&events).await.map_err(doing)?;
        let mut fresh = self.read_back().await.map_err(doing)?;
        let Change {
            tx,
            store,
            overlay,
            _writer,
            ..
        } = self;
        if let Err(cause) = tx.commit().await {
            // Whether it was stored is unknown (a connection may break after the commit): the
            // next change first reads everything anew.
            store.set_stale();
            return Err(doing(cause));
        }
        store.set_failing(false);
        store.keep_secrets(std::mem::take(&mut fresh.secrets));
        store.publish(&overlay.touched().collect(), fresh);
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        for event in &events {
            let machine = event.machine.and_then(|id| store.machine(id));
            let name = machine.as_ref().map(|record| record.machine.name.as_str());
            log::event(event, name);
            // Nobody listening is fine.
            let _ = store.inner.live.send(Arc::clone(event));
        }
        Ok(events)
    }

    async fn read_back(&mut self) -> Result<Fresh, sqlx::Error> {
        let ids: Vec<MachineId> = self.overlay.touched().collect();
        let tx = &mut self.tx;
        let mut fresh = Fresh {
            machines: rows::load_some(tx, &ids).await?,
            ..Fresh::default()
        };
        if self.overlay.touches_profiles() {
            fresh.profiles = Some(rows::load_profiles(tx).await?);
        }
        if self.overlay.touches_site() {
            fresh.site = Some(rows::load_site(tx).await?);
        }
        if self.overlay.touches_rules() {
            fresh.rules = Some(rows::load_rules(tx).await?);
        }
        if self.overlay.touches_doubts() {
            fresh.doubts = Some(Doubted::load(tx).await?);
        }
        if self.overlay.touches_hooks() {
            fresh.hooks = Some(crate::hooks::load_hooks(tx).await?);
        }
        if self.overlay.touches_objects() {
            fresh.objects = Some(load_objects(tx).await?);
        }
        for name in self.overlay.touched_secrets() {
            let sealed = load_sealed(tx, name).await?;
            fresh.secrets.push((name.clone(), sealed));
        }
        Ok(fresh)
    }
}

/// What a change left in the database.
#[derive(Default)]
pub(crate) struct Fresh {
    pub(crate) machines: Vec<crate::MachineRecord>,
    pub(crate) profiles: Option<Vec<Profile>>,
    pub(crate) site: Option<Site>,
    pub(crate) rules: Option<Vec<Rule>>,
    pub(crate) doubts: Option<Doubted>,
    /// Not part of a Catalog.
    pub(crate) hooks: Option<Vec<Arc<Hook>>>,
    pub(crate) objects: Option<Objects>,
    /// Those touched, sealed; not part of a Catalog. `None`: without a value, or gone.
    pub(crate) secrets: Vec<(String, Option<String>)>,
}

impl Fresh {
    /// Whether a Catalog would look different.
    pub(crate) fn is_some(&self) -> bool {
        !self.machines.is_empty()
            || self.profiles.is_some()
            || self.site.is_some()
            || self.rules.is_some()
            || self.doubts.is_some()
            || self.objects.is_some()
    }
}

/// Runs a change to its end even when the caller goes away (a browser that closes its
/// connection), so that what was committed is always published too.
pub(crate) async fn to_the_end<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(E::from(StoreError::Database {
            doing: "the program is ending",
            cause: sqlx::Error::PoolClosed,
        })),
    }
}

/// The time that changes are stamped with.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
