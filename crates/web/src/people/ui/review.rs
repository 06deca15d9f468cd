//! `/machines/{id}/review`: everything a machine will fetch, before it does.

use super::error::{PageError, PageResult, page};
use super::form::{Path, Query};
use super::frame::{Frame, Visit};
use crate::people::PeopleState;
use crate::review::{self, Review};
use askama::Template;
use axum::extract::State;
use bootplan::{MachineId, ProfileName};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    id: i64,
    name: String,
    /// Every profile, and whether it is the one looked at.
    profiles: Vec<(String, bool)>,
    /// `None`: no profile is assigned, and none was chosen.
    review: Option<Review>,
}

impl Review {
    /// How much is wrong: "1 fault, 2 files missing".
    pub(crate) fn wrong(&self) -> String {
        let faults = self.documents.iter().map(|document| document.faults.len());
        let counted = [
            (faults.sum(), "fault", "faults"),
            (self.missing.len(), "file missing", "files missing"),
        ];
        let counted = counted.into_iter().filter(|(n, ..)| *n > 0);
        let counted =
            counted.map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }));
        counted.collect::<Vec<_>>().join(", ")
    }
}

/// Under which profile.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    profile: String,
}

/// `GET /machines/{id}/review`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    Query(wanted): Query<Wanted>,
) -> PageResult {
    let catalog = state.store.catalog();
    let machine = catalog.machine(MachineId(id)).cloned();
    let absent = || PageError::NotFound("there is no such machine".to_owned());
    let machine = machine.ok_or_else(absent)?;
    let chosen: Option<ProfileName> = wanted.profile.parse().ok();
    let chosen = chosen.or_else(|| machine.profile.clone());
    let profile = chosen
        .as_ref()
        .and_then(|name| catalog.profile(name))
        .cloned();
    let looked = {
        let (state, catalog, machine) = (state.clone(), catalog.clone(), machine.clone());
        let looked = move || profile.map(|p| review::look(&state, &catalog, &machine, &p));
        tokio::task::spawn_blocking(looked).await
    };
    page(&ReviewPage {
        frame: visit.frame(&state, "machines"),
        id,
        name: machine.name.clone(),
        profiles: catalog
            .profiles()
            .map(|p| (p.name.to_string(), Some(&p.name) == chosen.as_ref()))
            .collect(),
        review: looked.expect("rendering reports its faults"),
    })
}
