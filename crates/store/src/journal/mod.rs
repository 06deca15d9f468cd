//! One task puts what happened in order.
//!
//! Packet handlers [`emit`](EventSink::emit) and go on; the journal finds the machine behind
//! each event, records first askings, stores, logs, and passes everything on live.

mod arp;
mod budget;
mod intake;
pub(crate) mod log;
mod neighbours;
mod task;

pub use neighbours::Neighbours;

use crate::change::now;
use crate::store::Inner;
use crate::{Sighting, Store, StoredEvent};
use bootplan::{EventKind, MachineId, Origin, Timestamp};
use serde::Serialize;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Where packet handlers put what happened. Never blocks, never fails.
#[derive(Clone, Debug)]
pub struct EventSink {
    queue: mpsc::Sender<Queued>,
    neighbours: Neighbours,
    counters: Arc<Counters>,
    store: Where,
}

/// A report on its way to the journal.
#[derive(Debug)]
struct Queued {
    at: Timestamp,
    report: Report,
    /// The machine that it hands over.
    hands_over: Option<MachineId>,
}

/// The store that a sink's journal writes to, while there is one.
#[derive(Clone, Default)]
struct Where(Weak<Inner>);

/// One thing a packet handler reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Something happened.
    Event(Origin, EventKind),
    /// A machine said something about itself.
    Facts(Sighting),
}

/// The reading end of a sink; the journal's, or a test's.
#[derive(Debug)]
pub struct Reports {
    queue: mpsc::Receiver<Queued>,
}

/// How the journal works; the defaults are right except in tests.
pub struct JournalOptions {
    /// Reads the system's neighbour table as text of `/proc/net/arp`; `None` when there is none.
    pub arp: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// How many events the history keeps.
    pub keep_events: u64,
    /// For how many days the history keeps them.
    pub keep_days: u32,
}

/// The running journal.
pub struct Journal {
    /// Where to report.
    pub sink: EventSink,
    /// Everything stored, as it is stored: subscribe for live pages. The same sender as
    /// [`Store::live`].
    pub live: broadcast::Sender<Arc<StoredEvent>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What the journal has done since the start, for the status page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalCounts {
    /// Events stored.
    pub stored: u64,
    /// Reports that a full queue has cost.
    pub dropped: u64,
    /// Reports of machines nobody registered, left out because there were too many at once.
    pub suppressed: u64,
    /// Events that the database did not take; they were only shown live.
    pub failed: u64,
}

impl EventSink {
    /// A sink and its reading end, for tests of packet handlers. [`Journal::spawn`] makes the
    /// real one.
    pub fn pair(capacity: usize) -> (EventSink, Reports) {
        EventSink::with_neighbours(capacity, Neighbours::default(), Where::default())
    }

    fn with_neighbours(
        capacity: usize,
        neighbours: Neighbours,
        store: Where,
    ) -> (EventSink, Reports) {
        let (sender, queue) = mpsc::channel(capacity);
        let sink = EventSink {
            queue: sender,
            neighbours,
            counters: Arc::default(),
            store,
        };
        (sink, Reports { queue })
    }

    /// Reports that something happened now. When the queue is full the report is counted as
    /// dropped: a reply to a machine is worth more than a line about it. That a machine was
    /// handed over to its installer is known from here on, whatever becomes of the event.
    pub fn emit(&self, mut origin: Origin, kind: EventKind) {
        let hands_over = self.hand_over(&mut origin, &kind);
        self.report(Report::Event(origin, kind), hands_over);
    }

    /// Reports what a machine said about itself (iPXE's query, option 97).
    pub fn facts(&self, sighting: Sighting) {
        self.report(Report::Facts(sighting), None);
    }

    /// How many reports a full queue has cost since the start.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }

    /// What the journal has done so far.
    pub fn counts(&self) -> JournalCounts {
        self.counters.read()
    }

    /// Which hardware address is behind an IPv4 address, as far as learned.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// The machine that this hands over; the event is then that machine's, whoever has its address
    /// when the journal comes to it.
    fn hand_over(&self, origin: &mut Origin, kind: &EventKind) -> Option<MachineId> {
        let hands_over = matches!(
            kind,
            EventKind::FileServed { .. }
                | EventKind::MenuServed { .. }
                | EventKind::AnswerServed { .. }
        );
        let store = hands_over.then(|| self.store.get()).flatten()?;
        let behind = || self.neighbours.lookup(origin.ip?);
        let mac = origin.mac.or_else(behind);
        let machine = store.note_hand_over(mac, kind)?;
        origin.mac = mac;
        Some(machine)
    }

    fn report(&self, report: Report, hands_over: Option<MachineId>) {
        let at = now();
        let queued = Queued {
            at,
            report,
            hands_over,
        };
        if self.queue.try_send(queued).is_err() {
            Counters::add(&self.counters.dropped, 1);
            if let (Some(machine), Some(store)) = (hands_over, self.store.get()) {
                store.hand_overs_lost(&[machine]);
            }
        }
    }
}

impl Where {
    fn get(&self) -> Option<Store> {
        self.0.upgrade().map(|inner| Store { inner })
    }
}

impl fmt::Debug for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Where")
    }
}

impl Reports {
    /// The next report that is already there.
    pub fn try_next(&mut self) -> Option<Report> {
        self.queue.try_recv().ok().map(|queued| queued.report)
    }

    /// Waits for the next report; `None` when every sink is gone.
    pub async fn next(&mut self) -> Option<Report> {
        self.queue.recv().await.map(|queued| queued.report)
    }
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            arp: Arc::new(|| std::fs::read_to_string("/proc/net/arp").ok()),
            keep_events: 200_000,
            keep_days: 90,
        }
    }
}

impl Journal {
    /// Starts the task.
    pub fn spawn(store: Store, options: JournalOptions) -> Journal {
        let neighbours = Neighbours::with_arp(Arc::clone(&options.arp));
        // A sink that outlives the store must not keep its database open.
        let home = Where(Arc::downgrade(&store.inner));
        let (sink, reports) = EventSink::with_neighbours(QUEUE, neighbours, home);
        let (stop, stopped) = oneshot::channel();
        let live = store.live();
        let counters = Arc::clone(&sink.counters);
        let intake = intake::Intake::new(sink.neighbours.clone());
        let task = task::Task::new(store, options, intake, counters);
        Journal {
            sink,
            live,
            stop,
            task: tokio::spawn(task.run(reports.queue, stopped)),
        }
    }

    /// What it has done so far.
    pub fn counts(&self) -> JournalCounts {
        self.sink.counts()
    }

    /// Stores what is queued and ends the task. What sinks report later counts as dropped.
    pub async fn shutdown(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the journal ended badly; the last events may be missing");
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    stored: AtomicU64,
    dropped: AtomicU64,
    suppressed: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn read(&self) -> JournalCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalCounts {
            stored: read(&self.stored),
            dropped: read(&self.dropped),
            suppressed: read(&self.suppressed),
            failed: read(&self.failed),
        }
    }
}

/// Some seconds of a rack that powers on at once, in about a megabyte.
const QUEUE: usize = 4096;
