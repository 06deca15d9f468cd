//! Databases that must not be used: refused with a clear message, and left as they were found.

mod common;

use bootplan::MachineId;
use common::{Place, machine, profile};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use store::{OpenError, Store};
use tempfile::TempDir;

#[tokio::test]
async fn a_new_database_is_private() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("var/lib/a b'%41?ü/farrier.db");
    let store = open(&path).await.expect("opens");
    machine(&store, "a", &[1]).await;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().expect("a parent")), 0o700);
    for name in ["farrier.db", "farrier.db-wal", "farrier.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_ends() {
    let place = Place::sqlite();
    let store = place.open().await;
    let error = Store::open(&place.url).await.err().expect("in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("another farrier is using this database"),
        "{error}"
    );
    store.close().await;
    drop(store);
    place.open().await.close().await;
}

#[tokio::test]
async fn urls_that_name_no_database_are_refused() {
    for url in [
        "",
        "sqlite:",
        "sqlite::memory:",
        "mysql://u:secret@h/db",
        "/var/lib/x.db",
    ] {
        let error = Store::open(url).await.err().expect(url).to_string();
        assert!(
            error.contains("expected sqlite:/path/to/farrier.db"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    let error = Store::open("sqlite:/proc/farrier/x.db")
        .await
        .err()
        .expect("read-only");
    assert!(
        error
            .to_string()
            .starts_with("/proc/farrier: cannot make the directory"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(&str, Spoil, &str); 6] = [
        (
            "text",
            |b| *b = b"machines:\n- one\n".to_vec(),
            "it is not an SQLite database",
        ),
        (
            "one byte",
            |b| b.truncate(1),
            "it is not an SQLite database",
        ),
        ("zeros", |b| b.fill(0), "it is not an SQLite database"),
        (
            "truncated",
            |b| b.truncate(b.len() / 2 / 4096 * 4096),
            "malformed",
        ),
        (
            "no whole page",
            |b| b.truncate(b.len() - 100),
            "it is truncated",
        ),
        ("a page lost", |b| b[8192..12288].fill(0xaa), ""),
    ];
    for (case, spoil, says) in cases {
        let dir = closed().await;
        let path = dir.path().join("farrier.db");
        let mut bytes = fs::read(&path).expect("readable");
        spoil(&mut bytes);
        fs::write(&path, &bytes).expect("spoilt");
        let error = refused(dir.path()).await;
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{case}: {error}"
        );
        let text = error.to_string();
        assert!(text.contains(says), "{case}: {text}");
        assert!(
            text.contains("left untouched; restore it from a backup, or move it"),
            "{text}"
        );
        assert!(
            text.starts_with(&path.display().to_string()),
            "{case}: {text}"
        );
    }
}

#[tokio::test]
async fn flipped_bytes_never_pass_for_other_content() {
    // R28: 64 random bytes, many times; a fixed seed, so that a failure can be looked at.
    let dir = closed().await;
    let path = dir.path().join("farrier.db");
    let whole = fs::read(&path).expect("readable");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut damaged = 0;
    for _ in 0..30 {
        let mut bytes = whole.clone();
        for _ in 0..64 {
            let at = usize::try_from(next() % whole.len() as u64).expect("fits");
            bytes[at] ^= 0x55;
        }
        fs::write(&path, &bytes).expect("spoilt");
        let before = contents(dir.path());
        match open(&path).await {
            Err(_) => {
                damaged += 1;
                assert_eq!(contents(dir.path()), before);
            }
            // Only unused space was hit.
            Ok(store) => store.close().await,
        }
    }
    assert!(damaged >= 20, "only {damaged} of 30 were noticed");
}

#[tokio::test]
async fn rows_that_make_no_sense_are_damage() {
    let dir = closed().await;
    let path = dir.path().join("farrier.db");
    let bytes = fs::read(&path).expect("readable");
    let spoilt = replace(&bytes, b"02:00:00:00:00:01", b"02:00:00:00:00:zz");
    fs::write(&path, spoilt).expect("spoilt");
    let error = open(&path).await.err().expect("refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_lost_log_is_noticed() {
    // SQLite itself would take a zeroed log for an empty one and lose the changes in silence.
    for (case, spoil) in [("zeroed", true), ("intact", false)] {
        let dir = crashed().await;
        let wal = dir.path().join("farrier.db-wal");
        if spoil {
            let length = fs::metadata(&wal).expect("a log").len();
            fs::write(&wal, vec![0; usize::try_from(length).expect("fits")]).expect("spoilt");
            let error = refused(dir.path()).await;
            let text = error.to_string();
            assert!(
                text.contains("the write-ahead log of the database is damaged"),
                "{text}"
            );
            assert!(
                text.contains("to go on without them, move it away (mv "),
                "{text}"
            );
        } else {
            let store = open(&dir.path().join("farrier.db")).await.expect(case);
            assert_eq!(store.machines().len(), 2, "{case}");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_noticed() {
    for empty in [true, false] {
        let dir = crashed().await;
        let path = dir.path().join("farrier.db");
        if empty {
            fs::write(&path, b"").expect("spoilt");
        } else {
            fs::remove_file(&path).expect("spoilt");
        }
        let error = refused(dir.path()).await;
        assert!(error.to_string().contains("write-ahead log"), "{error}");
    }
}

#[tokio::test]
async fn damage_behind_a_log_is_noticed_in_a_copy() {
    let dir = crashed().await;
    let path = dir.path().join("farrier.db");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[4096..].fill(0xaa);
    fs::write(&path, bytes).expect("spoilt");
    // The log of this crash holds every page; without its tail the database's own are used.
    let wal = dir.path().join("farrier.db-wal");
    let log = fs::read(&wal).expect("a log");
    fs::write(&wal, &log[..32]).expect("spoilt");
    let error = refused(dir.path()).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn other_programs_databases_and_newer_ones_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("farrier.db");
    sql(&path, "CREATE TABLE contacts (name TEXT)").await;
    let error = refused(dir.path()).await;
    assert!(
        error
            .to_string()
            .contains("it is another program's database"),
        "{error}"
    );

    let dir = closed().await;
    let path = dir.path().join("farrier.db");
    sql(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', TRUE, x'00', 0)",
    )
    .await;
    let error = refused(dir.path()).await;
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("start the newer farrier again"), "{text}");
}

#[tokio::test]
async fn a_newer_postgres_is_refused() {
    let mut server = common::postgres::Postgres::start();
    let place = Place::at(server.database().await);
    place.open().await.close().await;
    server
        .execute(
            &place.url,
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
             execution_time) VALUES (99, 'from the future', TRUE, '\\x00', 0)",
        )
        .await;
    let error = Store::open(&place.url).await.err().expect("refused");
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
    let away = Store::open("postgres://u:secret@127.0.0.1:1/db")
        .await
        .err()
        .expect("away");
    let text = format!("{away}");
    assert!(
        text.starts_with("postgres://u@127.0.0.1:1/db: connecting to it"),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_before_anything_else() {
    // Root writes whatever the mode says, so root tries a read-only mount (a child process of
    // its own, in its own mount namespace), everybody else the mode.
    let dir = closed().await;
    let path = dir.path().join("farrier.db");
    if let Ok(given) = std::env::var(READ_ONLY_DIR) {
        let error = open(&Path::new(&given).join("farrier.db")).await.err();
        let text = error.expect("refused").to_string();
        assert!(text.contains("cannot open for writing"), "{text}");
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("ours");
    if fs::OpenOptions::new().write(true).open(&path).is_err() {
        let text = refused(dir.path()).await.to_string();
        assert!(text.contains("cannot open for writing"), "{text}");
    } else {
        let me = std::env::current_exe().expect("this program");
        let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && exec \"$2\" \
                      --exact a_file_that_cannot_be_written_is_refused_before_anything_else";
        let output = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(dir.path())
            .arg(me)
            .env(READ_ONLY_DIR, dir.path())
            .output()
            .expect("unshare of util-linux runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("ours");
}

const READ_ONLY_DIR: &str = "FARRIER_TEST_READ_ONLY_DIR";

/// A database with something in it, cleanly closed.
async fn closed() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("farrier.db")).await.expect("opens");
    fill(&store).await;
    store.close().await;
    assert!(
        !dir.path().join("farrier.db-wal").exists(),
        "closed cleanly"
    );
    dir
}

/// The files of a program that was killed: its last changes are only in the log.
async fn crashed() -> TempDir {
    let dir = closed().await;
    let store = open(&dir.path().join("farrier.db")).await.expect("opens");
    machine(&store, "late", &[2]).await;
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["farrier.db", "farrier.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).expect("copied");
    }
    store.close().await;
    copy
}

async fn fill(store: &Store) {
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let id: MachineId = machine(store, "a", &[1]).await;
    let target = Some("debian-12".parse().expect("a name"));
    store.assign(&[id], target, "ann").await.expect("assigned");
}

async fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(&format!("sqlite:{}", path.display())).await
}

/// Opening fails, and leaves every byte of every file (but for our lock) as it was.
async fn refused(dir: &Path) -> OpenError {
    let before = contents(dir);
    let error = open(&dir.join("farrier.db")).await.err().expect("refused");
    assert_eq!(contents(dir), before, "{error}");
    error
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .filter(|path| path.extension().is_none_or(|e| e != "lock"))
        .filter(|path| !path.ends_with("farrier.db.lock"))
        .map(|path| (path.clone(), fs::read(&path).expect("a file")))
        .collect()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = out[at..].windows(from.len()).position(|w| w == from) {
        at += found;
        out[at..at + to.len()].copy_from_slice(to);
    }
    out
}

async fn sql(path: &Path, statement: &'static str) {
    use sqlx::{Connection, Executor};
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .expect("opens");
    connection.execute(statement).await.expect("runs");
    connection.close().await.expect("closes");
}
