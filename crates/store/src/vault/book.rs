//! Secrets in the database, and in memory while the server runs.

use super::{Absent, KeyFileError, MasterKey, SealError, Sealer};
use crate::change::{Change, now, to_the_end};
use crate::rows::{Tx, failed};
use crate::{Store, StoreError};
use bootplan::{EventKind, ObjectName, Secret, Timestamp};
use sqlx::Row;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All that is opened with the key file.
pub(crate) struct Opened {
    pub(crate) sealer: Sealer,
    pub(crate) link_key: [u8; 32],
    pub(crate) secrets: Arc<BTreeMap<String, Secret>>,
}

/// A secret, for people: never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// Its name.
    pub name: String,
    /// When it was last set.
    pub changed: Timestamp,
    /// Who did that.
    pub by: String,
    /// Whether it has a value; one that files only name has none until somebody gives it.
    pub has_value: bool,
}

/// Why the secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The key is another one, or a row is damaged.
    #[error("{path}: {cause}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// Which secret it does not open.
        cause: SealError,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Reads the key file (it is made when there is none, and nothing was sealed yet) and opens
    /// every secret with it. Until then there are no secrets and no links.
    ///
    /// # Errors
    /// A key file that is missing while there are secrets, that others can read, that is damaged,
    /// or that is not the one they were sealed with: the server must not start.
    pub async fn unlock(&self, path: &Path) -> Result<(), UnlockError> {
        let doing = failed("reading secrets");
        let rows = sqlx::query("SELECT name, sealed FROM secrets WHERE sealed <> '' ORDER BY name")
            .fetch_all(&self.inner.pool)
            .await
            .map_err(doing)?;
        let absent = match rows.is_empty() {
            true => Absent::Make,
            false => Absent::Refuse,
        };
        let key = MasterKey::load(path, absent)?;
        let sealer = Sealer::new(&key);
        let mut secrets = BTreeMap::new();
        for row in rows {
            let name: String = row.try_get("name").map_err(doing)?;
            let sealed: String = row.try_get("sealed").map_err(doing)?;
            let secret = sealer
                .open(&name, SCOPE, &sealed)
                .map_err(|cause| UnlockError::Key {
                    path: path.to_owned(),
                    cause,
                })?;
            secrets.insert(name, secret);
        }
        *self.vault_mut() = Some(Opened {
            link_key: key.derived("links 1"),
            sealer,
            secrets: Arc::new(secrets),
        });
        Ok(())
    }

    /// The key under which links of machines are signed; `None` before
    /// [`unlock`](Self::unlock).
    pub fn link_key(&self) -> Option<[u8; 32]> {
        self.vault().as_ref().map(|opened| opened.link_key)
    }

    /// Every secret with its value: for answers that are being rendered, and for nothing else.
    pub fn secrets(&self) -> Arc<BTreeMap<String, Secret>> {
        let vault = self.vault();
        vault
            .as_ref()
            .map_or_else(Arc::default, |opened| Arc::clone(&opened.secrets))
    }

    /// Which secrets there are.
    ///
    /// # Errors
    /// Database failure.
    pub async fn secret_records(&self) -> Result<Vec<SecretRecord>, StoreError> {
        let doing = failed("reading secrets");
        let mut tx = self.inner.pool.begin().await.map_err(doing)?;
        let records = load_secrets(&mut tx).await.map_err(doing)?;
        tx.rollback().await.map_err(doing)?;
        Ok(records)
    }

    /// Gives a secret its value.
    ///
    /// # Errors
    /// A value that is empty or too large; a server without its key; database failure.
    pub async fn put_secret(
        &self,
        name: &ObjectName,
        secret: Secret,
        by: &str,
    ) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.put_secret(&name, &secret, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// No such secret, database failure.
    pub async fn delete_secret(&self, name: &ObjectName, by: &str) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.to_string(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.delete_secret(&name, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Notes in the history that somebody took every value along.
    ///
    /// # Errors
    /// Database failure; then the values must not be given out.
    pub async fn tell_secrets_exported(&self, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let what = "all secrets exported with their values".to_owned();
            change.say(None, EventKind::Changed { what, by });
            change.finish().await
        })
        .await
    }

    /// Memory follows the database, while the change that was made is still the only one.
    pub(crate) fn keep_secrets(&self, touched: Vec<(String, Option<String>)>) {
        let mut vault = self.vault_mut();
        let Some(opened) = vault.as_mut().filter(|_| !touched.is_empty()) else {
            return;
        };
        let secrets = Arc::make_mut(&mut opened.secrets);
        for (name, sealed) in touched {
            match sealed.and_then(|text| opened.sealer.open(&name, SCOPE, &text).ok()) {
                Some(secret) => secrets.insert(name, secret),
                None => secrets.remove(&name),
            };
        }
    }
}

