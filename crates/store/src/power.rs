//! The ways to machines' power switches, and what was asked of them.

use crate::change::{Change, to_the_end};
use crate::rows::{self, Tx, failed};
use crate::{Store, StoreError};
use bootplan::{EventKind, MachineId, Power};
use sqlx::Row;
use std::collections::BTreeMap;

impl Store {
    /// The ways to a machine's power switch; none of them is the default value.
    ///
    /// # Errors
    /// Database failure.
    pub async fn power(&self, id: MachineId) -> Result<Power, StoreError> {
        let doing = failed("reading power switches");
        let row = sqlx::query("SELECT spec FROM power WHERE machine_id = $1")
            .bind(id.0)
            .fetch_optional(&self.inner.pool)
            .await
            .map_err(doing)?;
        row.map_or(Ok(Power::default()), |row| rows::json(&row, "spec"))
            .map_err(doing)
    }

    /// Those of all machines that have one.
    ///
    /// # Errors
    /// Database failure.
    pub async fn powers(&self) -> Result<BTreeMap<MachineId, Power>, StoreError> {
        let doing = failed("reading power switches");
        let mut tx = self.inner.pool.begin().await.map_err(doing)?;
        let powers = load_powers(&mut tx).await.map_err(doing)?;
        tx.rollback().await.map_err(doing)?;
        Ok(powers)
    }

    /// Says how machines are switched; an empty description takes it away.
    ///
    /// # Errors
    /// No such machine, a description that cannot work, database failure.
    pub async fn set_power(&self, id: MachineId, power: Power, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.set_power(id, &power, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Stores what came of using a machine's switch.
    ///
    /// # Errors
    /// No such machine, database failure.
    pub async fn powered(&self, id: MachineId, kind: EventKind) -> Result<(), StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.must_know(id)?;
            change.say(Some(id), kind);
            change.finish().await
        })
        .await
    }
}

impl Change {
    /// [`Store::set_power`] inside a change.
    pub(crate) async fn set_power(
        &mut self,
        id: MachineId,
        power: &Power,
        by: &str,
    ) -> Result<(), StoreError> {
        let machine = self.must_know(id)?;
        power.validate().map_err(|fault| StoreError::Invalid {
            field: format!("power.{}", fault.field),
            problem: fault.problem,
        })?;
        let doing = failed("storing a power switch");
        let spec = rows::to_json(power);
        let before: Option<String> =
            sqlx::query_scalar("SELECT spec FROM power WHERE machine_id = $1")
                .bind(id.0)
                .fetch_optional(&mut *self.tx)
                .await
                .map_err(doing)?;
        if before.as_deref().unwrap_or(NOTHING) == spec {
            return Ok(());
        }
        let query = match power.is_empty() {
            true => sqlx::query("DELETE FROM power WHERE machine_id = $1").bind(id.0),
            false => sqlx::query(
                "INSERT INTO power (machine_id, spec) VALUES ($1, $2) \
                 ON CONFLICT (machine_id) DO UPDATE SET spec = excluded.spec",
            )
            .bind(id.0)
            .bind(spec),
        };
        query.execute(&mut *self.tx).await.map_err(doing)?;
        let what = format!("machine '{}' changed: power", machine.name);
        let by = by.to_owned();
        self.say(Some(id), EventKind::Changed { what, by });
        Ok(())
    }
}

pub(crate) async fn load_powers(tx: &mut Tx) -> Result<BTreeMap<MachineId, Power>, sqlx::Error> {
    let rows = sqlx::query("SELECT machine_id, spec FROM power")
        .fetch_all(&mut **tx)
        .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let id = MachineId(row.try_get("machine_id")?);
        Ok((id, rows::json(row, "spec")?))
    };
    rows.iter().map(read).collect()
}

/// The JSON of no way at all.
const NOTHING: &str = "{}";
