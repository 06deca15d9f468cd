//! Web hooks.

use super::problem::{Answer, Json, Path, Problem};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::Hook;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::HookStatus;
use utoipa::ToSchema;

/// A hook without its name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HookBody {
    /// Where events are posted.
    url: String,
    /// Labels; those that it has stay when they are left out.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// Kinds of events (`assigned`, `run-changed`); empty: all but the steps of every boot.
    #[serde(default)]
    events: Vec<String>,
    /// The secret that signs what is posted.
    #[serde(default)]
    secret: String,
    /// Whether it is told anything.
    #[serde(default = "yes")]
    enabled: bool,
}

/// The hooks and how their receivers do.
#[derive(Serialize, ToSchema)]
pub(super) struct HookList {
    /// By name.
    #[schema(value_type = Vec<Object>)]
    hooks: Vec<HookStatus>,
}

/// Lists web hooks: what they are told, when they last were, and why not since.
#[utoipa::path(get, path = "/hooks", tag = "hooks", responses((status = OK, body = HookList)))]
pub(super) async fn list_hooks(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<HookList>> {
    let hooks = state.store.hook_statuses().await?;
    Ok(Json(HookList { hooks }))
}

/// Creates a web hook or replaces it; what waits for it stays.
#[utoipa::path(put, path = "/hooks/{name}", tag = "hooks",
    params(("name" = String, Path, description = "lower-case letters, digits and '-'")),
    request_body = HookBody,
    responses((status = OK, body = Object), (status = "4XX", body = Problem)))]
pub(super) async fn put_hook(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
    Json(body): Json<HookBody>,
) -> Answer<Json<Hook>> {
    let old = state.store.hooks();
    let old = old.iter().find(|hook| hook.name == name);
    let has = old.map(|hook| hook.labels.clone()).unwrap_or_default();
    let hook = Hook {
        labels: body.labels.unwrap_or(has),
        name,
        url: body.url,
        events: body.events,
        secret: body.secret,
        enabled: body.enabled,
    };
    state.store.put_hook(hook.clone(), &actor.name).await?;
    Ok(Json(hook))
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(super) struct TestedHook {
    /// Whether its receiver took it.
    told: bool,
    /// Why not.
    problem: Option<String>,
}

/// Posts a test to a web hook's receiver now: signed as everything else, under delivery 0, and not
/// tried again.
#[utoipa::path(post, path = "/hooks/{name}/test", tag = "hooks",
    params(("name" = String, Path, description = "the hook")),
    responses((status = OK, body = TestedHook), (status = "4XX", body = Problem)))]
pub(super) async fn test_hook(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
) -> Answer<Json<TestedHook>> {
    let tested = state.test_hook(&name, &actor.name).await;
    let problem = tested
        .ok_or_else(|| Problem::not_found(format!("hook '{name}'")))?
        .err();
    Ok(Json(TestedHook {
        told: problem.is_none(),
        problem,
    }))
}

/// Deletes a web hook, and what waits for it.
#[utoipa::path(delete, path = "/hooks/{name}", tag = "hooks",
    params(("name" = String, Path, description = "the hook")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_hook(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    state.store.delete_hook(&name, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn yes() -> bool {
    true
}
