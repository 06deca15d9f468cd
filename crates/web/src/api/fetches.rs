//! Images that the server fetches itself: ordered, followed, tried again, cancelled.

use super::images::of_image;
use super::problem::{Answer, Json, Path, Problem};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use fetch::{FetchError, Fetcher, JobView, Order, Proof, Stage};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be fetched.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFetch {
    /// Where the file is, by http or https. Private addresses are refused unless the operator allows them.
    url: String,
    /// What it will be called: `debian.iso`, or `pair/vmlinuz` for a file of a directory; as the URL calls it if left out.
    #[serde(default)]
    name: String,
    /// Its SHA-256 in hexadecimal: what is not that will not become an image.
    #[serde(default)]
    sha256: Option<String>,
    /// URL of a list of checksums (`SHA256SUMS`) that has a line for the file.
    #[serde(default)]
    sha256sums: Option<String>,
}

/// A file that is being fetched.
#[derive(Serialize, ToSchema)]
pub(super) struct FetchState {
    /// What it is called in addresses.
    id: String,
    /// What it will be called as an image.
    name: String,
    /// Where it comes from, without what may be secret.
    from: String,
    /// Who wants it.
    by: String,
    /// When it was ordered, in milliseconds since the Unix epoch.
    made: i64,
    /// `waiting`, `asking` (for checksums), `fetching`, `pausing` (something failed that may pass), `checking`, `done` or
    /// `failed`.
    stage: &'static str,
    /// Why it pauses or has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Its SHA-256, when it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Bytes that have come.
    offset: u64,
    /// Its length, when the server says it.
    size: Option<u64>,
    /// Bytes in a second, lately.
    rate: u64,
    /// What it is compared with; `null`: nothing.
    verified: Option<String>,
}

/// Files that are being fetched, or were lately.
#[derive(Serialize, ToSchema)]
pub(super) struct FetchStates {
    /// The oldest first.
    fetches: Vec<FetchState>,
}

/// Lists files that are being fetched; what failed stays until somebody cancels it, what is done for a while.
#[utoipa::path(get, path = "/images/fetches", tag = "images",
    responses((status = OK, body = FetchStates), (status = "4XX", body = Problem)))]
pub(super) async fn list_fetches(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<FetchStates>> {
    let fetches = fetcher(&state)?.list();
    let fetches = fetches.into_iter().map(FetchState::from).collect();
    Ok(Json(FetchStates { fetches }))
}

/// Has the server fetch a file, or go on with the one that was ordered like this before.
#[utoipa::path(post, path = "/images/fetches", tag = "images", request_body = NewFetch,
    responses((status = ACCEPTED, body = FetchState), (status = "4XX", body = Problem)))]
pub(super) async fn begin_fetch(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(new): Json<NewFetch>,
) -> Answer<(StatusCode, Json<FetchState>)> {
    let order = Order {
        name: new.name,
        url: new.url,
        proof: Proof {
            sha256: new.sha256,
            sums: new.sha256sums,
        },
        by: actor.name,
    };
    let begun = fetcher(&state)?.begin(order).await?;
    Ok((StatusCode::ACCEPTED, Json(begun.into())))
}

/// How far a file is.
#[utoipa::path(get, path = "/images/fetches/{id}", tag = "images",
    params(("id" = String, Path, description = "the job")),
    responses((status = OK, body = FetchState), (status = "4XX", body = Problem)))]
pub(super) async fn get_fetch(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
) -> Answer<Json<FetchState>> {
    let job = fetcher(&state)?.get(&id);
    let job = job.ok_or_else(|| FetchError::NotFound(id.chars().take(80).collect()))?;
    Ok(Json(job.into()))
}

/// Tries again what failed; what has come of it is kept.
#[utoipa::path(post, path = "/images/fetches/{id}/retry", tag = "images",
    params(("id" = String, Path, description = "the job")),
    responses((status = OK, body = FetchState), (status = "4XX", body = Problem)))]
pub(super) async fn retry_fetch(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
) -> Answer<Json<FetchState>> {
    Ok(Json(fetcher(&state)?.retry(&id).await?.into()))
}

/// Ends it and throws away what has come; what is done is only taken off the list.
#[utoipa::path(delete, path = "/images/fetches/{id}", tag = "images",
    params(("id" = String, Path, description = "the job")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn cancel_fetch(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    fetcher(&state)?.cancel(&id, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn fetcher(state: &PeopleState) -> Result<&Fetcher, Problem> {
    let told = "this server fetches no images";
    let fetcher = state.fetcher.as_ref();
    fetcher.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, told))
}

impl From<JobView> for FetchState {
    fn from(job: JobView) -> Self {
        let (stage, why, sha256) = match job.stage {
            Stage::Waiting => ("waiting", None, None),
            Stage::Asking => ("asking", None, None),
            Stage::Fetching => ("fetching", None, None),
            Stage::Pausing { why } => ("pausing", Some(why), None),
            Stage::Checking => ("checking", None, None),
            Stage::Done { sha256 } => ("done", None, Some(sha256)),
            Stage::Failed { why } => ("failed", Some(why), None),
        };
        FetchState {
            id: job.id,
            name: job.name,
            from: job.from,
            by: job.by,
            made: job.made,
            stage,
            why,
            sha256,
            offset: job.got,
            size: job.size,
            rate: job.rate,
            verified: job.verified,
        }
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        let status = match &error {
            FetchError::NotFound(_) => StatusCode::NOT_FOUND,
            FetchError::UnderWay(_) | FetchError::State { .. } => StatusCode::CONFLICT,
            FetchError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            FetchError::Image(error) => of_image(error),
            FetchError::Io(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // What the system said names places of the server: it goes to the log.
            tracing::error!(%error, "fetching an image failed");
            let told = "the server cannot write it down; see its log";
            return Problem::new(status, told);
        }
        Problem::new(status, error.to_string())
    }
}
