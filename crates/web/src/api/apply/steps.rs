//! Taking the steps of a plan: all of them, or none.

use super::plan::Step;
use crate::api::problem::{Answer, Problem};
use bootplan::{Catalog, MachineId, Profile, ProfileName, Site};
use store::{MachineChange, Store, StoreError};

/// What puts one step back.
enum Undo {
    PutProfile(Profile),
    DeleteProfile(ProfileName),
    SetSite(Site),
    DeleteMachine(MachineId),
    UpdateMachine(MachineId, MachineChange),
    Nothing,
}

/// Each step is a transaction of the store's own. When one is refused (planning has checked all
/// it could, but somebody else may have changed something meanwhile), those before it are put
/// back, last one first.
pub(super) async fn take_all(store: &Store, steps: Vec<Step>, by: &str) -> Answer<()> {
    let mut taken = Vec::new();
    for step in steps {
        let undo = undo(&step, &store.catalog());
        match take(store, step, by).await {
            Ok(created) => taken.push(created.map_or(undo, Undo::DeleteMachine)),
            Err(error) => {
                let restored = put_back(store, taken, by).await;
                let mut problem = Problem::from(error);
                problem.detail.push_str(match restored {
                    true => "; what was changed before this was put back",
                    false => "; not everything changed before this could be put back, see export",
                });
                return Err(problem);
            }
        }
    }
    Ok(())
}

async fn take(store: &Store, step: Step, by: &str) -> Result<Option<MachineId>, StoreError> {
    match step {
        Step::PutProfile(profile) => store.put_profile(profile, by).await?,
        Step::SetSite(site) => store.set_site(site, by).await?,
        Step::Adopt(id) => store.adopt(&[id], by).await?,
        Step::CreateMachine(new) => {
            let created = store.create_machine(new, by).await?;
            return Ok(Some(created.machine.id));
        }
        Step::UpdateMachine(id, change) => {
            store.update_machine(id, change, by).await?;
        }
    }
    Ok(None)
}

fn undo(step: &Step, catalog: &Catalog) -> Undo {
    match step {
        Step::PutProfile(profile) => match catalog.profile(&profile.name) {
            Some(old) => Undo::PutProfile(old.as_ref().clone()),
            None => Undo::DeleteProfile(profile.name.clone()),
        },
        Step::SetSite(_) => Undo::SetSite(catalog.site.clone()),
        // Its identity is known only once it is made.
        Step::CreateMachine(_) => Undo::Nothing,
        // A machine that an operator has named in a document is no stranger any more.
        Step::Adopt(_) => Undo::Nothing,
        Step::UpdateMachine(id, _) => match catalog.machine(*id) {
            Some(old) => Undo::UpdateMachine(
                *id,
                MachineChange {
                    name: Some(old.name.clone()),
                    macs: Some(old.macs.clone()),
                    uuid: Some(old.uuid),
                    serial: Some(old.serial.clone()),
                    labels: Some(old.labels.clone()),
                    loader: Some(old.loader),
                    profile: Some(old.profile.clone()),
                },
            ),
            None => Undo::Nothing,
        },
    }
}

/// True when everything is as it was.
async fn put_back(store: &Store, taken: Vec<Undo>, by: &str) -> bool {
    let mut restored = true;
    for undo in taken.into_iter().rev() {
        let result = match undo {
            Undo::PutProfile(profile) => store.put_profile(profile, by).await,
            Undo::DeleteProfile(name) => store.delete_profile(&name, by).await,
            Undo::SetSite(site) => store.set_site(site, by).await,
            Undo::DeleteMachine(id) => store.delete_machine(id, by).await,
            Undo::UpdateMachine(id, change) => store.update_machine(id, change, by).await.map(drop),
            Undo::Nothing => Ok(()),
        };
        if let Err(error) = result {
            tracing::error!(%error, "a step of an apply could not be put back");
            restored = false;
        }
    }
    restored
}
