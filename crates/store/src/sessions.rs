//! Log-ins and keys of the JSON API.

use crate::change::{now, to_the_end};
use crate::people::{no_user, user_key};
use crate::rows::{self, failed};
use crate::secrets::{digest, random_secret};
use crate::{Store, StoreError, validate};
use bootplan::{EventKind, Timestamp};
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::time::Duration;

/// A log-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub user: String,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Timestamp,
}

/// A key of the JSON API, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// Identity.
    pub id: i64,
    /// What it is for, as its maker called it.
    pub name: String,
    /// Who made it.
    pub user: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// When it ends; `None`: when somebody deletes it.
    pub expires: Option<Timestamp>,
}

impl Store {
    /// Logs a person in and returns the session's secret (for the cookie).
    ///
    /// # Errors
    /// No such person, database failure.
    pub async fn create_session(
        &self,
        user: &str,
        lifetime: Duration,
    ) -> Result<String, StoreError> {
        let (store, name) = (self.clone(), user.to_owned());
        to_the_end(async move {
            let doing = failed("beginning a session");
            let mut change = store.begin().await?;
            if !change.has_user(&name).await.map_err(doing)? {
                return Err(no_user(&name));
            }
            let secret = random_secret();
            let created = now();
            sqlx::query(
                "INSERT INTO sessions (hash, user_key, created, expires) VALUES ($1, $2, $3, $4)",
            )
            .bind(digest(&secret))
            .bind(user_key(&name))
            .bind(created.0)
            .bind(after(created, lifetime).0)
            .execute(&mut *change.tx)
            .await
            .map_err(doing)?;
            change.commit().await?;
            Ok(secret)
        })
        .await
    }

