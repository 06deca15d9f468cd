//! Transfers under way, and what became of those before: written by whoever moves the bytes
//! (TFTP engine, HTTP boot plane, uploads), read by pages, API, `farrier status` and metrics.
//!
//! Between its begin and its end a transfer costs a few relaxed atomic stores and no lock, so
//! that it may say how far it is after every acknowledgement.

use crate::listen::Span;
use bootplan::{MacAddr, Timestamp, Transport};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The one list of transfers of a server. Cheap to clone: all clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Transfers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    half_open: AtomicUsize,
}

/// What is known of a transfer when it begins. One that never gets an answer from its client
/// need not begin: begin when the client has proved that it is there.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Which way the content goes.
    pub direction: Direction,
    /// By which protocol.
    pub transport: Transport,
    /// The client's end.
    pub peer: SocketAddr,
    /// The client's hardware address, when it is known.
    pub mac: Option<MacAddr>,
    /// The name asked for, escaped for printing.
    pub path: String,
    /// Bytes that will go over the wire, when that is known before.
    pub total: Option<u64>,
}

/// Which way the content goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From us to the client.
    Read,
    /// From the client to us.
    Write,
}

/// How a transfer ended, as one of few words: these are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every byte went over and was acknowledged (TFTP) or taken (HTTP).
    Completed,
    /// The client only wanted to know the size: a normal end.
    SizeProbe,
    /// The client said that it stops.
    Aborted,
    /// The client fell silent, or its end was closed without a word.
    Vanished,
    /// We ended it: the client was too slow, or the server was stopped.
    Cut,
    /// Something on our side failed: a disk, a file changed while it was served, a full quota.
    Failed,
}

/// One transfer under way, in the hands of who moves its bytes. Dropped without
/// [`finish`](Running::finish) it counts as [`Ending::Failed`].
#[derive(Debug)]
pub struct Running {
    list: Transfers,
    id: u64,
    live: Arc<Live>,
    ending: Ending,
}

/// One transfer under way as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// Unique as long as the program runs; grows with every begin.
    pub id: u64,
    /// Which way the content goes.
    pub direction: Direction,
    /// By which protocol.
    pub transport: Transport,
    /// The client's end.
    pub peer: SocketAddr,
    /// The client's hardware address, when it is known.
    pub mac: Option<MacAddr>,
    /// The name asked for.
    pub path: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it has been going on.
    pub elapsed: Duration,
    /// Bytes acknowledged or taken so far.
    pub bytes: u64,
    /// Bytes in all, when known.
    pub total: Option<u64>,
    /// Windows sent again so far (TFTP).
    pub windows_repeated: u64,
    /// Datagrams (TFTP) or segments (HTTP) sent again so far.
    pub retransmits: u64,
    /// The smoothed round trip as last measured.
    pub round_trip: Option<Duration>,
}

/// Sums since the program started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transfers that are over, by protocol, direction and how they ended.
    pub ended: BTreeMap<(Transport, Direction, Ending), u64>,
    /// What went over the wire, by protocol and direction; transfers under way are counted in.
    pub flows: BTreeMap<(Transport, Direction), Flow>,
    /// Requests answered with an error instead of a transfer, by protocol and a word for the reason.
    pub refused: BTreeMap<(Transport, &'static str), u64>,
    /// TFTP transfers now whose clients have not answered yet: what a flood of forged requests fills.
    pub half_open: usize,
}

/// Sums of one protocol and direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Transfers under way now.
    pub active: u64,
    /// Content bytes acknowledged or taken.
    pub bytes: u64,
    /// Datagrams sent again; by HTTP segments, of what was long enough to be listed.
    pub retransmits: u64,
    /// Windows sent again (TFTP).
    pub windows_repeated: u64,
}

impl Transfers {
    /// Puts a transfer into the list.
    pub fn begin(&self, beginning: Beginning) -> Running {
        self.begin_on(None, beginning)
    }

    /// The same for a transfer whose repeats and round trip the kernel knows: nobody needs to say them.
    pub fn begin_on(&self, span: Option<Span>, beginning: Beginning) -> Running {
        let live = Arc::new(Live {
            beginning,
            started: SystemTime::now().into(),
            since: Instant::now(),
            bytes: AtomicU64::new(0),
            windows_repeated: AtomicU64::new(0),
            retransmits: AtomicU64::new(0),
            round_trip_micros: AtomicU64::new(UNKNOWN),
            span,
        });
        let mut table = self.table();
        let id = table.next;
        table.next += 1;
        table.running.insert(id, Arc::clone(&live));
        Running {
            list: self.clone(),
            id,
            live,
            ending: Ending::Failed,
        }
    }

