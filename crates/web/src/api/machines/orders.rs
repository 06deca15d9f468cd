//! Orders: install machines once or boot something else once, and how that goes on.

use super::many::{Changed, changed, meant};
use super::views::Filter;
use super::{MachineView, one};
use crate::api::problem::{Answer, Json, Path, Problem, Query};
use crate::people::ordering::{NotOrdered, Wanted};
use crate::people::{Actor, PeopleState};
use crate::windows::Hours;
use axum::extract::State;
use bootplan::run::{Happening, Order};
use bootplan::{
    Catalog, Machine, MachineId, ProfileName, Run, RunKind, RunState, Timestamp, Turn, Window,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// What is ordered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ArmBody {
    /// These machines; only where many are ordered at once.
    #[serde(default)]
    pub(super) ids: Option<Vec<i64>>,
    /// All machines that match; only where many are ordered at once.
    #[serde(default)]
    pub(super) filter: Option<Filter>,
    /// `install-once` (also assigned so) or `next-boot`.
    #[serde(default)]
    mode: ArmMode,
    /// What is booted; left out: what each machine is assigned to, else what the rule that it
    /// waits for would install.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    profile: Option<ProfileName>,
    /// Not before this time, in milliseconds since the Unix epoch.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub(super) not_before: Option<Timestamp>,
    /// Only in these hours of the server's zone: the name of one of the site's windows, or
    /// `{"days": ["mon", "tue"], "from": "22:00", "to": "05:00"}`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(super) window: Option<Value>,
    /// Held after so many tries without a report (1 to 20); left out: the site's.
    #[serde(default)]
    tries: Option<u8>,
    /// Held so many minutes after the first try (5 to 10080); left out: the site's.
    #[serde(default)]
    minutes: Option<u32>,
    /// Calls off an installation that is under way.
    #[serde(default)]
    force: bool,
    /// Orders although what would be fetched has faults, or is not there.
    #[serde(default)]
    despite_faults: bool,
}

/// What an order is for.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::api) enum ArmMode {
    /// Install it once.
    #[default]
    InstallOnce,
    /// Boot it once, whatever it is.
    NextBoot,
}

/// How a run ended, as a person saw it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct FinishBody {
    /// `done` or `failed`.
    result: Finished,
    /// Why, if it failed.
    #[serde(default)]
    why: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Finished {
    Done,
    Failed,
}

/// Why a machine is held.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct HoldBody {
    /// For other people; may be empty.
    #[serde(default)]
    note: String,
}

/// Which machines, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ThoseBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match.
    #[serde(default)]
    filter: Option<Filter>,
}

/// An order and how far it is.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RunView {
    /// Identity; a later run has a greater one.
    id: i64,
    /// `install` or `next-boot`.
    #[schema(value_type = String)]
    kind: RunKind,
    /// What is booted.
    #[schema(value_type = String)]
    profile: ProfileName,
    /// `waiting`, `armed`, `installing`, `installed`, `failed`, `held`, `cancelled`.
    state: &'static str,
    /// Why it failed or is held.
    why: Option<String>,
    /// What the installer last said that it is doing.
    phase: Option<String>,
    /// How often the machine was handed over to the installer.
    tries: u8,
    /// How often it may be.
    of: u8,
    /// How many minutes it may take from the first try on.
    minutes: u32,
    /// Its place in the queue, from 1, and how many wait there.
    queue: Option<[usize; 2]>,
    /// Whether it has one of the slots.
    has_slot: bool,
    /// Not before this time.
    #[schema(value_type = Option<i64>)]
    not_before: Option<Timestamp>,
    /// Only in these hours.
    #[schema(value_type = Option<Object>)]
    window: Option<Window>,
    /// Since when it is in this state.
    #[schema(value_type = i64)]
    since: Timestamp,
    /// When the machine was first handed over.
    #[schema(value_type = Option<i64>)]
    started: Option<Timestamp>,
    /// Who ordered it.
    by: String,
}

