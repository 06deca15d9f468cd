//! What a machine will fetch, before it does.

use super::problem::{Answer, Json, Path, Problem, Query};
use crate::people::{Actor, PeopleState};
use crate::review::{self, Review};
use axum::extract::State;
use bootplan::{MachineId, ProfileName};
use serde::Deserialize;
use utoipa::IntoParams;

/// Under which profile.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReviewQuery {
    /// Left out: the one it is assigned to.
    #[param(value_type = Option<String>)]
    profile: Option<ProfileName>,
}

/// Renders and checks everything that a machine will fetch. Secrets are masked.
#[utoipa::path(get, path = "/machines/{id}/review", tag = "answers", params(ReviewQuery,
    ("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = Review), (status = "4XX", body = Problem)))]
pub(super) async fn review_machine(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Query(query): Query<ReviewQuery>,
) -> Answer<Json<Review>> {
    let catalog = state.store.catalog();
    let machine = catalog.machine(MachineId(id)).cloned();
    let machine = machine.ok_or_else(|| Problem::not_found(format!("machine {id}")))?;
    let name = query.profile.or_else(|| machine.profile.clone());
    let name = name.ok_or_else(|| {
        Problem::refused("the machine has no profile assigned: say which one (?profile=)")
    })?;
    let profile = catalog.profile(&name).cloned();
    let profile = profile.ok_or_else(|| Problem::not_found(format!("profile '{name}'")))?;
    let looked =
        tokio::task::spawn_blocking(move || review::look(&state, &catalog, &machine, &profile));
    let review = looked.await.expect("rendering reports its faults");
    Ok(Json(review))
}
