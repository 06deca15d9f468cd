//! Finding, checking, migrating and connecting to the database.

use crate::OpenError;
use crate::sqlite_file::{self, Lock, SqliteFile};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, ConnectOptions, Executor, SqlStr};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// A database ready for use.
pub(crate) struct Opened {
    pub(crate) pool: AnyPool,
    /// Path or URL without password, for messages.
    pub(crate) name: String,
    /// The file, for SQLite.
    pub(crate) path: Option<PathBuf>,
    pub(crate) lock: Option<Lock>,
}

/// Every schema this program knows, in order. Never edit one that was released: add the next.
pub(crate) fn migrator() -> Migrator {
    Migrator::with_migrations(vec![
        migration(1, "initial", include_str!("../migrations/0001_initial.sql")),
        migration(2, "orders", include_str!("../migrations/0002_orders.sql")),
        migration(3, "answers", include_str!("../migrations/0003_answers.sql")),
        migration(4, "power", include_str!("../migrations/0004_power.sql")),
        migration(5, "hooks", include_str!("../migrations/0005_hooks.sql")),
        migration(
            7,
            "identity",
            include_str!("../migrations/0007_identity.sql"),
        ),
        migration(8, "applied", include_str!("../migrations/0008_applied.sql")),
        migration(
            10,
            "told apart",
            include_str!("../migrations/0010_told_apart.sql"),
        ),
    ])
}

pub(crate) fn migration(version: i64, what: &'static str, sql: &'static str) -> Migration {
    Migration::new(
        version,
        Cow::Borrowed(what),
        MigrationType::Simple,
        SqlStr::from_static(sql),
        false,
    )
}

/// Opens the database that `url` names.
pub(crate) async fn open(url: &str, migrator: Migrator) -> Result<Opened, OpenError> {
    sqlx::any::install_default_drivers();
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return open_sqlite(url, Path::new(path), migrator).await;
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return open_postgres(url, migrator).await;
    }
    Err(OpenError::Url {
        url: without_password(url),
        problem: "it names no database this program can use".to_owned(),
    })
}

/// What was read back makes no sense: for a file that is damage, else the database's error.
pub(crate) fn unreadable(
    name: String,
    path: Option<PathBuf>,
    doing: &'static str,
    cause: sqlx::Error,
) -> OpenError {
    match (path, &cause) {
        (Some(path), sqlx::Error::ColumnDecode { .. }) => OpenError::Damaged {
            problem: format!("{doing}: {cause}"),
            advice: sqlite_file::advice(&path),
            path,
        },
        _ => OpenError::Database {
            database: name,
            doing,
            cause,
        },
    }
}

