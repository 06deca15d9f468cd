//! `/settings/secrets`: which there are and where they are used; their values are shown nowhere.

use super::error::{PageError, PageResult, page};
use super::form::{Fields, Path};
use super::frame::{Frame, Stamp, Visit, done, failed, now};
use super::story::printable;
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bootplan::{ObjectKind, ObjectName, Secret};
use store::{Decided, StoreError};

#[derive(Template)]
#[template(path = "secrets.html")]
struct SecretsPage {
    frame: Frame,
    secrets: Vec<Line>,
}

struct Line {
    name: String,
    changed: Stamp,
    by: String,
    has_value: bool,
    users: Vec<String>,
}

/// `GET /settings/secrets`
pub(crate) async fn show(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let at = now();
    let decided = state.store.decided().await?;
    let records = state.store.secret_records().await?;
    let line = |record: store::SecretRecord| Line {
        users: users(&decided, &record.name),
        changed: Stamp::ago(record.changed, at),
        by: printable(&record.by),
        has_value: record.has_value,
        name: record.name,
    };
    page(&SecretsPage {
        frame: visit.frame(&state, "settings"),
        secrets: records.into_iter().map(line).collect(),
    })
}

/// `POST /settings/secrets`: makes one, or gives it another value.
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let name = match fields.get("name").parse::<ObjectName>() {
        Ok(name) => name,
        Err(error) => return Ok(failed(PATH, error)),
    };
    // A key of several lines comes with a browser's line ends.
    let value = fields.raw("value").replace("\r\n", "\n");
    let put = state
        .store
        .put_secret(&name, Secret::new(value), &visit.actor.name);
    match put.await {
        Ok(()) => Ok(done(PATH, format!("Secret {name} is set."))),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(PATH, error)),
    }
}

/// `POST /settings/secrets/{name}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let name = match name.parse::<ObjectName>() {
        Ok(name) => name,
        Err(error) => return Ok(failed(PATH, error)),
    };
    match state.store.delete_secret(&name, &visit.actor.name).await {
        Ok(()) => Ok(done(PATH, format!("Secret {name} is deleted."))),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(PATH, error)),
    }
}

/// What names it, as far as it does so by a plain text: hooks, switches and templates.
fn users(decided: &Decided, name: &str) -> Vec<String> {
    let mut users = Vec::new();
    for hook in decided.hooks.iter().filter(|hook| hook.secret == name) {
        users.push(format!("hook {}", hook.name));
    }
    for (id, power) in &decided.powers {
        let redfish = power.redfish.as_ref().map(|way| &way.password_secret);
        let ipmi = power.ipmi.as_ref().map(|way| &way.password_secret);
        if redfish.into_iter().chain(ipmi).any(|used| used == name)
            && let Some(machine) = decided.catalog.machine(*id)
        {
            users.push(format!("machine {}", printable(&machine.name)));
        }
    }
    let quoted = [format!("\"{name}\""), format!("'{name}'")];
    let names = |text: &str| text.contains("secret(") && quoted.iter().any(|q| text.contains(q));
    for kind in [ObjectKind::Template, ObjectKind::Snippet] {
        for object in decided.catalog.objects().of(kind) {
            if let bootplan::Object::Template(text) | bootplan::Object::Snippet(text) = &object
                && names(&text.text)
            {
                users.push(format!("{} {}", kind.slug(), text.name));
            }
        }
    }
    for profile in decided.catalog.profiles() {
        let mut texts = profile.answers.iter().filter_map(|a| a.text.as_deref());
        if texts.any(names) {
            users.push(format!("profile {}", profile.name));
        }
    }
    let more = users.len().saturating_sub(SHOWN);
    users.truncate(SHOWN);
    if more > 0 {
        users.push(format!("{more} more"));
    }
    users
}

/// Users listed of each.
const SHOWN: usize = 8;
const PATH: &str = "/settings/secrets";
