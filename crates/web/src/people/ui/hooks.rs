//! `/settings/hooks`: who is told of what happens, and whether they listen.

use super::error::{PageError, PageResult, page};
use super::form::{Fields, Path};
use super::frame::{Frame, Stamp, Visit, done, failed, now};
use super::story::printable;
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bootplan::Hook;
use store::{HookStatus, StoreError};

#[derive(Template)]
#[template(path = "hooks.html")]
struct HooksPage {
    frame: Frame,
    hooks: Vec<HookLine>,
}

/// A hook as the page shows it.
struct HookLine {
    hook: Hook,
    place: String,
    told: Option<Stamp>,
    problem: Option<String>,
    waiting: i64,
}

/// `GET /settings/hooks`
pub(crate) async fn show(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let at = now();
    let line = |status: HookStatus| HookLine {
        place: printable(&status.hook.place()),
        told: status.told.map(|told| Stamp::ago(told, at)),
        problem: status.problem.as_deref().map(printable),
        waiting: status.waiting,
        hook: status.hook,
    };
    let hooks = state.store.hook_statuses().await?;
    page(&HooksPage {
        frame: visit.frame(&state, "settings"),
        hooks: hooks.into_iter().map(line).collect(),
    })
}

/// `POST /settings/hooks`: makes one, or saves it under the name it has.
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let old = state.store.hooks();
    let old = old.iter().find(|hook| hook.name == fields.get("name"));
    let hook = Hook {
        name: fields.get("name").to_owned(),
        labels: old.map(|hook| hook.labels.clone()).unwrap_or_default(),
        url: fields.get("url").to_owned(),
        events: fields
            .get("events")
            .split([',', ' '])
            .filter(|e| !e.is_empty())
            .map(str::to_owned)
            .collect(),
        secret: fields.get("secret").to_owned(),
        enabled: fields.has("enabled"),
    };
    let name = hook.name.clone();
    match state.store.put_hook(hook, &visit.actor.name).await {
        Ok(()) => Ok(done(PATH, format!("Hook {name} is saved."))),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(PATH, error)),
    }
}

/// `POST /settings/hooks/{name}/test`
pub(crate) async fn test(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    Ok(match state.test_hook(&name, &visit.actor.name).await {
        Some(Ok(())) => done(PATH, format!("The receiver of {name} took the test.")),
        Some(Err(problem)) => failed(PATH, format!("the test of {name} was not taken: {problem}")),
        None => failed(PATH, "this hook is gone; look again"),
    })
}

/// `POST /settings/hooks/{name}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    match state.store.delete_hook(&name, &visit.actor.name).await {
        Ok(()) => Ok(done(
            PATH,
            "The hook is deleted; what waited for it is not told.",
        )),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(PATH, error)),
    }
}

const PATH: &str = "/settings/hooks";
