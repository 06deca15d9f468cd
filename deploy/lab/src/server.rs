//! The program under test, on a host of the LAN, used the way a person uses it: by its command
//! line, its control socket and its pages.

use crate::events::Happening;
use crate::lan::Host;
use crate::process::{Process, run};
use crate::sandbox::pause;
use anyhow::{Context, Result, bail};
use bootplan::timeline::Milestone;
use bootplan::{Event, MacAddr};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A running `farrier serve`; stopped when dropped.
pub(crate) struct Server {
    program: PathBuf,
    socket: PathBuf,
    dir: PathBuf,
    // Dropped in this order: an open stream would make the server wait for it.
    follow: Process,
    serve: Process,
}

impl Server {
    /// Starts it on `host` with loaders and images from `assets`, an empty store, and its files
    /// in `dir`, and `more` in its configuration file; returns when it answers.
    ///
    /// # Errors
    /// When the program is missing, ends, or does not answer.
    pub(crate) fn start(
        program: &Path,
        assets: &Path,
        host: &Host,
        dir: &Path,
        more: &str,
    ) -> Result<Self> {
        if !program.exists() {
            bail!(
                "{} does not exist: run `make boots`, or cargo build -p farrier",
                program.display()
            );
        }
        let data = dir.join("data");
        for part in ["loaders", "images"] {
            copy_tree(&assets.join(part), &data.join(part))
                .context("take over loaders and images (`make assets` fetches them)")?;
        }
        let config = dir.join("farrier.yaml");
        let text = format!("data_dir: {}\ninterfaces: [eth0]\n{more}", data.display());
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;

        let mut command = host.command(&program.display().to_string());
        command.arg("--config").arg(&config).arg("serve");
        let mut serve = Process::spawn("farrier serve", command, &dir.join("farrier.log"))?;
        let socket = data.join("run/control.sock");
        wait_until_ready(program, &socket, &mut serve)?;

        let mut command = Command::new(program);
        command
            .arg("--socket")
            .arg(&socket)
            .args(["--json", "boots", "--follow"]);
        let follow = Process::spawn("farrier boots", command, &dir.join("events.log"))?;
        Ok(Self {
            program: program.to_owned(),
            socket,
            dir: dir.to_owned(),
            follow,
            serve,
        })
    }

    /// Runs a command of `farrier` against this server and returns what it printed.
    ///
    /// # Errors
    /// When the command fails; the text is its own.
    pub(crate) fn cli(&self, words: &[&str]) -> Result<String> {
        run(Command::new(&self.program)
            .arg("--socket")
            .arg(&self.socket)
            .args(words))
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> String {
        self.dir.join("data").display().to_string()
    }

    /// `farrier apply -f` of this text.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn apply(&self, yaml: &str) -> Result<String> {
        let file = self.dir.join("apply.yaml");
        std::fs::write(&file, yaml).with_context(|| format!("write {}", file.display()))?;
        self.cli(&["apply", "-f", &file.display().to_string()])
    }

    /// Puts `body` at a path of the API, by the control socket.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<String> {
        let url = format!("http://localhost/api/v1{path}");
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--fail-with-body", "-X", "PUT"])
            .arg("--unix-socket")
            .arg(&self.socket)
            .args(["--json", &body.to_string(), &url]);
        run(&mut command)
    }

    /// Everything `farrier boots --follow` has told so far, in the order it told it.
    ///
    /// # Errors
    /// When it says something that is no event, or the server has ended.
    pub(crate) fn happenings(&mut self) -> Result<Vec<Happening>> {
        self.serve.check()?;
        self.follow.check()?;
        let text = self.follow.output();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .filter(|l| l.starts_with('{'))
            .map(Happening::parse)
            .collect()
    }

    /// The events of one machine so far.
    ///
    /// # Errors
    /// As [`happenings`](Self::happenings).
    pub(crate) fn events_of(&mut self, mac: MacAddr) -> Result<Vec<Event>> {
        let all = self.happenings()?;
        Ok(all
            .into_iter()
            .map(|h| h.event)
            .filter(|e| e.origin.mac == Some(mac))
            .collect())
    }

    /// Waits until `enough` of the machine's events, and returns them.
    ///
    /// # Errors
    /// After `limit`, with the events there are.
    pub(crate) fn wait_for_events(
        &mut self,
        mac: MacAddr,
        limit: Duration,
        enough: impl Fn(&[Event]) -> Result<()>,
    ) -> Result<Vec<Event>> {
        let deadline = Instant::now() + limit;
        loop {
            let events = self.events_of(mac)?;
            match enough(&events) {
                Ok(()) => return Ok(events),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => pause(Duration::from_millis(200))?,
            }
        }
    }

    /// How far the machine's last boot came, as the server folds its events.
    ///
    /// # Errors
    /// When it knows of no boot.
    pub(crate) fn milestone(&self, mac: MacAddr) -> Result<Milestone> {
        let boots = self.cli(&["--json", "boots", &mac.to_string(), "-n", "1"])?;
        let boots: Value = serde_json::from_str(&boots).context("`boots` is no JSON")?;
        serde_json::from_value(boots["boots"][0]["boot"]["milestone"].clone())
            .with_context(|| format!("no boot with a milestone: {boots}"))
    }

    /// The path of the one-time set-up link that it printed at its first start.
    ///
    /// # Errors
    /// When it printed none.
    pub(crate) fn setup_path(&self) -> Result<String> {
        let log = self.serve.output();
        let link = log
            .split_whitespace()
            .find(|word| word.starts_with("http://") && word.contains("/setup"))
            .context("farrier printed no set-up link")?;
        let path = link
            .splitn(4, '/')
            .nth(3)
            .context("the set-up link has no path")?;
        Ok(format!("/{path}"))
    }
}

fn wait_until_ready(program: &Path, socket: &Path, serve: &mut Process) -> Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        serve.check()?;
        if socket.exists() {
            let status = run(Command::new(program)
                .arg("--socket")
                .arg(socket)
                .arg("status"));
            match status {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
            }
        }
        if Instant::now() > deadline {
            bail!(
                "farrier serve is not ready after {READY:?}:\n{}",
                serve.tail(20)
            );
        }
        pause(Duration::from_millis(100))?;
    }
}

/// Hard links where the file system allows, copies elsewhere: Farrier opens nothing through
/// symbolic links that lead out of its directories.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if std::fs::hard_link(entry.path(), &target).is_err() {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// How long the server may take to answer on its control socket; generous for loaded machines.
const READY: Duration = Duration::from_secs(60);
