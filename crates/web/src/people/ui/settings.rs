//! `/settings`: site default, time limits, loader, API tokens, one's own password.

use super::error::{PageError, PageResult, page, sentence};
use super::form::{Fields, Path};
use super::frame::{Frame, Stamp, Visit, done, failed, from_address, local, now};
use super::site_variables;
use super::story::printable;
use super::yaml_area::YamlArea;
use crate::people::auth::password;
use crate::people::{PeopleState, Via};
use crate::windows;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bootplan::{
    Glob, Limit, LoaderKind, LocalBoot, LocalBootModel, NewMachines, Site, UnassignedPolicy,
};
use http::{Extensions, StatusCode};
use std::time::Duration;
use store::ApiToken;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    site: Site,
    loaders: [(LoaderKind, &'static str); 3],
    newcomers: [(NewMachines, &'static str); 3],
    disks: Vec<(LocalBoot, &'static str)>,
    /// One model on a line.
    models: String,
    /// One window on a line.
    windows: String,
    tokens: Vec<TokenLine>,
    /// The secret of the token just made, shown this once.
    secret: Option<(String, String)>,
    session: bool,
    variables: YamlArea,
    password_error: Option<String>,
}

struct TokenLine {
    id: i64,
    name: String,
    user: String,
    created: Stamp,
    used: Option<Stamp>,
    expires: Option<Stamp>,
}

/// `GET /settings`
pub(crate) async fn show(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    page(&settings(&state, &visit).await?)
}

/// `POST /settings/site`
pub(crate) async fn site(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let before = state.store.site();
    let read = || -> Result<Site, String> {
        Ok(Site {
            unassigned: UnassignedPolicy::from_slug(fields.get("unassigned"))
                .unwrap_or(before.unassigned),
            menu_timeout_s: number(&fields, "menu_timeout_s", "menu timeout", 0, 300)? as u16,
            wait_poll_s: number(&fields, "wait_poll_s", "seconds between questions", 2, 60)? as u16,
            wait_limit_s: number(&fields, "wait_limit_s", "waiting limit", 10, 86_400)?,
            loader: LoaderKind::from_slug(fields.get("loader")).unwrap_or(before.loader),
            ..before.clone()
        })
    };
    saved(&state, &visit, read()).await
}

/// `POST /settings/installing`
pub(crate) async fn installing(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let before = state.store.site();
    let read = || -> Result<Site, String> {
        let whole = |field, what, min, max| {
            let value = fields.get(field).parse::<u32>().ok();
            let value = value.filter(|value| (min..=max).contains(value));
            value.ok_or_else(|| format!("{what}: a number from {min} to {max} is needed"))
        };
        Ok(Site {
            new_machines: NewMachines::from_slug(fields.get("new_machines"))
                .unwrap_or(before.new_machines),
            install_slots: whole("install_slots", "at the same time", 0, 10_000)? as u16,
            install_limit: Limit {
                tries: whole("tries", "tries", 1, 20)? as u8,
                minutes: whole("minutes", "minutes", 5, 10_080)?,
            },
            local_boot: LocalBoot::from_slug(fields.get("local_boot")).unwrap_or(before.local_boot),
            local_boot_models: models(fields.raw("models"))?,
            windows: match fields.has("windows") {
                true => windows::typed(fields.raw("windows"))?,
                false => before.windows.clone(),
            },
            ..before.clone()
        })
    };
    saved(&state, &visit, read()).await
}

async fn saved(
    state: &PeopleState,
    visit: &Visit,
    site: Result<Site, String>,
) -> Result<Response, PageError> {
    match site {
        Err(problem) => Ok(failed("/settings", problem)),
        Ok(site) => {
            state.store.set_site(site, &visit.actor.name).await?;
            Ok(done("/settings", "Settings saved."))
        }
    }
}

/// `POST /settings/default`: switches what machines without an assignment get.
pub(crate) async fn default_policy(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = local(fields.get("back"));
    let Some(unassigned) = UnassignedPolicy::from_slug(fields.get("unassigned")) else {
        return Ok(failed(back, "the site default is silence, wait or menu"));
    };
    let site = Site {
        unassigned,
        ..state.store.site()
    };
    state.store.set_site(site, &visit.actor.name).await?;
    Ok(done(
        back,
        format!("Machines without an assignment now get: {unassigned}."),
    ))
}

/// `POST /settings/tokens`: the answer is the only time the secret is shown.
pub(crate) async fn create_token(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> PageResult {
    if visit.actor.via != Via::Session {
        return Err(PageError::Refused(
            "tokens are made by a person who is logged in".to_owned(),
        ));
    }
    let days = fields.get("days").parse::<u64>().ok().filter(|d| *d > 0);
    let lifetime = days.map(|d| Duration::from_secs(d.min(3650) * 24 * 3600));
    let made = state
        .store
        .create_token(&visit.actor.name, fields.get("name"), lifetime)
        .await;
    match made {
        Ok((token, secret)) => page(&SettingsPage {
            secret: Some((token.name, secret)),
            ..settings(&state, &visit).await?
        }),
        Err(error @ store::StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed("/settings", error)),
    }
}

/// `POST /settings/tokens/{id}/delete`
pub(crate) async fn delete_token(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
) -> Result<Response, PageError> {
    state.store.delete_token(id, &visit.actor.name).await?;
    Ok(done(
        "/settings",
        "The token is deleted and no longer works.",
    ))
}

/// `POST /settings/password`: ends every session of this person, this one included, and begins
/// a new one.
pub(crate) async fn change_password(
    State(state): State<PeopleState>,
    visit: Visit,
    extensions: Extensions,
    fields: Fields,
) -> PageResult {
    if visit.actor.via != Via::Session {
        return Err(PageError::Refused(
            "passwords are changed by the person who is logged in".to_owned(),
        ));
    }
    let name = &visit.actor.name;
    let (new, again) = (fields.raw("password"), fields.raw("password_again"));
    let mut problem = password::check_new(new, again)
        .err()
        .map(|weak| sentence(&weak.to_string()));
    if problem.is_none() {
        let from = from_address(&extensions);
        problem = match state.auth.try_password(from, name) {
            Err(wait) => Some(format!(
                "Too many tries. Wait {} seconds.",
                wait.as_secs() + 1
            )),
            Ok(()) => {
                let stored = state.store.user(name).await?.map(|u| u.password_hash);
                let right = password::verify(fields.raw("current").to_owned(), stored).await;
                if right {
                    state.auth.was_right(from, name);
                }
                (!right).then(|| "The current password is not right.".to_owned())
            }
        };
    }
    if let Some(problem) = problem {
        let shown = SettingsPage {
            password_error: Some(problem),
            ..settings(&state, &visit).await?
        };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response());
    }
    let hash = password::hash(new.to_owned()).await;
    state.store.set_password(name, &hash, name).await?;
    let mut response = super::login::start_session(&state, name, "/settings").await?;
    let told = done(
        "/settings",
        "Password changed; every other session has ended.",
    );
    for cookie in told.headers().get_all(http::header::SET_COOKIE) {
        response
            .headers_mut()
            .append(http::header::SET_COOKIE, cookie.clone());
    }
    Ok(response)
}

/// The page with the site's variables as they were typed, because something is wrong with them.
pub(super) async fn refused(state: &PeopleState, visit: &Visit, variables: YamlArea) -> PageResult {
    let shown = SettingsPage {
        variables,
        ..settings(state, visit).await?
    };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response())
}

async fn settings(state: &PeopleState, visit: &Visit) -> Result<SettingsPage, PageError> {
    let at = now();
    let line = |t: ApiToken| TokenLine {
        id: t.id,
        name: t.name,
        user: t.user,
        created: Stamp::ago(t.created, at),
        used: t.last_used.map(|u| Stamp::ago(u, at)),
        expires: t.expires.map(Stamp::date),
    };
    Ok(SettingsPage {
        frame: visit.frame(state, "settings"),
        site: state.store.site(),
        loaders: LOADERS,
        newcomers: NEWCOMERS,
        models: model_lines(&state.store.site()),
        windows: windows::lines(&state.store.site()),
        disks: LocalBoot::ALL.map(|way| (way, way.told())).to_vec(),
        tokens: state.store.tokens().await?.into_iter().map(line).collect(),
        secret: None,
        variables: site_variables::of(&state.store.site()),
        session: visit.actor.via == Via::Session,
        password_error: None,
    })
}

fn number(fields: &Fields, field: &str, what: &str, min: u32, max: u32) -> Result<u32, String> {
    let value = fields.get(field).parse::<u32>().ok();
    value
        .filter(|v| (min..=max).contains(v))
        .ok_or_else(|| format!("{what}: a number of seconds from {min} to {max} is needed"))
}

/// `Dell Inc. | OptiPlex * = exit` on each line; either side of the bar may be empty.
fn models(text: &str) -> Result<Vec<LocalBootModel>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = |line: &str| -> Option<LocalBootModel> {
        let (model, way) = line.rsplit_once('=')?;
        let (manufacturer, product) = model.split_once('|')?;
        let pattern = |text: &str| match text.trim() {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let (manufacturer, product) = (pattern(manufacturer)?, pattern(product)?);
        (manufacturer.is_some() || product.is_some()).then_some(())?;
        Some(LocalBootModel {
            manufacturer,
            product,
            local_boot: LocalBoot::from_slug(way.trim())?,
        })
    };
    let expected = |line: &str| {
        let ways: Vec<&str> = LocalBoot::ALL.iter().map(|way| way.slug()).collect();
        let short: String = line.chars().take(60).collect();
        format!(
            "models: '{}': expected MANUFACTURER | PRODUCT = {}",
            printable(&short),
            ways.join(", ")
        )
    };
    lines
        .map(|line| read(line).ok_or_else(|| expected(line)))
        .collect()
}

fn model_lines(site: &Site) -> String {
    let word = |pattern: &Option<Glob>| {
        let text = pattern.clone().map(String::from);
        printable(&text.unwrap_or_default())
    };
    let lines = site.local_boot_models.iter().map(|model| {
        let (manufacturer, product) = (word(&model.manufacturer), word(&model.product));
        format!("{manufacturer} | {product} = {}", model.local_boot.slug())
    });
    lines.collect::<Vec<_>>().join("\n")
}

const NEWCOMERS: [(NewMachines, &str); 3] = [
    (NewMachines::Hold, "Hold: a person adopts them"),
    (NewMachines::Register, "Register: rules count at once"),
    (NewMachines::Ignore, "Ignore: no answer, no trace"),
];

/// What people choose between, with the difference in half a line.
pub(crate) const LOADERS: [(LoaderKind, &str); 3] = [
    (LoaderKind::Ipxe, "iPXE: fastest, script over HTTP"),
    (LoaderKind::Pxelinux, "PXELINUX: BIOS only, menu over TFTP"),
    (LoaderKind::Grub, "shim and GRUB: UEFI only, Secure Boot"),
];
