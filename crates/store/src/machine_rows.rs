//! Every SQL text that writes machines.

use crate::StoreError;
use crate::change::Change;
use crate::rows::{self, failed, placeholders};
use bootplan::{
    LoaderKind, LocalBoot, Machine, MachineId, MachineState, Mode, ProfileName, Timestamp,
};
use sqlx::AssertSqlSafe;
use std::sync::Arc;

impl Change {
    pub(crate) async fn insert_machine(
        &mut self,
        machine: &Machine,
        first_seen: Timestamp,
        last_seen: Option<Timestamp>,
    ) -> Result<(), sqlx::Error> {
        self.overlay.put(Arc::new(machine.clone()));
        sqlx::query(
            "INSERT INTO machines (id, name, name_key, uuid, serial, labels, state, loader, \
             facts, first_seen, last_seen, asset, notes, local_boot, variables, \
             settled) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(machine.id.0)
        .bind(machine.name.clone())
        .bind(crate::model::name_key(&machine.name))
        .bind(machine.uuid.map(|uuid| uuid.to_string()))
        .bind(machine.serial.clone())
        .bind(rows::to_json(&machine.labels))
        .bind(machine.state.slug())
        .bind(machine.loader.map(LoaderKind::slug))
        .bind(rows::to_json(&machine.facts))
        .bind(first_seen.0)
        .bind(last_seen.map(|at| at.0))
        .bind(machine.asset.clone())
        .bind(machine.notes.clone())
        .bind(machine.local_boot.map(LocalBoot::slug))
        .bind(rows::to_json(&machine.variables))
        .bind(i64::from(machine.settled))
        .execute(&mut *self.tx)
        .await?;
        self.insert_macs(machine).await?;
        if machine.profile.is_some() {
            self.write_profile(&[machine.id], machine.profile.as_ref(), machine.mode)
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn update_machine(
        &mut self,
        old: &Machine,
        new: &Machine,
    ) -> Result<(), sqlx::Error> {
        self.overlay.put(Arc::new(new.clone()));
        sqlx::query(
            "UPDATE machines SET name = $1, name_key = $2, uuid = $3, serial = $4, labels = $5, \
             state = $6, loader = $7, facts = $8, asset = $9, notes = $10, local_boot = $11, \
             variables = $12, settled = $13 WHERE id = $14",
        )
        .bind(new.name.clone())
        .bind(crate::model::name_key(&new.name))
        .bind(new.uuid.map(|uuid| uuid.to_string()))
        .bind(new.serial.clone())
        .bind(rows::to_json(&new.labels))
        .bind(new.state.slug())
        .bind(new.loader.map(LoaderKind::slug))
        .bind(rows::to_json(&new.facts))
        .bind(new.asset.clone())
        .bind(new.notes.clone())
        .bind(new.local_boot.map(LocalBoot::slug))
        .bind(rows::to_json(&new.variables))
        .bind(i64::from(new.settled))
        .bind(new.id.0)
        .execute(&mut *self.tx)
        .await?;
        if old.macs != new.macs {
            let gone = old.macs.iter().filter(|mac| !new.macs.contains(mac));
            let gone: Vec<_> = gone.copied().collect();
            self.drop_conflicts(&gone).await?;
            sqlx::query("DELETE FROM machine_macs WHERE machine_id = $1")
                .bind(new.id.0)
                .execute(&mut *self.tx)
                .await?;
            self.insert_macs(new).await?;
        }
        if (&old.profile, old.mode) != (&new.profile, new.mode) {
            self.write_profile(&[new.id], new.profile.as_ref(), new.mode)
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_machines(&mut self, ids: &[MachineId]) -> Result<(), StoreError> {
        for id in ids {
            let doing = failed("deleting a machine");
            self.acquit(*id).await.map_err(doing)?;
            self.delete_row(*id).await.map_err(doing)?;
        }
        Ok(())
    }

    pub(crate) async fn delete_row(&mut self, id: MachineId) -> Result<(), sqlx::Error> {
        self.overlay.remove(id);
        // MACs and assignment go by the foreign keys.
        sqlx::query("DELETE FROM machines WHERE id = $1")
            .bind(id.0)
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }

    async fn insert_macs(&mut self, machine: &Machine) -> Result<(), sqlx::Error> {
        for (position, mac) in (0_i64..).zip(&machine.macs) {
            sqlx::query("INSERT INTO machine_macs (mac, machine_id, position) VALUES ($1, $2, $3)")
                .bind(mac.to_string())
                .bind(machine.id.0)
                .bind(position)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// Assigns machines that exist.
    pub(crate) async fn set_profile(
        &mut self,
        ids: &[MachineId],
        profile: Option<&ProfileName>,
        mode: Mode,
    ) -> Result<(), sqlx::Error> {
        self.alter(ids, |machine| {
            machine.profile = profile.cloned();
            machine.mode = mode;
        });
        self.write_profile(ids, profile, mode).await
    }

    /// Makes machines registered ones.
    pub(crate) async fn register(&mut self, ids: &[MachineId]) -> Result<(), sqlx::Error> {
        self.alter(ids, |machine| machine.state = MachineState::Registered);
        for chunk in ids.chunks(rows::CHUNK) {
            let list = placeholders(2, chunk.len());
            let text = format!("UPDATE machines SET state = $1 WHERE id IN ({list})");
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(MachineState::Registered.slug());
            for id in chunk {
                query = query.bind(id.0);
            }
            query.execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Writes assignments, many to a statement.
    async fn write_profile(
        &mut self,
        ids: &[MachineId],
        profile: Option<&ProfileName>,
        mode: Mode,
    ) -> Result<(), sqlx::Error> {
        for chunk in ids.chunks(rows::CHUNK) {
            let text = match profile {
                Some(_) => {
                    let rows: Vec<String> = (3..3 + chunk.len())
                        .map(|n| format!("(${n}, $1, $2)"))
                        .collect();
                    format!(
                        "INSERT INTO assignments (machine_id, profile, mode) VALUES {} \
                         ON CONFLICT (machine_id) DO UPDATE \
                         SET profile = excluded.profile, mode = excluded.mode",
                        rows.join(", ")
                    )
                }
                None => {
                    let list = placeholders(1, chunk.len());
                    format!("DELETE FROM assignments WHERE machine_id IN ({list})")
                }
            };
            let mut query = sqlx::query(AssertSqlSafe(text));
            if let Some(name) = profile {
                query = query.bind(name.to_string()).bind(mode.slug());
            }
            for id in chunk {
                query = query.bind(id.0);
            }
            query.execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Lays altered machines over those that are.
    pub(crate) fn alter(&mut self, ids: &[MachineId], alter: impl Fn(&mut Machine)) {
        for id in ids {
            let known = {
                let model = self.store.model();
                self.overlay.machine(&model, *id).cloned()
            };
            if let Some(known) = known {
                let mut machine = Machine::clone(&known);
                alter(&mut machine);
                self.overlay.put(Arc::new(machine));
            }
        }
    }
}
