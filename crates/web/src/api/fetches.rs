//! Images that the server fetches itself: ordered, followed, tried again, cancelled.

use super::images::of_image;
use super::problem::{Answer, Json, Path, Problem};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use fetch::{FetchError, Fetcher, Given, JobView, Octets, Order, Proof, Stage};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be fetched.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFetch {
    /// Where the file is, by http or https. Private addresses are refused unless the operator allows them. With
    /// `mirror`: the root of a mirror; the operator's own (`outgoing.mirrors`) if left out.
    #[serde(default)]
    url: String,
    /// Netboot files of a distribution, by the name of their recipe: verified by its signed checksums, they become a
    /// directory together or not at all.
    #[serde(default)]
    mirror: Option<String>,
    /// Whether a release of the mirror is meant although it has shown a newer one before.
    #[serde(default)]
    allow_older: bool,
    /// What it will be called: `debian.iso`, or `pair/vmlinuz` for a file of a directory; as the URL calls it if left out.
    #[serde(default)]
    name: String,
    /// Its SHA-256 in hexadecimal: what is not that will not become an image.
    #[serde(default)]
    sha256: Option<String>,
    /// URL of a list of checksums (`SHA256SUMS`) that has a line for the file.
    #[serde(default)]
    sha256sums: Option<String>,
    /// The signature of the list, or of the file when there is no list: armoured as it is, else in base64. Left out: the
    /// list holds its own.
    #[serde(default)]
    signature: Option<String>,
    /// The same, by its URL.
    #[serde(default)]
    signature_url: Option<String>,
    /// The public keys of those who may sign: armoured as they are, else in base64.
    #[serde(default)]
    keyring: Option<String>,
    /// The same, by the name of a keyring that is on the server.
    #[serde(default)]
    keyring_file: Option<String>,
}

/// What can be chosen from on this server.
#[derive(Serialize, ToSchema)]
pub(super) struct FetchChoices {
    /// Names of keyrings.
    keyrings: Vec<String>,
    /// Recipes of mirrors.
    mirrors: Vec<MirrorView>,
}

/// Netboot files that can be taken from a mirror.
#[derive(Serialize, ToSchema)]
pub(super) struct MirrorView {
    /// The recipe's name.
    name: String,
    /// For people.
    title: String,
    /// Where they are taken from unless somebody says otherwise; `null`: somebody must.
    from: Option<String>,
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
    /// Its SHA-256, when it is done and one file.
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
    let fetcher = fetcher(&state)?;
    let octets = |what: &str, text: Option<String>| {
        let octets = text.map(Octets::try_from).transpose();
        octets.map_err(|why| FetchError::Order(format!("the {what} is {why}")))
    };
    let named = new.keyring_file.filter(|name| !name.is_empty());
    let keyring = match named {
        Some(name) => Some(fetcher.keyring(&name)?),
        None => octets("keyring", new.keyring)?,
    };
    let signature = octets("signature", new.signature)?.map(Given::Content);
    let order = Order {
        name: new.name,
        url: new.url,
        mirror: new.mirror,
        allow_older: new.allow_older,
        proof: Proof {
            sha256: new.sha256,
            sums: new.sha256sums,
            signature: signature.or(new.signature_url.map(Given::Url)),
            keyring,
        },
        by: actor.name,
    };
    let begun = fetcher.begin(order).await?;
    Ok((StatusCode::ACCEPTED, Json(begun.into())))
}

/// Keyrings and mirrors that can be chosen by name.
#[utoipa::path(get, path = "/images/fetches/choices", tag = "images",
    responses((status = OK, body = FetchChoices), (status = "4XX", body = Problem)))]
pub(super) async fn fetch_choices(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<FetchChoices>> {
    let fetcher = fetcher(&state)?;
    let mirrors = fetcher
        .mirrors()?
        .into_iter()
        .map(|(mirror, from)| MirrorView {
            name: mirror.name,
            title: mirror.title,
            from,
        });
    Ok(Json(FetchChoices {
        keyrings: fetcher.keyrings(),
        mirrors: mirrors.collect(),
    }))
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
            Stage::Done { sha256 } => ("done", None, sha256),
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
