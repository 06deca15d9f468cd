//! `/images`: what there is to boot from, and bringing in more.

use super::error::{PageError, PageResult, page};
use super::fetches::{Choices, FetchForm, Job, choices, jobs};
use super::form::{Fields, Path, Query};
use super::frame::{Frame, Stamp, Visit, done, failed, now};
use super::story::{printable, size};
use crate::images::{self, ImagesError};
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use bootfiles::images::{ImageError, ImageInfo, ImageKind, ImageState, Staging, Unusable};
use bootplan::{Catalog, Profile, ProfileName, Timestamp};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "images.html")]
pub(super) struct ImagesPage {
    frame: Frame,
    directory: String,
    rows: Vec<Row>,
    /// What lies there and cannot be used as it is called.
    unusable: Vec<Unusable>,
    coming: Vec<Coming>,
    jobs: Vec<Job>,
    choices: Choices,
    form: FetchForm,
    /// Something moves: the page is worth looking at again.
    busy: bool,
}

struct Row {
    name: String,
    what: String,
    label: String,
    state: &'static str,
    detail: String,
    size: String,
    sha256: String,
    added: Stamp,
    source: String,
    from: String,
    verified: String,
    served: Option<Stamp>,
    users: Vec<User>,
    /// What else names a file of it.
    named: Vec<String>,
    offers: Vec<Offer>,
    withheld: Vec<String>,
    /// The mirror's recipe that is to be taken instead.
    mirror: Option<String>,
}

struct User {
    name: String,
    title: String,
}

struct Offer {
    name: String,
    title: String,
    args: String,
    taken: bool,
}

struct Coming {
    id: String,
    name: String,
    done: u64,
    total: u64,
    shown: String,
    source: String,
}

/// Which files of a mirror are wanted.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    mirror: String,
}

/// `GET /images`
pub(crate) async fn list(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(wanted): Query<Wanted>,
) -> PageResult {
    let form = FetchForm {
        mirror: wanted.mirror,
        ..FetchForm::default()
    };
    page(&images_page(&state, &visit, form).await?)
}

