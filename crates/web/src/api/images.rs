//! Images: what there is, what it holds, and bringing in new ones in pieces that can be resumed.

use super::problem::{Answer, Json, Path, Problem, Query};
use super::profiles::ProfileSchema;
use crate::images::{self, ImagesError};
use crate::people::{Actor, PeopleState};
use axum::body::Body;
use axum::extract::State;
use bootfiles::images::{ImageError, ImageInfo, ImageKind, ImageState, Staging, Verified, Wanted};
use bootplan::{Catalog, Profile, ProfileName};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Every image.
#[derive(Serialize, ToSchema)]
pub(super) struct ImageList {
    /// By name.
    images: Vec<ImageView>,
    /// Where on the server images can be copied to.
    directory: String,
}

/// One image.
#[derive(Serialize, ToSchema)]
pub(super) struct ImageView {
    /// What it is called in the images directory: `debian.iso`, or a directory's name.
    name: String,
    /// `iso` or `directory`.
    kind: &'static str,
    /// `arriving`, `ready`, `unreadable` or `damaged`.
    state: &'static str,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Length of the file, or of the files of the directory; of a directory with very many files only the first are counted.
    bytes: u64,
    /// The label that it has for itself.
    label: String,
    /// SHA-256 of the file, as soon as it is known.
    sha256: Option<String>,
    /// When it came, in milliseconds since the Unix epoch.
    added: i64,
    /// How it came.
    source: String,
    /// The URL that the server fetched it from, without what may be secret in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// What it was compared with when it was fetched; absent with `from`: nothing vouches for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<String>,
    /// When a machine last fetched something of it, in milliseconds since the Unix epoch.
    last_served: Option<i64>,
    /// What it holds, the likeliest first.
    recognised: Vec<RecognisedView>,
    /// Profiles that boot from it, or name a file of it in their texts.
    used_by: Vec<String>,
    /// What else names a file of it: `template NAME`, `snippet NAME`; `group NAME`, `machine NAME` or `site` by a variable.
    named_by: Vec<String>,
}

/// A distribution that was recognised in an image.
#[derive(Serialize, ToSchema)]
pub(super) struct RecognisedView {
    /// The recipe's name.
    distribution: String,
    /// For people.
    title: String,
    /// Profiles that can be made of it.
    #[schema(value_type = Vec<ProfileSchema>)]
    offers: Vec<Profile>,
    /// Offers that cannot be made, and why.
    withheld: Vec<String>,
}

/// Which profiles to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MakeProfiles {
    /// Names of offers; none: all that there are no profiles of yet.
    #[schema(value_type = Vec<String>)]
    profiles: Vec<ProfileName>,
}

/// Profiles that were made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeProfiles {
    /// As they were stored.
    #[schema(value_type = Vec<ProfileSchema>)]
    profiles: Vec<Profile>,
}

/// What a check found.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckView {
    /// Of what the disk has now; `null`: it is still being read, and the image's state will tell.
    sha256: Option<String>,
    /// False when it is not what is on record: the disk fails.
    sound: Option<bool>,
}

/// A file that is to be brought in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUpload {
    /// What it will be called: `debian.iso`, or `pair/vmlinuz` for a file of a directory.
    name: String,
    /// Its length in bytes.
    size: u64,
    /// Its SHA-256 in lower-case hexadecimal: what is not that will not become an image.
    #[serde(default)]
    sha256: Option<String>,
    /// Whatever tells this file from others of its name and length, such as when it was modified. Who announces the
    /// same once more is given the upload that is under way, to go on with it.
    #[serde(default)]
    mark: String,
}

/// A file on its way in.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadState {
    /// What it is called in addresses.
    id: String,
    /// What it will be called as an image.
    name: String,
    /// Its length, when it was announced.
    size: Option<u64>,
    /// How many bytes have come: the next piece begins there.
    offset: u64,
    /// Who brings it.
    source: String,
}

/// Files on their way in.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadStates {
    /// The oldest first.
    uploads: Vec<UploadState>,
}

/// Where a piece begins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OffsetQuery {
    /// Must be how many bytes have come.
    offset: u64,
}

/// How an image is deleted.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DeleteQuery {
    /// Also while machines read it by NBD: those that are connected go on until they lose the connection.
    force: bool,
}

/// Lists images.
#[utoipa::path(get, path = "/images", tag = "images",
    responses((status = OK, body = ImageList), (status = "4XX", body = Problem)))]
