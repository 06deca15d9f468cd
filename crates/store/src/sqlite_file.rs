//! The SQLite file: claimed, checked without touching it, copied before an upgrade.

use crate::OpenError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AnyPool, Connection, Row};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A database file that only we may use while this lives.
pub(crate) struct SqliteFile {
    /// Absolute, so that a later change of directory means nothing.
    pub(crate) path: PathBuf,
    pub(crate) lock: Lock,
}

/// Keeps other processes off the database while it lives.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is forked at this moment shares the open file, and
        // with it the lock, until it has become another program.
        let _ = self.0.unlock();
    }
}

impl SqliteFile {
    /// Makes the directory if need be and keeps other processes off the database.
    pub(crate) fn claim(path: &Path) -> Result<SqliteFile, OpenError> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(file_error(parent, "make the directory"))?;
        let parent = parent
            .canonicalize()
            .map_err(file_error(parent, "find the directory"))?;
        let Some(name) = path.file_name() else {
            return Err(OpenError::Damaged {
                path: path.to_owned(),
                problem: "it is no file name".to_owned(),
                advice: "name a file in the database URL".to_owned(),
            });
        };
        let path = parent.join(name);
        // A lock file of its own: closing any handle of the database file itself would drop
        // the locks that SQLite holds on it (POSIX locks belong to the process).
        let lock_path = beside(&path, ".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(file_error(&lock_path, "open for writing"))?;
        match lock.try_lock() {
            Ok(()) => Ok(SqliteFile {
                path,
                lock: Lock(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
            Err(TryLockError::Error(cause)) => Err(file_error(&lock_path, "lock")(cause)),
        }
    }

    /// Looks whether the database is whole and ours, and returns its schema version (`None`:
    /// there is none yet). Neither the database nor its write-ahead log is written to: a damaged
    /// one is somebody's evidence and perhaps their only copy.
    pub(crate) async fn check(&self, known: i64) -> Result<Option<i64>, OpenError> {
        let wal = beside(&self.path, "-wal");
        let journal = beside(&self.path, "-journal");
        let scratch = Scratch(beside(&self.path, ".check"));
        scratch.remove();
        match fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return if size(&wal)? > 0 {
                    Err(self.damaged("it is missing, but its write-ahead log is there"))
                } else {
                    Ok(None)
                };
            }
            Err(e) => return Err(file_error(&self.path, "look at it")(e)),
            Ok(meta) if !meta.is_file() => return Err(self.damaged("it is not a regular file")),
            Ok(_) => {}
        }
        self.check_writable()?;
        let length = size(&self.path)?;
        if length == 0 {
            return if size(&wal)? > 0 {
                Err(self.damaged("it is empty, but its write-ahead log is not"))
            } else {
                Ok(None)
            };
        }
        self.check_magic(&wal)?;
        // What a crash left behind must be applied before the database can be judged; SQLite
        // would do that in place, so judge a copy.
        let path = if size(&wal)? > 0 || size(&journal)? > 0 {
            scratch.fill(&self.path)?
        } else {
            self.path.clone()
        };
        let in_place = path == self.path;
        if in_place {
            self.check_length(length)?;
        }
        let mut connection = SqliteConnection::connect_with(
            &SqliteConnectOptions::new()
                .filename(&path)
                .read_only(in_place)
                .immutable(in_place),
        )
        .await
        .map_err(|e| self.damaged(&said(&e)))?;
        let version = self.judge(&mut connection, length, known).await;
        let closed = connection.close().await;
        let version = version?;
        closed.map_err(|e| self.damaged(&said(&e)))?;
        Ok(version)
    }

    /// Makes an empty database file that nobody else may read (T23: secrets at rest); SQLite
    /// gives its side files the same mode.
    pub(crate) fn create_if_missing(&self) -> Result<(), OpenError> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)))
            .map_err(file_error(&self.path, "make it private"))
    }

    /// Copies the database as it is before it is upgraded to `version`, for the way back.
    pub(crate) async fn copy_before_migration(
        &self,
        pool: &AnyPool,
        version: i64,
    ) -> Result<(), OpenError> {
        let copy = beside(&self.path, &format!(".before-v{version}"));
        let partial = beside(&self.path, ".copying");
        match fs::remove_file(&partial) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&partial, "remove the rest of an earlier copy")(
                    e,
                ));
            }
            _ => {}
        }
        // VACUUM INTO fills an existing empty file, so the copy is private from its first byte.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(file_error(&partial, "make the copy before the upgrade"))?;
        sqlx::query("VACUUM INTO $1")
            .bind(partial.display().to_string())
            .execute(pool)
            .await
            .map_err(|cause| OpenError::Database {
                database: self.path.display().to_string(),
                doing: "copying it before the upgrade",
                cause,
            })?;
        let publish = || {
            File::open(&partial)?.sync_all()?;
            fs::rename(&partial, &copy)?;
            File::open(copy.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        publish().map_err(file_error(&copy, "keep the copy before the upgrade"))
    }

    fn check_writable(&self) -> Result<(), OpenError> {
        // Nobody of this process has the file open yet, so closing this handle drops no locks.
        OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map(drop)
            .map_err(file_error(&self.path, "open for writing"))
    }

    fn check_magic(&self, wal: &Path) -> Result<(), OpenError> {
        let head = head(&self.path)?;
        if !head.starts_with(b"SQLite format 3\0") {
            return Err(self.damaged("it is not an SQLite database"));
        }
        let log = self::head(wal)?;
        // SQLite takes a log without its magic for an empty one and so would silently lose what
        // was committed into it (file format, section 4.1).
        let whole = [[0x37, 0x7f, 0x06, 0x82], [0x37, 0x7f, 0x06, 0x83]];
        if !log.is_empty() && !whole.iter().any(|magic| log.starts_with(magic)) {
            return Err(OpenError::Damaged {
                path: wal.to_owned(),
                problem: "the write-ahead log of the database is damaged, so the last changes \
                          are lost"
                    .to_owned(),
                advice: format!(
                    "to go on without them, move it away (mv {0} {0}.damaged)",
                    wal.display()
                ),
            });
        }
        Ok(())
    }

    /// SQLite reads a half page at the end as if zeros followed.
    fn check_length(&self, length: u64) -> Result<(), OpenError> {
        let head = head(&self.path)?;
        let page = match head.get(16..18) {
            // File format, section 1.3.2: 1 stands for what does not fit.
            Some([0, 1]) => 65_536,
            Some([high, low]) => u64::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        if page == 0 || !length.is_multiple_of(page) {
            return Err(self.damaged("it is truncated: it does not end at the end of a page"));
        }
        Ok(())
    }

    async fn judge(
        &self,
        connection: &mut SqliteConnection,
        length: u64,
        known: i64,
    ) -> Result<Option<i64>, OpenError> {
        let check = if length <= FULL_CHECK_LIMIT {
            "PRAGMA integrity_check(1)"
        } else {
            "PRAGMA quick_check(1)"
        };
        let verdict: String = sqlx::query_scalar(check)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| self.damaged(&said(&e)))?;
        if verdict != "ok" {
            return Err(self.damaged(verdict.lines().collect::<Vec<_>>().join("; ").trim()));
        }
        let unreadable = |e: sqlx::Error| self.damaged(&said(&e));
        let tables = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut *connection)
            .await
            .map_err(unreadable)?;
        let has = |wanted: &str| {
            let name = |row: &sqlx::sqlite::SqliteRow| row.try_get::<String, _>("name");
            tables
                .iter()
                .any(|row| name(row).is_ok_and(|n| n == wanted))
        };
        if !has("_sqlx_migrations") {
            return if tables.is_empty() {
                Ok(None)
            } else {
                Err(self.not_ours())
            };
        }
        let version: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await
            .map_err(unreadable)?;
        let Some(version) = version else {
            // Killed between making this table and the first schema.
            return if tables.len() == 1 {
                Ok(None)
            } else {
                Err(self.not_ours())
            };
        };
        if version > known {
            return Err(OpenError::Newer {
                database: self.path.display().to_string(),
                found: version,
                known,
            });
        }
        if !has("meta") || !has("machines") {
            return Err(self.not_ours());
        }
        Ok(Some(version))
    }

    fn not_ours(&self) -> OpenError {
        OpenError::Damaged {
            path: self.path.clone(),
            problem: "it is another program's database".to_owned(),
            advice: "name another file in the database URL".to_owned(),
        }
    }

    fn damaged(&self, problem: &str) -> OpenError {
        OpenError::Damaged {
            path: self.path.clone(),
            problem: problem.to_owned(),
            advice: advice(&self.path),
        }
    }
}

