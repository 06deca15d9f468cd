//! Everything the lab starts lives in a PID and a mount namespace of its own.
//!
//! The process that the user started (the *keeper*) does nothing but make those namespaces, start
//! the lab proper in them (the *worker*, PID 1 there) and wait. However the worker ends (success,
//! an error, a panic, Ctrl-C, `kill -9` of either of the two), the kernel then kills every process
//! of the PID namespace and drops the mounts, among them the private `/run/netns`, and with the
//! last process of a network namespace the namespace itself. There is nothing to clean up by name
//! and nothing that a second lab on the same host could collide with.

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::geteuid;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set in the worker when the keeper asks it to end.
static STOP: AtomicBool = AtomicBool::new(false);

/// Runs this same program again, with `args`, as the worker. `run_dir` is removed afterwards and
/// the logs in it are kept in `log_dir`.
///
/// # Errors
/// When not root, when the kernel refuses the namespaces, or when the worker cannot be started.
pub fn keep(args: &[String], run_dir: &Path, log_dir: &Path) -> Result<ExitCode> {
    if !geteuid().is_root() {
        bail!("network namespaces need root: run this with sudo");
    }
    // Blocked before the worker exists, so that no signal is lost.
    let mut watched = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ] {
        watched.add(signal);
    }
    watched.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC).context("signalfd")?;

    sweep(run_dir);
    std::fs::create_dir_all(run_dir).with_context(|| format!("create {}", run_dir.display()))?;
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)
        .context("make a PID and a mount namespace (needs CAP_SYS_ADMIN)")?;
    // A process group of its own: Ctrl-C on the terminal reaches the keeper only.
    let worker = Command::new("/proc/self/exe")
        .args(args)
        .env(WORKER_ENV, run_dir)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("start in the namespaces")?;
    let code = wait_for(worker, &signals);
    if let Err(error) = save_logs(run_dir, log_dir) {
        eprintln!("logs not kept: {error:#}");
    }
    // The worker may have mounted a tmpfs there, which keeps its directory from being removed.
    let _ = umount2(run_dir, MntFlags::MNT_DETACH);
    let _ = std::fs::remove_dir_all(run_dir);
    code
}

/// The run directory given by the keeper, when this process is the worker; also finishes the
/// namespaces from the inside.
///
/// # Errors
/// When the mounts are refused.
pub fn worker() -> Result<Option<PathBuf>> {
    let Some(run_dir) = std::env::var_os(WORKER_ENV) else {
        return Ok(None);
    };
    // Inherited from the keeper, which reads its signals from a descriptor.
    SigSet::empty()
        .thread_set_mask()
        .context("unblock signals")?;
    prctl::set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("make / private")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).context("mount /proc")?;
    std::fs::create_dir_all(NETNS_DIR).with_context(|| format!("create {NETNS_DIR}"))?;
    mount(
        Some("tmpfs"),
        NETNS_DIR,
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )
    .with_context(|| format!("mount a private {NETNS_DIR}"))?;
    std::thread::spawn(|| {
        // Ends when the keeper closes its end, or is gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        STOP.store(true, Ordering::Relaxed);
    });
    Ok(Some(run_dir.into()))
}

/// True when the user pressed Ctrl-C.
pub fn stopping() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Sleeps, unless the lab is asked to end.
///
/// # Errors
/// When the lab is asked to end.
pub fn pause(time: Duration) -> Result<()> {
    std::thread::sleep(time);
    if stopping() {
        bail!("interrupted");
    }
    Ok(())
}

/// Waits for the worker; the first signal asks it to end, and then it has a few seconds.
fn wait_for(mut worker: Child, signals: &SignalFd) -> Result<ExitCode> {
    let mut line = worker.stdin.take();
    loop {
        if let Some(status) = worker.try_wait().context("wait for the worker")? {
            let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        let Some(signal) = signals.read_signal().context("read signals")? else {
            continue;
        };
        if signal.ssi_signo == Signal::SIGCHLD as u32 {
            continue;
        }
        if line.take().is_none() {
            worker.kill().context("kill the worker")?;
            continue;
        }
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && worker.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        if worker.try_wait()?.is_none() {
            worker.kill().context("kill the worker")?;
        }
    }
}

/// Removes what keepers that were killed left beside `run_dir`, whose name ends in a process id.
fn sweep(run_dir: &Path) {
    let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
    let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let siblings = run_dir.parent().and_then(|p| std::fs::read_dir(p).ok());
    for entry in siblings.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|n| n.strip_prefix(prefix)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Copies every `*.log` below `from` to the same place below `to`.
fn save_logs(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            save_logs(&entry.path(), &target)?;
        } else if ["log", "pcap"]
            .iter()
            .any(|e| entry.path().extension().is_some_and(|x| x == *e))
        {
            std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Tells the worker that it is one, and where its run directory is.
pub const WORKER_ENV: &str = "FARRIER_LAB_RUN";
/// Where `ip netns` keeps its names; private to the worker.
const NETNS_DIR: &str = "/run/netns";
/// How long the worker may take to end by itself.
const GRACE: Duration = Duration::from_secs(8);
