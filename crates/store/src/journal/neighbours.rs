//! Which hardware address is behind an IPv4 address.

use super::arp;
use bootplan::MacAddr;
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A small shared table from IPv4 address to MAC, for requests that do not say their MAC (TFTP,
/// HTTP). A hint, never a credential.
///
/// The system's own neighbour table is asked first: it is right even when an address has just
/// been leased to another machine, and a menu rendered for the wrong machine may wipe a disk.
/// What packets said is the second choice, for clients behind a relay. Bounded: the oldest give
/// way, and what was learned is forgotten after some hours.
#[derive(Clone, Default)]
pub struct Neighbours {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    learned: Mutex<HashMap<Ipv4Addr, Entry>>,
    system: Mutex<System>,
    read: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: MacAddr,
    learned: Instant,
}

/// The system's table as it was read last.
#[derive(Default)]
struct System {
    table: HashMap<Ipv4Addr, MacAddr>,
    read: Option<Instant>,
}

impl Neighbours {
    /// One that also asks the system, whose table `read` returns as text of `/proc/net/arp`.
    pub fn with_arp(read: Arc<dyn Fn() -> Option<String> + Send + Sync>) -> Self {
        Neighbours {
            inner: Arc::new(Inner {
                read: Some(read),
                ..Inner::default()
            }),
        }
    }

    /// Notes that this MAC was seen with this address. Ignores what cannot be a machine's.
    pub fn learn(&self, ip: Ipv4Addr, mac: MacAddr) {
        self.learn_at(ip, mac, Instant::now());
    }

    /// The MAC behind this address. Does not block beyond reading a few kilobytes of `/proc`.
    pub fn lookup(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.lookup_at(ip, Instant::now())
    }

    fn learn_at(&self, ip: Ipv4Addr, mac: MacAddr, now: Instant) {
        if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || !mac.is_unicast() {
            return;
        }
        let mut table = lock(&self.inner.learned);
        if table.len() >= CAPACITY && !table.contains_key(&ip) {
            make_room(&mut table, now);
        }
        table.insert(ip, Entry { mac, learned: now });
    }

    fn lookup_at(&self, ip: Ipv4Addr, now: Instant) -> Option<MacAddr> {
        if let Some(mac) = self.ask_system(ip, now) {
            return Some(mac);
        }
        let entry = *lock(&self.inner.learned).get(&ip)?;
        entry.is_fresh(now).then_some(entry.mac)
    }

    fn ask_system(&self, ip: Ipv4Addr, now: Instant) -> Option<MacAddr> {
        let read = self.inner.read.as_ref()?;
        let mut system = lock(&self.inner.system);
        let age = system.read.map(|then| now.saturating_duration_since(then));
        // An address that is not there yet may have come a moment ago; one that is there may
        // belong to another machine a little later.
        let old = match system.table.contains_key(&ip) {
            true => SYSTEM_HIT,
            false => SYSTEM_MISS,
        };
        if age.is_none_or(|age| age >= old) {
            system.table = read().map(|text| arp::parse(&text)).unwrap_or_default();
            system.read = Some(now);
        }
        system.table.get(&ip).copied()
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let learned = lock(&self.inner.learned).len();
        f.debug_struct("Neighbours")
            .field("learned", &learned)
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.learned) < LIFETIME
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under this lock")
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
const SYSTEM_HIT: Duration = Duration::from_millis(100);
const SYSTEM_MISS: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u32) -> MacAddr {
        let [a, b, c, d] = n.to_be_bytes();
        MacAddr([2, 0, a, b, c, d])
    }

    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

    #[test]
    fn the_last_one_seen_is_answered_until_it_is_stale() {
        let neighbours = Neighbours::default();
        let start = Instant::now();
        assert_eq!(neighbours.lookup_at(IP, start), None);
        neighbours.learn_at(IP, mac(1), start);
        neighbours.learn_at(IP, mac(2), start + Duration::from_secs(1));
        let late = start + LIFETIME;
        assert_eq!(neighbours.clone().lookup_at(IP, late), Some(mac(2)));
        assert_eq!(
            neighbours.lookup_at(IP, late + Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn the_system_knows_best() {
        let text = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&text);
        let neighbours = Neighbours::with_arp(Arc::new(move || Some(lock(&shown).clone())));
        let start = Instant::now();
        neighbours.learn_at(IP, mac(1), start);
        assert_eq!(
            neighbours.lookup_at(IP, start),
            Some(mac(1)),
            "all there is"
        );
        *lock(&text) = format!("IP …\n{IP} 0x1 0x2 {} * eth0\n", mac(2));
        let soon = start + SYSTEM_MISS;
        assert_eq!(
            neighbours.lookup_at(IP, soon),
            Some(mac(2)),
            "leased to another"
        );
        *lock(&text) = String::new();
        assert_eq!(
            neighbours.lookup_at(IP, soon + SYSTEM_MISS),
            Some(mac(2)),
            "read just now"
        );
        assert_eq!(neighbours.lookup_at(IP, soon + SYSTEM_HIT), Some(mac(1)));
    }

    #[test]
    fn what_is_no_machine_is_not_learned() {
        let neighbours = Neighbours::default();
        let now = Instant::now();
        neighbours.learn_at(Ipv4Addr::UNSPECIFIED, mac(1), now);
        neighbours.learn_at(Ipv4Addr::BROADCAST, mac(1), now);
        neighbours.learn_at(Ipv4Addr::new(10, 0, 0, 1), MacAddr([0xff; 6]), now);
        assert!(lock(&neighbours.inner.learned).is_empty());
    }

    #[test]
    fn a_flood_keeps_the_newest_and_stays_bounded() {
        let neighbours = Neighbours::default();
        let start = Instant::now();
        let ip = |n: u32| Ipv4Addr::from(0x0a00_0000 + n);
        for n in 1..20_000 {
            let now = start + Duration::from_micros(u64::from(n));
            neighbours.learn_at(ip(n), mac(n), now);
            assert!(lock(&neighbours.inner.learned).len() <= CAPACITY);
        }
        assert_eq!(neighbours.lookup_at(ip(19_999), start), Some(mac(19_999)));
        assert_eq!(neighbours.lookup_at(ip(1), start), None);
    }
}