impl RunView {
    pub(super) fn of(machine: &Machine, catalog: &Catalog) -> Option<RunView> {
        let run = machine.run.as_deref()?;
        let queued = matches!(run.turn, Turn::Queued { .. });
        Some(RunView {
            id: run.id.0,
            kind: run.kind,
            profile: run.profile.clone(),
            state: run.state.slug(),
            why: why(run),
            phase: run.phase.clone(),
            tries: run.tries,
            of: run.limit.tries,
            minutes: run.limit.minutes,
            queue: queued.then(|| catalog.queue_place(machine.id).into()),
            has_slot: run.turn == Turn::Granted,
            not_before: run.not_before,
            window: run.window.clone(),
            since: run.since,
            started: run.started,
            by: run.by.clone(),
        })
    }
}

fn why(run: &Run) -> Option<String> {
    match &run.state {
        RunState::Failed { why } => Some(why.clone()),
        RunState::Held { why } => Some(why.to_string()),
        _ => None,
    }
}

/// Which runs.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct RunsQuery {
    /// Only those in this state, such as `held`.
    state: Option<String>,
    /// Ended ones too.
    ended: bool,
}

/// The newest run of each machine, and the queue.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RunList {
    /// How many may install at the same time; 0: any number.
    slots: u16,
    /// How many do.
    slots_taken: usize,
    /// How many wait for a slot.
    queued: usize,
    /// Those in the queue first, in their order; then the newest first.
    runs: Vec<RunOfMachine>,
}

/// A run and whose it is.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RunOfMachine {
    /// The machine.
    machine: i64,
    /// What people call it.
    name: String,
    /// Its run.
    run: RunView,
}

/// Lists the newest run of each machine.
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsQuery),
    responses((status = OK, body = RunList), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn list_runs(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<RunsQuery>,
) -> Answer<Json<RunList>> {
    let catalog = state.store.catalog();
    let open = |machine: &&Machine| {
        let run = machine.run.as_deref();
        run.is_some_and(|run| query.ended || query.state.is_some() || !run.is_over())
    };
    let machines = catalog.machines().map(|machine| &**machine).filter(open);
    let mut runs: Vec<RunOfMachine> = machines
        .filter_map(|machine| {
            let run = RunView::of(machine, &catalog)?;
            let (machine, name) = (machine.id.0, machine.name.clone());
            Some(RunOfMachine { machine, name, run })
        })
        .collect();
    let slots_taken = runs.iter().filter(|of| of.run.has_slot).count();
    let queued = runs.iter().filter(|of| of.run.queue.is_some()).count();
    let wanted = |of: &RunOfMachine| query.state.as_deref().is_none_or(|s| s == of.run.state);
    runs.retain(wanted);
    runs.sort_by_key(|of| {
        let place = of.run.queue.map_or(usize::MAX, |[place, _]| place);
        (place, std::cmp::Reverse(of.run.id))
    });
    Ok(Json(RunList {
        slots: catalog.site.install_slots,
        slots_taken,
        queued,
        runs,
    }))
}

/// Orders one machine to be installed, or to boot something else once.
#[utoipa::path(post, path = "/machines/{id}/arm", tag = "runs", request_body = ArmBody,
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn arm_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<ArmBody>,
) -> Answer<Json<MachineView>> {
    if body.ids.is_some() || body.filter.is_some() {
        let detail = "'ids' and 'filter' are for POST /machines/arm; the path says which machine";
        return Err(Problem::refused(detail));
    }
    order(&state, &actor, &[MachineId(id)], body).await?;
    shown(&state, id)
}

/// Orders many machines at once: all of them or, on an error, none.
#[utoipa::path(post, path = "/machines/arm", tag = "runs", request_body = ArmBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn arm_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(mut body): Json<ArmBody>,
) -> Answer<Json<Changed>> {
    let ids = meant(&state, body.ids.take(), body.filter.take())?;
    order(&state, &actor, &ids, body).await?;
    Ok(Json(changed(&ids)))
}

