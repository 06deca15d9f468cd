//! What can go wrong, with what to do about it.

use bootplan::ProfileError;
use std::path::PathBuf;

/// Why the database could not be opened. In every case the files are as they were found.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database we know.
    #[error(
        "database URL '{url}': {problem} (expected sqlite:/path/to/farrier.db or \
         postgres://user@host/name)"
    )]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or directory could not be made or read.
    #[error("{path}: cannot {doing}: {cause}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Another process has this database open.
    #[error(
        "{path}: another farrier is using this database; stop it first, or give this one a data \
         directory of its own"
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged or no database at all.
    #[error("{path}: {problem}; the file was left untouched; {advice}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// A newer Farrier has written this database.
    #[error(
        "{database}: its schema is version {found}, this program knows {known}; the database was \
         left untouched; start the newer farrier again, or restore the copy made before the \
         upgrade (farrier.db.before-v{found} beside it, for SQLite)"
    )]
    Newer {
        /// Path or URL.
        database: String,
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database answered with an error.
    #[error("{database}: {doing}: {cause}")]
    Database {
        /// Path or URL.
        database: String,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        cause: sqlx::Error,
    },
}

/// Why a change or a question was refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing.
    #[error("{what} does not exist")]
    NotFound {
        /// What was asked for: `machine 7`, `profile 'debian-12'`.
        what: String,
    },
    /// It would break something that is there.
    #[error("{what}; {advice}")]
    Conflict {
        /// What stands in the way.
        what: String,
        /// What to do.
        advice: String,
    },
    /// A profile that cannot be booted safely.
    #[error("profile '{name}': {source}")]
    Profile {
        /// The profile's name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ProfileError,
    },
    /// A value that cannot be stored.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field at fault, as in the API: `name`, `labels.rack`.
        field: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The database failed; the change was not made.
    #[error("database: {doing}: {cause}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        cause: sqlx::Error,
    },
}
