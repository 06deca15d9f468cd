//! Secrets: set and listed, never read back.

use super::problem::{Answer, Json, Path, Problem};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::{ObjectName, Secret};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which secrets there are; their values are shown nowhere.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretList {
    /// By name.
    secrets: Vec<SecretLine>,
}

/// A secret without its value.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretLine {
    /// What sealed answers call it.
    name: String,
    /// When it was last set.
    changed: i64,
    /// Who did that.
    by: String,
    /// False while it is only named by files and has no value yet.
    has_value: bool,
}

/// A secret's value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretBody {
    /// At most 64 KiB.
    value: String,
}

/// Lists secrets.
#[utoipa::path(get, path = "/secrets", tag = "answers",
    responses((status = OK, body = SecretList), (status = "4XX", body = Problem)))]
pub(super) async fn list_secrets(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<SecretList>> {
    let records = state.store.secret_records().await?;
    let lines = records.into_iter().map(|record| SecretLine {
        name: record.name,
        changed: record.changed.0,
        by: record.by,
        has_value: record.has_value,
    });
    Ok(Json(SecretList {
        secrets: lines.collect(),
    }))
}

/// Gives a secret its value.
#[utoipa::path(put, path = "/secrets/{name}", tag = "answers", request_body = SecretBody,
    params(("name" = String, Path, description = "the secret")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn put_secret(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<ObjectName>,
    Json(body): Json<SecretBody>,
) -> Answer<StatusCode> {
    let secret = Secret::new(body.value);
    state.store.put_secret(&name, secret, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a secret. Answers that name it cannot be made any more.
#[utoipa::path(delete, path = "/secrets/{name}", tag = "answers",
    params(("name" = String, Path, description = "the secret")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_secret(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<ObjectName>,
) -> Answer<StatusCode> {
    state.store.delete_secret(&name, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
