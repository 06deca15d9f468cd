//! What to make of a batch of reports: which machine each belongs to, which ones to leave out.
//! Pure but for the neighbour table.

use super::budget::Budget;
use super::{Neighbours, Report};
use crate::Sighting;
use bootplan::{
    Because, Catalog, Event, EventKind, Intent, MacAddr, MachineState, Origin, Platform, Timestamp,
};
use std::collections::HashMap;

/// Sorts reports; remembers what it needs from one batch to the next.
pub(super) struct Intake {
    neighbours: Neighbours,
    /// For machines that nobody has seen before.
    unknown: Budget,
    /// For machines that nobody has registered.
    discovered: Budget,
    waiting: HashMap<MacAddr, (Timestamp, Option<Because>)>,
    placed: HashMap<MacAddr, Timestamp>,
}

/// What is to be stored.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) sightings: Vec<Sighting>,
    pub(super) events: Vec<Event>,
    pub(super) suppressed: usize,
}

impl Intake {
    pub(super) fn new(neighbours: Neighbours) -> Self {
        Intake {
            neighbours,
            unknown: Budget::new(UNKNOWN_BURST, UNKNOWN_PER_SECOND),
            discovered: Budget::new(DISCOVERED_BURST, DISCOVERED_PER_SECOND),
            waiting: HashMap::new(),
            placed: HashMap::new(),
        }
    }

    /// Takes in one report.
    pub(super) fn take(
        &mut self,
        at: Timestamp,
        report: Report,
        catalog: &Catalog,
        batch: &mut Batch,
    ) {
        match report {
            Report::Facts(mut sighting) => {
                if !sighting.mac.is_unicast() {
                    return;
                }
                if sighting.place.is_some() && self.just_placed(sighting.mac, at) {
                    sighting.place = None;
                }
                if self.affords(Some(sighting.mac), true, at, catalog) {
                    batch.sightings.push(sighting);
                } else {
                    batch.suppressed += 1;
                }
            }
            Report::Event(mut origin, kind) => {
                self.complete(&mut origin, &kind);
                if is_ignored(&kind) && origin.mac.is_some_and(|m| catalog.find(m, None).is_none())
                {
                    return;
                }
                let asks = asks(&kind);
                if !self.affords(origin.mac, asks.is_some(), at, catalog) {
                    batch.suppressed += 1;
                    return;
                }
                if let (Some(platform), Some(mac)) = (asks, origin.mac)
                    && mac.is_unicast()
                {
                    batch.sightings.push(Sighting {
                        platform,
                        ..Sighting::of(mac, at)
                    });
                }
                if !self.still_waiting(origin.mac, &kind, at) {
                    batch.events.push(Event { at, origin, kind });
                }
            }
        }
    }

    /// Learns which MAC is behind an address, or finds it out.
    fn complete(&self, origin: &mut Origin, kind: &EventKind) {
        // Another server is no machine of ours, whatever its neighbours' table entry says.
        if matches!(kind, EventKind::ForeignServer { .. }) {
            return;
        }
        match (origin.ip, origin.mac) {
            (Some(ip), Some(mac)) => self.neighbours.learn(ip, mac),
            (Some(ip), None) => origin.mac = self.neighbours.lookup(ip),
            (None, _) => {}
        }
    }

    /// Registered machines are always recorded; what strangers may cost is bounded, so that a
    /// flood of made-up MACs neither fills the disk nor keeps the journal from the others.
    fn affords(
        &mut self,
        mac: Option<MacAddr>,
        asks: bool,
        at: Timestamp,
        catalog: &Catalog,
    ) -> bool {
        let machine = mac.and_then(|mac| catalog.find(mac, None));
        match machine.map(|machine| machine.state) {
            Some(MachineState::Registered) => true,
            Some(MachineState::Discovered) => self.discovered.take(at),
            None if asks && mac.is_some() => self.unknown.take(at),
            None => self.discovered.take(at),
        }
    }

    /// Whether this machine's place was told just now. One that is heard on two interfaces, or
    /// through two relays, asks from two places at once: the first of them counts for that boot,
    /// and its row is not written over and over.
    fn just_placed(&mut self, mac: MacAddr, at: Timestamp) -> bool {
        if let Some(told) = self.placed.get(&mac)
            && (0..PLACED_EVERY_MS).contains(&(at.0 - told.0))
        {
            return true;
        }
        if self.placed.len() >= WAITING_LIMIT {
            self.placed.clear();
        }
        self.placed.insert(mac, at);
        false
    }

    /// Whether this is one more question of a machine that waits for its assignment, or that is
    /// refused for the same reason as before. It asks every few seconds; one line a minute tells
    /// the same.
    fn still_waiting(&mut self, mac: Option<MacAddr>, kind: &EventKind, at: Timestamp) -> bool {
        let Some(mac) = mac else {
            return false;
        };
        let refused = match kind {
            EventKind::NotOffered { because, .. } => Some(because.clone()),
            EventKind::MenuServed {
                intent: Some(Intent::Wait | Intent::Queue),
                ..
            } => None,
            _ => {
                self.waiting.remove(&mac);
                return false;
            }
        };
        if let Some((told, why)) = self.waiting.get(&mac)
            && *why == refused
            && (0..WAIT_EVERY_MS).contains(&(at.0 - told.0))
        {
            return true;
        }
        if self.waiting.len() >= WAITING_LIMIT {
            self.waiting.clear();
        }
        self.waiting.insert(mac, (at, refused));
        false
    }
}

/// New machines that are to be ignored leave no trace: `farrier explain` says why they get nothing.
fn is_ignored(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::NotOffered {
            because: Because::Ignored,
            ..
        }
    )
}

/// `Some` when the event shows that the machine itself is asking to boot; inside, what it can
/// run, if the event says.
fn asks(kind: &EventKind) -> Option<Option<Platform>> {
    match kind {
        EventKind::Offered { platform, .. } => Some(Some(*platform)),
        EventKind::NotOffered { platform, .. } => Some(*platform),
        EventKind::BootServerAck { .. } | EventKind::MenuServed { .. } => Some(None),
        _ => None,
    }
}

/// A large rack that is switched on for the first time; more come in over the next minutes, for
/// firmware asks again. A stranger costs about a kilobyte of disk with its first events, so this
/// is some megabytes at once (reliability.md R15).
const UNKNOWN_BURST: u64 = 4000;
const UNKNOWN_PER_SECOND: u64 = 100;
/// A hundred discovered machines in the midst of their boot.
const DISCOVERED_BURST: u64 = 5000;
const DISCOVERED_PER_SECOND: u64 = 200;
const WAIT_EVERY_MS: i64 = 60_000;
const PLACED_EVERY_MS: i64 = 60_000;
/// Beyond, all are told once more.
const WAITING_LIMIT: usize = 10_000;
