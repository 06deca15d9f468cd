//! Transfers under way, and the sums of those before.

use super::problem::{Json, Problem};
use crate::people::{Actor, PeopleState};
use crate::transfers::{Direction, Ending, Flow, Totals, TransferView};
use axum::extract::State;
use bootplan::{Catalog, MacAddr, Timestamp, Transport};
use serde::Serialize;
use std::net::IpAddr;
use utoipa::ToSchema;

/// Transfers under way.
#[derive(Serialize, ToSchema)]
pub(super) struct RunningTransfers {
    /// Oldest first.
    transfers: Vec<RunningTransfer>,
    /// Sums since the server was started, of each protocol and direction that there was.
    totals: Vec<TransferTotals>,
}

/// Transfers of one protocol and direction since the server was started.
#[derive(Serialize, ToSchema)]
pub(super) struct TransferTotals {
    /// `tftp` or `http`.
    #[schema(value_type = String)]
    transport: Transport,
    /// `read` or `write`.
    #[schema(value_type = String)]
    direction: Direction,
    /// Every byte went over.
    completed: u64,
    /// The client only asked for the size.
    size_probes: u64,
    /// The client said that it stops.
    aborted: u64,
    /// The client fell silent.
    vanished: u64,
    /// The server ended it: the client was too slow, or the server was stopped.
    cut: u64,
    /// Something on the server's side failed.
    failed: u64,
    /// Content bytes, with those of the transfers under way.
    bytes: u64,
    /// Datagrams sent again; by HTTP the TCP segments of files that take a while.
    retransmits: u64,
    /// Windows sent again (TFTP).
    windows_repeated: u64,
}

/// One transfer under way.
#[derive(Serialize, ToSchema)]
pub(super) struct RunningTransfer {
    /// Unique as long as the server runs.
    id: u64,
    /// `read` (from the server to the client) or `write`.
    #[schema(value_type = String)]
    direction: Direction,
    /// `tftp` or `http`.
    #[schema(value_type = String)]
    transport: Transport,
    /// The client's address.
    #[schema(value_type = String)]
    ip: IpAddr,
    /// The client's hardware address; `null` when it is not known.
    #[schema(value_type = Option<String>)]
    mac: Option<MacAddr>,
    /// Name of the machine with that hardware address; `null` when there is none.
    machine: Option<String>,
    /// The name asked for.
    path: String,
    /// When it began, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    started: Timestamp,
    /// Bytes acknowledged or taken so far.
    bytes: u64,
    /// On average since it began.
    bytes_per_second: u64,
    /// Bytes in all; `null` when they are not known.
    total: Option<u64>,
    /// Windows sent again so far (TFTP).
    windows_repeated: u64,
    /// Datagrams (TFTP) or TCP segments (HTTP) sent again so far.
    retransmits: u64,
    /// The smoothed round trip in microseconds; `null` before it was measured.
    round_trip_micros: Option<u64>,
}

impl RunningTransfer {
    fn of(view: TransferView, catalog: &Catalog) -> Self {
        let machine = view.mac.and_then(|mac| catalog.find(mac, None));
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).ok();
        RunningTransfer {
            id: view.id,
            direction: view.direction,
            transport: view.transport,
            ip: view.peer.ip().to_canonical(),
            mac: view.mac,
            machine: machine.map(|machine| machine.name.clone()),
            bytes_per_second: view.bytes_per_second(),
            path: view.path,
            started: view.started,
            bytes: view.bytes,
            total: view.total,
            windows_repeated: view.windows_repeated,
            retransmits: view.retransmits,
            round_trip_micros: view.round_trip.and_then(micros),
        }
    }
}

impl TransferTotals {
    fn all(totals: &Totals) -> Vec<TransferTotals> {
        let of = |(&(transport, direction), flow): (&(Transport, Direction), &Flow)| {
            let ended = |ending| totals.ended(transport, direction, ending);
            TransferTotals {
                transport,
                direction,
                completed: ended(Ending::Completed),
                size_probes: ended(Ending::SizeProbe),
                aborted: ended(Ending::Aborted),
                vanished: ended(Ending::Vanished),
                cut: ended(Ending::Cut),
                failed: ended(Ending::Failed),
                bytes: flow.bytes,
                retransmits: flow.retransmits,
                windows_repeated: flow.windows_repeated,
            }
        };
        totals.flows.iter().map(of).collect()
    }
}

/// The transfers under way at this moment, and sums of all. What became of each is among the events.
#[utoipa::path(get, path = "/transfers", tag = "events",
    responses((status = OK, body = RunningTransfers), (status = "4XX", body = Problem)))]
pub(super) async fn list_transfers(
    _: Actor,
    State(state): State<PeopleState>,
) -> Json<RunningTransfers> {
    let catalog = state.store.catalog();
    let running = state.transfers.running().into_iter();
    Json(RunningTransfers {
        transfers: running
            .map(|view| RunningTransfer::of(view, &catalog))
            .collect(),
        totals: TransferTotals::all(&state.transfers.totals()),
    })
}
