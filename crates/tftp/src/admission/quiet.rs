//! Proved transfers whose clients have said nothing new for a while.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::SessionId;

/// Time without progress after which a proved transfer may have to make way, when there is no place left for a
/// client that asks. A client that is there answers within milliseconds, and a lost block is repeated several times
/// in this time; who pauses for longer (GRUB between a kernel and its RAM disk: up to half a minute) keeps its
/// place for as long as there are others, and those that have been silent for longer go first. Without this, some
/// thousand clients that answer once and never again would keep everybody out for a minute.
pub const QUIET_AFTER: Duration = Duration::from_secs(5);

/// Since when each of them has been quiet.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    since: HashMap<SessionId, Instant>,
    all: BTreeSet<(Instant, SessionId)>,
    clients: HashMap<IpAddr, BTreeSet<(Instant, SessionId)>>,
}

impl Quiet {
    pub(super) fn insert(&mut self, id: SessionId, client: IpAddr, since: Instant) {
        self.remove(id, client);
        self.since.insert(id, since);
        self.all.insert((since, id));
        self.clients.entry(client).or_default().insert((since, id));
    }

    pub(super) fn remove(&mut self, id: SessionId, client: IpAddr) {
        let Some(since) = self.since.remove(&id) else {
            return;
        };
        self.all.remove(&(since, id));
        if let Some(own) = self.clients.get_mut(&client) {
            own.remove(&(since, id));
            if own.is_empty() {
                self.clients.remove(&client);
            }
        }
    }

    /// The one that has been quiet for longest.
    pub(super) fn longest(&self) -> Option<SessionId> {
        self.all.first().map(|(_, id)| *id)
    }

    /// The same among those of one client.
    pub(super) fn longest_of(&self, client: IpAddr) -> Option<SessionId> {
        let own = self.clients.get(&client)?;
        own.first().map(|(_, id)| *id)
    }

    pub(super) fn len(&self) -> usize {
        self.since.len()
    }
}