impl Change {
    pub(crate) async fn put_secret(
        &mut self,
        name: &ObjectName,
        secret: &Secret,
        by: &str,
    ) -> Result<(), StoreError> {
        let invalid = |problem: String| StoreError::Invalid {
            field: "value".to_owned(),
            problem,
        };
        if secret.is_empty() {
            return Err(invalid("a secret without a value is none".to_owned()));
        }
        let sealed = {
            let store = self.store.clone();
            let vault = store.vault();
            let opened = vault.as_ref().ok_or_else(|| {
                invalid("this server has no key file, so it can keep no secrets".to_owned())
            })?;
            let sealed = opened.sealer.seal(name.as_str(), SCOPE, secret);
            sealed.map_err(|error| invalid(error.to_string()))?
        };
        sqlx::query(
            "INSERT INTO secrets (name, sealed, changed, by_whom) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, \
             changed = excluded.changed, by_whom = excluded.by_whom",
        )
        .bind(name.to_string())
        .bind(sealed)
        .bind(now().0)
        .bind(by.to_owned())
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing a secret"))?;
        self.overlay.touch_secret(name.as_str());
        let (what, by) = (format!("secret '{name}' set"), by.to_owned());
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }

    /// There is to be such a secret; its value is given later. One that is there stays.
    pub(crate) async fn want_secret(
        &mut self,
        name: &ObjectName,
        by: &str,
    ) -> Result<(), StoreError> {
        let made = sqlx::query(
            "INSERT INTO secrets (name, sealed, changed, by_whom) VALUES ($1, '', $2, $3) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.to_string())
        .bind(now().0)
        .bind(by.to_owned())
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing a secret"))?;
        if made.rows_affected() > 0 {
            let (what, by) = (
                format!("secret '{name}' named; it has no value yet"),
                by.to_owned(),
            );
            self.say(None, EventKind::Changed { what, by });
        }
        Ok(())
    }

    async fn delete_secret(&mut self, name: &str, by: &str) -> Result<(), StoreError> {
        let gone = sqlx::query("DELETE FROM secrets WHERE name = $1")
            .bind(name.to_owned())
            .execute(&mut *self.tx)
            .await
            .map_err(failed("deleting a secret"))?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound {
                what: format!("secret '{name}'"),
            });
        }
        self.overlay.touch_secret(name);
        let (what, by) = (format!("secret '{name}' deleted"), by.to_owned());
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }
}

/// All of them, by name.
pub(crate) async fn load_secrets(tx: &mut Tx) -> Result<Vec<SecretRecord>, sqlx::Error> {
    let rows = sqlx::query("SELECT name, sealed, changed, by_whom FROM secrets ORDER BY name")
        .fetch_all(&mut **tx)
        .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(SecretRecord {
            name: row.try_get("name")?,
            changed: Timestamp(row.try_get("changed")?),
            by: row.try_get("by_whom")?,
            has_value: !row.try_get::<String, _>("sealed")?.is_empty(),
        })
    };
    rows.iter().map(read).collect()
}

/// One of them, sealed; `None` when it is gone or has no value.
pub(crate) async fn load_sealed(tx: &mut Tx, name: &str) -> Result<Option<String>, sqlx::Error> {
    let sealed: Option<String> = sqlx::query_scalar("SELECT sealed FROM secrets WHERE name = $1")
        .bind(name.to_owned())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(sealed.filter(|sealed| !sealed.is_empty()))
}

/// Every secret is for any machine whose sealed answer names it.
const SCOPE: &str = "site";
