//! Users, sessions, API tokens and the first-run secret. Secrets are kept only as SHA-256 of
//! 256 random bits: a stolen copy of the database logs nobody in.

use crate::change::{Change, now, to_the_end};
use crate::model::name_key;
use crate::rows::{self, failed};
use crate::{Store, StoreError, validate};
use bootplan::{EventKind, Timestamp};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::time::Duration;

/// A person who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Log-in name; unique without regard to case.
    pub name: String,
    /// The password's hash in PHC form; made and checked by the caller.
    pub password_hash: String,
    /// When it was created.
    pub created: Timestamp,
}

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
    /// Makes the one-time secret of the set-up link; an earlier one is void. `None` when there
    /// is a user already.
    ///
    /// # Errors
    /// Database failure.
    pub async fn create_setup_secret(&self) -> Result<Option<String>, StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let doing = failed("making the set-up link");
            let mut change = store.begin().await?;
            if change.count_users().await.map_err(doing)? > 0 {
                return Ok(None);
            }
            let secret = random_secret();
            sqlx::query(
                "INSERT INTO meta (name, value) VALUES ('setup_secret', $1) \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )
            .bind(digest(&secret))
            .execute(&mut *change.tx)
            .await
            .map_err(doing)?;
            change.commit().await?;
            Ok(Some(secret))
        })
        .await
    }

    /// Whether this is the set-up link's secret and set-up is still open.
    ///
    /// # Errors
    /// Database failure.
    pub async fn check_setup_secret(&self, secret: &str) -> Result<bool, StoreError> {
        sqlx::query(
            "SELECT 1 FROM meta WHERE name = 'setup_secret' AND value = $1 \
             AND NOT EXISTS (SELECT 1 FROM users)",
        )
        .bind(digest(secret))
        .fetch_optional(&self.inner.pool)
        .await
        .map(|row| row.is_some())
        .map_err(failed("checking the set-up link"))
    }

    /// Creates the first user and uses up the set-up secret, in one transaction.
    ///
    /// # Errors
    /// A conflict when the secret is wrong or there is a user already; an illegal name.
    pub async fn create_first_user(
        &self,
        secret: &str,
        name: &str,
        password_hash: &str,
    ) -> Result<User, StoreError> {
        let (store, secret) = (self.clone(), digest(secret));
        let (name, password_hash) = (name.to_owned(), password_hash.to_owned());
        to_the_end(async move {
            let doing = failed("creating the first user");
            let mut change = store.begin().await?;
            let used = sqlx::query("DELETE FROM meta WHERE name = 'setup_secret' AND value = $1")
                .bind(secret)
                .execute(&mut *change.tx)
                .await
                .map_err(doing)?
                .rows_affected();
            if used == 0 || change.count_users().await.map_err(doing)? > 0 {
                return Err(StoreError::Conflict {
                    what: "this set-up link is not valid any more".to_owned(),
                    advice: "log in, or take the newest link from the server's log".to_owned(),
                });
            }
            let user = change.insert_user(&name, password_hash, "set-up").await?;
            change.commit().await?;
            Ok(user)
        })
        .await
    }

    /// How many people may log in.
    ///
    /// # Errors
    /// Database failure.
    pub async fn user_count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users")
            .fetch_one(&self.inner.pool)
            .await
            .map_err(failed("counting users"))?;
        Ok(count.unsigned_abs())
    }

    /// Everybody who may log in, by name.
    ///
    /// # Errors
    /// Database failure.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let doing = failed("reading users");
        sqlx::query("SELECT name, password_hash, created FROM users ORDER BY name_key")
            .fetch_all(&self.inner.pool)
            .await
            .map_err(doing)?
            .iter()
            .map(|row| user(row).map_err(doing))
            .collect()
    }

    /// Adds a person.
    ///
    /// # Errors
    /// Name taken or illegal, database failure.
    pub async fn create_user(
        &self,
        name: &str,
        password_hash: &str,
        by: &str,
    ) -> Result<User, StoreError> {
        let (store, name) = (self.clone(), name.to_owned());
        let (password_hash, by) = (password_hash.to_owned(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            let user = change.insert_user(&name, password_hash, &by).await?;
            change.commit().await?;
            Ok(user)
        })
        .await
    }

    /// A person by name, without regard to case.
    ///
    /// # Errors
    /// Database failure.
    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let doing = failed("looking up a user");
        sqlx::query("SELECT name, password_hash, created FROM users WHERE name_key = $1")
            .bind(user_key(name))
            .fetch_optional(&self.inner.pool)
            .await
            .and_then(|row| row.as_ref().map(user).transpose())
            .map_err(doing)
    }

    /// Sets a new password and ends every session of that person.
    ///
    /// # Errors
    /// No such person, database failure.
    pub async fn set_password(
        &self,
        name: &str,
        password_hash: &str,
        by: &str,
    ) -> Result<(), StoreError> {
        let (store, name) = (self.clone(), name.to_owned());
        let (password_hash, by) = (password_hash.to_owned(), by.to_owned());
        to_the_end(async move {
            let doing = failed("changing a password");
            let mut change = store.begin().await?;
            let known = sqlx::query("UPDATE users SET password_hash = $1 WHERE name_key = $2")
                .bind(password_hash)
                .bind(user_key(&name))
                .execute(&mut *change.tx)
                .await
                .map_err(doing)?
                .rows_affected();
            if known == 0 {
                return Err(no_user(&name));
            }
            change.end_sessions(&name).await.map_err(doing)?;
            let what = format!("password of user '{name}' changed");
            change.say(None, EventKind::Changed { what, by });
            change.commit().await.map(drop)
        })
        .await
    }

    /// Removes a person with their sessions and API tokens.
    ///
    /// # Errors
    /// No such person; a conflict when it is the last one, for nobody could log in any more.
    pub async fn delete_user(&self, name: &str, by: &str) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.to_owned(), by.to_owned());
        to_the_end(async move {
            let doing = failed("deleting a user");
            let mut change = store.begin().await?;
            let known = sqlx::query("DELETE FROM users WHERE name_key = $1")
                .bind(user_key(&name))
                .execute(&mut *change.tx)
                .await
                .map_err(doing)?
                .rows_affected();
            if known == 0 {
                return Err(no_user(&name));
            }
            if change.count_users().await.map_err(doing)? == 0 {
                return Err(StoreError::Conflict {
                    what: format!("'{name}' is the last user"),
                    advice: "add another one first".to_owned(),
                });
            }
            let what = format!("user '{name}' deleted");
            change.say(None, EventKind::Changed { what, by });
            change.commit().await.map(drop)
        })
        .await
    }

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