    /// Counts what was over before it was worth a place in the list, and (without an ending) what
    /// is no transfer of its own: a part out of the middle of a file.
    pub fn count(
        &self,
        transport: Transport,
        direction: Direction,
        bytes: u64,
        ending: Option<Ending>,
    ) {
        let over = &mut self.table().over;
        if let Some(ending) = ending {
            *over
                .ended
                .entry((transport, direction, ending))
                .or_default() += 1;
        }
        over.flows.entry((transport, direction)).or_default().bytes += bytes;
    }

    /// Counts a request that was answered with an error. `reason` is one of few words.
    pub fn refuse(&self, transport: Transport, reason: &'static str) {
        let over = &mut self.table().over;
        *over.refused.entry((transport, reason)).or_default() += 1;
    }

    /// How many TFTP transfers there are now whose clients have not answered yet.
    pub fn set_half_open(&self, count: usize) {
        self.0.half_open.store(count, Relaxed);
    }

    /// Transfers under way, oldest first.
    pub fn running(&self) -> Vec<TransferView> {
        let running: Vec<(u64, Arc<Live>)> = {
            let table = self.table();
            let shared = table.running.iter();
            shared.map(|(id, live)| (*id, Arc::clone(live))).collect()
        };
        running.iter().map(|(id, live)| live.view(*id)).collect()
    }

    /// Whether no transfer is under way.
    pub fn is_idle(&self) -> bool {
        self.table().running.is_empty()
    }

    /// Sums since the program started.
    pub fn totals(&self) -> Totals {
        let table = self.table();
        let mut totals = table.over.clone();
        totals.half_open = self.0.half_open.load(Relaxed);
        for live in table.running.values() {
            let flow = totals.flows.entry(live.key()).or_default();
            flow.active += 1;
            live.add_to(flow);
        }
        totals
    }

    /// Valid after any panic: every update is a single insertion, removal or addition.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Bytes acknowledged or taken so far, in all.
    pub fn advance(&self, bytes: u64) {
        self.live.bytes.store(bytes, Relaxed);
    }

    /// Windows and datagrams sent again so far, in all.
    pub fn repeated(&self, windows: u64, datagrams: u64) {
        self.live.windows_repeated.store(windows, Relaxed);
        self.live.retransmits.store(datagrams, Relaxed);
    }

    /// The smoothed round trip as just measured.
    pub fn round_trip(&self, smoothed: Duration) {
        self.live.round_trip(smoothed);
    }

    /// Takes the transfer out of the list and counts it.
    pub fn finish(mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (transport, direction) = self.live.key();
        let mut table = self.list.table();
        table.running.remove(&self.id);
        let ended = table
            .over
            .ended
            .entry((transport, direction, self.ending))
            .or_default();
        *ended += 1;
        let flow = table.over.flows.entry((transport, direction)).or_default();
        self.live.add_to(flow);
    }
}

impl Totals {
    /// How many transfers of this protocol and direction ended so.
    pub fn ended(&self, transport: Transport, direction: Direction, ending: Ending) -> u64 {
        let count = self.ended.get(&(transport, direction, ending));
        count.copied().unwrap_or_default()
    }
}

