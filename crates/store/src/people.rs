//! People who may log in, and the link by which the first of them is made.

use crate::change::{Change, now, to_the_end};
use crate::model::name_key;
use crate::rows::failed;
use crate::secrets::{digest, random_secret};
use crate::{Store, StoreError, validate};
use bootplan::{EventKind, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

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
}

impl Change {
    async fn count_users(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT COUNT(*) FROM users")
            .fetch_one(&mut *self.tx)
            .await
    }

    pub(crate) async fn has_user(&mut self, name: &str) -> Result<bool, sqlx::Error> {
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

    pub(crate) async fn end_sessions(&mut self, name: &str) -> Result<(), sqlx::Error> {
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

/// What a look-up compares. A name typed into a log-in form may hold a NUL, which PostgreSQL's
/// text cannot; no stored name does.
pub(crate) fn user_key(name: &str) -> String {
    name_key(name).replace('\0', "\u{fffd}")
}

pub(crate) fn no_user(name: &str) -> StoreError {
    StoreError::NotFound {
        what: format!("user '{}'", name.escape_debug()),
    }
}
