//! What files last made of each object, and batches that are planned with that before them.

use crate::change::{Change, now, to_the_end};
use crate::rows::{self, Tx, failed};
use crate::{Decided, Refused, Step, Store, StoreError};
use bootplan::{Event, EventKind, MachineId, Timestamp};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// What files last made of each object that they describe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks(BTreeMap<String, BTreeMap<String, Applied>>);

/// What files last made of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// All that it said then, as JSON shows it.
    pub spec: Map<String, Value>,
    /// When that was.
    pub at: Timestamp,
    /// Who applied them.
    pub by: String,
}

/// One mark to be set or forgotten.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// Files made this of it.
    Set {
        /// `profile`, `machine` and so on.
        kind: &'static str,
        /// Its name; a machine's mark is kept under its identity.
        name: String,
        /// All that it says.
        spec: Map<String, Value>,
    },
    /// Files have nothing to do with it any more.
    Forget {
        /// `profile`, `machine` and so on.
        kind: &'static str,
        /// Its name; a machine's identity.
        key: String,
    },
}

/// Steps, and what is to be remembered of them.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they are taken.
    pub steps: Vec<Step>,
    /// Taken after the steps.
    pub marks: Vec<Mark>,
}

impl Marks {
    /// What files made of this object; of a machine by its identity.
    pub fn get(&self, kind: &str, key: &str) -> Option<&Applied> {
        self.0.get(kind)?.get(key)
    }

    /// Every object of one kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = (&str, &Applied)> {
        let all = self.0.get(kind).into_iter().flatten();
        all.map(|(key, applied)| (key.as_str(), applied))
    }
}

impl Mark {
    /// Files made this of it.
    pub fn set(kind: &'static str, name: &str, spec: Map<String, Value>) -> Mark {
        Mark::Set {
            kind,
            name: name.to_owned(),
            spec,
        }
    }

    /// Files have nothing to do with it any more.
    pub fn forget(kind: &'static str, key: &str) -> Mark {
        Mark::Forget {
            kind,
            key: key.to_owned(),
        }
    }
}

impl Store {
    /// What files last made of each object.
    ///
    /// # Errors
    /// Database failure.
    pub async fn marks(&self) -> Result<Marks, StoreError> {
        let doing = failed("reading what files made");
        let mut tx = self.inner.pool.begin().await.map_err(doing)?;
        let marks = load(&mut tx).await.map_err(doing)?;
        tx.rollback().await.map_err(doing)?;
        Ok(marks)
    }

