//! Which hardware address is behind an IPv4 address.

use bootplan::MacAddr;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A small shared table from IPv4 address to MAC, for requests that do not say their MAC (TFTP,
/// HTTP). Learned from packets that say both; a hint, never a credential.
///
/// Bounded: beyond [`CAPACITY`] entries the oldest give way, and an entry is forgotten
/// [`LIFETIME`] after it was last learned, for addresses are leased to others in time.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    table: Arc<Mutex<HashMap<Ipv4Addr, Entry>>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: MacAddr,
    learned: Instant,
}

impl Neighbours {
    /// Notes that this MAC was seen with this address. Ignores what cannot be a machine's.
    pub fn learn(&self, ip: Ipv4Addr, mac: MacAddr) {
        self.learn_at(ip, mac, Instant::now());
    }

    /// The MAC last seen with this address.
    pub fn lookup(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.lookup_at(ip, Instant::now())
    }

    fn learn_at(&self, ip: Ipv4Addr, mac: MacAddr, now: Instant) {
        if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || !mac.is_unicast() {
            return;
        }
        let mut table = self.lock();
        if table.len() >= CAPACITY && !table.contains_key(&ip) {
            make_room(&mut table, now);
        }
        table.insert(ip, Entry { mac, learned: now });
    }

    fn lookup_at(&self, ip: Ipv4Addr, now: Instant) -> Option<MacAddr> {
        let entry = *self.lock().get(&ip)?;
        entry.is_fresh(now).then_some(entry.mac)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ipv4Addr, Entry>> {
        self.table.lock().expect("nothing panics under this lock")
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.learned) < LIFETIME
    }
}

/// Drops what is stale, and if that is too little the older half, so that a flood pays for it
/// once in many packets.
fn make_room(table: &mut HashMap<Ipv4Addr, Entry>, now: Instant) {
    table.retain(|_, entry| entry.is_fresh(now));
    if table.len() >= CAPACITY {
        let mut ages: Vec<Instant> = table.values().map(|entry| entry.learned).collect();
        let middle = ages.len() / 2;
        let (_, median, _) = ages.select_nth_unstable(middle);
        let median = *median;
        table.retain(|_, entry| entry.learned > median);
    }
}

/// Two /21 networks of machines that boot at once.
const CAPACITY: usize = 4096;
/// Longer than any installer takes, shorter than an address goes round in a lab.
const LIFETIME: Duration = Duration::from_secs(4 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u32) -> MacAddr {
        let [a, b, c, d] = n.to_be_bytes();
        MacAddr([2, 0, a, b, c, d])
    }

    #[test]
    fn the_last_one_seen_is_answered_until_it_is_stale() {
        let neighbours = Neighbours::default();
        let ip = Ipv4Addr::new(10, 0, 0, 5);
        let start = Instant::now();
        assert_eq!(neighbours.lookup_at(ip, start), None);
        neighbours.learn_at(ip, mac(1), start);
        neighbours.learn_at(ip, mac(2), start + Duration::from_secs(1));
        let late = start + LIFETIME;
        assert_eq!(neighbours.clone().lookup_at(ip, late), Some(mac(2)));
        assert_eq!(
            neighbours.lookup_at(ip, late + Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn what_is_no_machine_is_not_learned() {
        let neighbours = Neighbours::default();
        let now = Instant::now();
        neighbours.learn_at(Ipv4Addr::UNSPECIFIED, mac(1), now);
        neighbours.learn_at(Ipv4Addr::BROADCAST, mac(1), now);
        neighbours.learn_at(Ipv4Addr::new(10, 0, 0, 1), MacAddr([0xff; 6]), now);
        assert!(neighbours.lock().is_empty());
    }

    #[test]
    fn a_flood_keeps_the_newest_and_stays_bounded() {
        let neighbours = Neighbours::default();
        let start = Instant::now();
        let ip = |n: u32| Ipv4Addr::from(0x0a00_0000 + n);
        for n in 1..20_000 {
            let now = start + Duration::from_micros(u64::from(n));
            neighbours.learn_at(ip(n), mac(n), now);
            assert!(neighbours.lock().len() <= CAPACITY);
        }
        assert_eq!(neighbours.lookup_at(ip(19_999), start), Some(mac(19_999)));
        assert_eq!(neighbours.lookup_at(ip(1), start), None);
    }
}
