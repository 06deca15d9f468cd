//! The history and its live end.

use super::problem::{Answer, Json, Problem, Query};
use crate::people::{Actor, PeopleState};
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bootplan::{Event, MacAddr, MachineId};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::{EventQuery, StoredEvent};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa::{IntoParams, ToSchema};

/// Which events.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// Only of this machine.
    machine: Option<i64>,
    /// Only of this hardware address.
    #[param(value_type = Option<String>)]
    mac: Option<MacAddr>,
    /// Only older than this id (for paging).
    before: Option<i64>,
    /// Only newer than this id.
    after: Option<i64>,
    /// At most this many, 1 to 1000; left out: 100.
    limit: u32,
}

/// An event and the same in words, so that nobody needs our code to show it.
#[derive(Serialize)]
pub(super) struct EventView<E> {
    #[serde(flatten)]
    event: E,
    /// One line for people.
    headline: String,
}

impl From<StoredEvent> for EventView<StoredEvent> {
    fn from(event: StoredEvent) -> Self {
        EventView {
            headline: event.event.kind.headline(),
            event,
        }
    }
}

impl From<Event> for EventView<Event> {
    fn from(event: Event) -> Self {
        EventView {
            headline: event.kind.headline(),
            event,
        }
    }
}

/// A piece of the history.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first: `id`, `machine`, `at` (milliseconds since the Unix epoch), `origin`,
    /// `event` (its kind), what belongs to that kind, and `headline` (the same for people).
    #[schema(value_type = Vec<Object>)]
    events: Vec<EventView<StoredEvent>>,
}

/// Reads the history.
#[utoipa::path(get, path = "/events", tag = "events", params(HistoryQuery),
    responses((status = OK, body = History), (status = "4XX", body = Problem)))]
pub(super) async fn list_events(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Json<History>> {
    let events = state.store.events(EventQuery {
        machine: query.machine.map(MachineId),
        mac: query.mac,
        before: query.before,
        after: query.after,
        limit: query.limit.min(1000),
    });
    let events = events.await?.into_iter().map(EventView::from);
    Ok(Json(History {
        events: events.collect(),
    }))
}

/// Which events to follow.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FollowQuery {
    /// Only of this machine.
    machine: Option<i64>,
    /// Only of this hardware address.
    #[param(value_type = Option<String>)]
    mac: Option<MacAddr>,
    /// Begin with what happened after this id (at most the newest 1000); as `Last-Event-ID` does.
    after: Option<i64>,
}

impl FollowQuery {
    fn wants(&self, stored: &StoredEvent) -> bool {
        let mac = |event: &Event| self.mac.is_none_or(|mac| event.origin.mac == Some(mac));
        let machine = self
            .machine
            .is_none_or(|id| stored.machine == Some(MachineId(id)));
        machine && mac(&stored.event)
    }
}

/// What a follower is sent.
enum Item {
    Event(Arc<StoredEvent>),
    /// This many events were missed because the follower was too slow.
    Missed(u64),
}

/// Follows events as they are stored: as server-sent events, or one JSON object per line with
/// `Accept: application/x-ndjson` (an empty line now and then keeps it alive). A follower that is
/// too slow is told how many it `missed`. Each event is as in `/events`.
#[utoipa::path(get, path = "/events/stream", tag = "events", params(FollowQuery),
    responses(
        (status = OK, description = "a stream that does not end", content(
            (String = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = "4XX", body = Problem)))]
pub(super) async fn stream_events(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let lines = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(NDJSON)));
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let items = follow(&state, query, last)
        .await?
        .take_until(Box::pin(state.closed()));
    if lines {
        let body = Body::from_stream(lines_of(items));
        return Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response());
    }
    let events = items.map(|item| Ok::<_, Infallible>(server_sent(&item)));
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// Subscribes first and reads the past then, so that nothing falls between the two.
async fn follow(
    state: &PeopleState,
    query: FollowQuery,
    last: Option<i64>,
) -> Answer<impl Stream<Item = Item> + Send + use<>> {
    let live = BroadcastStream::new(state.live.subscribe());
    let mut past = Vec::new();
    if let Some(after) = query.after.or(last) {
        past = state
            .store
            .events(EventQuery {
                machine: query.machine.map(MachineId),
                mac: query.mac,
                after: Some(after),
                limit: 1000,
                ..EventQuery::default()
            })
            .await?;
        past.reverse();
    }
    let told = past.last().map_or(i64::MIN, |stored| stored.id);
    let live = live.filter_map(move |received| {
        let item = match received {
            // An id of 0 was never stored, so it cannot have been in the past.
            Ok(stored) if stored.id != 0 && stored.id <= told => None,
            Ok(stored) => query.wants(&stored).then_some(Item::Event(stored)),
            Err(BroadcastStreamRecvError::Lagged(count)) => Some(Item::Missed(count)),
        };
        std::future::ready(item)
    });
    let past = past.into_iter().map(|stored| Item::Event(Arc::new(stored)));
    Ok(stream::iter(past).chain(live))
}

fn json(item: &Item) -> String {
    let text = match item {
        Item::Event(stored) => serde_json::to_string(&EventView::from(StoredEvent::clone(stored))),
        Item::Missed(count) => Ok(format!("{{\"missed\":{count}}}")),
    };
    text.expect("events have string keys and no exotic numbers")
}

/// One line per item, and an empty one when nothing happens for a while: only by writing does
/// either side notice that the other is gone.
fn lines_of(
    items: impl Stream<Item = Item> + Send + 'static,
) -> impl Stream<Item = Result<String, Infallible>> + Send {
    stream::unfold(
        Box::pin(items),
        async |mut items| match tokio::time::timeout(HEARTBEAT, items.next()).await {
            Ok(Some(item)) => Some((Ok(format!("{}\n", json(&item))), items)),
            Ok(None) => None,
            Err(_) => Some((Ok("\n".to_owned()), items)),
        },
    )
}

fn server_sent(item: &Item) -> sse::Event {
    let event = sse::Event::default().data(json(item));
    match item {
        Item::Event(stored) if stored.id != 0 => event.id(stored.id.to_string()),
        Item::Event(_) => event,
        Item::Missed(_) => event.event("missed"),
    }
}

/// As often as server-sent events are kept alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
const NDJSON: &str = "application/x-ndjson";
