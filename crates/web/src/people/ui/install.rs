//! The panel "Install" of a machine's page, and what its buttons do.

use super::confirm;
use super::error::PageError;
use super::form::{Fields, Path};
use super::frame::{Stamp, Visit, done, failed, now};
use super::story::printable;
use crate::orders;
use crate::people::PeopleState;
use crate::people::ordering::{NotOrdered, Wanted};
use crate::windows::Hours;
use axum::extract::State;
use axum::response::Response;
use bootplan::run::{Happening, Order};
use bootplan::{
    Catalog, Lifecycle, Machine, MachineId, ProfileName, RunKind, RunState, Timestamp, Turn, Window,
};
use std::collections::BTreeSet;
use store::StoreError;

/// What the panel shows. Only what is possible now has a button.
pub(crate) struct Install {
    pub(crate) word: &'static str,
    pub(crate) class: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) line: String,
    /// "try 1 of 3"
    pub(crate) tries: Option<String>,
    pub(crate) ordered: Option<Stamp>,
    pub(crate) by: String,
    /// What is or was booted by the order.
    pub(crate) profile: String,
    /// What an order means where none is chosen: the assigned profile, or its rule's.
    pub(crate) target: Option<String>,
    /// Whether some profile installs, and so one boot of it writes the disk.
    pub(crate) installers: bool,
    /// Whether installing is what people come for: something is ordered, or its profile installs.
    pub(crate) first: bool,
    /// The site's maintenance windows: name, and when they are open.
    pub(crate) windows: Vec<(String, String)>,
    pub(crate) can_order: bool,
    pub(crate) can_retry: bool,
    pub(crate) can_release: bool,
    pub(crate) can_finish: bool,
    pub(crate) can_hold: bool,
    pub(crate) can_cancel: bool,
}

impl Install {
    pub(crate) fn of(machine: &Machine, catalog: &Catalog, at: Timestamp) -> Self {
        let word = machine.lifecycle();
        let run = machine.run.as_deref();
        let open = run.filter(|run| !run.is_over());
        let held = word == Lifecycle::Held;
        let shown = run.filter(|run| !run.is_over() || word != Lifecycle::Ready);
        let installs = open.is_some_and(|run| run.kind == RunKind::Install);
        let tries = shown.filter(|run| run.tries > 0);
        Install {
            word: title(word),
            class: class(word),
            icon: icon(word),
            line: machine.progress(catalog, at).unwrap_or_default(),
            tries: tries.map(|run| format!("try {} of {}", run.tries, run.limit.tries)),
            ordered: shown.map(|run| Stamp::ago(run.since, at)),
            by: shown.map(|run| printable(&run.by)).unwrap_or_default(),
            profile: shown.map(|run| run.profile.to_string()).unwrap_or_default(),
            target: orders::target(catalog, machine, None)
                .ok()
                .map(|p| p.to_string()),
            installers: catalog.profiles().any(|p| p.enabled && p.installs()),
            first: open.is_some()
                || word == Lifecycle::Failed
                || orders::target(catalog, machine, None)
                    .ok()
                    .and_then(|name| catalog.profile(&name))
                    .is_some_and(|profile| profile.installs()),
            windows: {
                let windows = catalog.site.windows.iter();
                windows
                    .map(|(n, w)| (n.to_string(), w.to_string()))
                    .collect()
            },
            can_order: open.is_none(),
            can_retry: word == Lifecycle::Failed,
            can_release: held,
            can_finish: installs && open.is_some_and(|run| run.state != RunState::Waiting),
            can_hold: open.is_some() && !held,
            can_cancel: open.is_some(),
        }
    }
}

/// The word as people read it.
pub(crate) fn title(word: Lifecycle) -> &'static str {
    match word {
        Lifecycle::Discovered => "new",
        other => other.slug(),
    }
}

pub(crate) fn class(word: Lifecycle) -> &'static str {
    match word {
        Lifecycle::Discovered => "warn",
        Lifecycle::Ready => "",
        Lifecycle::Armed | Lifecycle::Installing => "info",
        Lifecycle::Installed => "ok",
        Lifecycle::Failed | Lifecycle::Held => "bad",
    }
}

pub(crate) fn icon(word: Lifecycle) -> &'static str {
    match word {
        Lifecycle::Discovered => "new",
        Lifecycle::Ready | Lifecycle::Installed => "check",
        Lifecycle::Armed => "wait",
        Lifecycle::Installing => "boots",
        Lifecycle::Failed | Lifecycle::Held => "warn",
    }
}

/// How many install, and who waits: for the page Boots.
pub(crate) struct Queue {
    pub(crate) slots: u16,
    pub(crate) taken: usize,
    pub(crate) waiting: usize,
    /// The first of those that wait: address and name.
    pub(crate) next: Vec<(String, String)>,
    pub(crate) busy: bool,
}

