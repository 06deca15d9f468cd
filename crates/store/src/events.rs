//! The history of what happened.

use crate::change::to_the_end;
use crate::rows::{self, Tx, failed};
use crate::{Store, StoreError};
use bootplan::{Event, MacAddr, MachineId};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

/// An event with its place in the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Grows with time; 0 for an event that was only shown live because the database was
    /// failing.
    pub id: i64,
    /// The machine it belongs to, if one was known then.
    pub machine: Option<MachineId>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only of this machine.
    pub machine: Option<MachineId>,
    /// Only of this hardware address.
    pub mac: Option<MacAddr>,
    /// Only older than this id.
    pub before: Option<i64>,
    /// Only newer than this id (for a live feed that resumes).
    pub after: Option<i64>,
    /// At most this many (1 to 1000; 0 means 100).
    pub limit: u32,
}

impl Store {
    /// Stores events in one transaction, in this order, each with the machine that has its MAC
    /// now.
    ///
    /// # Errors
    /// Database failure.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.clone();
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.tell(events).await?;
            change.commit().await
        })
        .await
    }

    /// Reads the history, newest first.
    ///
    /// # Errors
    /// Database failure.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let doing = failed("reading events");
        let limit = match query.limit {
            0 => DEFAULT_LIMIT,
            n => n.min(MAX_LIMIT),
        };
        let mac = query.mac.map(|mac| mac.to_string());
        let filter = match (query.machine, &mac) {
            (None, None) => "",
            (Some(_), None) => "AND machine_id = $4 ",
            (None, Some(_)) => "AND mac = $4 ",
            (Some(_), Some(_)) => "AND machine_id = $4 AND mac = $5 ",
        };
        let mut statement = sqlx::query(AssertSqlSafe(format!(
            "SELECT id, machine_id, body FROM events WHERE id < $1 AND id > $2 {filter}\
             ORDER BY id DESC LIMIT $3"
        )))
        .bind(query.before.unwrap_or(i64::MAX))
        .bind(query.after.unwrap_or(0))
        .bind(i64::from(limit));
        if let Some(id) = query.machine {
            statement = statement.bind(id.0);
        }
        if let Some(mac) = mac {
            statement = statement.bind(mac);
        }
        let rows = statement.fetch_all(&self.inner.pool).await.map_err(doing)?;
        rows.iter()
            .map(stored)
            .collect::<Result<_, _>>()
            .map_err(doing)
    }

    /// Deletes events beyond the newest `keep` and those from before `oldest` (milliseconds),
    /// and sessions that have ended. Returns how many events went.
    ///
    /// # Errors
    /// Database failure.
    pub(crate) async fn prune(&self, keep: u64, oldest: i64) -> Result<u64, StoreError> {
        let doing = failed("pruning the history");
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let mut change = self.begin().await?;
        // The first of those kept, by the primary key: cheap however long the history is.
        let first: Option<i64> =
            sqlx::query_scalar("SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET $1")
                .bind(keep.saturating_sub(1).max(0))
                .fetch_optional(&mut *change.tx)
                .await
                .map_err(doing)?;
        let mut gone = 0;
        if let Some(first) = first {
            gone += sqlx::query("DELETE FROM events WHERE id < $1")
                .bind(first)
                .execute(&mut *change.tx)
                .await
                .map_err(doing)?
                .rows_affected();
        }
        gone += sqlx::query("DELETE FROM events WHERE at < $1")
            .bind(oldest)
            .execute(&mut *change.tx)
            .await
            .map_err(doing)?
            .rows_affected();
        sqlx::query("DELETE FROM sessions WHERE expires <= $1")
            .bind(crate::change::now().0)
            .execute(&mut *change.tx)
            .await
            .map_err(doing)?;
        change.commit().await?;
        Ok(gone)
    }
}

/// Writes events inside a change, many to a statement.
pub(crate) async fn insert_events(
    tx: &mut Tx,
    events: Vec<(Option<MachineId>, Event)>,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let first = rows::reserve(tx, "events", events.len()).await?;
    let stored: Vec<_> = (first..)
        .zip(events)
        .map(|(id, (machine, event))| StoredEvent { id, machine, event })
        .collect();
    for piece in rows::pieces(&stored) {
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO events (id, at, machine_id, mac, body) VALUES {}",
            rows::values(tx, piece.len(), 5)
        )));
        for stored in piece {
            query = query
                .bind(stored.id)
                .bind(stored.event.at.0)
                .bind(stored.machine.map(|id| id.0))
                .bind(stored.event.origin.mac.map(|mac| mac.to_string()))
                .bind(rows::to_json(&stored.event));
        }
        query.execute(&mut **tx).await?;
    }
    Ok(stored)
}

fn stored(row: &AnyRow) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        id: row.try_get("id")?,
        machine: row.try_get::<Option<i64>, _>("machine_id")?.map(MachineId),
        event: rows::json(row, "body")?,
    })
}

const DEFAULT_LIMIT: u32 = 100;
/// One page of history; more is asked for with `before`.
const MAX_LIMIT: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::{EventKind, Origin, Timestamp};

    #[tokio::test]
    async fn the_history_is_bounded_by_number_and_by_age() {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
        let store = Store::open(&url).await.expect("opens");
        let event = |at: i64| Event {
            at: Timestamp(at),
            origin: Origin::default(),
            kind: EventKind::Discovered { platform: None },
        };
        store
            .append((0..10).map(event).collect())
            .await
            .expect("stored");
        assert_eq!(store.prune(10, 0).await.expect("pruned"), 0);
        assert_eq!(store.prune(7, 0).await.expect("pruned"), 3);
        assert_eq!(store.prune(100, 5).await.expect("pruned"), 2);
        let left = store.events(EventQuery::default()).await.expect("read");
        let times: Vec<i64> = left.iter().map(|stored| stored.event.at.0).collect();
        assert_eq!(times, [9, 8, 7, 6, 5]);
        store.close().await;
    }
}
