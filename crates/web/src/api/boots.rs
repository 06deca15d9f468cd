//! Boots: events folded into what each machine did.

use super::events::EventView;
use super::machines;
use super::problem::{Answer, Json, Path, Problem, Query};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::timeline::{self, BootAttempt, Milestone};
use bootplan::{Event, MacAddr, MachineId, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use store::{EventQuery, Store, StoreError, StoredEvent};
use utoipa::{IntoParams, ToSchema};

/// How many boots.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BootsQuery {
    /// At most this many, 1 to 500; left out: 50.
    limit: usize,
}

impl Default for BootsQuery {
    fn default() -> Self {
        BootsQuery { limit: 50 }
    }
}

/// Boots of all machines.
#[derive(Serialize, ToSchema)]
pub(super) struct AllBoots {
    /// Newest first.
    boots: Vec<BootOf>,
}

/// One boot of one machine.
#[derive(Serialize, ToSchema)]
pub(super) struct BootOf {
    /// The machine; `null` when none was known then.
    #[schema(value_type = Option<i64>)]
    machine: Option<MachineId>,
    /// Its name; `null` when there is no such machine (any more).
    name: Option<String>,
    /// The hardware address that asked first.
    #[schema(value_type = Option<String>)]
    mac: Option<MacAddr>,
    #[serde(flatten)]
    progress: Progress,
}

/// How far a boot came.
#[derive(Serialize, ToSchema)]
pub(super) struct Progress {
    /// How far it came and, if it stopped, where.
    summary: String,
    /// `asked`, `loader`, `menu`, `kernel` or `handed-over`.
    #[schema(value_type = String)]
    milestone: Milestone,
    /// When it began, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    started: Timestamp,
    /// Its last sign of life.
    #[schema(value_type = i64)]
    last: Timestamp,
}

impl Progress {
    fn of(attempt: &BootAttempt) -> Self {
        Progress {
            summary: attempt.summary(),
            milestone: attempt.milestone,
            started: attempt.started,
            last: attempt.last,
        }
    }
}

/// The boots of all machines, folded from the newest 5000 events.
#[utoipa::path(get, path = "/boots", tag = "events", params(BootsQuery),
    responses((status = OK, body = AllBoots), (status = "4XX", body = Problem)))]
pub(super) async fn list_all_boots(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<BootsQuery>,
) -> Answer<Json<AllBoots>> {
    let limit = query.limit.clamp(1, BOOTS_LIMIT);
    let mut boots = fold(newest(&state.store).await?);
    boots.truncate(limit);
    let catalog = state.store.catalog();
    for boot in &mut boots {
        let machine = boot.machine.and_then(|id| catalog.machine(id));
        boot.name = machine.map(|machine| machine.name.clone());
    }
    Ok(Json(AllBoots { boots }))
}

/// Newest first.
async fn newest(store: &Store) -> Result<Vec<StoredEvent>, StoreError> {
    let mut events: Vec<StoredEvent> = Vec::new();
    for _ in 0..PAGES {
        let query = EventQuery {
            before: events.last().map(|stored| stored.id),
            limit: PAGE,
            ..EventQuery::default()
        };
        let page = store.events(query).await?;
        let whole = page.len() == PAGE as usize;
        events.extend(page);
        if !whole {
            break;
        }
    }
    Ok(events)
}

/// The boots in events that are newest first. Two cards of one machine make one boot; what names
/// neither a machine nor a MAC is nobody's.
fn fold(events: Vec<StoredEvent>) -> Vec<BootOf> {
    let mut of: BTreeMap<(Option<MachineId>, Option<MacAddr>), Vec<Event>> = BTreeMap::new();
    for stored in events.into_iter().rev() {
        let key = match (stored.machine, stored.event.origin.mac) {
            (Some(id), _) => (Some(id), None),
            (None, Some(mac)) => (None, Some(mac)),
            (None, None) => continue,
        };
        of.entry(key).or_default().push(stored.event);
    }
    let mut boots = Vec::new();
    for ((machine, _), events) in of {
        boots.extend(timeline::attempts(events).iter().map(|attempt| BootOf {
            machine,
            name: None,
            mac: attempt.events.iter().find_map(|event| event.origin.mac),
            progress: Progress::of(attempt),
        }));
    }
    boots.sort_by_key(|boot| Reverse(boot.progress.started));
    boots
}

/// The boots of one machine.
#[derive(Serialize, ToSchema)]
pub(super) struct Boots {
    /// Newest first.
    boots: Vec<Boot>,
}

/// One boot and its events.
#[derive(Serialize, ToSchema)]
pub(super) struct Boot {
    #[serde(flatten)]
    progress: Progress,
    /// Oldest first: `at`, `origin`, `event` (its kind), what belongs to that kind, and
    /// `headline`.
    #[schema(value_type = Vec<Object>)]
    events: Vec<EventView<Event>>,
}

/// The boots of one machine, folded from its newest 1000 events.
#[utoipa::path(get, path = "/machines/{id}/boots", tag = "machines",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = Boots), (status = "4XX", body = Problem)))]
pub(super) async fn list_boots(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<Boots>> {
    machines::one(&state, id)?;
    let query = EventQuery {
        machine: Some(MachineId(id)),
        limit: PAGE,
        ..EventQuery::default()
    };
    let mut events = state.store.events(query).await?;
    events.reverse();
    let attempts = timeline::attempts(events.into_iter().map(|stored| stored.event));
    let boots = attempts.into_iter().rev().map(|attempt| Boot {
        progress: Progress::of(&attempt),
        events: attempt.events.into_iter().map(EventView::from).collect(),
    });
    Ok(Json(Boots {
        boots: boots.collect(),
    }))
}

/// The most that the store gives at once.
const PAGE: u32 = 1000;
/// A rack of waiting machines asks again every few seconds: that much history is still read in
/// tens of milliseconds.
const PAGES: usize = 5;
const BOOTS_LIMIT: usize = 500;
