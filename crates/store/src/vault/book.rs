//! Secrets in the database, and in memory while the server runs.

use super::{Absent, KeyFileError, MasterKey, SealError, Sealer};
use crate::change::{Change, now, to_the_end};
use crate::rows::failed;
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
        let rows = sqlx::query("SELECT name, sealed FROM secrets ORDER BY name")
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
        let rows = sqlx::query("SELECT name, changed, by_whom FROM secrets ORDER BY name")
            .fetch_all(&self.inner.pool)
            .await
            .map_err(doing)?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(SecretRecord {
                name: row.try_get("name")?,
                changed: Timestamp(row.try_get("changed")?),
                by: row.try_get("by_whom")?,
            })
        };
        let records: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        records.map_err(doing)
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
        let (store, name, by) = (self.clone(), name.to_string(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.put_secret(&name, &secret, &by).await?;
            change.commit().await?;
            store.reread(name).await
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
            change.commit().await?;
            store.reread(name).await
        })
        .await
    }

    /// Memory follows the database, whichever of two changes was the last.
    async fn reread(&self, name: String) -> Result<(), StoreError> {
        let _writer = self.lock().await?;
        let sealed: Option<String> =
            sqlx::query_scalar("SELECT sealed FROM secrets WHERE name = $1")
                .bind(name.clone())
                .fetch_optional(&self.inner.pool)
                .await
                .map_err(failed("reading a secret"))?;
        if let Some(opened) = self.vault_mut().as_mut() {
            let secret = sealed.and_then(|text| opened.sealer.open(&name, SCOPE, &text).ok());
            let secrets = Arc::make_mut(&mut opened.secrets);
            match secret {
                Some(secret) => secrets.insert(name, secret),
                None => secrets.remove(&name),
            };
        }
        Ok(())
    }
}

impl Change {
    async fn put_secret(
        &mut self,
        name: &str,
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
            let sealed = opened.sealer.seal(name, SCOPE, secret);
            sealed.map_err(|error| invalid(error.to_string()))?
        };
        sqlx::query(
            "INSERT INTO secrets (name, sealed, changed, by_whom) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, \
             changed = excluded.changed, by_whom = excluded.by_whom",
        )
        .bind(name.to_owned())
        .bind(sealed)
        .bind(now().0)
        .bind(by.to_owned())
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing a secret"))?;
        let (what, by) = (format!("secret '{name}' set"), by.to_owned());
        self.say(None, EventKind::Changed { what, by });
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
        let (what, by) = (format!("secret '{name}' deleted"), by.to_owned());
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }
}

/// Every secret is for any machine whose sealed answer names it.
const SCOPE: &str = "site";
