//! The history of what happened.

use crate::{Store, StoreError};
use bootplan::{Event, MacAddr, MachineId};
use serde::Serialize;

/// An event with its place in the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Grows with time; 0 for an event that was only shown live because the database was
    /// failing.
    pub id: i64,
    /// The machine it belongs to, if one was known then.
    pub machine: Option<MachineId>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only of this machine.
    pub machine: Option<MachineId>,
    /// Only of this hardware address.
    pub mac: Option<MacAddr>,
    /// Only older than this id.
    pub before: Option<i64>,
    /// Only newer than this id (for a live feed that resumes).
    pub after: Option<i64>,
    /// At most this many (1 to 1000; 0 means 100).
    pub limit: u32,
}

impl Store {
    /// Stores events in one transaction, in this order.
    ///
    /// # Errors
    /// Database failure.
    pub async fn append(&self, events: &[Event]) -> Result<Vec<StoredEvent>, StoreError> {
        let _ = events;
        unimplemented!("store: in work")
    }

    /// Reads the history, newest first.
    ///
    /// # Errors
    /// Database failure.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let _ = query;
        unimplemented!("store: in work")
    }
}
