//! `/boots`: what is happening on the network, newest first.

use super::error::{PageResult, page};
use super::form::Query;
use super::frame::{Frame, Visit, now};
use super::install::Queue;
use super::story::{Line, line, printable};
use super::transfers::Moving;
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use store::{EventQuery, StoredEvent};

#[derive(Template)]
#[template(path = "boots.html")]
struct BootsPage {
    frame: Frame,
    moving: Moving,
    queue: Queue,
    entries: Vec<Entry>,
    quiet: bool,
    older: Option<i64>,
    paged: bool,
}

struct Entry {
    key: i64,
    href: Option<String>,
    who: String,
    line: Line,
}

#[derive(Deserialize)]
pub(crate) struct Filter {
    before: Option<i64>,
    /// `1` shows what firmware does in every healthy boot as well.
    #[serde(default)]
    all: Option<String>,
}

/// `GET /boots`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(filter): Query<Filter>,
) -> PageResult {
    let query = EventQuery {
        before: filter.before,
        limit: PAGE,
        ..EventQuery::default()
    };
    let events = state.store.events(query).await?;
    let full = events.len() == PAGE as usize;
    let older = events.last().map(|e| e.id).filter(|_| full);
    let quiet = filter.all.is_some();
    let entries = events.iter().map(|e| entry(&state, e));
    page(&BootsPage {
        frame: visit.frame(&state, "boots"),
        moving: Moving::all(&state),
        queue: Queue::of(&state.store.catalog()),
        entries: entries.filter(|e| quiet || !e.line.quiet).collect(),
        quiet,
        older,
        paged: filter.before.is_some(),
    })
}

fn entry(state: &PeopleState, stored: &StoredEvent) -> Entry {
    let catalog = state.store.catalog();
    let machine = stored.machine.and_then(|id| catalog.machine(id));
    let mac = stored.event.origin.mac;
    let who = match (machine, mac, stored.event.origin.ip) {
        (Some(machine), ..) => printable(&machine.name),
        (None, Some(mac), _) => mac.to_string(),
        (None, None, Some(ip)) => ip.to_string(),
        _ => "server".to_owned(),
    };
    let by_id = machine.map(|m| format!("/machines/{}", m.id.0));
    Entry {
        key: stored.id,
        href: by_id.or_else(|| mac.map(|m| format!("/m/{}", m.dashed()))),
        who,
        line: line(&stored.event, now()),
    }
}

const PAGE: u32 = 200;
