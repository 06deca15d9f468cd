//! Transfers under way and the sums of those before, for every page that shows them.

use super::story::{printable, size};
use crate::people::PeopleState;
use crate::transfers::{Direction, Ending, Flow, TransferView};
use bootplan::{Catalog, Machine, Transport};

/// Transfers under way as a page shows them.
pub(crate) struct Moving {
    /// Oldest first, at most [`SHOWN`].
    pub(crate) rows: Vec<Row>,
    /// How many more there are.
    pub(crate) more: usize,
    /// All together: "3 under way, 24.1 MB/s"; empty when there is none.
    pub(crate) summary: String,
}

/// One transfer under way.
pub(crate) struct Row {
    /// Stable over updates.
    pub(crate) id: u64,
    /// Which protocol: a CSS class, see `story::Line`.
    pub(crate) class: &'static str,
    /// The same for people.
    pub(crate) plane: &'static str,
    /// The machine, or its address.
    pub(crate) who: String,
    /// The machine's page.
    pub(crate) href: Option<String>,
    /// The name asked for.
    pub(crate) path: String,
    /// From the device to us.
    pub(crate) stores: bool,
    /// How far, of 100; `None` when the end is not known.
    pub(crate) percent: Option<u64>,
    /// "12.4 MB of 40.1 MB, 3.1 MB/s".
    pub(crate) amount: String,
    /// "round trip 0.4 ms, 3 windows repeated"; may be empty.
    pub(crate) way: String,
    /// Something was sent again.
    pub(crate) lossy: bool,
}

/// Sums of one protocol and direction since the start.
pub(crate) struct Sum {
    /// "TFTP, sent".
    pub(crate) what: &'static str,
    /// How many came to their good end; who asked for the size only got it.
    pub(crate) completed: u64,
    /// How many the client stopped.
    pub(crate) aborted: u64,
    /// How many the client left without a word.
    pub(crate) vanished: u64,
    /// How many we ended: the client was too slow, or the server was stopped.
    pub(crate) cut: u64,
    /// How many we could not go on with.
    pub(crate) failed: u64,
    /// What went over the wire.
    pub(crate) bytes: String,
    /// Datagrams or segments sent again.
    pub(crate) repeated: u64,
}

impl Moving {
    /// All of them.
    pub(crate) fn all(state: &PeopleState) -> Moving {
        Moving::new(&state.store.catalog(), state.transfers.running())
    }

    /// Those of one machine.
    pub(crate) fn of(state: &PeopleState, machine: &Machine) -> Moving {
        let mut running = state.transfers.running();
        running.retain(|view| view.mac.is_some_and(|mac| machine.macs.contains(&mac)));
        Moving::new(&state.store.catalog(), running)
    }

    fn new(catalog: &Catalog, running: Vec<TransferView>) -> Moving {
        let rate: u64 = running.iter().map(TransferView::bytes_per_second).sum();
        let count = running.len();
        let rows = running.into_iter().take(SHOWN);
        Moving {
            rows: rows.map(|view| Row::new(view, catalog)).collect(),
            more: count.saturating_sub(SHOWN),
            summary: match count {
                0 => String::new(),
                _ => format!("{count} under way, {}/s", size(rate)),
            },
        }
    }
}

impl Row {
    fn new(view: TransferView, catalog: &Catalog) -> Row {
        let machine = view.mac.and_then(|mac| catalog.find(mac, None));
        let by_id = machine.map(|machine| format!("/machines/{}", machine.id.0));
        let (class, plane) = match view.transport {
            Transport::Tftp => ("tftp", "TFTP"),
            Transport::Http => ("http", "HTTP"),
        };
        let rate = size(view.bytes_per_second());
        let done = size(view.bytes);
        let round_trip = view
            .round_trip
            .map(|time| format!("round trip {:.1} ms", time.as_secs_f64() * 1e3));
        let (count, what) = match view.transport {
            Transport::Tftp => (view.windows_repeated, "window"),
            Transport::Http => (view.retransmits, "segment"),
        };
        let repeated = match count {
            0 => None,
            1 => Some(format!("1 {what} repeated")),
            n => Some(format!("{n} {what}s repeated")),
        };
        Row {
            id: view.id,
            class,
            plane,
            who: match (machine, view.mac) {
                (Some(machine), _) => printable(&machine.name),
                (None, Some(mac)) => mac.to_string(),
                (None, None) => view.peer.ip().to_canonical().to_string(),
            },
            href: by_id.or_else(|| view.mac.map(|mac| format!("/m/{}", mac.dashed()))),
            path: printable(&view.path),
            stores: view.direction == Direction::Write,
            // A length that was announced and is wrong is found out at the end, and not here.
            percent: view
                .total
                .map(|total| (view.bytes.saturating_mul(100) / total.max(1)).min(100)),
            amount: match view.total {
                Some(total) => format!("{done} of {}, {rate}/s", size(total)),
                None => format!("{done}, {rate}/s"),
            },
            lossy: repeated.is_some(),
            way: [round_trip, repeated]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// The sums since the start: what there was of each protocol and direction.
pub(crate) fn sums(state: &PeopleState) -> Vec<Sum> {
    let totals = state.transfers.totals();
    let sum = |(&(transport, direction), flow): (&(Transport, Direction), &Flow)| {
        let ended = |ending| totals.ended(transport, direction, ending);
        Sum {
            what: match (transport, direction) {
                (Transport::Tftp, Direction::Read) => "TFTP, sent",
                (Transport::Tftp, Direction::Write) => "TFTP, stored",
                (Transport::Http, Direction::Read) => "HTTP, sent",
                (Transport::Http, Direction::Write) => "HTTP, stored",
            },
            completed: ended(Ending::Completed) + ended(Ending::SizeProbe),
            aborted: ended(Ending::Aborted),
            vanished: ended(Ending::Vanished),
            cut: ended(Ending::Cut),
            failed: ended(Ending::Failed),
            bytes: size(flow.bytes),
            repeated: flow.retransmits,
        }
    };
    totals.flows.iter().map(sum).collect()
}

/// More are no list that anybody reads, and a storm has a thousand.
const SHOWN: usize = 20;
