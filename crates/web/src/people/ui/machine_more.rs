//! What a machine says for itself beyond its identity: its variables, how it starts its disk, its
//! asset tag.

use super::error::{PageError, PageResult, page, sentence};
use super::form::{Fields, Path};
use super::frame::{Visit, done};
use super::machine::{find, machine_page};
use super::story::printable;
use super::yaml_area::YamlArea;
use crate::documents;
use crate::people::PeopleState;
use axum::extract::State;
use axum::response::IntoResponse;
use bootplan::{LocalBoot, Machine, MachineId};
use http::StatusCode;
use store::{MachineChange, StoreError};

/// The panel as typed, with what is wrong.
#[derive(Default)]
pub(crate) struct MoreForm {
    pub(crate) asset: String,
    pub(crate) was_asset: String,
    pub(crate) asset_problem: String,
    /// The slug of a way; empty: as its model or the site says.
    pub(crate) local_boot: String,
    pub(crate) was_local_boot: String,
    pub(crate) variables: YamlArea,
}

impl MoreForm {
    pub(crate) fn of(machine: &Machine) -> Self {
        let asset = machine.asset.as_deref().map(printable).unwrap_or_default();
        let local_boot = machine.local_boot.map_or("", LocalBoot::slug).to_owned();
        MoreForm {
            was_asset: asset.clone(),
            asset,
            asset_problem: String::new(),
            was_local_boot: local_boot.clone(),
            local_boot,
            variables: YamlArea::of(documents::variable_lines(&machine.variables)),
        }
    }

    fn typed(fields: &Fields) -> Self {
        let text = |name| fields.get(name).to_owned();
        MoreForm {
            asset: text("asset"),
            was_asset: text("was_asset"),
            asset_problem: String::new(),
            local_boot: text("local_boot"),
            was_local_boot: text("was_local_boot"),
            variables: YamlArea::typed(fields, "variables"),
        }
    }

    /// Every way to start a disk, and what it is.
    pub(crate) fn ways(&self) -> [(LocalBoot, &'static str); 5] {
        LocalBoot::ALL.map(|way| (way, way.told()))
    }

    /// What the person changed; `None` leaves the reason in the form.
    fn change(&mut self) -> Option<MachineChange> {
        let variables = match documents::variables(&self.variables.text) {
            Ok(variables) => variables,
            Err(fault) => {
                self.variables.blame(&fault);
                return None;
            }
        };
        let asset = (!self.asset.is_empty()).then(|| self.asset.clone());
        let way = LocalBoot::from_slug(&self.local_boot);
        Some(MachineChange {
            asset: (self.asset != self.was_asset).then_some(asset),
            local_boot: (self.local_boot != self.was_local_boot).then_some(way),
            variables: self.variables.is_changed().then_some(variables),
            ..MachineChange::default()
        })
    }

    /// Puts a refusal by the store beside the field it is about.
    fn blame(&mut self, error: StoreError) -> Result<(), PageError> {
        match error {
            StoreError::Invalid { field, problem } => {
                let text = sentence(&problem);
                match field.starts_with("asset") {
                    true => self.asset_problem = text,
                    false => self.variables.problem = text,
                }
                Ok(())
            }
            other => Err(other.into()),
        }
    }
}

/// `POST /machines/{id}/more`
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> PageResult {
    let record = find(&state, id)?;
    let mut more = MoreForm::typed(&fields);
    if let Some(change) = more.change() {
        let by = &visit.actor.name;
        let saved = state.store.update_machine(MachineId(id), change, by).await;
        match saved {
            Ok(record) => {
                let name = printable(&record.machine.name);
                return Ok(done(&format!("/machines/{id}"), format!("Saved {name}.")));
            }
            Err(error) => more.blame(error)?,
        }
    }
    let shown = machine_page(&state, &visit, record, None, Some(more)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response())
}
