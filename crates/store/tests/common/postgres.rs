//! A PostgreSQL of the test's own: started in a temporary directory, stopped when dropped.

use sqlx::{AnyConnection, Connection, Executor};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) struct Postgres {
    server: Child,
    dir: TempDir,
    databases: u32,
}

impl Postgres {
    /// Starts a server that listens on a socket in its directory only.
    ///
    /// # Panics
    /// When PostgreSQL is not installed: a skipped test would say nothing about PostgreSQL.
    pub(crate) fn start() -> Postgres {
        let bin = binaries();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let account = Account::for_server();
        account.give(dir.path());
        let data = dir.path().join("data");
        let made = account
            .command(&bin.join("initdb"))
            .args([
                "--username=farrier",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
            ])
            .args(["--locale=C", "--pgdata"])
            .arg(&data)
            .current_dir(dir.path())
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let server = account
            .command(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(dir.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        Postgres {
            server,
            dir,
            databases: 0,
        }
    }

    /// Makes an empty database and returns its URL.
    pub(crate) async fn database(&mut self) -> String {
        sqlx::any::install_default_drivers();
        self.databases += 1;
        let name = format!("farrier_{}", self.databases);
        let mut connection = self.connect().await;
        let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(statement).await.expect("a database");
        self.url(&name)
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn execute(&mut self, url: &str, statement: &'static str) {
        let mut connection = AnyConnection::connect(url).await.expect("connects");
        connection.execute(statement).await.expect("runs");
    }

    fn url(&self, database: &str) -> String {
        let socket = self.dir.path().display().to_string().replace('/', "%2F");
        format!("postgres://farrier@localhost/{database}?host={socket}")
    }

    async fn connect(&mut self) -> AnyConnection {
        let url = self.url("postgres");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match AnyConnection::connect(&url).await {
                Ok(connection) => return connection,
                Err(error) => {
                    let gone = self.server.try_wait().expect("a child of ours");
                    if gone.is_some() || Instant::now() > deadline {
                        let log = std::fs::read_to_string(self.dir.path().join("log"));
                        panic!(
                            "PostgreSQL did not come up: {error}\n{}",
                            log.unwrap_or_default()
                        );
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: immediate shutdown, which takes its children along; SIGKILL would not.
        let _ = Command::new("kill")
            .args(["-QUIT", &self.server.id().to_string()])
            .status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Who runs the server: PostgreSQL refuses to run as root.
struct Account(Option<(u32, u32)>);

impl Account {
    fn for_server() -> Account {
        use std::os::unix::fs::MetadataExt;
        let ours = std::fs::metadata("/proc/self").expect("/proc").uid();
        if ours != 0 {
            return Account(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let ids = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?, fields.next()?);
            (name == "postgres").then_some((uid.parse().ok()?, gid.parse().ok()?))
        });
        Account(Some(
            ids.unwrap_or_else(|| panic!("no user 'postgres'. {INSTALL}")),
        ))
    }

    fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.0 {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown as root");
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Debian keeps them out of the PATH, one directory per version.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from("/usr/lib/postgresql/15/bin"))
        .chain(std::env::split_paths(&path))
        .find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
        .unwrap_or_else(|| panic!("PostgreSQL is not installed. {INSTALL}"))
}

const INSTALL: &str = "This test runs on a real PostgreSQL: install the Debian package \
                       postgresql-15 (apt-get install postgresql-15); make test does";
