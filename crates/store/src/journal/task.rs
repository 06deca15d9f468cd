//! The journal's loop.

use super::intake::{Batch, Intake};
use super::{Counters, JournalOptions, Queued, log};
use crate::change::now;
use crate::{Sighting, Store, StoreError, StoredEvent};
use bootplan::{Event, MachineId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// The one task that writes events.
pub(super) struct Task {
    store: Store,
    options: JournalOptions,
    intake: Intake,
    counters: Arc<Counters>,
    /// Events since the history was last pruned.
    since_prune: u64,
    failing: Notice,
    flooded: Notice,
}

/// Says something at most once a minute.
#[derive(Default)]
struct Notice {
    last: Option<Instant>,
    unsaid: usize,
}

type Queue = mpsc::Receiver<Queued>;

impl Task {
    pub(super) fn new(
        store: Store,
        options: JournalOptions,
        intake: Intake,
        counters: Arc<Counters>,
    ) -> Self {
        Task {
            store,
            options,
            intake,
            counters,
            since_prune: 0,
            failing: Notice::default(),
            flooded: Notice::default(),
        }
    }

    /// Works until it is told to stop or every sink is gone; what is queued then is still done.
    pub(super) async fn run(mut self, mut queue: Queue, stopped: oneshot::Receiver<()>) {
        let mut prune = interval_at(Instant::now() + FIRST_PRUNE, PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval_at(Instant::now() + AGAIN_EVERY, AGAIN_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = std::pin::pin!(async move {
            if stopped.await.is_err() {
                // The handle was dropped, nobody asked to stop.
                std::future::pending::<()>().await;
            }
        });
        let mut stopping = false;
        let mut reports = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = &mut stopped, if !stopping => {
                    stopping = true;
                    queue.close();
                    continue;
                }
                count = queue.recv_many(&mut reports, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.take_in(&mut reports).await;
                }
                _ = prune.tick() => self.prune().await,
                _ = again.tick() => self.catch_up().await,
            }
            if self.since_prune >= PRUNE_AFTER {
                self.prune().await;
            }
            // The first event of a quiet time goes out at once; under load, many share one
            // transaction, and the disk is not asked to sync a thousand times a second.
            if !stopping && queue.len() < FULL {
                tokio::select! {
                    () = &mut stopped => {
                        stopping = true;
                        queue.close();
                    }
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }

    async fn take_in(&mut self, reports: &mut Vec<Queued>) {
        let catalog = self.store.catalog();
        let mut batch = Batch::default();
        let mut handed_over = Vec::new();
        for queued in reports.drain(..) {
            handed_over.extend(queued.hands_over);
            let (at, report) = (queued.at, queued.report);
            self.intake.take(at, report, &catalog, &mut batch);
        }
        if batch.suppressed > 0 {
            Counters::add(&self.counters.suppressed, batch.suppressed);
            if let Some(count) = self.flooded.due(batch.suppressed) {
                tracing::warn!(
                    count,
                    "too many reports of machines nobody registered; some were left out of the \
                     history (a flood of made-up MACs?)"
                );
            }
        }
        if !batch.sightings.is_empty() || !batch.events.is_empty() {
            self.record(batch.sightings, batch.events, &handed_over)
                .await;
        } else {
            // Left out, all of them.
            self.store.hand_overs_lost(&handed_over);
        }
    }

    /// Tells the database what it missed. Who fails again has been told of already.
    async fn catch_up(&mut self) {
        if let Err(error) = self.store.catch_up().await {
            tracing::debug!(%error, "installations still cannot be counted");
        }
    }

    /// Machines and events in one transaction; what cannot be recorded of a machine costs nobody
    /// the events. Not tried again where nobody knows whether it was stored: no event is told
    /// twice.
    async fn record(
        &mut self,
        sightings: Vec<Sighting>,
        events: Vec<Event>,
        handed_over: &[MachineId],
    ) {
        let count = events.len();
        let seen = sightings.len();
        let mut outcome = self.store.record(sightings, events.clone()).await;
        if let (Err(error), 1..) = (&outcome, seen)
            && !self.store.is_stale()
        {
            let alone = self.store.append(events.clone()).await.map(drop);
            if alone.is_ok()
                && let Some(count) = self.failing.due(1)
            {
                tracing::error!(%error, count, "machines that asked could not be recorded");
            }
            outcome = alone;
        }
        match outcome {
            Ok(()) => {
                Counters::add(&self.counters.stored, count);
                self.since_prune += count as u64;
                self.store.hand_overs_stored(handed_over);
                self.catch_up().await;
            }
            Err(error) => {
                Counters::add(&self.counters.failed, count);
                if let Some(count) = self.failing.due(count) {
                    tracing::error!(
                        %error,
                        count,
                        "events could not be stored and are only shown live; boots go on"
                    );
                }
                if let StoreError::Database { .. } = error {
                    self.store.set_failing(true);
                }
                self.store.hand_overs_lost(handed_over);
                self.show_only(events);
            }
        }
    }

    /// A full disk is when people look at the live feed most.
    fn show_only(&self, events: Vec<Event>) {
        let catalog = self.store.catalog();
        for event in events {
            let machine = event.origin.mac.and_then(|mac| catalog.find(mac, None));
            let stored = StoredEvent {
                id: 0,
                machine: machine.map(|machine| machine.id),
                event,
            };
            log::event(&stored, machine.map(|machine| machine.name.as_str()));
            let _ = self.store.live().send(Arc::new(stored));
        }
    }

    async fn prune(&mut self) {
        self.since_prune = 0;
        let age = i64::from(self.options.keep_days) * DAY_MS;
        let oldest = now().0.saturating_sub(age);
        match self.store.prune(self.options.keep_events, oldest).await {
            Ok(0) => {}
            Ok(events) => tracing::debug!(events, "old events deleted"),
            Err(error) => {
                if let Some(count) = self.failing.due(1) {
                    tracing::error!(%error, count, "old events could not be deleted");
                }
            }
        }
    }
}

impl Notice {
    /// The number to tell, if it is time to.
    fn due(&mut self, count: usize) -> Option<usize> {
        self.unsaid += count;
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < NOTICE_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Reports of one transaction.
const BATCH: usize = 1024;
/// With this many waiting there is no pause.
const FULL: usize = 256;
/// People take a tenth of a second for "at once".
const PAUSE: Duration = Duration::from_millis(100);
/// Who is owed something stands at its disk until it is paid.
const AGAIN_EVERY: Duration = Duration::from_secs(5);
const FIRST_PRUNE: Duration = Duration::from_secs(60);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// A busy day must not let the history grow far beyond its limit.
const PRUNE_AFTER: u64 = 10_000;
const NOTICE_EVERY: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 3600 * 1000;