impl TransferView {
    /// On average since it began.
    pub fn bytes_per_second(&self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        u64::try_from(u128::from(self.bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}

impl Direction {
    /// As it stands in the API and in metrics.
    pub fn slug(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }
}

impl Ending {
    /// As it stands in metrics.
    pub fn slug(self) -> &'static str {
        match self {
            Ending::Completed => "completed",
            Ending::SizeProbe => "size_probe",
            Ending::Aborted => "aborted",
            Ending::Vanished => "vanished",
            Ending::Cut => "cut",
            Ending::Failed => "failed",
        }
    }

    /// Every way to end.
    pub const ALL: [Ending; 6] = [
        Ending::Completed,
        Ending::SizeProbe,
        Ending::Aborted,
        Ending::Vanished,
        Ending::Cut,
        Ending::Failed,
    ];
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    running: BTreeMap<u64, Arc<Live>>,
    /// Of transfers that are over; `active` stays 0 here.
    over: Totals,
}

#[derive(Debug)]
struct Live {
    beginning: Beginning,
    started: Timestamp,
    since: Instant,
    bytes: AtomicU64,
    windows_repeated: AtomicU64,
    retransmits: AtomicU64,
    /// [`UNKNOWN`] before the first measurement.
    round_trip_micros: AtomicU64,
    /// Where the numbers above come from if nobody says them.
    span: Option<Span>,
}

impl Live {
    fn key(&self) -> (Transport, Direction) {
        (self.beginning.transport, self.beginning.direction)
    }

    /// Asks the kernel.
    fn measure(&self) {
        let Some(figures) = self.span.as_ref().and_then(Span::figures) else {
            return;
        };
        self.retransmits.store(figures.retransmits, Relaxed);
        if let Some(smoothed) = figures.round_trip {
            self.round_trip(smoothed);
        }
    }

    fn round_trip(&self, smoothed: Duration) {
        let micros = u64::try_from(smoothed.as_micros()).unwrap_or(UNKNOWN);
        self.round_trip_micros.store(micros, Relaxed);
    }

    fn add_to(&self, flow: &mut Flow) {
        self.measure();
        flow.bytes += self.bytes.load(Relaxed);
        flow.retransmits += self.retransmits.load(Relaxed);
        flow.windows_repeated += self.windows_repeated.load(Relaxed);
    }

    fn view(&self, id: u64) -> TransferView {
        self.measure();
        let micros = self.round_trip_micros.load(Relaxed);
        TransferView {
            id,
            direction: self.beginning.direction,
            transport: self.beginning.transport,
            peer: self.beginning.peer,
            mac: self.beginning.mac,
            path: self.beginning.path.clone(),
            started: self.started,
            elapsed: self.since.elapsed(),
            bytes: self.bytes.load(Relaxed),
            total: self.beginning.total,
            windows_repeated: self.windows_repeated.load(Relaxed),
            retransmits: self.retransmits.load(Relaxed),
            round_trip: (micros != UNKNOWN).then(|| Duration::from_micros(micros)),
        }
    }
}

const UNKNOWN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(direction: Direction, path: &str) -> Beginning {
        Beginning {
            direction,
            transport: Transport::Tftp,
            peer: ([10, 0, 0, 7], 2070).into(),
            mac: None,
            path: path.to_owned(),
            total: Some(1000),
        }
    }

    #[test]
    fn a_transfer_is_listed_until_it_ends() {
        let transfers = Transfers::default();
        let first = transfers.begin(beginning(Direction::Read, "a"));
        let second = transfers.clone().begin(beginning(Direction::Read, "b"));
        second.advance(400);
        second.advance(700);
        second.repeated(2, 8);
        second.round_trip(Duration::from_micros(350));
        let listed = transfers.running();
        let paths: Vec<&str> = listed.iter().map(|view| view.path.as_str()).collect();
        assert_eq!(paths, ["a", "b"]);
        assert_eq!((listed[0].bytes, listed[0].round_trip), (0, None));
        assert_eq!((listed[1].bytes, listed[1].windows_repeated), (700, 2));
        assert_eq!(listed[1].round_trip, Some(Duration::from_micros(350)));
        first.finish(Ending::Completed);
        drop(second);
        assert!(transfers.running().is_empty());
    }

    #[test]
    fn totals_count_what_is_over_and_what_is_under_way() {
        let transfers = Transfers::default();
        let read = (Transport::Tftp, Direction::Read);
        let done = transfers.begin(beginning(Direction::Read, "a"));
        done.advance(1000);
        done.repeated(1, 4);
        let before = transfers.totals();
        done.finish(Ending::Completed);
        let after = transfers.totals();
        let flow = |active| Flow {
            active,
            bytes: 1000,
            retransmits: 4,
            windows_repeated: 1,
        };
        // A counter that went back when a transfer ends would be a reset to Prometheus.
        assert_eq!(
            (before.flows[&read], after.flows[&read]),
            (flow(1), flow(0))
        );
        assert!(before.ended.is_empty());
        let key = (Transport::Tftp, Direction::Read, Ending::Completed);
        assert_eq!(after.ended, BTreeMap::from([(key, 1)]));
    }

    #[test]
    fn what_is_dropped_on_the_way_counts_as_failed() {
        let transfers = Transfers::default();
        drop(transfers.begin(beginning(Direction::Write, "a")));
        let key = (Transport::Tftp, Direction::Write, Ending::Failed);
        assert_eq!(transfers.totals().ended, BTreeMap::from([(key, 1)]));
    }
}