    /// [`apply`](Self::apply) of steps that `plan` chooses while nobody else can change anything.
    /// What `plan` returns beside them comes back, with the refusal if there was one.
    ///
    /// # Errors
    /// The plan's own; database failure before it was made.
    pub async fn apply_planned<T, E>(
        &self,
        by: &str,
        plan: impl FnOnce(&Decided, &Marks) -> Result<(Batch, T), E> + Send + 'static,
    ) -> Result<Result<T, (Refused, T)>, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let known = load(&mut change.tx).await;
            let known = known.map_err(failed("reading what files made"))?;
            let decided = store.decided_in(&mut change.tx).await;
            let decided = decided.map_err(failed("reading what was decided"))?;
            let (batch, told) = plan(&decided, &known)?;
            Ok(match change.take_all(batch, &known, &by).await {
                Ok(()) => Ok(told),
                Err(refused) => Err((refused, told)),
            })
        })
        .await
    }

    /// When a person last changed or deleted this object, not before `since`, and who it was;
    /// `None` when the history does not tell.
    ///
    /// # Errors
    /// Database failure.
    pub async fn last_edit(
        &self,
        kind: &str,
        name: &str,
        machine: Option<MachineId>,
        since: Timestamp,
    ) -> Result<Option<(Timestamp, String)>, StoreError> {
        let doing = failed("reading events");
        let of = match machine {
            Some(_) => "machine_id = $3",
            None => "machine_id IS NULL AND mac IS NULL",
        };
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT body FROM events WHERE at >= $1 AND {of} ORDER BY id DESC LIMIT $2"
        )))
        .bind(since.0)
        .bind(LOOK_BACK);
        if let Some(id) = machine {
            query = query.bind(id.0);
        }
        let rows = query.fetch_all(&self.inner.pool).await.map_err(doing)?;
        for row in rows {
            let event: Event = rows::json(&row, "body").map_err(doing)?;
            let about = match kind {
                "site" => "site settings ".to_owned(),
                _ => format!("{kind} '{name}' "),
            };
            match event.kind {
                EventKind::Assigned { by, .. } if machine.is_some() => {
                    return Ok(Some((event.at, by)));
                }
                EventKind::Changed { what, by }
                    if machine.is_some() || what.starts_with(&about) =>
                {
                    return Ok(Some((event.at, by)));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

impl Change {
    async fn take_all(mut self, batch: Batch, known: &Marks, by: &str) -> Result<(), Refused> {
        for (index, step) in batch.steps.into_iter().enumerate() {
            let step_of = |cause| Refused {
                step: Some(index),
                cause,
            };
            self.take(step, by).await.map_err(step_of)?;
        }
        let doing = failed("storing what files made");
        let mut written = false;
        for mark in batch.marks {
            written |= self.write_mark(mark, known, by).await.map_err(doing)?;
        }
        // A mark alone is no event, but must be kept all the same.
        match written {
            true => self.commit().await.map(drop)?,
            false => self.finish().await?,
        }
        Ok(())
    }

    /// Whether there was something to write.
    async fn write_mark(
        &mut self,
        mark: Mark,
        known: &Marks,
        by: &str,
    ) -> Result<bool, sqlx::Error> {
        let (kind, key, spec) = match mark {
            Mark::Set { kind, name, spec } if kind == "machine" => {
                let model = self.store.model();
                let id = self.overlay.with_name(&model, &name);
                match id {
                    Some(id) => (kind, id.0.to_string(), Some(spec)),
                    None => return Ok(false),
                }
            }
            Mark::Set { kind, name, spec } => (kind, name, Some(spec)),
            Mark::Forget { kind, key } => (kind, key, None),
        };
        let before = known.get(kind, &key);
        let query = match spec {
            Some(spec) if before.is_some_and(|before| before.spec == spec) => return Ok(false),
            None if before.is_none() => return Ok(false),
            Some(spec) => sqlx::query(
                "INSERT INTO applied (kind, name, spec, at, by_whom) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (kind, name) DO UPDATE SET spec = excluded.spec, at = excluded.at, \
                 by_whom = excluded.by_whom",
            )
            .bind(kind)
            .bind(key)
            .bind(rows::to_json(&spec))
            .bind(now().0)
            .bind(by.to_owned()),
            None => sqlx::query("DELETE FROM applied WHERE kind = $1 AND name = $2")
                .bind(kind)
                .bind(key),
        };
        query.execute(&mut *self.tx).await?;
        Ok(true)
    }
}

async fn load(tx: &mut Tx) -> Result<Marks, sqlx::Error> {
    let rows = sqlx::query("SELECT kind, name, spec, at, by_whom FROM applied")
        .fetch_all(&mut **tx)
        .await?;
    let mut marks = Marks::default();
    for row in rows {
        let kind: String = row.try_get("kind")?;
        let applied = Applied {
            spec: rows::json(&row, "spec")?,
            at: Timestamp(row.try_get("at")?),
            by: row.try_get("by_whom")?,
        };
        marks
            .0
            .entry(kind)
            .or_default()
            .insert(row.try_get("name")?, applied);
    }
    Ok(marks)
}

/// An object that was edited has an event among the newest of its own; of those that belong to no
/// machine there are few.
const LOOK_BACK: i64 = 1000;
