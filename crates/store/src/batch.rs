//! Many changes as one: all of them, or none.

use crate::change::{Change, to_the_end};
use crate::{MachineChange, NewMachine, Store, StoreError};
use bootplan::{
    Arming, Hook, MacAddr, MachineId, Object, ObjectKind, ObjectName, Power, Profile, ProfileName,
    Rule, RuleName, Secret, Site,
};
use std::collections::BTreeMap;

/// One step of a batch; what it does, and what is refused, is told at the method of [`Store`]
/// that does it alone.
#[derive(Clone, Debug)]
pub enum Step {
    /// [`Store::put_profile`].
    PutProfile(Profile),
    /// [`Store::set_site`].
    SetSite(Site),
    /// [`Store::create_machine`].
    CreateMachine(NewMachine),
    /// [`Store::update_machine`]; with nothing to change it registers a discovered machine. There
    /// is no step that adopts: what is written in a file orders no installation.
    UpdateMachine(MachineId, MachineChange),
    /// [`Store::assign`].
    Assign(Vec<MachineId>, Option<ProfileName>),
    /// [`Store::put_rule`].
    PutRule(Rule),
    /// [`Store::delete_rule`].
    DeleteRule(RuleName),
    /// [`Store::set_power`], of the machine with this name.
    SetPower(String, Power),
    /// [`Store::mark_shared`], with all its labels.
    MarkShared(MacAddr, String, BTreeMap<String, String>),
    /// [`Store::unmark_shared`].
    UnmarkShared(MacAddr),
    /// [`Store::put_hook`].
    PutHook(Hook),
    /// [`Store::delete_hook`].
    DeleteHook(String),
    /// [`Store::put_secret`]; without a value: that there is to be such a secret, unless there is.
    PutSecret(ObjectName, Option<Secret>),
    /// [`Store::put_object`].
    PutObject(Object),
    /// [`Store::delete_object`].
    DeleteObject(ObjectKind, ObjectName),
    /// [`Store::arm`].
    Arm(Vec<MachineId>, Arming),
    /// [`Store::delete_machines`].
    DeleteMachines(Vec<MachineId>),
    /// [`Store::delete_profile`].
    DeleteProfile(ProfileName),
}

/// Why a batch was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Refused {
    /// The step at fault, from 0; `None` when the database failed the batch as a whole.
    pub step: Option<usize>,
    /// What is wrong with it.
    pub cause: StoreError,
}

impl From<StoreError> for Refused {
    fn from(cause: StoreError) -> Self {
        Refused { step: None, cause }
    }
}

impl Store {
    /// Takes these steps in order, each seeing what those before it did, in one transaction with
    /// all their events; then publishes one Catalog. A step that changes nothing is no event.
    ///
    /// # Errors
    /// The first step that is refused, as when it is done alone; then nothing is changed.
    pub async fn apply(&self, steps: Vec<Step>, by: &str) -> Result<(), Refused> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            for (index, step) in steps.into_iter().enumerate() {
                let step_of = |cause| Refused {
                    step: Some(index),
                    cause,
                };
                change.take(step, &by).await.map_err(step_of)?;
            }
            change.finish().await.map_err(Refused::from)
        })
        .await
    }
}

impl Change {
    pub(crate) async fn take(&mut self, step: Step, by: &str) -> Result<(), StoreError> {
        match step {
            Step::PutProfile(profile) => self.put_profile(profile, by).await,
            Step::SetSite(site) => self.set_site(site, by).await,
            Step::CreateMachine(new) => self.enter(new, by).await.map(drop),
            Step::UpdateMachine(id, wanted) => self.edit(id, wanted, by).await,
            Step::Assign(ids, profile) => self.assign(&ids, profile, by).await,
            Step::PutRule(rule) => self.put_rule(rule, by).await,
            Step::DeleteRule(name) => self.delete_rule(name, by).await,
            Step::SetPower(name, power) => {
                let known = {
                    let model = self.store.model();
                    self.overlay.with_name(&model, &name)
                };
                let what = format!("machine '{name}'");
                let id = known.ok_or(StoreError::NotFound { what })?;
                self.set_power(id, &power, by).await
            }
            Step::MarkShared(mac, why, labels) => {
                self.mark_shared(mac, &why, Some(labels), by).await
            }
            Step::UnmarkShared(mac) => self.unmark_shared(mac, by).await,
            Step::PutHook(hook) => self.put_hook(hook, by).await,
            Step::DeleteHook(name) => self.delete_hook(&name, by).await,
            Step::PutSecret(name, Some(secret)) => self.put_secret(&name, &secret, by).await,
            Step::PutSecret(name, None) => self.want_secret(&name, by).await,
            Step::PutObject(object) => self.put_object(object, by).await,
            Step::DeleteObject(kind, name) => self.delete_object(kind, &name, by).await,
            Step::Arm(ids, arming) => self.arm(&ids, &arming, by).await,
            Step::DeleteMachines(ids) => self.forget(&ids, by).await,
            Step::DeleteProfile(name) => self.delete_profile(name, by).await,
        }
    }
}
