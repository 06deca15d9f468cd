//! What people asked of many power switches at once on the pages, and how far it is. In memory:
//! each machine's history has it for good.

use super::power::{Asked, Switched};
use bootplan::{MachineId, ProfileName, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The newest of them. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Batches(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    last: u64,
    /// The oldest first.
    batches: VecDeque<Batch>,
}

/// What was asked of some machines at once.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) id: u64,
    pub(crate) asked: Asked,
    pub(crate) by: String,
    pub(crate) begun: Timestamp,
    pub(crate) lines: Vec<Line>,
}

/// One machine of it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What came of it so far.
    pub(crate) switched: Switched,
    /// What was ordered for it first.
    pub(crate) ordered: Option<ProfileName>,
}

impl Line {
    /// Of a machine that nothing was asked of yet.
    pub(crate) fn new(id: MachineId, name: String, ordered: Option<ProfileName>) -> Self {
        let switched = Switched {
            id,
            name,
            tried: Vec::new(),
            over: false,
        };
        Line { switched, ordered }
    }
}

impl Batches {
    /// Remembers one more, and gives its number. Far older ones are forgotten.
    pub(crate) fn begin(&self, asked: Asked, by: &str, begun: Timestamp, lines: Vec<Line>) -> u64 {
        let mut book = self.book();
        book.last += 1;
        let id = book.last;
        book.batches.push_back(Batch {
            id,
            asked,
            by: by.to_owned(),
            begun,
            lines,
        });
        let many = book.batches.len().saturating_sub(KEPT);
        book.batches.drain(..many);
        id
    }

    /// How far a machine of a batch is now.
    pub(crate) fn tell(&self, id: u64, switched: &Switched) {
        let mut book = self.book();
        let batch = book.batches.iter_mut().find(|batch| batch.id == id);
        let mut lines = batch.into_iter().flat_map(|batch| &mut batch.lines);
        if let Some(line) = lines.find(|line| line.switched.id == switched.id) {
            line.switched = switched.clone();
        }
    }

    /// One of those remembered.
    pub(crate) fn get(&self, id: u64) -> Option<Batch> {
        let book = self.book();
        book.batches.iter().find(|batch| batch.id == id).cloned()
    }

    /// All that are remembered, the newest first.
    pub(crate) fn all(&self) -> Vec<Batch> {
        self.book().batches.iter().rev().cloned().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is whole before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enough for a person to find the way back; a batch of a thousand machines is some 100 KiB.
const KEPT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::PowerAction;

    #[test]
    fn the_newest_are_remembered_and_told_how_far_they_are() {
        let batches = Batches::default();
        let asked = Asked::Action(PowerAction::Off);
        let line = |id| Line::new(MachineId(id), "anvil".to_owned(), None);
        let begin = || batches.begin(asked, "ann", Timestamp(0), vec![line(6), line(7)]);
        let first = begin();
        let over = Switched {
            over: true,
            ..line(7).switched
        };
        batches.tell(first, &over);
        batches.tell(first, &line(8).switched);
        batches.tell(99, &over);
        let lines = batches.get(first).expect("remembered").lines;
        assert_eq!(
            lines.iter().map(|l| l.switched.over).collect::<Vec<_>>(),
            [false, true]
        );
        for _ in 0..KEPT {
            begin();
        }
        assert!(batches.get(first).is_none());
        let ids: Vec<u64> = batches.all().iter().map(|batch| batch.id).collect();
        let newest = first + KEPT as u64;
        assert_eq!((ids[0], ids.len()), (newest, KEPT));
        batches.tell(first, &over);
    }
}
