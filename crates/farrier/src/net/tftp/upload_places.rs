//! How many uploads there may be at once, and how many ports of ended ones linger.
//!
//! Whose client has not answered yet takes no place: those are bounded as half-open transfers are, and
//! forged requests must not keep a switch from storing its configuration.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The places there are. Cheap to clone: all clones are the same.
#[derive(Clone, Default)]
pub(super) struct UploadPlaces(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    clients: HashMap<Ipv4Addr, usize>,
    lingering: BTreeMap<u64, CancellationToken>,
    last: u64,
}

/// One upload's place, free again when this is dropped.
pub(super) struct UploadPlace {
    places: UploadPlaces,
    client: Ipv4Addr,
}

/// An ended upload whose port still answers repetitions.
pub(super) struct Lingering {
    places: UploadPlaces,
    number: u64,
    make_way: CancellationToken,
}

/// Why there is no place, for the client and for people.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    #[error("{UPLOADS_CAP} uploads are under way, try again later")]
    Full,
    #[error("{PER_CLIENT_CAP} uploads of this address are under way, try again later")]
    ClientFull,
}

impl NoPlace {
    /// For counting.
    pub(super) fn slug(&self) -> &'static str {
        match self {
            NoPlace::Full => "uploads-full",
            NoPlace::ClientFull => "uploads-of-address-full",
        }
    }
}

impl UploadPlaces {
    /// A place for an upload of a client that has answered.
    ///
    /// # Errors
    /// What there is too much of.
    pub(super) fn take(&self, client: Ipv4Addr) -> Result<UploadPlace, NoPlace> {
        let mut taken = self.lock();
        if taken.clients.values().sum::<usize>() >= UPLOADS_CAP {
            return Err(NoPlace::Full);
        }
        let of_client = taken.clients.entry(client).or_default();
        if *of_client >= PER_CLIENT_CAP {
            return Err(NoPlace::ClientFull);
        }
        *of_client += 1;
        Ok(UploadPlace {
            places: self.clone(),
            client,
        })
    }

    /// Counts a port that lingers; the one that has done so for longest makes way when there are too many.
    pub(super) fn linger(&self) -> Lingering {
        let mut taken = self.lock();
        taken.last += 1;
        let (number, make_way) = (taken.last, CancellationToken::new());
        taken.lingering.insert(number, make_way.clone());
        if taken.lingering.len() > LINGERING_CAP
            && let Some((_, oldest)) = taken.lingering.pop_first()
        {
            oldest.cancel();
        }
        Lingering {
            places: self.clone(),
            number,
            make_way,
        }
    }

    /// Valid after any panic: entries come and go one at a time.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lingering {
    /// Ready when this one makes way.
    pub(super) async fn made_way(&self) {
        self.make_way.cancelled().await;
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(of_client) = taken.clients.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.clients.remove(&self.client);
            }
        }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.places.lock().lingering.remove(&self.number);
    }
}

/// Uploads under way, in all. Each holds at most 1 MiB (what the disk is at and what gathers meanwhile, 256 KiB and a
/// window each, in buffers that grow by doubling), so all together 64 MiB, and each is a disk that seeks.
const UPLOADS_CAP: usize = 64;

/// Uploads of one address: a rack of switches behind a translated address, and still a quarter of all.
const PER_CLIENT_CAP: usize = 16;

/// Ports of ended uploads that linger at once. They cost a descriptor and some KiB each; a client whose last ACK was lost then
/// finds a closed port, and its file is stored.
const LINGERING_CAP: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_in_all_and_for_one_address_and_they_come_back() {
        let places = UploadPlaces::default();
        let client = |n: u8| Ipv4Addr::new(10, 0, 0, n);
        let mut taken: Vec<UploadPlace> = (0..PER_CLIENT_CAP)
            .map(|_| places.take(client(1)).expect("room"))
            .collect();
        assert_eq!(places.take(client(1)).err(), Some(NoPlace::ClientFull));
        for n in PER_CLIENT_CAP..UPLOADS_CAP {
            let other = client(100 + u8::try_from(n).expect("few"));
            taken.push(places.take(other).expect("room"));
        }
        assert_eq!(places.take(client(2)).err(), Some(NoPlace::Full));
        drop(taken.swap_remove(0));
        taken.push(places.take(client(1)).expect("room again"));
        drop(taken);
        assert!(places.lock().clients.is_empty(), "nothing is remembered");
    }

    #[test]
    fn who_lingers_for_longest_makes_way() {
        let places = UploadPlaces::default();
        let mut lingering: Vec<Lingering> = (0..LINGERING_CAP).map(|_| places.linger()).collect();
        assert!(lingering.iter().all(|one| !one.make_way.is_cancelled()));
        // One that ends by itself makes room as well.
        lingering.remove(5);
        lingering.push(places.linger());
        assert!(!lingering[0].make_way.is_cancelled());
        lingering.push(places.linger());
        let gone = lingering.iter().filter(|one| one.make_way.is_cancelled());
        assert_eq!(gone.count(), 1);
        assert!(lingering[0].make_way.is_cancelled());
        lingering.clear();
        assert!(places.lock().lingering.is_empty());
    }
}