    /// The session with this secret, unless it has ended.
    ///
    /// # Errors
    /// Database failure.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, StoreError> {
        let doing = failed("looking up a session");
        let row = sqlx::query(
            "SELECT u.name, s.created, s.expires FROM sessions s \
             JOIN users u ON u.name_key = s.user_key WHERE s.hash = $1 AND s.expires > $2",
        )
        .bind(digest(secret))
        .bind(now().0)
        .fetch_optional(&self.inner.pool)
        .await
        .map_err(doing)?;
        row.as_ref().map(session).transpose().map_err(doing)
    }

    /// Ends one session; one that is gone is no error.
    ///
    /// # Errors
    /// Database failure.
    pub async fn delete_session(&self, secret: &str) -> Result<(), StoreError> {
        let (store, hash) = (self.clone(), digest(secret));
        to_the_end(async move {
            let mut change = store.begin().await?;
            sqlx::query("DELETE FROM sessions WHERE hash = $1")
                .bind(hash)
                .execute(&mut *change.tx)
                .await
                .map_err(failed("ending a session"))?;
            change.commit().await.map(drop)
        })
        .await
    }

    /// Ends every session of a person.
    ///
    /// # Errors
    /// Database failure.
    pub async fn delete_sessions(&self, user: &str) -> Result<(), StoreError> {
        let (store, name) = (self.clone(), user.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change
                .end_sessions(&name)
                .await
                .map_err(failed("ending sessions"))?;
            change.commit().await.map(drop)
        })
        .await
    }

    /// Makes an API token and returns it with its secret (shown once, never stored).
    ///
    /// # Errors
    /// No such person, illegal name, database failure.
    pub async fn create_token(
        &self,
        user: &str,
        name: &str,
        lifetime: Option<Duration>,
    ) -> Result<(ApiToken, String), StoreError> {
        validate::name("name", name, validate::NAME_LIMIT)?;
        let (store, user, name) = (self.clone(), user.to_owned(), name.to_owned());
        to_the_end(async move {
            let doing = failed("making an API token");
            let mut change = store.begin().await?;
            if !change.has_user(&user).await.map_err(doing)? {
                return Err(no_user(&user));
            }
            // The prefix lets people and secret scanners see what leaked.
            let secret = format!("farrier_{}", random_secret());
            let created = now();
            let id = rows::reserve(&mut change.tx, "api_tokens", 1)
                .await
                .map_err(doing)?;
            let expires = lifetime.map(|lifetime| after(created, lifetime));
            sqlx::query(
                "INSERT INTO api_tokens (id, hash, user_key, name, created, expires) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(id)
            .bind(digest(&secret))
            .bind(user_key(&user))
            .bind(name.clone())
            .bind(created.0)
            .bind(expires.map(|at| at.0))
            .execute(&mut *change.tx)
            .await
            .map_err(doing)?;
            let what = format!("API token '{name}' created");
            let by = user.clone();
            change.say(None, EventKind::Changed { what, by });
            change.commit().await?;
            let token = ApiToken {
                id,
                name,
                user,
                created,
                last_used: None,
                expires,
            };
            Ok((token, secret))
        })
        .await
    }

    /// Every API token, oldest first.
    ///
    /// # Errors
    /// Database failure.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let doing = failed("reading API tokens");
        sqlx::query(concat!(token_columns!(), " ORDER BY t.id"))
            .fetch_all(&self.inner.pool)
            .await
            .map_err(doing)?
            .iter()
            .map(|row| token(row).map_err(doing))
            .collect()
    }

    /// The token with this secret, unless it has ended; notes its use, to the minute.
    ///
    /// # Errors
    /// Database failure.
    pub async fn token(&self, secret: &str) -> Result<Option<ApiToken>, StoreError> {
        let doing = failed("looking up an API token");
        let at = now();
        let row = sqlx::query(concat!(
            token_columns!(),
            " WHERE t.hash = $1 AND (t.expires IS NULL OR t.expires > $2)"
        ))
        .bind(digest(secret))
        .bind(at.0)
        .fetch_optional(&self.inner.pool)
        .await
        .map_err(doing)?;
        let Some(found) = row.as_ref().map(token).transpose().map_err(doing)? else {
            return Ok(None);
        };
        let due = found
            .last_used
            .is_none_or(|used| at.0 - used.0 >= USED_EVERY_MS);
        if due {
            let (store, id) = (self.clone(), found.id);
            let noted = to_the_end(async move { store.note_use(id, at).await }).await;
            if let Err(error) = noted {
                // A full disk must not lock out who comes to clear it.
                tracing::warn!(token = id, %error, "the use of an API token was not noted");
            }
        }
        Ok(Some(found))
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// No such token, database failure.
    pub async fn delete_token(&self, id: i64, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let name: Option<String> =
                sqlx::query_scalar("DELETE FROM api_tokens WHERE id = $1 RETURNING name")
                    .bind(id)
                    .fetch_optional(&mut *change.tx)
                    .await
                    .map_err(failed("deleting an API token"))?;
            let Some(name) = name else {
                return Err(StoreError::NotFound {
                    what: format!("API token {id}"),
                });
            };
            let what = format!("API token '{name}' deleted");
            change.say(None, EventKind::Changed { what, by });
            change.commit().await.map(drop)
        })
        .await
    }

    async fn note_use(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        sqlx::query("UPDATE api_tokens SET last_used = $1 WHERE id = $2")
            .bind(at.0)
            .bind(id)
            .execute(&mut *change.tx)
            .await
            .map_err(failed("noting the use of an API token"))?;
        change.commit().await.map(drop)
    }
}

fn session(row: &AnyRow) -> Result<Session, sqlx::Error> {
    Ok(Session {
        user: row.try_get("name")?,
        created: Timestamp(row.try_get("created")?),
        expires: Timestamp(row.try_get("expires")?),
    })
}

fn token(row: &AnyRow) -> Result<ApiToken, sqlx::Error> {
    let optional = |column| row.try_get::<Option<i64>, &str>(column);
    Ok(ApiToken {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        user: row.try_get("user_name")?,
        created: Timestamp(row.try_get("created")?),
        last_used: optional("last_used")?.map(Timestamp),
        expires: optional("expires")?.map(Timestamp),
    })
}

fn after(start: Timestamp, lifetime: Duration) -> Timestamp {
    let millis = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    Timestamp(start.0.saturating_add(millis))
}

macro_rules! token_columns {
    () => {
        "SELECT t.id, t.name, u.name AS user_name, t.created, t.last_used, t.expires \
         FROM api_tokens t JOIN users u ON u.name_key = t.user_key"
    };
}
use token_columns;

/// Using a token costs at most one write a minute.
const USED_EVERY_MS: i64 = 60_000;