impl Queue {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let turn = |machine: &Machine| machine.run.as_deref().map(|run| run.turn);
        let taken = catalog
            .machines()
            .filter(|m| turn(m) == Some(Turn::Granted));
        let taken = taken.count();
        let waiting = catalog.machines();
        let waiting = waiting.filter(|m| matches!(turn(m), Some(Turn::Queued { .. })));
        let mut waiting: Vec<_> = waiting.map(|m| (catalog.queue_place(m.id).0, m)).collect();
        waiting.sort_by_key(|(place, _)| *place);
        let next = waiting.iter().take(SHOWN);
        Queue {
            slots: catalog.site.install_slots,
            taken,
            waiting: waiting.len(),
            next: next
                .map(|(_, m)| (format!("/machines/{}", m.id.0), printable(&m.name)))
                .collect(),
            busy: taken + waiting.len() > 0,
        }
    }
}

/// `POST /machines/{id}/order`: what a button of the panel says.
pub(crate) async fn order(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = format!("/machines/{id}");
    let ids = [MachineId(id)];
    let by = &visit.actor.name;
    let order = match fields.get("order") {
        "install-once" => return arm(&state, RunKind::Install, &fields, ids[0], by, &back).await,
        "next-boot" => return arm(&state, RunKind::NextBoot, &fields, ids[0], by, &back).await,
        "install-now" => return Ok(confirm::now(&state, ids[0], &fields, &back)),
        "cancel" => Order::Cancel,
        "finish" => Order::Finish,
        "release" => Order::Release,
        "fail" => Order::Fail {
            why: match fields.get("note") {
                "" => format!("{by} says so"),
                why => why.to_owned(),
            },
        },
        "hold" => Order::Hold {
            note: fields.get("note").to_owned(),
        },
        _ => return Ok(failed(&back, "choose what to do first")),
    };
    let text = match &order {
        Order::Cancel => "Cancelled.",
        Order::Fail { .. } => "Failed: it boots its local disk until it is ordered again.",
        Order::Finish => "Done: it boots its local disk from now on.",
        Order::Release => "It begins again at its next boot.",
        _ => "Held: it boots its local disk until it is released.",
    };
    let happened = state
        .store
        .happen(&ids, Happening::Ordered(order), by)
        .await;
    match happened {
        Ok(0) => Ok(failed(&back, "that is not possible any more; look again")),
        Ok(_) => Ok(done(&back, text)),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(&back, error)),
    }
}

async fn arm(
    state: &PeopleState,
    kind: RunKind,
    fields: &Fields,
    id: MachineId,
    by: &str,
    back: &str,
) -> Result<Response, PageError> {
    let wanted = match wanted(kind, fields) {
        Ok(wanted) => wanted,
        Err(problem) => return Ok(failed(back, problem)),
    };
    let ordered = match state.order(&[id], wanted, by).await {
        Ok(ordered) => profiles(ordered.values()),
        Err(error) => return not_ordered(back, error),
    };
    let text = match kind {
        RunKind::Install => format!("{ordered} is installed at the next boot, once."),
        RunKind::NextBoot => format!("{ordered} boots next, and only once."),
    };
    Ok(done(back, text))
}

/// The order that a form says: the profile chosen, or for each machine its own.
pub(super) fn wanted(kind: RunKind, fields: &Fields) -> Result<Wanted, String> {
    let profile: Option<ProfileName> = match fields.get("profile") {
        "" => None,
        name => Some(name.parse().map_err(|_| "choose a profile first")?),
    };
    Ok(Wanted {
        not_before: not_before(fields.get("not_before"))?,
        window: window(fields)?,
        ..Wanted::of(kind, profile)
    })
}

/// A refusal is told on the page one came from; a failing database is an error.
pub(super) fn not_ordered(back: &str, error: NotOrdered) -> Result<Response, PageError> {
    match error {
        NotOrdered::Store(error @ StoreError::Database { .. }) => Err(error.into()),
        error => Ok(failed(back, error)),
    }
}

/// Their names, each once.
pub(super) fn profiles<'p>(ordered: impl Iterator<Item = &'p ProfileName>) -> String {
    let names: BTreeSet<&str> = ordered.map(ProfileName::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// As a browser sends a date and time: in no zone, so the server's is meant.
fn not_before(text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let time: Option<jiff::civil::DateTime> = text.parse().ok();
    let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::system()).ok());
    let time = time.ok_or_else(|| "not before: a date and a time are needed".to_owned())?;
    Ok(Some(Timestamp(time.timestamp().as_millisecond())))
}

fn window(fields: &Fields) -> Result<Option<Hours>, String> {
    if !fields.get("window").is_empty() {
        return Ok(Some(Hours::Named(fields.get("window").to_owned())));
    }
    let (from, to) = (fields.get("from"), fields.get("to"));
    let days: Vec<&str> = fields.all("day").collect();
    if from.is_empty() && to.is_empty() && days.is_empty() {
        return Ok(None);
    }
    let written = serde_json::json!({"days": days, "from": from, "to": to});
    let window: Window = serde_json::from_value(written)
        .map_err(|_| "window: days, and hours as 22:00, are needed".to_owned())?;
    match window.days.is_empty() {
        true => Err("window: on which days?".to_owned()),
        false => Ok(Some(Hours::These(window))),
    }
}

/// For pages that show a machine now.
pub(crate) fn of(machine: &Machine, catalog: &Catalog) -> Install {
    Install::of(machine, catalog, now())
}

const SHOWN: usize = 12;
