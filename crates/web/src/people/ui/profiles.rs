//! `/profiles`: what can be booted.

use super::error::{PageError, PageResult, page, sentence};
use super::form::{Fields, Path, Query};
use super::frame::{Frame, Visit, done};
use super::preview::{Menu, profile_menus};
use super::profile_form::{CONSOLES, ProfileForm};
use super::profile_sample::{Sample, Wanted};
use super::settings::LOADERS;
use super::story::printable;
use crate::every_boot::{self, Question};
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use bootplan::{BootMethod, Catalog, LoaderKind, Platform, Profile, ProfileName};
use http::StatusCode;
use store::StoreError;

#[derive(Template)]
#[template(path = "profiles.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<ListLine>,
}

struct ListLine {
    name: String,
    title: String,
    kind: &'static str,
    detail: String,
    platforms: Vec<String>,
    in_menu: bool,
    enabled: bool,
    machines: usize,
}

#[derive(Template)]
#[template(path = "profile.html")]
struct EditPage {
    frame: Frame,
    /// The saved name; `None` for a new profile.
    saved: Option<String>,
    form: ProfileForm,
    menus: Vec<Menu>,
    preview: bool,
    /// What one machine would fetch.
    sample: Sample,
    /// Files that are not there.
    missing: String,
    users: Vec<(i64, String)>,
    refused: Option<String>,
    /// What has to be confirmed before it is saved.
    asks: Option<Question>,
    consoles: [&'static str; 3],
    platforms: [Platform; 5],
    loaders: [(LoaderKind, &'static str); 3],
}

/// `GET /profiles`
pub(crate) async fn list(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let catalog = state.store.catalog();
    let lines = catalog.profiles().map(|p| list_line(&catalog, p)).collect();
    page(&ListPage {
        frame: visit.frame(&state, "profiles"),
        lines,
    })
}

/// `GET /profiles/new`
pub(crate) async fn new(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    page(&edit_page(&state, &visit, None, ProfileForm::blank()))
}

/// `GET /profiles/{name}`
pub(crate) async fn edit(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> PageResult {
    let profile = find(&state.store.catalog(), &name)?;
    let mut shown = edit_page(&state, &visit, Some(name), ProfileForm::of(&profile));
    shown.menus = profile_menus(&state.store.catalog(), &profile, &state.endpoint());
    shown.missing = state.missing(&profile).join(", ");
    shown.sample = Sample::of(&state, &profile, &wanted.machine).await;
    page(&shown)
}

/// `POST /profiles/new`
pub(crate) async fn create(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> PageResult {
    let mut form = ProfileForm::typed(&fields);
    let taken = form.name.parse::<ProfileName>().ok();
    if taken.is_some_and(|n| state.store.catalog().profile(&n).is_some()) {
        let text = "There is a profile of this name already; choose another.";
        form.errors.insert("name".to_owned(), text.to_owned());
    }
    put(&state, &visit, None, form, &fields).await
}

/// `POST /profiles/{name}`
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
    fields: Fields,
) -> PageResult {
    find(&state.store.catalog(), &name)?;
    let mut form = ProfileForm::typed(&fields);
    form.name.clone_from(&name);
    put(&state, &visit, Some(name), form, &fields).await
}

/// `POST /profiles/{name}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
) -> PageResult {
    let profile = find(&state.store.catalog(), &name)?;
    match state
        .store
        .delete_profile(&profile.name, &visit.actor.name)
        .await
    {
        Ok(()) => Ok(done("/profiles", format!("Deleted {name}."))),
        Err(error @ StoreError::Conflict { .. }) => {
            let mut shown = edit_page(&state, &visit, Some(name), ProfileForm::of(&profile));
            shown.refused = Some(sentence(&error.to_string()));
            Ok((StatusCode::CONFLICT, page(&shown)?).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows the preview, or saves.
async fn put(
    state: &PeopleState,
    visit: &Visit,
    saved: Option<String>,
    mut form: ProfileForm,
    fields: &Fields,
) -> PageResult {
    let catalog = state.store.catalog();
    let Some(mut profile) = form.profile() else {
        let body = page(&edit_page(state, visit, saved, form))?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, body).into_response());
    };
    let stored = catalog.profile(&profile.name);
    if let Some(stored) = stored.filter(|_| !form.more.is_changed()) {
        profile.answers = stored.answers.clone();
        profile.variables = stored.variables.clone();
        profile.install = stored.install;
    }
    if fields.get("action") == "preview" {
        let mut shown = edit_page(state, visit, saved, form);
        shown.menus = profile_menus(&catalog, &profile, &state.endpoint());
        shown.missing = state.missing(&profile).join(", ");
        shown.sample = Sample::of(state, &profile, fields.get("machine")).await;
        shown.preview = true;
        return page(&shown);
    }
    let erased = every_boot::by_profile(catalog, profile.clone()).await;
    let asks = Question::of(&erased);
    if asks
        .as_ref()
        .is_some_and(|asks| asks.mark != fields.get("always"))
    {
        let mut shown = edit_page(state, visit, saved, form);
        shown.asks = asks;
        return page(&shown);
    }
    let name = profile.name.to_string();
    match state.store.put_profile(profile, &visit.actor.name).await {
        Ok(()) => Ok(done(&format!("/profiles/{name}"), format!("Saved {name}."))),
        Err(StoreError::Profile { source, .. }) => {
            form.blame(&source);
            let body = page(&edit_page(state, visit, saved, form))?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, body).into_response())
        }
        Err(StoreError::Invalid { field, problem }) => {
            form.errors.insert(field, sentence(&problem));
            let body = page(&edit_page(state, visit, saved, form))?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, body).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn find(catalog: &Catalog, name: &str) -> Result<Profile, PageError> {
    let name: Option<ProfileName> = name.parse().ok();
    let found = name.and_then(|n| catalog.profile(&n).map(|p| p.as_ref().clone()));
    found.ok_or_else(|| PageError::NotFound("there is no profile of this name".to_owned()))
}

fn edit_page(
    state: &PeopleState,
    visit: &Visit,
    saved: Option<String>,
    form: ProfileForm,
) -> EditPage {
    let catalog = state.store.catalog();
    let using = |m: &&std::sync::Arc<bootplan::Machine>| {
        m.profile.as_ref().map(ProfileName::as_str) == saved.as_deref() && saved.is_some()
    };
    let users = catalog.machines().filter(using);
    EditPage {
        frame: visit.frame(state, "profiles"),
        users: users.map(|m| (m.id.0, printable(&m.name))).collect(),
        saved,
        form,
        menus: Vec::new(),
        preview: false,
        sample: Sample::default(),
        missing: String::new(),
        refused: None,
        asks: None,
        consoles: CONSOLES,
        platforms: Platform::ALL,
        loaders: LOADERS,
    }
}

fn list_line(catalog: &Catalog, profile: &Profile) -> ListLine {
    let (kind, detail) = match &profile.boot {
        BootMethod::Linux { kernel, .. } => ("Linux", kernel.to_string()),
        BootMethod::Diskless(diskless) => ("Diskless", diskless.root.clone()),
        BootMethod::LocalDisk {} => ("Local disk", String::new()),
        BootMethod::Program { files } => ("Program", counted_files(files.len())),
        BootMethod::Chain { url } => ("Chain", url.to_string()),
    };
    let assigned =
        |m: &&std::sync::Arc<bootplan::Machine>| m.profile.as_ref() == Some(&profile.name);
    ListLine {
        name: profile.name.to_string(),
        title: printable(&profile.title),
        kind,
        detail,
        platforms: profile.platforms.iter().map(ToString::to_string).collect(),
        in_menu: profile.in_menu,
        enabled: profile.enabled,
        machines: catalog.machines().filter(assigned).count(),
    }
}

fn counted_files(n: usize) -> String {
    match n {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    }
}
