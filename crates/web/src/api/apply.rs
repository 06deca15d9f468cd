//! `apply` and `export`: the store as YAML documents, so that Git and the browser are equals.

use super::problem::{Answer, Json, Problem, Query};
use crate::documents::{self, ApplyError, Done, Options, Own};
use crate::people::{Actor, PeopleState, Via};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

/// How to apply.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ApplyQuery {
    /// Only says what would change.
    dry_run: bool,
    /// `KEY=VALUE`: everything described gets this label.
    #[param(value_type = Option<String>)]
    own: Option<Own>,
    /// Deletes what has the label of `own` and is not described.
    prune: bool,
    /// Overwrites edits made since files were last applied, and takes over what others own.
    force: bool,
    /// Says that what comes to be installed at every boot is meant so, where no document says
    /// `mode: always`.
    always: bool,
}

impl From<ApplyQuery> for Options {
    fn from(query: ApplyQuery) -> Options {
        let ApplyQuery {
            dry_run,
            own,
            prune,
            force,
            always,
        } = query;
        Options {
            dry_run,
            own,
            prune,
            force,
            always,
        }
    }
}

/// Applies YAML documents, each with its `kind`. Applying the same again changes nothing. If
/// anything is wrong with any document, nothing is changed, and `errors` names every fault by
/// document, line, column and field. So it is when somebody edited since what files had made
/// (status 409), unless forced.
#[utoipa::path(post, path = "/apply", tag = "documents", params(ApplyQuery),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = OK, body = Done), (status = "4XX", body = Problem)))]
pub(super) async fn apply(
    actor: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ApplyQuery>,
    text: String,
) -> Answer<Json<Done>> {
    let done = documents::apply(&state.store, &text, &query.into(), &actor.name).await?;
    Ok(Json(done))
}

/// What to export.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// Secrets with their values, not by their names alone; over the control socket only, and it
    /// stands in the history.
    secrets: bool,
}

/// Everything an operator has decided, as documents that `apply` takes.
#[utoipa::path(get, path = "/export", tag = "documents", params(ExportQuery),
    responses((status = OK, body = String, content_type = "application/yaml"),
        (status = "4XX", body = Problem)))]
pub(super) async fn export(
    actor: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ExportQuery>,
) -> Answer<Response> {
    if query.secrets {
        // Who may use it can read the key file anyway; a token must not be worth every secret.
        if actor.via != Via::Socket {
            let detail = "secrets leave with their values over the control socket only, for the \
                          server's own user and root";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        state.store.tell_secrets_exported(&actor.name).await?;
    }
    let text = documents::export(&state.store.decided().await?, query.secrets);
    let head = [
        (header::CONTENT_TYPE, "application/yaml"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((head, text).into_response())
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let detail = error.to_string();
        match error {
            ApplyError::Wrong(faults) => Problem::faults(detail, faults),
            ApplyError::Edited(errors) => Problem {
                errors,
                ..Problem::new(StatusCode::CONFLICT, detail)
            },
            ApplyError::Refused { cause, fault } => {
                let mut problem = Problem::from(cause);
                if fault.is_some() {
                    problem.detail = format!("nothing was changed; {}", problem.detail);
                }
                problem.errors.extend(fault);
                problem
            }
        }
    }
}
