//! Machines as a CSV table.

use super::views::Filter;
use crate::api::problem::{Answer, Json, Problem, Query};
use crate::documents::{self, Done};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bootplan::MachineState;
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;

/// How to import.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct ImportQuery {
    /// Only says what would change.
    dry_run: bool,
}

/// Brings machines to what a CSV table says, a machine on each row, found by MAC, else by UUID and
/// serial, else by name. Its head names the columns: `name`, `macs`, `uuid`, `serial`, `asset`,
/// `labels`, `loader`, `local_boot`, `profile`, `mode` (how the profile is meant), `notes`. An empty
/// cell leaves things as they are, `-` takes away. If anything is wrong with any row, nothing is changed.
#[utoipa::path(post, path = "/machines/import", tag = "machines", params(ImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses((status = OK, body = Done), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn import_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ImportQuery>,
    text: String,
) -> Answer<Json<Done>> {
    let done = documents::import(&state.store, &text, query.dry_run, &actor.name).await?;
    Ok(Json(done))
}

/// Which machines to export.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct ExportQuery {
    /// Those that match, discovered ones too; left out: all registered ones.
    q: String,
}

/// Machines as a CSV table that `/machines/import` takes. What a spreadsheet would calculate has an
/// apostrophe before it.
#[utoipa::path(get, path = "/machines/export", tag = "machines", params(ExportQuery),
    responses((status = OK, body = String, content_type = "text/csv"),
        (status = "4XX", body = Problem)))]
pub(in crate::api) async fn export_machines(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ExportQuery>,
) -> Answer<Response> {
    let filter = Filter {
        state: query
            .q
            .trim()
            .is_empty()
            .then_some(MachineState::Registered),
        q: query.q,
        ..Filter::default()
    };
    let mut found = super::matching(&state, &filter)?;
    found.sort_by_cached_key(|r| (r.machine.name.to_lowercase(), r.machine.id));
    let machines = found.iter().map(|record| record.machine.as_ref());
    let text = documents::table(machines, &state.store.catalog());
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"machines.csv\"",
        ),
    ];
    Ok((headers, text).into_response())
}
