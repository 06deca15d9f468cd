//! Users, sessions, API tokens and the first-run secret. Secrets are kept only as SHA-256 of
//! 256 random bits: a stolen copy of the database logs nobody in.

use crate::{Store, StoreError};
use bootplan::Timestamp;
use serde::Serialize;
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
        unimplemented!("store: in work")
    }

    /// Whether this is the set-up link's secret and set-up is still open.
    ///
    /// # Errors
    /// Database failure.
    pub async fn check_setup_secret(&self, secret: &str) -> Result<bool, StoreError> {
        let _ = secret;
        unimplemented!("store: in work")
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
        let _ = (secret, name, password_hash);
        unimplemented!("store: in work")
    }

    /// How many people may log in.
    ///
    /// # Errors
    /// Database failure.
    pub async fn user_count(&self) -> Result<u64, StoreError> {
        unimplemented!("store: in work")
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
        let _ = (name, password_hash, by);
        unimplemented!("store: in work")
    }

    /// A person by name, without regard to case.
    ///
    /// # Errors
    /// Database failure.
    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let _ = name;
        unimplemented!("store: in work")
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
        let _ = (name, password_hash, by);
        unimplemented!("store: in work")
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
        let _ = (user, lifetime);
        unimplemented!("store: in work")
    }

    /// The session with this secret, unless it has ended.
    ///
    /// # Errors
    /// Database failure.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, StoreError> {
        let _ = secret;
        unimplemented!("store: in work")
    }

    /// Ends one session; one that is gone is no error.
    ///
    /// # Errors
    /// Database failure.
    pub async fn delete_session(&self, secret: &str) -> Result<(), StoreError> {
        let _ = secret;
        unimplemented!("store: in work")
    }

    /// Ends every session of a person.
    ///
    /// # Errors
    /// Database failure.
    pub async fn delete_sessions(&self, user: &str) -> Result<(), StoreError> {
        let _ = user;
        unimplemented!("store: in work")
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
        let _ = (user, name, lifetime);
        unimplemented!("store: in work")
    }

    /// Every API token, oldest first.
    ///
    /// # Errors
    /// Database failure.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        unimplemented!("store: in work")
    }

    /// The token with this secret, unless it has ended; notes its use.
    ///
    /// # Errors
    /// Database failure.
    pub async fn token(&self, secret: &str) -> Result<Option<ApiToken>, StoreError> {
        let _ = secret;
        unimplemented!("store: in work")
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// No such token, database failure.
    pub async fn delete_token(&self, id: i64, by: &str) -> Result<(), StoreError> {
        let _ = (id, by);
        unimplemented!("store: in work")
    }
}
