//! Machines: list, look at, enter, change, forget.

pub(super) mod many;
pub(super) mod now;
pub(super) mod orders;
pub(super) mod table;
pub(super) mod views;

use super::problem::{Answer, Json, Path, Problem, Query};
use crate::kept;
use crate::orders::AtEveryBoot;
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bootplan::{Lifecycle, MachineId, MachineState};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use store::MachineRecord;
use utoipa::{IntoParams, ToSchema};
use views::{Filter, MachineBody, MachinePatch, MachineView};

/// A page of the list of machines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Words that must all hold: text found anywhere, or `key:value` (`label:rack=1`, `state:held`,
    /// `mac:52:54`, `product:Dell*`); `!` before a word turns it around.
    q: String,
    /// `discovered` or `registered`.
    #[param(value_type = Option<String>)]
    state: Option<MachineState>,
    /// `discovered`, `ready`, `armed`, `installing`, `installed`, `failed`, `held`.
    #[param(value_type = Option<String>)]
    lifecycle: Option<Lifecycle>,
    /// A profile's name; empty: machines without an assignment.
    profile: Option<String>,
    /// Page, from 1.
    page: usize,
    /// Machines on a page, 1 to 1000.
    per_page: usize,
}

impl Default for ListQuery {
    fn default() -> Self {
        ListQuery {
            q: String::new(),
            state: None,
            lifecycle: None,
            profile: None,
            page: 1,
            per_page: 100,
        }
    }
}

/// Machines and how many there are.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineList {
    /// How many match in all.
    total: usize,
    /// This page, from 1.
    page: usize,
    /// Machines on a page.
    per_page: usize,
    /// This page's machines, by name.
    machines: Vec<MachineView>,
}

/// Lists machines.
#[utoipa::path(get, path = "/machines", tag = "machines", params(ListQuery),
    responses((status = OK, body = MachineList), (status = "4XX", body = Problem)))]
pub(super) async fn list_machines(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<MachineList>> {
    let catalog = state.store.catalog();
    let (page, per_page) = (query.page.max(1), query.per_page.clamp(1, PER_PAGE_LIMIT));
    let filter = Filter {
        q: query.q,
        state: query.state,
        lifecycle: query.lifecycle,
        profile: query.profile,
    };
    let mut found = matching(&state, &filter)?;
    found.sort_by_cached_key(|r| (r.machine.name.to_lowercase(), r.machine.id));
    Ok(Json(MachineList {
        total: found.len(),
        page,
        per_page,
        machines: found
            .into_iter()
            .skip((page - 1).saturating_mul(per_page))
            .take(per_page)
            .map(|record| MachineView::of(record, &catalog))
            .collect(),
    }))
}

fn matching(state: &PeopleState, filter: &Filter) -> Answer<Vec<MachineRecord>> {
    filter.among(state.store.machines())
}

/// Shows one machine.
#[utoipa::path(get, path = "/machines/{id}", tag = "machines",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn get_machine(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<MachineView>> {
    let record = one(&state, id)?;
    Ok(Json(MachineView::of(record, &state.store.catalog())))
}

pub(super) fn one(state: &PeopleState, id: i64) -> Answer<MachineRecord> {
    let found = state.store.machine(MachineId(id));
    found.ok_or_else(|| Problem::not_found(format!("machine {id}")))
}

/// Enters a machine by hand. No rule orders it installed.
#[utoipa::path(post, path = "/machines", tag = "machines", request_body = MachineBody,
    responses((status = CREATED, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn create_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<MachineBody>,
) -> Answer<Response> {
    let asked = AtEveryBoot::of_new(&state.store.catalog(), body.profile.as_ref());
    many::confirmed(asked, body.always)?;
    let created = state.store.create_machine(body.into(), &actor.name).await?;
    let location = format!("/api/v1/machines/{}", created.machine.id.0);
    let view = Json(MachineView::of(created, &state.store.catalog()));
    let mut response = (StatusCode::CREATED, view).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Changes a machine; a discovered one is registered thereby, and no rule orders it installed.
#[utoipa::path(patch, path = "/machines/{id}", tag = "machines",
    params(("id" = i64, Path, description = "the machine")), request_body = MachinePatch,
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn patch_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<MachinePatch>,
) -> Answer<Json<MachineView>> {
    let id = MachineId(id);
    let profile = body.profile.as_ref().and_then(Option::as_ref);
    let asked = AtEveryBoot::of(&state.store.catalog(), profile, &[id]);
    let same = state.store.machine(id).map(|r| r.machine.profile.clone());
    // A patch that names the profile it has leaves alone how that is meant.
    let asked = asked.filter(|_| same.flatten().as_ref() != profile);
    many::confirmed(asked, body.always)?;
    let change = body.into();
    let changed = state.store.update_machine(id, change, &actor.name).await?;
    Ok(Json(MachineView::of(changed, &state.store.catalog())))
}

/// How a machine is forgotten.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ForgetQuery {
    /// Throw away what it keeps on the server; else that stays, as nobody's.
    discard_kept: bool,
}

/// Forgets a machine; if it asks again it is discovered anew.
#[utoipa::path(delete, path = "/machines/{id}", tag = "machines",
    params(("id" = i64, Path, description = "the machine"), ForgetQuery),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Query(query): Query<ForgetQuery>,
) -> Answer<StatusCode> {
    kept::forget(&state, &[MachineId(id)], query.discard_kept, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enough for a rack of racks at once; more is asked for page by page.
const PER_PAGE_LIMIT: usize = 1000;
