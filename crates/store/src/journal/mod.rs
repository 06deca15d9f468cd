//! One task puts what happened in order.
//!
//! Packet handlers [`emit`](EventSink::emit) and go on; the journal finds the machine behind
//! each event, records first askings, stores, logs, and passes everything on live.

mod neighbours;

pub use neighbours::Neighbours;

use crate::{Sighting, Store, StoredEvent};
use bootplan::{EventKind, Origin};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc};

/// Where packet handlers put what happened. Never blocks, never fails.
#[derive(Clone)]
pub struct EventSink {
    queue: mpsc::Sender<Report>,
}

/// One thing a packet handler reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Something happened.
    Event(Origin, EventKind),
    /// A machine said something about itself.
    Facts(Sighting),
}

/// The reading end of a sink; the journal's, or a test's.
pub struct Reports {
    queue: mpsc::Receiver<Report>,
}

impl Reports {
    /// The next report that is already there.
    pub fn try_next(&mut self) -> Option<Report> {
        self.queue.try_recv().ok()
    }

    /// Waits for the next report; `None` when every sink is gone.
    pub async fn next(&mut self) -> Option<Report> {
        self.queue.recv().await
    }
}

impl EventSink {
    /// A sink and its reading end, for tests of packet handlers. [`Journal::spawn`] makes the
    /// real one.
    pub fn pair(capacity: usize) -> (EventSink, Reports) {
        let (sender, queue) = mpsc::channel(capacity);
        (EventSink { queue: sender }, Reports { queue })
    }

    /// Reports that something happened now. When the queue is full the event is counted as
    /// dropped.
    pub fn emit(&self, origin: Origin, kind: EventKind) {
        let _ = self.queue.try_send(Report::Event(origin, kind));
        unimplemented!("store: in work")
    }

    /// Reports what a machine said about itself (iPXE's query, option 97).
    pub fn facts(&self, sighting: Sighting) {
        let _ = self.queue.try_send(Report::Facts(sighting));
        unimplemented!("store: in work")
    }

    /// How many reports a full queue has cost since the start.
    pub fn dropped(&self) -> u64 {
        unimplemented!("store: in work")
    }

    /// Which hardware address is behind an IPv4 address, as far as learned.
    pub fn neighbours(&self) -> &Neighbours {
        unimplemented!("store: in work")
    }
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

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            arp: Arc::new(|| std::fs::read_to_string("/proc/net/arp").ok()),
            keep_events: 200_000,
            keep_days: 90,
        }
    }
}

/// The running journal.
pub struct Journal {
    /// Where to report.
    pub sink: EventSink,
    /// Everything stored, as it is stored: subscribe for live pages. The same sender as
    /// [`Store::live`].
    pub live: broadcast::Sender<Arc<StoredEvent>>,
}

/// What the journal has done, for the status page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct JournalCounts {
    /// Events stored.
    pub stored: u64,
    /// Reports that a full queue has cost.
    pub dropped: u64,
    /// Events that the database did not take.
    pub failed: u64,
}

impl Journal {
    /// Starts the task.
    pub fn spawn(store: Store, options: JournalOptions) -> Journal {
        let _ = (store, options);
        unimplemented!("store: in work")
    }

    /// What it has done so far.
    pub fn counts(&self) -> JournalCounts {
        unimplemented!("store: in work")
    }

    /// Stores what is queued and ends the task.
    pub async fn shutdown(self) {
        unimplemented!("store: in work")
    }
}