pub(super) async fn list_images(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<ImageList>> {
    let catalog = state.store.catalog();
    let all = images::list(&state).await?;
    let directory = state
        .image_store
        .as_ref()
        .map(|store| store.directory().display().to_string());
    Ok(Json(ImageList {
        images: all
            .iter()
            .map(|image| ImageView::of(image, &catalog))
            .collect(),
        directory: directory.unwrap_or_default(),
    }))
}

/// Shows one image.
#[utoipa::path(get, path = "/images/{name}", tag = "images",
    params(("name" = String, Path, description = "the image")),
    responses((status = OK, body = ImageView), (status = "4XX", body = Problem)))]
pub(super) async fn get_image(
    _: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
) -> Answer<Json<ImageView>> {
    let image = images::get(&state, &name).await?;
    Ok(Json(ImageView::of(&image, &state.store.catalog())))
}

/// Deletes an image that no profile boots from and no machine reads.
#[utoipa::path(delete, path = "/images/{name}", tag = "images",
    params(("name" = String, Path, description = "the image"), DeleteQuery),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_image(
    _: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Answer<StatusCode> {
    images::delete(&state, &name, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes profiles that an image offers, all or none.
#[utoipa::path(post, path = "/images/{name}/profiles", tag = "images",
    params(("name" = String, Path, description = "the image")),
    request_body = MakeProfiles,
    responses((status = CREATED, body = MadeProfiles), (status = "4XX", body = Problem)))]
pub(super) async fn make_profiles(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
    Json(wanted): Json<MakeProfiles>,
) -> Answer<(StatusCode, Json<MadeProfiles>)> {
    let profiles = images::make_profiles(&state, &name, &wanted.profiles, &actor.name).await?;
    Ok((StatusCode::CREATED, Json(MadeProfiles { profiles })))
}

/// Reads a whole image and compares its checksum with the one on record. Takes as long as reading takes.
#[utoipa::path(post, path = "/images/{name}/check", tag = "images",
    params(("name" = String, Path, description = "the image")),
    responses((status = OK, body = CheckView), (status = "4XX", body = Problem)))]
pub(super) async fn check_image(
    _: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
) -> Answer<Json<CheckView>> {
    let checked = images::long(&state, move |store| {
        store.look().map_err(ImageError::from)?;
        Ok(store.verify(&name)?)
    });
    let (sha256, sound) = match checked.await? {
        Some(Verified::Same(sum) | Verified::First(sum)) => (Some(sum), Some(true)),
        Some(Verified::Damaged { found, .. }) => (Some(found), Some(false)),
        None => (None, None),
    };
    Ok(Json(CheckView { sha256, sound }))
}

/// Lists files on their way in.
#[utoipa::path(get, path = "/images/uploads", tag = "images",
    responses((status = OK, body = UploadStates), (status = "4XX", body = Problem)))]
pub(super) async fn list_image_uploads(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<UploadStates>> {
    let all = images::blocking(&state, |store| Ok(store.stagings())).await?;
    let uploads = all.iter().map(UploadState::of).collect();
    Ok(Json(UploadStates { uploads }))
}

/// Begins to bring in a file, or goes on with it.
#[utoipa::path(post, path = "/images/uploads", tag = "images", request_body = NewUpload,
    responses((status = OK, body = UploadState), (status = "4XX", body = Problem)))]
pub(super) async fn begin_image_upload(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(new): Json<NewUpload>,
) -> Answer<Json<UploadState>> {
    let wanted = Wanted {
        name: new.name,
        len: Some(new.size),
        sha256: new.sha256,
        mark: new.mark.chars().take(200).collect(),
        source: format!("uploaded by {}", actor.name),
        job: None,
    };
    let begun = images::blocking(&state, move |store| Ok(store.begin(wanted)?));
    Ok(Json(UploadState::of(&begun.await?)))
}

/// How far a file has come.
#[utoipa::path(get, path = "/images/uploads/{id}", tag = "images",
    params(("id" = String, Path, description = "the upload")),
    responses((status = OK, body = UploadState), (status = "4XX", body = Problem)))]
pub(super) async fn get_image_upload(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
) -> Answer<Json<UploadState>> {
    Ok(Json(UploadState::of(&staging(&state, id).await?)))
}

/// Adds a piece. What came before a connection broke stays; ask how far it came.
#[utoipa::path(put, path = "/images/uploads/{id}", tag = "images",
    params(("id" = String, Path, description = "the upload"), OffsetQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = OK, body = UploadState), (status = "4XX", body = Problem)))]
