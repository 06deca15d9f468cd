//! The site's variables, which every machine has unless a group, a profile or itself says
//! otherwise.

use super::error::PageResult;
use super::form::Fields;
use super::frame::{Visit, done};
use super::settings;
use super::yaml_area::YamlArea;
use crate::documents;
use crate::people::PeopleState;
use axum::extract::State;
use bootplan::Site;

/// As they are stored.
pub(crate) fn of(site: &Site) -> YamlArea {
    YamlArea::of(documents::variable_lines(&site.variables))
}

/// `POST /settings/variables`
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> PageResult {
    let mut typed = YamlArea::typed(&fields, "variables");
    match documents::variables(&typed.text) {
        Err(fault) => {
            typed.blame(&fault);
            settings::refused(&state, &visit, typed).await
        }
        Ok(variables) => {
            if typed.is_changed() {
                let site = Site {
                    variables,
                    ..state.store.site()
                };
                state.store.set_site(site, &visit.actor.name).await?;
            }
            Ok(done("/settings", "Variables saved."))
        }
    }
}
