//! Addresses that tell less than others: adapters that several machines use, and those of which a
//! person has to say whose they are.

use crate::change::{Change, now, to_the_end};
use crate::rows::{failed, json, parsed, to_json};
use crate::{Store, StoreError, validate};
use bootplan::identity::Suspect;
use bootplan::{EventKind, MacAddr, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

/// An address of which a person has to say whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which one.
    pub mac: MacAddr,
    /// The machines it may belong to, and what speaks for and against each.
    pub suspects: Vec<Suspect>,
    /// Since when.
    pub since: Timestamp,
}

/// An adapter that several machines use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMac {
    /// Its address.
    pub mac: MacAddr,
    /// What somebody said of it.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

impl Store {
    /// Notes that a person has to say whose address this is; until then the Catalog sends it to
    /// its local disk. One that is noted already stays as it is.
    ///
    /// # Errors
    /// The address is no machine's, database failure.
    pub async fn note_conflict(
        &self,
        mac: MacAddr,
        suspects: Vec<Suspect>,
    ) -> Result<(), StoreError> {
        validate::mac("mac", mac)?;
        let text = "INSERT INTO conflicts (mac, suspects, since) VALUES ($1, $2, $3) \
                    ON CONFLICT (mac) DO NOTHING";
        let what = format!("it is not clear whose address {mac} is");
        let spec = to_json(&suspects);
        self.doubt(mac, text, Some(spec), what, "farrier").await
    }

    /// A person has said whose address this is.
    ///
    /// # Errors
    /// Database failure.
    pub async fn settle_conflict(&self, mac: MacAddr, by: &str) -> Result<(), StoreError> {
        let text = "DELETE FROM conflicts WHERE mac = $1";
        let what = format!("said whose address {mac} is");
        self.doubt(mac, text, None, what, by).await
    }

    /// Several machines use this adapter: from now on it tells nothing of whose it is.
    ///
    /// # Errors
    /// The address is no machine's, the text is no short line, database failure.
    pub async fn mark_shared(&self, mac: MacAddr, why: &str, by: &str) -> Result<(), StoreError> {
        validate::mac("mac", mac)?;
        validate::name("why", why, 200)?;
        let text = "INSERT INTO shared_macs (mac, why, since) VALUES ($1, $2, $3) \
                    ON CONFLICT (mac) DO NOTHING";
        let what = format!("adapter {mac} marked as shared");
        self.doubt(mac, text, Some(why.to_owned()), what, by).await
    }

    /// This adapter is one machine's again.
    ///
    /// # Errors
    /// Database failure.
    pub async fn unmark_shared(&self, mac: MacAddr, by: &str) -> Result<(), StoreError> {
        let text = "DELETE FROM shared_macs WHERE mac = $1";
        let what = format!("adapter {mac} no longer marked as shared");
        self.doubt(mac, text, None, what, by).await
    }

    /// Everything that waits for a person, the oldest first.
    ///
    /// # Errors
    /// Database failure.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>, StoreError> {
        let text = "SELECT mac, suspects, since FROM conflicts ORDER BY since, mac";
        self.read_doubts(text, conflict).await
    }

    /// All shared adapters, the oldest first.
    ///
    /// # Errors
    /// Database failure.
    pub async fn shared_macs(&self) -> Result<Vec<SharedMac>, StoreError> {
        let text = "SELECT mac, why, since FROM shared_macs ORDER BY since, mac";
        self.read_doubts(text, shared_mac).await
    }

    async fn read_doubts<T>(
        &self,
        text: &'static str,
        read: fn(&AnyRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let doing = failed("reading what addresses tell");
        let rows = sqlx::query(text).fetch_all(&self.inner.pool).await;
        let read: Result<Vec<T>, sqlx::Error> = rows.map_err(doing)?.iter().map(read).collect();
        read.map_err(doing)
    }

    /// One row comes or goes; what changes nothing is no event.
    async fn doubt(
        &self,
        mac: MacAddr,
        text: &'static str,
        spec: Option<String>,
        what: String,
        by: &str,
    ) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let changed = change.write_doubt(mac, text, spec).await;
            if changed.map_err(failed("storing what an address tells"))? {
                change.overlay.touch_doubts();
                let owner = store.model().with_mac(mac);
                change.say(owner, EventKind::Changed { what, by });
            }
            change.finish().await
        })
        .await
    }
}

impl Change {
    async fn write_doubt(
        &mut self,
        mac: MacAddr,
        text: &'static str,
        spec: Option<String>,
    ) -> Result<bool, sqlx::Error> {
        let mut query = sqlx::query(text).bind(mac.to_string());
        if let Some(spec) = spec {
            query = query.bind(spec).bind(now().0);
        }
        let done = query.execute(&mut *self.tx).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn conflict(row: &AnyRow) -> Result<Conflict, sqlx::Error> {
    Ok(Conflict {
        mac: parsed(row, "mac")?,
        suspects: json(row, "suspects")?,
        since: Timestamp(row.try_get("since")?),
    })
}

fn shared_mac(row: &AnyRow) -> Result<SharedMac, sqlx::Error> {
    Ok(SharedMac {
        mac: parsed(row, "mac")?,
        why: row.try_get("why")?,
        since: Timestamp(row.try_get("since")?),
    })
}
