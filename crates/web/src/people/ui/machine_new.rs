//! `/machines/new`: a machine entered by hand, before it ever asks.

use super::confirm;
use super::error::{PageResult, page};
use super::form::{Fields, Query};
use super::frame::{Frame, Visit, done};
use super::machine::EditForm;
use super::machine_list::{Choice, choices};
use super::settings::LOADERS;
use super::story::printable;
use crate::orders::AtEveryBoot;
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use bootplan::{LoaderKind, ProfileName};
use http::StatusCode;
use serde::Deserialize;
use store::NewMachine;

#[derive(Template)]
#[template(path = "machine_new.html")]
struct NewPage {
    frame: Frame,
    form: EditForm,
    profile: String,
    profiles: Vec<Choice>,
    loaders: [(LoaderKind, &'static str); 3],
}

#[derive(Deserialize)]
pub(crate) struct Prefill {
    #[serde(default)]
    mac: String,
}

/// `GET /machines/new`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(Prefill { mac }): Query<Prefill>,
) -> PageResult {
    let form = EditForm {
        macs: mac,
        ..EditForm::default()
    };
    page(&new_page(&state, &visit, form, String::new()))
}

/// `POST /machines/new`
pub(crate) async fn submit(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> PageResult {
    let mut form = EditForm::typed(&fields);
    let profile = fields.get("profile").to_owned();
    if let Some(change) = form.change() {
        let wanted: Option<ProfileName> = profile.parse().ok();
        let asks = AtEveryBoot::of_new(&state.store.catalog(), wanted.as_ref()).is_some();
        let new = NewMachine {
            name: change.name,
            macs: change.macs.unwrap_or_default(),
            uuid: change.uuid.flatten(),
            serial: change.serial.flatten(),
            labels: change.labels.unwrap_or_default(),
            notes: change.notes.unwrap_or_default(),
            loader: change.loader.flatten(),
            profile: wanted.filter(|_| !asks),
            ..NewMachine::default()
        };
        match state.store.create_machine(new, &visit.actor.name).await {
            Ok(record) => {
                let name = printable(&record.machine.name);
                let to = format!("/machines/{}", record.machine.id.0);
                let id = record.machine.id;
                if let Some(question) = confirm::asks_about(&state, id, "assign", &profile, &to) {
                    return Ok(question);
                }
                return Ok(done(&to, format!("Added {name}.")));
            }
            Err(error) => form.blame(error)?,
        }
    }
    let body = page(&new_page(&state, &visit, form, profile))?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, body).into_response())
}

fn new_page(state: &PeopleState, visit: &Visit, form: EditForm, profile: String) -> NewPage {
    NewPage {
        frame: visit.frame(state, "machines"),
        form,
        profile,
        profiles: choices(&state.store.catalog()),
        loaders: LOADERS,
    }
}
