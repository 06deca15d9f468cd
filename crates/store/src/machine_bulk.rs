//! What people do to many machines at once.

use crate::change::{Change, to_the_end};
use crate::{MachineChange, Store, StoreError};
use bootplan::{EventKind, MachineId};
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// Forgets machines: all of them or, on an error, none. Their events stay; one that asks again
    /// is discovered anew.
    ///
    /// # Errors
    /// One does not exist; database failure.
    pub async fn delete_machines(&self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.forget(&ids, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Sets labels of machines, and takes labels away by their names: of all of them or, on an
    /// error, of none. A discovered machine is adopted thereby.
    ///
    /// # Errors
    /// One does not exist; an illegal label; database failure.
    pub async fn label_machines(
        &self,
        ids: &[MachineId],
        set: BTreeMap<String, String>,
        remove: BTreeSet<String>,
        by: &str,
    ) -> Result<(), StoreError> {
        let (store, ids, by) = (self.clone(), ids.to_vec(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            for id in ids {
                change.label(id, &set, &remove, &by).await?;
            }
            change.finish().await
        })
        .await
    }
}

impl Change {
    pub(crate) async fn forget(&mut self, ids: &[MachineId], by: &str) -> Result<(), StoreError> {
        for id in ids.iter().copied().collect::<BTreeSet<_>>() {
            let machine = self.must_know(id)?;
            let what = format!("machine '{}' deleted", machine.name);
            let by = by.to_owned();
            self.say(Some(id), EventKind::Changed { what, by });
            self.delete_machines(&[id]).await?;
        }
        Ok(())
    }

    async fn label(
        &mut self,
        id: MachineId,
        set: &BTreeMap<String, String>,
        remove: &BTreeSet<String>,
        by: &str,
    ) -> Result<(), StoreError> {
        let mut labels = self.must_know(id)?.labels.clone();
        labels.retain(|key, _| !remove.contains(key));
        labels.extend(set.clone());
        if labels == self.must_know(id)?.labels {
            return Ok(());
        }
        let labels = Some(labels);
        let wanted = MachineChange {
            labels,
            ..MachineChange::default()
        };
        self.edit(id, wanted, by).await
    }
}