pub(super) async fn put_image_piece(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
    Query(query): Query<OffsetQuery>,
    body: Body,
) -> Answer<Json<UploadState>> {
    let staging = staging(&state, id).await?;
    images::append(&state, staging.clone(), query.offset, body).await?;
    Ok(Json(UploadState::of(&staging)))
}

/// Makes an image of a file that has come whole. 202: its checksum is still being taken; when the upload is gone, it is an
/// image, or was refused.
#[utoipa::path(post, path = "/images/uploads/{id}/finish", tag = "images",
    params(("id" = String, Path, description = "the upload")),
    responses((status = NO_CONTENT), (status = ACCEPTED), (status = "4XX", body = Problem)))]
pub(super) async fn finish_image_upload(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let staging = staging(&state, id).await?;
    let done = images::long(&state, move |store| Ok(store.publish(&staging)?));
    Ok(match done.await? {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::ACCEPTED,
    })
}

/// Throws away what has come of a file.
#[utoipa::path(delete, path = "/images/uploads/{id}", tag = "images",
    params(("id" = String, Path, description = "the upload")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn cancel_image_upload(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let staging = staging(&state, id).await?;
    images::blocking(&state, move |store| Ok(store.cancel(&staging)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn staging(state: &PeopleState, id: String) -> Result<Staging, ImagesError> {
    images::blocking(state, move |store| Ok(store.staging(&id)?)).await
}

impl UploadState {
    fn of(staging: &Staging) -> UploadState {
        let wanted = staging.wanted();
        UploadState {
            id: staging.id().to_owned(),
            name: wanted.name.clone(),
            size: wanted.len,
            offset: staging.offset(),
            source: wanted.source.clone(),
        }
    }
}

impl ImageView {
    fn of(image: &ImageInfo, catalog: &Catalog) -> ImageView {
        let (state, detail) = match &image.state {
            ImageState::Arriving(detail) => ("arriving", Some(detail)),
            ImageState::Ready => ("ready", None),
            ImageState::Unreadable(detail) => ("unreadable", Some(detail)),
            ImageState::Damaged(detail) => ("damaged", Some(detail)),
        };
        let recognised = image
            .recognised
            .iter()
            .cloned()
            .map(|found| RecognisedView {
                distribution: found.distribution,
                title: found.title,
                offers: found.profiles,
                withheld: found.withheld,
            });
        let users = images::used_by(catalog, image);
        ImageView {
            name: image.name.clone(),
            kind: match image.kind {
                ImageKind::Iso => "iso",
                ImageKind::Directory => "directory",
            },
            state,
            detail: detail.cloned(),
            bytes: image.len,
            label: image.label.clone(),
            sha256: image.sha256.clone(),
            added: image.added,
            source: image.source.clone(),
            from: image.from.clone(),
            verified: image.verified.clone(),
            last_served: image.last_served,
            recognised: recognised.collect(),
            used_by: users
                .iter()
                .map(|profile| profile.name.to_string())
                .collect(),
            named_by: images::named_by(catalog, image),
        }
    }
}

impl From<ImagesError> for Problem {
    fn from(error: ImagesError) -> Self {
        let status = match &error {
            ImagesError::Store(refused) => {
                return Problem::new(StatusCode::CONFLICT, refused.to_string());
            }
            ImagesError::Off | ImagesError::NotOffered { .. } => StatusCode::NOT_FOUND,
            ImagesError::Used { .. } | ImagesError::Read(_) | ImagesError::Taken(_) => {
                StatusCode::CONFLICT
            }
            ImagesError::CutOff(_) => StatusCode::BAD_REQUEST,
            ImagesError::Unfinished => StatusCode::SERVICE_UNAVAILABLE,
            ImagesError::Image(error) => of_image(error),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // What the system said names places of the server: it goes to the log.
            tracing::error!(%error, "the images directory failed a request");
            return Problem::new(
                status,
                "the images directory cannot be used; see the server's log",
            );
        }
        Problem::new(status, error.to_string())
    }
}

pub(super) fn of_image(error: &ImageError) -> StatusCode {
    match error {
        ImageError::NotFound(_) => StatusCode::NOT_FOUND,
        ImageError::Name(_)
        | ImageError::Reserved(_)
        | ImageError::Alone(_)
        | ImageError::Checksum { .. }
        | ImageError::NotAnImage(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ImageError::Exists(_)
        | ImageError::UnderWay(_)
        | ImageError::Arriving(_)
        | ImageError::Offset { .. }
        | ImageError::Incomplete { .. } => StatusCode::CONFLICT,
        ImageError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ImageError::NoSpace { .. } => StatusCode::INSUFFICIENT_STORAGE,
        ImageError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        ImageError::Io(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