/// What to do about a damaged database.
pub(crate) fn advice(path: &Path) -> String {
    let path = path.display();
    format!(
        "restore it from a backup, or move it away (mv {path} {path}.damaged) and start with an \
         empty one"
    )
}

/// A directory beside the database where a copy of it is judged; gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn fill(&self, database: &Path) -> Result<PathBuf, OpenError> {
        DirBuilder::new()
            .mode(0o700)
            .create(&self.0)
            .map_err(file_error(&self.0, "make a directory for checking"))?;
        let copy = self.0.join("copy.db");
        for suffix in ["", "-wal", "-journal"] {
            let from = beside(database, suffix);
            if from.exists() {
                fs::copy(&from, beside(&copy, suffix))
                    .map_err(file_error(&from, "copy for checking"))?;
            }
        }
        Ok(copy)
    }

    fn remove(&self) {
        // Left by a kill during a check; if it cannot go, making it anew will say so.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Zero when there is none.
fn size(path: &Path) -> Result<u64, OpenError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(file_error(path, "look at it")(e)),
    }
}

/// The first bytes, up to the page size; empty when there is no file.
fn head(path: &Path) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(18).read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(e) => Err(file_error(path, "read")(e)),
    }
}

fn file_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |cause| OpenError::File { path, doing, cause }
}

/// The database's own words without sqlx's preamble.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(inner) => inner.message().to_owned(),
        other => other.to_string(),
    }
}

/// Up to here also the indices are compared with their tables, in well under a second; beyond,
/// only the structure is checked.
const FULL_CHECK_LIMIT: u64 = 32 << 20;
