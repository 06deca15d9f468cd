//! Web hooks, and the outbox that is filled in the transaction of each event.

use crate::change::{Change, now, to_the_end};
use crate::rows::{self, Tx, failed};
use crate::{Store, StoreError, StoredEvent, validate};
use bootplan::{EventKind, Hook, Timestamp};
use serde::Serialize;
use sqlx::Row;
use std::sync::Arc;

/// A hook and how its receiver does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HookStatus {
    /// The hook.
    #[serde(flatten)]
    pub hook: Hook,
    /// When its receiver last took something.
    pub told: Option<Timestamp>,
    /// Why it took nothing since.
    pub problem: Option<String>,
    /// How many deliveries wait.
    pub waiting: i64,
}

/// One delivery that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its identity: the same at each attempt, so that a receiver can leave out what it has.
    pub id: i64,
    /// To whom.
    pub hook: Arc<Hook>,
    /// JSON.
    pub body: String,
    /// When its event happened.
    pub made: Timestamp,
    /// Attempts that failed.
    pub tries: i64,
}

impl Store {
    /// The hooks by name. From memory.
    pub fn hooks(&self) -> Vec<Arc<Hook>> {
        self.model().hooks.clone()
    }

    /// The hooks and how their receivers do.
    ///
    /// # Errors
    /// Database failure.
    pub async fn hook_statuses(&self) -> Result<Vec<HookStatus>, StoreError> {
        let doing = failed("reading hooks");
        let rows = sqlx::query(
            "SELECT spec, told, problem, (SELECT COUNT(*) FROM hook_outbox o \
             WHERE o.hook = hooks.name) AS waiting FROM hooks ORDER BY name",
        )
        .fetch_all(&self.inner.pool)
        .await
        .map_err(doing)?;
        rows.iter()
            .map(|row| {
                Ok(HookStatus {
                    hook: rows::json(row, "spec")?,
                    told: row.try_get::<Option<i64>, _>("told")?.map(Timestamp),
                    problem: row.try_get("problem")?,
                    waiting: row.try_get("waiting")?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(doing)
    }

    /// Creates a hook or replaces the one of the same name. What waits for it stays.
    ///
    /// # Errors
    /// A hook that cannot work, database failure.
    pub async fn put_hook(&self, hook: Hook, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.put_hook(hook, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Deletes a hook and what waits for it.
    ///
    /// # Errors
    /// No such hook, database failure.
    pub async fn delete_hook(&self, name: &str, by: &str) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.to_owned(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.delete_hook(&name, &by).await?;
            change.finish().await
        })
        .await
    }

    /// The first delivery of each hook that is due, and when the next one will be.
    ///
    /// # Errors
    /// Database failure.
    pub async fn due_deliveries(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<Delivery>, Option<Timestamp>), StoreError> {
        let doing = failed("reading what hooks are to be told");
        let rows = sqlx::query(
            "SELECT id, hook, body, made, tries, due FROM hook_outbox o WHERE id = \
             (SELECT MIN(f.id) FROM hook_outbox f WHERE f.hook = o.hook)",
        )
        .fetch_all(&self.inner.pool)
        .await
        .map_err(doing)?;
        let hooks = self.hooks();
        let (mut ready, mut next) = (Vec::new(), None);
        for row in rows {
            let due: i64 = row.try_get("due").map_err(doing)?;
            let name: String = row.try_get("hook").map_err(doing)?;
            let Some(hook) = hooks.iter().find(|hook| hook.name == name && hook.enabled) else {
                continue;
            };
            if due > now.0 {
                next = Some(next.map_or(due, |next: i64| next.min(due)));
                continue;
            }
            ready.push(Delivery {
                id: row.try_get("id").map_err(doing)?,
                hook: Arc::clone(hook),
                body: row.try_get("body").map_err(doing)?,
                made: Timestamp(row.try_get("made").map_err(doing)?),
                tries: row.try_get("tries").map_err(doing)?,
            });
        }
        Ok((ready, next.map(Timestamp)))
    }

    /// The receiver took it.
    ///
    /// # Errors
    /// Database failure; then it is delivered once more, under the same identity.
    pub async fn delivered(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let doing = failed("noting what a hook was told");
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM hook_outbox WHERE id = $1")
            .bind(delivery.id)
            .execute(&mut *tx.tx)
            .await
            .map_err(doing)?;
        sqlx::query("UPDATE hooks SET told = $1, problem = NULL WHERE name = $2")
            .bind(now().0)
            .bind(delivery.hook.name.clone())
            .execute(&mut *tx.tx)
            .await
            .map_err(doing)?;
        tx.commit().await.map(drop)
    }

    /// The receiver did not take it; it is tried again at `due`.
    ///
    /// # Errors
    /// Database failure.
    pub async fn not_delivered(
        &self,
        delivery: &Delivery,
        why: &str,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let doing = failed("noting that a hook was not told");
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE hook_outbox SET tries = tries + 1, due = $1 WHERE id = $2")
            .bind(due.0)
            .bind(delivery.id)
            .execute(&mut *tx.tx)
            .await
            .map_err(doing)?;
        sqlx::query("UPDATE hooks SET problem = $1 WHERE name = $2")
            .bind(why.to_owned())
            .bind(delivery.hook.name.clone())
            .execute(&mut *tx.tx)
            .await
            .map_err(doing)?;
        tx.commit().await.map(drop)
    }

    /// Gives up what a hook should have been told before `before`, with one event that says so.
    ///
    /// # Errors
    /// Database failure.
    pub async fn give_up(
        &self,
        hook: &Hook,
        before: Timestamp,
        why: &str,
    ) -> Result<(), StoreError> {
        let (store, name, why) = (self.clone(), hook.name.clone(), why.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let gone = sqlx::query("DELETE FROM hook_outbox WHERE hook = $1 AND made < $2")
                .bind(name.clone())
                .bind(before.0)
                .execute(&mut *change.tx)
                .await
                .map_err(failed("giving up what a hook was to be told"))?;
            let events = u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX);
            if events > 0 {
                let hook = name;
                change.say(None, EventKind::HookFailed { hook, events, why });
            }
            change.finish().await
        })
        .await
    }
}

impl Change {
    pub(crate) async fn put_hook(&mut self, hook: Hook, by: &str) -> Result<(), StoreError> {
        hook.validate().map_err(|fault| StoreError::Invalid {
            field: fault.field.to_owned(),
            problem: fault.problem,
        })?;
        validate::labels(&hook.labels)?;
        let doing = failed("storing a hook");
        let spec = rows::to_json(&hook);
        let before: Option<String> = sqlx::query_scalar("SELECT spec FROM hooks WHERE name = $1")
            .bind(hook.name.clone())
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(doing)?;
        let done = match before {
            Some(before) if before == spec => return Ok(()),
            Some(_) => "changed",
            None => "created",
        };
        sqlx::query(
            "INSERT INTO hooks (name, spec) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
        )
        .bind(hook.name.clone())
        .bind(spec)
        .execute(&mut *self.tx)
        .await
        .map_err(doing)?;
        self.overlay.touch_hooks();
        let what = format!("hook '{}' {done}", hook.name);
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }

    pub(crate) async fn delete_hook(&mut self, name: &str, by: &str) -> Result<(), StoreError> {
        let gone = sqlx::query("DELETE FROM hooks WHERE name = $1")
            .bind(name.to_owned())
            .execute(&mut *self.tx)
            .await
            .map_err(failed("deleting a hook"))?;
        if gone.rows_affected() == 0 {
            let what = format!("hook '{name}'");
            return Err(StoreError::NotFound { what });
        }
        self.overlay.touch_hooks();
        let (what, by) = (format!("hook '{name}' deleted"), by.to_owned());
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }

    /// Puts stored events into the outbox of each hook that wants them.
    pub(crate) async fn tell_hooks(&mut self, events: &[StoredEvent]) -> Result<(), sqlx::Error> {
        // One that this change makes hears of it; one that it deletes has no outbox any more.
        let hooks = match self.overlay.touches_hooks() {
            true => load_hooks(&mut self.tx).await?,
            false => self.store.hooks(),
        };
        for hook in &hooks {
            let wanted: Vec<&StoredEvent> = events
                .iter()
                .filter(|e| hook.wants(&e.event.kind))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let waiting: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM hook_outbox WHERE hook = $1")
                    .bind(hook.name.clone())
                    .fetch_one(&mut *self.tx)
                    .await?;
            // A receiver that is away must not fill the disk: what is oldest is told, in order.
            let room = usize::try_from(OUTBOX_LIMIT - waiting).unwrap_or(0);
            if room < wanted.len() {
                tracing::warn!(
                    hook = hook.name,
                    "too much waits for this hook; events are left out"
                );
            }
            let first = rows::reserve(&mut self.tx, "hook_outbox", wanted.len()).await?;
            for (id, stored) in (first..).zip(wanted.into_iter().take(room)) {
                let body = self.body(hook, id, stored);
                sqlx::query(
                    "INSERT INTO hook_outbox (id, hook, body, made, tries, due) \
                     VALUES ($1, $2, $3, $4, 0, $5)",
                )
                .bind(id)
                .bind(hook.name.clone())
                .bind(body)
                .bind(now().0)
                .bind(0_i64)
                .execute(&mut *self.tx)
                .await?;
            }
        }
        Ok(())
    }

    fn body(&self, hook: &Hook, id: i64, stored: &StoredEvent) -> String {
        let name = stored.machine.and_then(|id| {
            let model = self.store.model();
            self.overlay.machine(&model, id).map(|m| m.name.clone())
        });
        rows::to_json(&serde_json::json!({
            "delivery": id,
            "hook": hook.name,
            "machine_name": name,
            "headline": stored.event.kind.headline(),
            "event": stored,
        }))
    }
}

pub(crate) async fn load_hooks(tx: &mut Tx) -> Result<Vec<Arc<Hook>>, sqlx::Error> {
    let rows = sqlx::query("SELECT spec FROM hooks ORDER BY name")
        .fetch_all(&mut **tx)
        .await?;
    rows.iter()
        .map(|row| rows::json(row, "spec").map(Arc::new))
        .collect()
}

/// Deliveries that wait for one hook; about 10 MB.
const OUTBOX_LIMIT: i64 = 10_000;
