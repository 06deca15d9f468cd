//! The program under test with a data directory of its own, and its command line.

use super::{Netns, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server on one host. Dropping it kills the process and removes its files.
pub(crate) struct Farrier<'a> {
    netns: &'a Netns,
    home: TempDir,
    child: Option<Child>,
}

/// What a command printed.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl<'a> Farrier<'a> {
    /// Prepared, not started: every loader of [`LOADERS`], one image, no configuration beyond
    /// the data directory.
    pub(crate) fn prepared(netns: &'a Netns) -> Farrier<'a> {
        let home = tempfile::tempdir().expect("temporary directory");
        let farrier = Farrier {
            netns,
            home,
            child: None,
        };
        for name in LOADERS {
            farrier.put(&format!("loaders/packaged/{name}"), &content(name));
        }
        farrier.put("images/test/linux", &content("linux"));
        farrier.put("images/test/initrd.gz", &content("initrd.gz"));
        farrier.configure("");
        farrier
    }

    /// Prepared and started.
    pub(crate) fn started(netns: &'a Netns) -> Farrier<'a> {
        let mut farrier = Farrier::prepared(netns);
        farrier.start();
        farrier
    }

    /// Puts a file into the data directory.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().expect("below the data directory")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// Writes the configuration file as an editor does: a new file renamed over the old one.
    pub(crate) fn configure(&self, yaml: &str) {
        let text = format!("data_dir: {}\n{yaml}", self.data().display());
        let fresh = self.home.path().join("fresh");
        fs::write(&fresh, text).expect("written");
        fs::rename(fresh, self.config()).expect("renamed");
    }

    /// Starts the server and waits until its control socket answers.
    pub(crate) fn start(&mut self) {
        self.start_with(|_| {});
    }

    /// The same, with something done as soon as there is a process.
    pub(crate) fn start_with(&mut self, meanwhile: impl FnOnce(&Farrier<'a>)) {
        assert!(self.child.is_none(), "one server each");
        self.child = Some(self.spawn());
        meanwhile(self);
        eventually(Duration::from_secs(10), "the server answers", || {
            if let Some(status) = self.exited() {
                panic!("the server ended at once, {status}:\n{}", self.log());
            }
            let status = self.cli(&["status", "--json"]);
            (status.code == Some(0)).then_some(())
        });
    }

    /// Starts the server, which is expected to refuse; its words, and how long it took.
    pub(crate) fn start_refused(&mut self) -> (String, Duration) {
        let started = Instant::now();
        self.child = Some(self.spawn());
        let status = self.wait_exit(Duration::from_secs(10));
        assert!(!status.success(), "it started:\n{}", self.log());
        (self.log(), started.elapsed())
    }

    fn spawn(&self) -> Child {
        let log = File::create(self.home.path().join("log")).expect("created");
        let mut command = self.command(&["serve"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.netns
            .run(|| command.spawn())
            .expect("the program starts")
    }

    /// The command line, as this server's own admin would use it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
        command.args(args).current_dir(self.home.path());
        for name in ["DATA_DIR", "SOCKET", "SERVER", "TOKEN", "LOG"] {
            command.env_remove(format!("FARRIER_{name}"));
        }
        command.env("FARRIER_CONFIG", self.config());
        command
    }

    /// Runs a command against the running server.
    pub(crate) fn cli(&self, args: &[&str]) -> Ran {
        let socket = self.control_socket();
        let mut command = self.command(args);
        command.arg("--socket").arg(socket);
        command.output().expect("the program starts").into()
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.cli(args);
        assert_eq!(ran.code, Some(0), "farrier {args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs a command with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).expect("--json prints JSON")
    }

    /// What is at a path of the pages and the API, for the server's own admin.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "--unix-socket"]);
        command.arg(self.control_socket());
        command.arg(format!("http://localhost{path}"));
        let ran = Ran::from(command.output().expect("curl starts"));
        assert_eq!(ran.code, Some(0), "{path}: {}", ran.stderr);
        ran.stdout
    }

    /// Applies a YAML document; what was printed.
    pub(crate) fn apply(&self, yaml: &str) -> String {
        let file = self.home.path().join("apply.yaml");
        fs::write(&file, yaml).expect("written");
        self.ok(&["apply", "-f", &file.display().to_string()])
    }

    /// Has everything that asks boot [`PROFILE`] by its MAC.
    pub(crate) fn assign(&self, macs: &[&str]) {
        self.apply(PROFILE);
        self.ok(&[&["machine", "assign", "--profile", "test"], macs].concat());
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Waits until the log says something; that line.
    pub(crate) fn log_line(&self, words: &str) -> String {
        self.log_line_within(Duration::from_secs(5), words)
    }

    /// The same for what takes its time.
    pub(crate) fn log_line_within(&self, limit: Duration, words: &str) -> String {
        eventually(limit, words, || {
            let log = self.log();
            log.lines()
                .find(|line| line.contains(words))
                .map(str::to_owned)
        })
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("started").id()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let dir = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        dir.expect("it runs").count()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let status = eventually(limit, "the server ends", || self.exited());
        self.child = None;
        status
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("started");
        child.try_wait().expect("our own child")
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("started");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("farrier.yaml")
    }

    /// A place for other files of the test.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.data().join("run/control.sock")
    }

    /// Whether anybody accepts connections on the control socket.
    pub(crate) fn is_listening(&self) -> bool {
        UnixStream::connect(self.control_socket()).is_ok()
    }
}

impl Drop for Farrier<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What a file of this name holds in these tests: the transport must not care.
pub(crate) fn content(name: &str) -> Vec<u8> {
    let length = match name {
        "linux" => 300_000,
        _ => 70_000 + name.len(),
    };
    let seed = name
        .bytes()
        .fold(7usize, |seed, b| seed * 31 % 65_521 + usize::from(b));
    (0..length)
        .map(|n| (n * 7 + n / 251 + seed) as u8)
        .collect()
}

/// Loaders with their companions, by the names of the manifest.
const LOADERS: [&str; 8] = [
    "undionly.kpxe",
    "ipxe.pxe",
    "pxelinux.0",
    "ldlinux.c32",
    "snponly.efi",
    "shimx64.efi",
    "grubx64.efi",
    "mmx64.efi",
];
/// A profile with one kernel and one initial RAM disk.
pub(crate) const PROFILE: &str = "kind: profile\nname: test\ntitle: Test system\n\
    boot: {kind: linux, kernel: test/linux, initrds: [test/initrd.gz], args: quiet}\n";
