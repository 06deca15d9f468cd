//! Ordering machines: what pages and API share. What would be fetched is looked at before anything
//! is ordered, and before any power is touched.

use super::PeopleState;
use crate::windows::Hours;
use crate::{orders, review};
use bootplan::{Arming, Limit, MachineId, MachineState, ProfileName, RunKind, Timestamp, effect};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{MachineChange, Step, StoreError};

/// What somebody orders, of one machine or of many.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Install it, or boot it once.
    pub(crate) kind: RunKind,
    /// What is booted; `None`: what each is assigned to, else what its rule would install.
    pub(crate) profile: Option<ProfileName>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) window: Option<Hours>,
    /// `None`: the profile's or the site's.
    pub(crate) tries: Option<u8>,
    pub(crate) minutes: Option<u32>,
    /// Calls off an installation that is under way.
    pub(crate) force: bool,
    /// Overlooks faults in what would be fetched.
    pub(crate) despite_faults: bool,
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOrdered {
    /// It makes no sense.
    #[error("{0}")]
    Senseless(String),
    /// What would be fetched cannot be made, or is wrong.
    #[error("what would be fetched has faults, so nothing was ordered: {}", .0.join("; "))]
    Faults(Vec<String>),
    /// The store refused, or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Wanted {
    /// This now, with nothing else said.
    pub(crate) fn of(kind: RunKind, profile: Option<ProfileName>) -> Self {
        Wanted {
            kind,
            profile,
            not_before: None,
            window: None,
            tries: None,
            minutes: None,
            force: false,
            despite_faults: false,
        }
    }
}

impl PeopleState {
    /// Orders all of these machines, in one transaction, or none; what each is to boot.
    ///
    /// # Errors
    /// Why nothing was ordered.
    pub(crate) async fn order(
        &self,
        ids: &[MachineId],
        wanted: Wanted,
        by: &str,
    ) -> Result<BTreeMap<MachineId, ProfileName>, NotOrdered> {
        let catalog = self.store.catalog();
        let limit_of = |usual: Limit| Limit {
            tries: wanted.tries.unwrap_or(usual.tries),
            minutes: wanted.minutes.unwrap_or(usual.minutes),
        };
        let asked = limit_of(catalog.site.install_limit);
        if asked != asked.clamped() {
            let said = "tries go from 1 to 20, minutes from 5 to 10080 (a week)";
            return Err(NotOrdered::Senseless(said.to_owned()));
        }
        let hours = wanted.window.as_ref().map(|hours| hours.at(&catalog.site));
        let window = hours.transpose().map_err(NotOrdered::Senseless)?;
        let named = wanted.profile.as_ref();
        let ordered = self.reviewed(ids, named, wanted.despite_faults).await?;
        let mut targets: BTreeMap<&ProfileName, Vec<MachineId>> = BTreeMap::new();
        for (id, profile) in &ordered {
            targets.entry(profile).or_default().push(*id);
        }
        let steps = targets.into_iter().map(|(profile, ids)| {
            let arming = Arming {
                limit: limit_of(orders::limit(&catalog, profile)).clamped(),
                kind: wanted.kind,
                profile: profile.clone(),
                not_before: wanted.not_before,
                window: window.clone(),
                force: wanted.force,
            };
            Step::Arm(ids, arming)
        });
        let applied = self.store.apply(steps.collect(), by).await;
        applied.map_err(|refused| refused.cause)?;
        Ok(ordered)
    }

    /// Adopts machines. What rules order by that is looked at first, as any order is.
    ///
    /// # Errors
    /// Why none was adopted.
    pub(crate) async fn adopt(&self, ids: &[MachineId], by: &str) -> Result<(), NotOrdered> {
        let catalog = self.store.catalog();
        let ordered = ids.iter().copied().filter(|id| {
            let machine = catalog.machine(*id);
            machine.is_some_and(|machine| effect::adopted(machine, &catalog).is_some())
        });
        let ordered: Vec<MachineId> = ordered.collect();
        self.reviewed(&ordered, None, false).await?;
        Ok(self.store.adopt(ids, by).await?)
    }

    /// What each of these machines would install, after everything that it would fetch was made and
    /// looked at; `despite_faults` it is not looked at.
    ///
    /// # Errors
    /// As [`order`](Self::order).
    pub(crate) async fn reviewed(
        &self,
        ids: &[MachineId],
        named: Option<&ProfileName>,
        despite_faults: bool,
    ) -> Result<BTreeMap<MachineId, ProfileName>, NotOrdered> {
        let catalog = self.store.catalog();
        let mut fetching = Vec::with_capacity(ids.len());
        for id in ids {
            let what = format!("machine {}", id.0);
            let machine = catalog.machine(*id).ok_or(StoreError::NotFound { what })?;
            let profile = orders::target(&catalog, machine, named);
            fetching.push((Arc::clone(machine), profile.map_err(NotOrdered::Senseless)?));
        }
        let targets = fetching.iter().map(|(m, profile)| (m.id, profile.clone()));
        let targets = targets.collect();
        if despite_faults {
            return Ok(targets);
        }
        let looker = self.clone();
        let looked = move || review::against(&looker, &fetching);
        let looked = tokio::task::spawn_blocking(looked).await;
        let against = looked.expect("rendering reports its faults");
        match against.is_empty() {
            true => Ok(targets),
            false => Err(NotOrdered::Faults(against)),
        }
    }

    /// Adopts those of these machines that are new, as any edit registers one: no rule orders
    /// anything.
    ///
    /// # Errors
    /// As the store's.
    pub(crate) async fn register(&self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        let catalog = self.store.catalog();
        let new = |id: &&MachineId| {
            // One that is not there is the store's to refuse.
            let machine = catalog.machine(**id);
            machine.is_none_or(|m| m.state == MachineState::Discovered)
        };
        let step = |id: &MachineId| Step::UpdateMachine(*id, MachineChange::default());
        let steps = ids.iter().filter(new).map(step).collect();
        let applied = self.store.apply(steps, by).await;
        applied.map_err(|refused| refused.cause)
    }
}
