//! `apply` and `export`: the store as YAML documents, so that Git and the browser are equals.

mod documents;
mod plan;
#[cfg(test)]
mod tests;

use super::problem::{Answer, Json, Problem, Query};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use documents::Place;
use http::header;
use plan::{Change, Plan};
use serde::{Deserialize, Serialize};
use store::{Refused, StoreError};
use utoipa::{IntoParams, ToSchema};

/// How to apply.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ApplyQuery {
    /// Only says what would change.
    dry_run: bool,
}

/// What was (or would be) changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Applied {
    /// Whether anything is different at all.
    changed: bool,
    /// True when nothing was really changed.
    dry_run: bool,
    /// One entry per document.
    changes: Vec<Change>,
    /// The same for people.
    text: String,
}

/// Applies YAML documents (`kind: profile`, `machine` or `site`). Applying the same again
/// changes nothing. If anything is wrong with any document, nothing is changed, and `errors`
/// names every fault by document, line, column and field.
#[utoipa::path(post, path = "/apply", tag = "documents", params(ApplyQuery),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = OK, body = Applied), (status = "4XX", body = Problem)))]
pub(super) async fn apply(
    actor: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ApplyQuery>,
    text: String,
) -> Answer<Json<Applied>> {
    let store = &state.store;
    let wrong = |faults: Vec<_>| {
        Problem::faults(
            "nothing was changed; see errors for what is wrong where",
            faults,
        )
    };
    let documents = documents::parse(&text).map_err(wrong)?;
    let plan = plan::plan(&documents, &store.catalog()).map_err(wrong)?;
    let Plan {
        steps,
        places,
        changes,
    } = plan;
    if !query.dry_run {
        let applied = store.apply(steps, &actor.name).await;
        applied.map_err(|refused| problem(refused, &places))?;
    }
    Ok(Json(Applied {
        changed: changes.iter().any(|change| change.action != "unchanged"),
        dry_run: query.dry_run,
        text: plan::text(&changes),
        changes,
    }))
}

/// Everything an operator has decided, as documents that `apply` takes.
#[utoipa::path(get, path = "/export", tag = "documents",
    responses((status = OK, body = String, content_type = "application/yaml"),
        (status = "4XX", body = Problem)))]
pub(super) async fn export(_: Actor, State(state): State<PeopleState>) -> Response {
    let text = documents::export(&state.store.catalog());
    ([(header::CONTENT_TYPE, "application/yaml")], text).into_response()
}

/// What only the store finds wrong (a name too long for it, or what somebody else has changed in
/// this very moment), at the document it was found in.
fn problem(refused: Refused, places: &[Place]) -> Problem {
    let place = refused.step.and_then(|step| places.get(step));
    let field = match &refused.cause {
        StoreError::Invalid { field, .. } => field.clone(),
        _ => String::new(),
    };
    let mut problem = Problem::from(refused.cause);
    if let Some(place) = place {
        problem.errors.push(place.fault(&field, &problem.detail));
        problem.detail = format!("nothing was changed; {}", problem.detail);
    }
    problem
}
