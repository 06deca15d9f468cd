//! Who holds a connection: a bounded table in which the longest silent one gives way.

use super::Budget;
use super::line::Cut;
use super::stream::{Meter, Phase};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// The connections of one listener.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    table: Arc<Mutex<Table>>,
    total: usize,
    per_ip: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By order of arrival.
    seats: BTreeMap<u64, (Option<IpAddr>, Arc<Meter>)>,
    per_ip: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    registry: Registry,
    meter: Arc<Meter>,
}

impl Registry {
    pub(super) fn new(budget: &Budget) -> Self {
        Registry {
            table: Arc::default(),
            total: budget.total.max(1),
            per_ip: budget.per_ip.max(1),
        }
    }

    /// A place for a new connection. When all are taken, the longest silent connection (of the
    /// same address, if that address has used up its share) makes room; when none is silent,
    /// there is no place.
    pub(super) fn admit(&self, ip: Option<IpAddr>) -> Option<Seat> {
        let mut table = self.lock();
        let held = ip.map_or(0, |ip| table.per_ip.get(&ip).copied().unwrap_or(0));
        if held >= self.per_ip && !table.evict_of(ip) {
            return None;
        }
        if table.seats.len() >= self.total && !table.evict() {
            return None;
        }
        let id = table.next;
        table.next += 1;
        let meter = Arc::new(Meter::new());
        table.seats.insert(id, (ip, Arc::clone(&meter)));
        if let Some(ip) = ip {
            *table.per_ip.entry(ip).or_default() += 1;
        }
        Some(Seat {
            id,
            registry: self.clone(),
            meter,
        })
    }

    /// Ends one silent connection, whosever it is.
    pub(super) fn evict_silent(&self) {
        self.lock().evict();
    }

    /// What is still there will be ended because of this.
    pub(super) fn cut_all(&self, why: Cut) {
        for (_, meter) in self.lock().seats.values() {
            meter.line().cut(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Table {
    /// Ends the oldest connection that has not got a whole request out, else the oldest that
    /// rests between two requests; never one that is being served.
    fn evict(&mut self) -> bool {
        let mut resting = None;
        let mut silent = None;
        for (id, (_, meter)) in &self.seats {
            match meter.phase() {
                Phase::Fresh | Phase::Head => {
                    silent = Some(*id);
                    break;
                }
                Phase::Idle => resting = resting.or(Some(*id)),
                Phase::Serving | Phase::Sending => {}
            }
        }
        self.end(silent.or(resting))
    }

    /// Ends the connection of this address that has been silent longest, be it at a request's
    /// beginning or between two. A client that opens many new ones has done with the old, and we
    /// may not have come to see yet that it closed them.
    fn evict_of(&mut self, ip: Option<IpAddr>) -> bool {
        let own = self.seats.iter().filter(|(_, (owner, _))| *owner == ip);
        let silent = own.filter_map(|(id, (_, meter))| Some((meter.silent_since()?, *id)));
        let longest = silent.min().map(|(_, id)| id);
        self.end(longest)
    }

    fn end(&mut self, id: Option<u64>) -> bool {
        let Some(id) = id else {
            return false;
        };
        if let Some(meter) = self.remove(id) {
            meter.evict();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Meter>> {
        let (ip, meter) = self.seats.remove(&id)?;
        if let Some(ip) = ip
            && let Some(held) = self.per_ip.get_mut(&ip)
        {
            *held -= 1;
            if *held == 0 {
                self.per_ip.remove(&ip);
            }
        }
        Some(meter)
    }
}

impl Seat {
    pub(super) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(total: usize, per_ip: usize) -> Registry {
        Registry::new(&Budget {
            total,
            per_ip,
            ..Budget::boot_plane()
        })
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 168, 77, last]))
    }

    #[tokio::test]
    async fn seats_are_given_back() {
        let registry = registry(2, 2);
        let first = registry.admit(ip(1)).expect("empty");
        drop(first);
        assert!(registry.lock().seats.is_empty());
        assert!(registry.lock().per_ip.is_empty());
    }

    #[tokio::test]
    async fn a_connection_being_served_is_never_evicted() {
        let registry = registry(2, 2);
        let serving = registry.admit(ip(1)).expect("room");
        serving.meter().enter(Phase::Sending);
        let silent = registry.admit(ip(2)).expect("room");
        let third = registry.admit(ip(3)).expect("the silent one goes");
        third.meter().enter(Phase::Serving);
        drop(silent);
        assert_eq!(registry.lock().seats.len(), 2);
        assert!(registry.admit(ip(4)).is_none(), "both are busy");
    }

    #[tokio::test]
    async fn resting_connections_outlive_silent_ones() {
        let registry = registry(2, 2);
        let resting = registry.admit(ip(1)).expect("room");
        resting.meter().enter(Phase::Idle);
        let _silent = registry.admit(ip(1)).expect("room");
        let _third = registry.admit(ip(2)).expect("the silent one goes");
        assert!(registry.lock().seats.contains_key(&resting.id));
    }

    #[tokio::test]
    async fn a_new_connection_is_not_given_up_for_one_that_its_client_has_done_with() {
        let registry = registry(8, 2);
        let done = registry.admit(ip(1)).expect("room");
        done.meter().enter(Phase::Idle);
        let new = registry.admit(ip(1)).expect("room");
        let newer = registry.admit(ip(1)).expect("the resting one goes");
        let left: Vec<u64> = registry.lock().seats.keys().copied().collect();
        assert_eq!(left, [new.id, newer.id]);
    }

    #[tokio::test]
    async fn one_address_cannot_take_the_seats_of_others() {
        let registry = registry(8, 2);
        let other = registry.admit(ip(9)).expect("room");
        let held: Vec<_> = (0..6).filter_map(|_| registry.admit(ip(1))).collect();
        assert_eq!(held.len(), 6, "its own oldest make room");
        assert_eq!(registry.lock().per_ip[&ip(1).expect("set")], 2);
        assert!(registry.lock().seats.contains_key(&other.id));
    }
}
