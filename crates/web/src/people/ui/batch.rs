//! `/machines/power`: what was asked of many power switches at once, and what came of each.

use super::error::{PageError, PageResult, page};
use super::form::{Fields, Query};
use super::frame::{Frame, Stamp, Visit, done, failed, now};
use super::install::{not_ordered, wanted};
use super::story::printable;
use crate::orders::counted;
use crate::people::PeopleState;
use crate::people::batches::{Batch, Line};
use crate::people::power::Asked;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bootplan::{MachineId, PowerAction, ProfileName, RunKind};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    frame: Frame,
    /// `None`: it is not remembered, or none was named.
    shown: Option<Shown>,
    /// Address, what was asked, how it stands, when.
    others: Vec<(String, String, String, Stamp)>,
}

/// One of them, machine by machine.
struct Shown {
    title: String,
    by: String,
    begun: Stamp,
    summary: String,
    /// Whether something was ordered first.
    orders: bool,
    rows: Vec<Row>,
}

struct Row {
    id: i64,
    name: String,
    profile: String,
    /// `under way`, `done`, `not done`, with the class and the icon of its tag.
    word: (&'static str, &'static str, &'static str),
    told: String,
}

/// Which one.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanting {
    batch: u64,
}

/// `GET /machines/power`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(wanting): Query<Wanting>,
) -> PageResult {
    let at = now();
    let all = state.batches.all().into_iter();
    let others = all.filter(|batch| batch.id != wanting.batch).map(|batch| {
        let begun = Stamp::ago(batch.begun, at);
        (address(batch.id), title(&batch), summary(&batch), begun)
    });
    page(&BatchPage {
        frame: visit.frame(&state, "machines"),
        shown: state.batches.get(wanting.batch).map(|batch| Shown {
            title: title(&batch),
            by: printable(&batch.by),
            begun: Stamp::ago(batch.begun, at),
            summary: summary(&batch),
            orders: batch.asked == Asked::BootOrdered,
            rows: batch.lines.iter().map(|l| row(l, batch.asked)).collect(),
        }),
        others: others.collect(),
    })
}

fn address(id: u64) -> String {
    format!("/machines/power?batch={id}")
}

fn title(batch: &Batch) -> String {
    let many = counted(batch.lines.len());
    match batch.asked {
        Asked::BootOrdered => format!("Install now: {many}"),
        Asked::Action(action) => super::error::sentence(&format!("{action}: {many}"))
            .trim_end_matches('.')
            .to_owned(),
    }
}

/// "2 done, 1 not done, 4 under way".
fn summary(batch: &Batch) -> String {
    let words = ["done", "not done", "under way"];
    let counts = words.map(|word| {
        let with = |line: &&Line| word_of(line).0 == word;
        (batch.lines.iter().filter(with).count(), word)
    });
    let told = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = told
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    told.join(", ")
}

fn word_of(line: &Line) -> (&'static str, &'static str, &'static str) {
    match (line.switched.over, line.switched.good()) {
        (false, _) => ("under way", "info", "wait"),
        (true, true) => ("done", "ok", "check"),
        (true, false) => ("not done", "bad", "warn"),
    }
}

fn row(line: &Line, asked: Asked) -> Row {
    let switched = &line.switched;
    let profile = line.ordered.as_ref().map(ToString::to_string);
    Row {
        id: switched.id.0,
        name: printable(&switched.name),
        profile: profile.unwrap_or_default(),
        word: word_of(line),
        told: printable(&switched.told(asked)),
    }
}

/// Orders what the form says and boots it at once. What cannot be ordered is not switched.
pub(super) async fn install_now(
    state: &PeopleState,
    fields: &Fields,
    ids: &[MachineId],
    by: &str,
    back: &str,
) -> Result<Response, PageError> {
    let wanted = match wanted(RunKind::Install, fields) {
        Ok(wanted) => wanted,
        Err(problem) => return Ok(failed(back, problem)),
    };
    match state.order(ids, wanted, by).await {
        Ok(ordered) => Ok(begin(state, ids, Asked::BootOrdered, &ordered, by, back)),
        Err(error) => not_ordered(back, error),
    }
}

/// Asks the power switches of these machines for what the form says.
pub(super) fn switch(
    state: &PeopleState,
    fields: &Fields,
    ids: Vec<MachineId>,
    by: &str,
    back: &str,
) -> Response {
    match PowerAction::from_slug(fields.get("power")) {
        Some(action) => {
            let none = BTreeMap::new();
            begin(state, &ids, Asked::Action(action), &none, by, back)
        }
        None => failed(back, "choose what to ask of the power switches first"),
    }
}

fn begin(
    state: &PeopleState,
    ids: &[MachineId],
    asked: Asked,
    ordered: &BTreeMap<MachineId, ProfileName>,
    by: &str,
    back: &str,
) -> Response {
    let catalog = state.store.catalog();
    let line = |id: &MachineId| {
        let machine = catalog.machine(*id)?;
        Some(Line::new(
            *id,
            machine.name.clone(),
            ordered.get(id).cloned(),
        ))
    };
    let Some(lines) = ids.iter().map(line).collect() else {
        return failed(back, "a machine is gone; look again");
    };
    let batch = state.batches.begin(asked, by, now(), lines);
    let batches = state.batches.clone();
    let tell = move |switched: &_| batches.tell(batch, switched);
    match state.begin_switching(ids.to_vec(), asked, by, tell) {
        // Nobody waits for it: the page shows how far it is.
        Ok(_) => done(
            &address(batch),
            "Asked; what each switch says appears here.",
        ),
        Err(error) => failed(back, error),
    }
}