/// One order for each profile, all in one transaction; what each machine is to boot.
pub(super) async fn order(
    state: &PeopleState,
    actor: &Actor,
    ids: &[MachineId],
    body: ArmBody,
) -> Answer<BTreeMap<MachineId, ProfileName>> {
    let window = body.window.as_ref().map(Hours::read);
    let wanted = Wanted {
        kind: match body.mode {
            ArmMode::InstallOnce => RunKind::Install,
            ArmMode::NextBoot => RunKind::NextBoot,
        },
        profile: body.profile,
        not_before: body.not_before,
        window: window.transpose().map_err(Problem::refused)?,
        tries: body.tries,
        minutes: body.minutes,
        force: body.force,
        despite_faults: body.despite_faults,
    };
    let ordered = state.order(ids, wanted, &actor.name).await;
    ordered.map_err(|error| match error {
        faults @ NotOrdered::Faults(_) => Problem::refused(format!(
            "{faults} ('despite_faults' orders it nevertheless)"
        )),
        error => error.into(),
    })
}

impl From<NotOrdered> for Problem {
    fn from(error: NotOrdered) -> Problem {
        match error {
            NotOrdered::Store(error) => error.into(),
            error => Problem::refused(error),
        }
    }
}

/// Calls an order off.
#[utoipa::path(post, path = "/machines/{id}/cancel", tag = "runs",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn cancel_run(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<MachineView>> {
    decide(&state, &actor, id, Order::Cancel).await
}

/// A held machine begins again, with all its tries, at its next boot.
#[utoipa::path(post, path = "/machines/{id}/release", tag = "runs",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn release_run(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<MachineView>> {
    decide(&state, &actor, id, Order::Release).await
}

/// Stops an order; the machine boots its local disk until it is released.
#[utoipa::path(post, path = "/machines/{id}/hold", tag = "runs", request_body = HoldBody,
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn hold_run(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<HoldBody>,
) -> Answer<Json<MachineView>> {
    let note = body.note;
    decide(&state, &actor, id, Order::Hold { note }).await
}

/// A person says how it ended, whatever the machine said.
#[utoipa::path(post, path = "/machines/{id}/finish", tag = "runs", request_body = FinishBody,
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn finish_run(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<FinishBody>,
) -> Answer<Json<MachineView>> {
    let order = match body.result {
        Finished::Done => Order::Finish,
        Finished::Failed => Order::Fail { why: body.why },
    };
    decide(&state, &actor, id, order).await
}

/// Calls off the orders of many machines; those without one stay as they are.
#[utoipa::path(post, path = "/machines/cancel", tag = "runs", request_body = ThoseBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn cancel_runs(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<ThoseBody>,
) -> Answer<Json<Changed>> {
    let ids = meant(&state, body.ids, body.filter)?;
    let happening = Happening::Ordered(Order::Cancel);
    state.store.happen(&ids, happening, &actor.name).await?;
    Ok(Json(changed(&ids)))
}

/// Releases many held machines; others stay as they are.
#[utoipa::path(post, path = "/machines/release", tag = "runs", request_body = ThoseBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn release_runs(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<ThoseBody>,
) -> Answer<Json<Changed>> {
    let ids = meant(&state, body.ids, body.filter)?;
    let happening = Happening::Ordered(Order::Release);
    state.store.happen(&ids, happening, &actor.name).await?;
    Ok(Json(changed(&ids)))
}

async fn decide(
    state: &PeopleState,
    actor: &Actor,
    id: i64,
    order: Order,
) -> Answer<Json<MachineView>> {
    let machine = one(state, id)?.machine;
    let happening = Happening::Ordered(order);
    let ids = [MachineId(id)];
    if state.store.happen(&ids, happening, &actor.name).await? == 0 {
        let word = machine
            .run
            .as_ref()
            .map_or("nothing ordered", |run| run.state.slug());
        let detail = format!("not possible for machine '{}' now: {word}", machine.name);
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    shown(state, id)
}

fn shown(state: &PeopleState, id: i64) -> Answer<Json<MachineView>> {
    let record = one(state, id)?;
    Ok(Json(MachineView::of(record, &state.store.catalog())))
}