impl Change {
    async fn count_users(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT COUNT(*) FROM users")
            .fetch_one(&mut *self.tx)
            .await
    }

    async fn has_user(&mut self, name: &str) -> Result<bool, sqlx::Error> {
        let row = sqlx::query("SELECT 1 FROM users WHERE name_key = $1")
            .bind(user_key(name))
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(row.is_some())
    }

    async fn insert_user(
        &mut self,
        name: &str,
        password_hash: String,
        by: &str,
    ) -> Result<User, StoreError> {
        validate::name("name", name, validate::NAME_LIMIT)?;
        let doing = failed("creating a user");
        if self.has_user(name).await.map_err(doing)? {
            return Err(StoreError::Conflict {
                what: format!("there is a user '{name}' already"),
                advice: "choose another name".to_owned(),
            });
        }
        let created = now();
        sqlx::query(
            "INSERT INTO users (name_key, name, password_hash, created) VALUES ($1, $2, $3, $4)",
        )
        .bind(user_key(name))
        .bind(name.to_owned())
        .bind(password_hash.clone())
        .bind(created.0)
        .execute(&mut *self.tx)
        .await
        .map_err(doing)?;
        let (what, by) = (format!("user '{name}' created"), by.to_owned());
        self.say(None, EventKind::Changed { what, by });
        Ok(User {
            name: name.to_owned(),
            password_hash,
            created,
        })
    }

    async fn end_sessions(&mut self, name: &str) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM sessions WHERE user_key = $1")
            .bind(user_key(name))
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }
}

fn user(row: &AnyRow) -> Result<User, sqlx::Error> {
    Ok(User {
        name: row.try_get("name")?,
        password_hash: row.try_get("password_hash")?,
        created: Timestamp(row.try_get("created")?),
    })
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

/// What a look-up compares. A name typed into a log-in form may hold a NUL, which PostgreSQL's
/// text cannot; no stored name does.
fn user_key(name: &str) -> String {
    name_key(name).replace('\0', "\u{fffd}")
}

fn no_user(name: &str) -> StoreError {
    StoreError::NotFound {
        what: format!("user '{}'", name.escape_debug()),
    }
}

fn after(start: Timestamp, lifetime: Duration) -> Timestamp {
    let millis = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    Timestamp(start.0.saturating_add(millis))
}

/// 256 random bits from the system, fit for cookies and URLs.
fn random_secret() -> String {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>())
}

/// What is stored of a secret. No salt and no stretching: 256 random bits cannot be guessed, and
/// a lookup by hash leaks nothing by its timing.
fn digest(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
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
