//! What one machine would fetch under a profile, beside the form that edits it.

use super::conflicts::meant;
use super::story::printable;
use crate::people::PeopleState;
use crate::review::{self, Review};
use bootplan::{Machine, MachineId, Profile};
use serde::Deserialize;
use std::sync::Arc;

/// For which machine, as typed: its name, an address, its number.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    pub(crate) machine: String,
}

/// The profile's answers for one machine.
#[derive(Default)]
pub(crate) struct Sample {
    /// Whether there is anything to fetch besides the boot files.
    pub(crate) fetches: bool,
    /// Which machine was meant, as typed or as found.
    pub(crate) typed: String,
    /// The machine that was found.
    pub(crate) machine: Option<(i64, String)>,
    pub(crate) review: Option<Review>,
}

impl Sample {
    /// For the machine that is meant; else for one that the profile is assigned to or installs.
    pub(crate) async fn of(state: &PeopleState, profile: &Profile, typed: &str) -> Sample {
        let fetches = !profile.answers.is_empty() || profile.has_template();
        let typed = typed.trim();
        let sample = Sample {
            fetches,
            typed: printable(typed),
            ..Sample::default()
        };
        let machine = match typed {
            "" => usual(state, profile),
            key => meant(state, key).map(|record| record.machine),
        };
        let Some(machine) = machine.filter(|_| fetches) else {
            return sample;
        };
        let (looker, id) = (state.clone(), machine.id);
        let (profile, name) = (profile.clone(), printable(&machine.name));
        let looked = move || {
            let catalog = looker.store.catalog();
            review::look(&looker, &catalog, &machine, &profile)
        };
        let looked = tokio::task::spawn_blocking(looked).await;
        Sample {
            typed: name.clone(),
            machine: Some((id.0, name)),
            review: Some(looked.expect("rendering reports its faults")),
            ..sample
        }
    }

    /// The machine's number, for the address of its own review.
    pub(crate) fn id(&self) -> MachineId {
        MachineId(self.machine.as_ref().map_or(0, |(id, _)| *id))
    }
}

fn usual(state: &PeopleState, profile: &Profile) -> Option<Arc<Machine>> {
    let catalog = state.store.catalog();
    let has = |machine: &&Arc<Machine>| {
        let ordered = machine.run.as_deref().map(|run| &run.profile);
        machine.profile.as_ref() == Some(&profile.name) || ordered == Some(&profile.name)
    };
    catalog.machines().find(has).cloned()
}
