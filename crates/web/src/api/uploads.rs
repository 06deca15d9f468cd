//! What network hardware has stored.

use super::problem::{Answer, Json, Problem, Query};
use crate::people::{Actor, PeopleState};
use crate::uploads::{self, Change, Listed, UploadError};
use axum::extract::State;
use axum::response::Response;
use bootfiles::dropbox::{Cursor, DropBox, Overwrite, Stored, Version};
use bootplan::RelPath;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which uploads.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadsQuery {
    /// `older` of the page before.
    #[serde(default)]
    before: Option<String>,
    /// At most this many, 1 to 500; left out: 50.
    #[serde(default)]
    limit: Option<usize>,
}

/// One name.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct NameQuery {
    /// With the drop box's prefix.
    name: String,
    /// `older` of the page before.
    #[serde(default)]
    before: Option<String>,
    /// At most this many, 1 to 500; left out: 500.
    #[serde(default)]
    limit: Option<usize>,
}

/// One upload.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionQuery {
    /// With the drop box's prefix.
    name: String,
    /// As the list says it; left out: the newest.
    #[serde(default)]
    version: Option<String>,
}

/// Uploads of all drop boxes.
#[derive(Serialize, ToSchema)]
pub(super) struct Uploads {
    /// Newest first.
    uploads: Vec<UploadView>,
    /// For `before`, when there are older ones.
    older: Option<String>,
    /// The drop boxes there are; none: writing is off.
    drop_boxes: Vec<BoxView>,
}

/// Uploads of one name.
#[derive(Serialize, ToSchema)]
pub(super) struct Versions {
    /// Newest first.
    uploads: Vec<UploadView>,
    /// For `before`, when there are older ones.
    older: Option<String>,
}

/// One upload.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadView {
    /// With the drop box's prefix.
    name: String,
    /// Which upload of that name: its time.
    version: String,
    /// When it was complete, in milliseconds since the Unix epoch.
    at: i64,
    /// The device's address.
    ip: String,
    /// Its hardware address, when it was known.
    mac: Option<String>,
    /// The name of the machine with that hardware address.
    machine: Option<String>,
    /// Length in bytes.
    bytes: u64,
    /// SHA-256 of the content, in hexadecimal.
    sha256: String,
    /// Against the upload before of that name, without a look into either; see `/uploads/diff`.
    change: Change,
}

/// The difference that an upload made.
#[derive(Serialize, ToSchema)]
pub(super) struct Difference {
    /// In short.
    change: Change,
    /// Unified; `null` when there is none to show.
    unified: Option<String>,
}

/// One drop box.
#[derive(Serialize, ToSchema)]
pub(super) struct BoxView {
    /// Names below it are the box's.
    prefix: String,
    /// Bytes that it may hold.
    quota: u64,
    /// Bytes that it holds, with what is under way.
    used: u64,
    /// Bytes that one file may have.
    max_file: u64,
    /// `never`, `version` or `replace`.
    overwrite: &'static str,
    /// Whether devices can read back.
    readable: bool,
}

/// What network hardware has stored, newest first.
#[utoipa::path(get, path = "/uploads", tag = "uploads", params(UploadsQuery),
    responses((status = OK, body = Uploads), (status = "4XX", body = Problem)))]
pub(super) async fn list_uploads(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<UploadsQuery>,
) -> Answer<Json<Uploads>> {
    let before = query.before.map(|text| {
        let place = text.parse::<Cursor>();
        place.map_err(|()| bad(&format!("before={text} is no place in this list")))
    });
    let limit = query.limit.unwrap_or(50).clamp(1, MOST);
    let page = uploads::list(&state, before.transpose()?, limit).await?;
    let drop_boxes = state.drop_boxes.iter().map(BoxView::of).collect();
    Ok(Json(Uploads {
        uploads: views(&state, page.uploads),
        older: page.older.map(|place| place.to_string()),
        drop_boxes,
    }))
}

/// The uploads of one name, newest first.
#[utoipa::path(get, path = "/uploads/versions", tag = "uploads", params(NameQuery),
    responses((status = OK, body = Versions), (status = "4XX", body = Problem)))]
pub(super) async fn list_versions(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<NameQuery>,
) -> Answer<Json<Versions>> {
    let limit = query.limit.unwrap_or(MOST).clamp(1, MOST);
    let (name, before) = (name(&query.name)?, version(query.before.as_deref())?);
    let (listed, older) = uploads::versions(&state, name, before, limit).await?;
    Ok(Json(Versions {
        uploads: views(&state, listed),
        older: older.map(|version| version.to_string()),
    }))
}

/// How an upload differs from the one before of its name.
#[utoipa::path(get, path = "/uploads/diff", tag = "uploads", params(VersionQuery),
    responses((status = OK, body = Difference), (status = "4XX", body = Problem)))]
pub(super) async fn get_difference(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<VersionQuery>,
) -> Answer<Json<Difference>> {
    let (name, version) = (name(&query.name)?, query.version()?);
    let shown = uploads::show(&state, name, version, None, 0).await?;
    let lines: Vec<String> = shown
        .comparison
        .lines
        .into_iter()
        .map(|line| line.text + "\n")
        .collect();
    Ok(Json(Difference {
        change: shown.comparison.change,
        unified: (!lines.is_empty()).then(|| lines.concat()),
    }))
}

/// The content of an upload.
#[utoipa::path(get, path = "/uploads/content", tag = "uploads", params(VersionQuery),
    responses((status = OK, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", body = Problem)))]
pub(super) async fn get_content(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<VersionQuery>,
) -> Answer<Response> {
    let (name, version) = (name(&query.name)?, query.version()?);
    Ok(uploads::content(&state, name, version).await?)
}

fn views(state: &PeopleState, listed: Vec<Listed>) -> Vec<UploadView> {
    let catalog = state.store.catalog();
    let view = |Listed { stored, change }| {
        let Stored {
            name,
            version,
            record,
        } = stored;
        let machine = record.device.mac.and_then(|mac| catalog.find(mac, None));
        UploadView {
            name: name.to_string(),
            version: version.to_string(),
            at: record.at.0,
            ip: record.device.ip.to_string(),
            mac: record.device.mac.map(|mac| mac.to_string()),
            machine: machine.map(|machine| machine.name.clone()),
            bytes: record.bytes,
            sha256: record.sha256,
            change,
        }
    };
    listed.into_iter().map(view).collect()
}

impl BoxView {
    fn of(drop_box: &DropBox) -> BoxView {
        let settings = drop_box.settings();
        BoxView {
            prefix: settings.prefix.to_string(),
            quota: settings.quota,
            used: drop_box.used(),
            max_file: settings.max_file,
            overwrite: match settings.overwrite {
                Overwrite::Never => "never",
                Overwrite::Version => "version",
                Overwrite::Replace => "replace",
            },
            readable: settings.readable,
        }
    }
}

fn name(text: &str) -> Answer<RelPath> {
    text.parse()
        .map_err(|refusal| bad(&format!("name={text}: {refusal}")))
}

impl VersionQuery {
    fn version(&self) -> Answer<Option<Version>> {
        version(self.version.as_deref())
    }
}

fn version(text: Option<&str>) -> Answer<Option<Version>> {
    let version = text.map(str::parse).transpose();
    version.map_err(|()| bad("there is no such version"))
}

fn bad(detail: &str) -> Problem {
    let detail: String = detail.chars().take(300).collect();
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
            UploadError::Unreadable(_) => {
                tracing::error!(%error, "the file system failed an API request");
                let detail = "uploads cannot be read; see the server's log";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
        }
    }
}

/// Uploads in one answer.
const MOST: usize = 500;
