//! Power switches: what they are, and using them.

use super::machines::many::meant_exactly;
use super::machines::views::Filter;
use super::problem::{Answer, Json, Path, Problem};
use crate::people::power::{Asked, Powered};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::{MachineId, Power, PowerAction};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked of one machine's switch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UseBody {
    /// `on`, `off`, `restart`, `status`, `next-boot-pxe`, `next-boot-http` or `wake`.
    #[schema(value_type = String)]
    action: PowerAction,
}

/// What is asked of many, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UseManyBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match; `{}` means all machines.
    #[serde(default)]
    filter: Option<Filter>,
    /// How many machines are meant; if it is another number now, no switch is touched.
    #[serde(default)]
    expect: Option<usize>,
    /// `on`, `off`, `restart`, `status`, `next-boot-pxe`, `next-boot-http` or `wake`.
    #[schema(value_type = String)]
    action: PowerAction,
}

/// What came of it, machine by machine.
#[derive(Serialize, ToSchema)]
pub(super) struct UsedMany {
    /// In the order that was asked for.
    results: Vec<Powered>,
}

/// The ways to a machine's power switch. Passwords are names of secrets.
#[utoipa::path(get, path = "/machines/{id}/power", tag = "power",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = Object), (status = "4XX", body = Problem)))]
pub(super) async fn get_power(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<Power>> {
    super::machines::one(&state, id)?;
    Ok(Json(state.store.power(MachineId(id)).await?))
}

/// Says how a machine is switched; `{}` takes it away.
#[utoipa::path(put, path = "/machines/{id}/power", tag = "power",
    params(("id" = i64, Path, description = "the machine")), request_body = Object,
    responses((status = OK, body = Object), (status = "4XX", body = Problem)))]
pub(super) async fn put_power(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(power): Json<Power>,
) -> Answer<Json<Power>> {
    state
        .store
        .set_power(MachineId(id), power.clone(), &actor.name)
        .await?;
    Ok(Json(power))
}

/// Uses a machine's power switch. 502 says why the switch did not do it.
#[utoipa::path(post, path = "/machines/{id}/power", tag = "power",
    params(("id" = i64, Path, description = "the machine")), request_body = UseBody,
    responses((status = OK, body = Powered), (status = "4XX", body = Problem), (status = BAD_GATEWAY, body = Problem)))]
pub(super) async fn use_power(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<UseBody>,
) -> Answer<Json<Powered>> {
    let asked = Asked::Action(body.action);
    let used = state.switch(vec![MachineId(id)], asked, &actor.name);
    let used = used.await?.into_iter().next().map(Powered::from);
    let used =
        used.ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending"))?;
    match used.problem {
        Some(problem) => Err(Problem::new(StatusCode::BAD_GATEWAY, problem)),
        None => Ok(Json(used)),
    }
}

/// Uses the power switches of many machines; what does not work with one does not keep the others from it.
#[utoipa::path(post, path = "/machines/power", tag = "power", request_body = UseManyBody,
    responses((status = OK, body = UsedMany), (status = "4XX", body = Problem)))]
pub(super) async fn use_many(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<UseManyBody>,
) -> Answer<Json<UsedMany>> {
    let ids = meant_exactly(&state, body.ids, body.filter, body.expect)?;
    let asked = Asked::Action(body.action);
    let used = state.switch(ids, asked, &actor.name).await?;
    let results = used.into_iter().map(Powered::from).collect();
    Ok(Json(UsedMany { results }))
}
