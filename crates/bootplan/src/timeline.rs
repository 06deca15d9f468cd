//! One boot as people see it: a fold over [`Event`]s.

use crate::{Event, Timestamp};
use serde::{Deserialize, Serialize};

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The firmware asked and was offered a boot file (or was refused).
    Asked,
    /// A loader was fetched.
    Loader,
    /// A menu or script was fetched.
    Menu,
    /// A kernel or program was fetched.
    Kernel,
    /// Everything of the default entry was fetched: the operating system has the machine.
    HandedOver,
}

/// One boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootAttempt {
    /// When the firmware first asked.
    pub started: Timestamp,
    /// The last event.
    pub last: Timestamp,
    /// How far it has come.
    pub milestone: Milestone,
    /// The events, oldest first.
    pub events: Vec<Event>,
}

/// Splits the events of one machine (oldest first) into boots: a boot begins when firmware asks
/// (or iPXE after a long silence), and takes in everything up to the next beginning.
pub fn attempts(events: impl IntoIterator<Item = Event>) -> Vec<BootAttempt> {
    let _ = events;
    let _: Option<Milestone> = None;
    Vec::new()
}
