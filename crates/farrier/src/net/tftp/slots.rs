//! Places for transfers, each with a key that never means another transfer later.

/// Names one entry of [`Slots`]: its place, and which tenant of that place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    place: u32,
    tenant: u32,
}

impl Key {
    /// As the number that epoll hands back.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.tenant) << 32 | u64::from(self.place)
    }

    /// The reverse of [`Key::to_bits`].
    pub(super) fn from_bits(bits: u64) -> Key {
        Key {
            place: bits as u32,
            tenant: (bits >> 32) as u32,
        }
    }
}

/// A vector whose places are used again.
#[derive(Debug)]
pub(super) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    tenant: u32,
    entry: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Slots {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, entry: T) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                tenant: 0,
                entry: None,
            });
            u32::try_from(self.places.len() - 1).expect("as many transfers as descriptors at most")
        });
        let slot = &mut self.places[place as usize];
        slot.entry = Some(entry);
        Key {
            place,
            tenant: slot.tenant,
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.places.get_mut(key.place as usize)?;
        slot.entry.as_mut().filter(|_| slot.tenant == key.tenant)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.places.get_mut(key.place as usize)?;
        if slot.tenant != key.tenant {
            return None;
        }
        let entry = slot.entry.take()?;
        slot.tenant = slot.tenant.wrapping_add(1);
        self.free.push(key.place);
        Some(entry)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The keys of all entries.
    pub(super) fn keys(&self) -> Vec<Key> {
        let key = |(place, slot): (usize, &Place<T>)| {
            slot.entry.as_ref().map(|_| Key {
                place: place as u32,
                tenant: slot.tenant,
            })
        };
        self.places.iter().enumerate().filter_map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_its_old_key_finds_nothing() {
        let mut slots = Slots::new();
        let (a, b) = (slots.insert('a'), slots.insert('b'));
        assert_eq!(slots.remove(a), Some('a'));
        assert_eq!(slots.remove(a), None);
        let c = slots.insert('c');
        assert_eq!((c.place, slots.len()), (a.place, 2));
        assert_eq!(slots.get_mut(a), None);
        assert_eq!(slots.get_mut(c), Some(&mut 'c'));
        assert_eq!(slots.keys(), [c, b]);
        assert_eq!(Key::from_bits(c.to_bits()), c);
    }
}