async fn open_sqlite(url: &str, path: &Path, migrator: Migrator) -> Result<Opened, OpenError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(OpenError::Url {
            url: url.to_owned(),
            problem: "the database must be a file".to_owned(),
        });
    }
    let known = newest(&migrator);
    let file = SqliteFile::claim(path)?;
    let found = file.check(known).await?;
    file.create_if_missing()?;
    let options = connect_options(&sqlite_url(&file.path))?;
    let name = file.path.display().to_string();
    let failed = |doing: &'static str| {
        let database = name.clone();
        move |cause| OpenError::Database {
            database,
            doing,
            cause,
        }
    };
    let pool = AnyPoolOptions::new()
        // No minimum: the pool would open a second connection at once, and of two that turn a new
        // database to WAL together one is refused ("database is locked") whatever its timeout.
        .max_connections(SQLITE_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| {
            Box::pin(async move {
                for pragma in SQLITE_PRAGMAS {
                    connection.execute(*pragma).await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(failed("opening it"))?;
    if found.is_some_and(|version| version < known) {
        file.copy_before_migration(&pool, known).await?;
    }
    if let Err(error) = migrator.run(&pool).await {
        pool.close().await;
        return Err(migration_failed(name, known, error));
    }
    Ok(Opened {
        pool,
        name,
        path: Some(file.path),
        lock: Some(file.lock),
    })
}

async fn open_postgres(url: &str, migrator: Migrator) -> Result<Opened, OpenError> {
    let name = without_password(url);
    let known = newest(&migrator);
    let pool = AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(connect_options(url)?)
        .await
        .map_err(|cause| OpenError::Database {
            database: name.clone(),
            doing: "connecting to it",
            cause,
        })?;
    // An advisory lock inside keeps two programs that start at once from migrating twice.
    if let Err(error) = migrator.run(&pool).await {
        pool.close().await;
        return Err(migration_failed(name, known, error));
    }
    Ok(Opened {
        pool,
        name,
        path: None,
        lock: None,
    })
}

fn migration_failed(database: String, known: i64, error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(found) => OpenError::Newer {
            database,
            found,
            known,
        },
        error => OpenError::Database {
            database,
            doing: "bringing its schema up to date",
            cause: error.into(),
        },
    }
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|m| m.version).max().unwrap_or(0)
}

fn connect_options(url: &str) -> Result<AnyConnectOptions, OpenError> {
    let options = AnyConnectOptions::from_str(url).map_err(|error| OpenError::Url {
        url: without_password(url),
        problem: error.to_string(),
    })?;
    // Statements carry password hashes and the like; they do not belong in logs.
    Ok(options.disable_statement_logging())
}

/// The path as the URL that sqlx reads back to exactly this path.
fn sqlite_url(path: &Path) -> String {
    use std::fmt::Write;
    let mut url = String::from("sqlite:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                url.push(char::from(*byte));
            }
            _ => write!(url, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    url
}

/// A URL fit for messages and logs.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // The last '@' before the path: a password may hold one too.
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let Some(at) = authority.rfind('@') else {
        return url.split('?').next().unwrap_or(url).to_owned();
    };
    let user = authority[..at].split(':').next().unwrap_or("");
    let tail = rest[at..].split('?').next().unwrap_or("");
    format!("{scheme}://{user}{tail}")
}

/// Durable to the last acknowledged change, even when the power goes.
const SQLITE_PRAGMAS: &[&str] = &[
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    // A burst must not leave its size behind for ever.
    "PRAGMA journal_size_limit = 67108864",
];

/// One writer and a few pages being read.
const SQLITE_CONNECTIONS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;
/// A caller would rather hear "database away" than wait longer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_messages() {
        for (url, shown) in [
            ("postgres://u:p@h/db", "postgres://u@h/db"),
            ("postgres://u:p@ss@h:5/db?x=secret", "postgres://u@h:5/db"),
            ("postgres://h/db", "postgres://h/db"),
            ("postgres:///db?password=p", "postgres:///db"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn odd_paths_survive_the_url() {
        let url = sqlite_url(Path::new("/a b/ü?#%41/x.db"));
        assert_eq!(url, "sqlite:/a%20b/%C3%BC%3F%23%2541/x.db");
    }

    #[tokio::test]
    async fn an_upgrade_keeps_a_copy_and_a_failed_one_changes_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("farrier.db");
        let url = format!("sqlite:{}", path.display());
        let at = |sql: &'static str| {
            let mut all: Vec<Migration> = migrator().iter().cloned().collect();
            all.push(migration(next(), "more", sql));
            Migrator::with_migrations(all)
        };
        let version = |opened: Opened| async move {
            let found: i64 = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
                .fetch_one(&opened.pool)
                .await
                .expect("readable");
            opened.pool.close().await;
            found
        };
        let copy = dir.path().join(format!("farrier.db.before-v{}", next()));
        assert_eq!(
            version(open(&url, migrator()).await.expect("opens")).await,
            next() - 1
        );
        assert_eq!(
            version(open(&url, migrator()).await.expect("opens")).await,
            next() - 1
        );
        assert!(!copy.exists(), "nothing to upgrade");

        let broken = at("CREATE TABLE half (a TEXT); INSERT INTO nowhere VALUES (1);");
        let error = open(&url, broken).await.err().expect("fails").to_string();
        assert!(error.contains("bringing its schema up to date"), "{error}");
        assert_eq!(
            version(open(&url, migrator()).await.expect("opens")).await,
            next() - 1
        );

        let works = at("CREATE TABLE half (a TEXT)");
        assert_eq!(
            version(open(&url, works).await.expect("opens")).await,
            next()
        );
        let mode = std::fs::metadata(&copy)
            .expect("a copy")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let old = open(&url, migrator()).await.err().expect("too old now");
        assert!(
            matches!(
                old,
                OpenError::Newer { found, known, .. } if (found, known) == (next(), next() - 1)
            ),
            "{old}"
        );
        let restored = format!("sqlite:{}", copy.display());
        assert_eq!(
            version(open(&restored, migrator()).await.expect("opens")).await,
            next() - 1
        );
    }

    /// The version after the newest.
    fn next() -> i64 {
        newest(&migrator()) + 1
    }
}