/// The page with what was typed into its forms.
pub(super) async fn images_page(
    state: &PeopleState,
    visit: &Visit,
    form: FetchForm,
) -> Result<ImagesPage, PageError> {
    let (all, coming) = match images::list(state).await {
        Ok(all) => {
            let coming = images::blocking(state, |store| Ok(store.stagings())).await?;
            (all, coming)
        }
        Err(ImagesError::Off) => (Vec::new(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let catalog = state.store.catalog();
    let directory = state
        .image_store
        .as_ref()
        .map(|store| store.directory().display().to_string());
    let unusable = state.image_store.as_ref().map(|store| store.unusable());
    let arriving = |image: &&std::sync::Arc<ImageInfo>| {
        let hashing = image.kind == ImageKind::Iso && image.state == ImageState::Ready;
        matches!(image.state, ImageState::Arriving(_)) || hashing && image.sha256.is_none()
    };
    let jobs = jobs(state);
    Ok(ImagesPage {
        busy: !coming.is_empty()
            || jobs.iter().any(|job| !job.failed)
            || all.iter().any(|image| arriving(&image)),
        frame: visit.frame(state, "images"),
        directory: directory.unwrap_or_default(),
        rows: all.iter().map(|image| Row::of(image, &catalog)).collect(),
        coming: coming.iter().map(Coming::of).collect(),
        unusable: unusable.into_iter().flatten().map(printed).collect(),
        jobs,
        form,
        choices: choices(state),
    })
}

/// `POST /images/{name}/profiles`: makes the profiles whose buttons or boxes say so.
pub(crate) async fn make_profiles(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
    fields: Fields,
) -> PageResult {
    let wanted: Result<Vec<ProfileName>, _> = fields.all("profile").map(str::parse).collect();
    let wanted = wanted.map_err(|_| PageError::Form("no such offer".to_owned()))?;
    match images::make_profiles(&state, &name, &wanted, &visit.actor.name).await {
        Ok(made) => {
            let names: Vec<&str> = made.iter().map(|profile| profile.name.as_str()).collect();
            Ok(done(
                "/images",
                format!("Made {}; assign it to machines.", names.join(", ")),
            ))
        }
        Err(error) => told(error),
    }
}

/// `POST /images/{name}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    _: Visit,
    Path(name): Path<String>,
) -> PageResult {
    match images::delete(&state, &name, false).await {
        Ok(()) => Ok(done("/images", format!("Deleted {}.", printable(&name)))),
        Err(error) => told(error),
    }
}

/// `POST /images/uploads/{id}/cancel`
pub(crate) async fn cancel(
    State(state): State<PeopleState>,
    _: Visit,
    Path(id): Path<String>,
) -> PageResult {
    let cancelled = images::blocking(&state, move |store| {
        let staging = store.staging(&id)?;
        store.cancel(&staging)?;
        Ok(staging.wanted().name.clone())
    });
    match cancelled.await {
        Ok(name) => Ok(done(
            "/images",
            format!("Threw away what had come of {name}."),
        )),
        Err(error) => told(error),
    }
}

/// What people can mend is said where they are; the rest has a page of its own.
fn told(error: ImagesError) -> PageResult {
    match error {
        ImagesError::Used { .. } | ImagesError::Read(_) | ImagesError::Taken(_) => {
            Ok(failed("/images", error))
        }
        error => Err(error.into()),
    }
}

impl From<ImagesError> for PageError {
    fn from(error: ImagesError) -> Self {
        match error {
            ImagesError::Store(refused) => PageError::Store(refused.cause),
            ImagesError::Off
            | ImagesError::NotOffered { .. }
            | ImagesError::Image(ImageError::NotFound(_) | ImageError::Name(_)) => {
                PageError::NotFound(error.to_string())
            }
            error => PageError::Unreadable(error.to_string()),
        }
    }
}

fn printed(unusable: Unusable) -> Unusable {
    Unusable {
        name: printable(&unusable.name),
        ..unusable
    }
}

impl Row {
    fn of(image: &ImageInfo, catalog: &Catalog) -> Row {
        let first = image.recognised.first();
        let (state, detail) = match &image.state {
            ImageState::Arriving(detail) => ("arriving", detail.clone()),
            ImageState::Ready => ("ready", String::new()),
            ImageState::Unreadable(detail) => ("unreadable", detail.clone()),
            ImageState::Damaged(detail) => ("damaged", detail.clone()),
        };
        let users = images::used_by(catalog, image);
        let withheld = image.recognised.iter().flat_map(|found| &found.withheld);
        Row {
            name: image.name.clone(),
            what: match (first, &image.state, image.kind) {
                (Some(found), ..) => printable(&found.title),
                (None, ImageState::Ready, ImageKind::Directory) => "files".to_owned(),
                (None, ImageState::Ready, ImageKind::Iso) => {
                    "not recognised; its files are served".to_owned()
                }
                (None, ..) => String::new(),
            },
            label: printable(&image.label),
            state,
            detail: printable(&detail),
            size: match image.kind {
                ImageKind::Iso => size(image.len),
                ImageKind::Directory if image.larger => format!("over {}", size(image.len)),
                ImageKind::Directory => size(image.len),
            },
            sha256: image.sha256.clone().unwrap_or_default(),
            added: Stamp::ago(Timestamp(image.added), now()),
            source: printable(&image.source),
            from: printable(image.from.as_deref().unwrap_or_default()),
            verified: printable(image.verified.as_deref().unwrap_or_default()),
            served: image.last_served.map(|at| Stamp::ago(Timestamp(at), now())),
            users: users.iter().map(|profile| User::of(profile)).collect(),
            named: images::named_by(catalog, image),
            offers: image
                .offers()
                .map(|profile| Offer::of(profile, catalog))
                .collect(),
            withheld: withheld.map(|why| printable(why)).collect(),
            mirror: image
                .recognised
                .iter()
                .find_map(|found| found.mirror.clone()),
        }
    }
}

impl User {
    fn of(profile: &Profile) -> User {
        User {
            name: profile.name.to_string(),
            title: printable(&profile.title),
        }
    }
}

impl Offer {
    fn of(profile: &Profile, catalog: &Catalog) -> Offer {
        Offer {
            name: profile.name.to_string(),
            title: printable(&profile.title),
            args: match &profile.boot {
                bootplan::BootMethod::Linux { args, .. } => printable(args),
                _ => String::new(),
            },
            taken: catalog.profile(&profile.name).is_some(),
        }
    }
}

impl Coming {
    fn of(staging: &Staging) -> Coming {
        let wanted = staging.wanted();
        let done = staging.offset();
        Coming {
            id: staging.id().to_owned(),
            name: printable(&wanted.name),
            done,
            total: wanted.len.unwrap_or(done).max(1),
            shown: match wanted.len {
                Some(len) => format!("{} of {}", size(done), size(len)),
                None => size(done),
            },
            source: printable(&wanted.source),
        }
    }
}
