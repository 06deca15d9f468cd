//! What a server costs: the kernel's own accounting of its control group.
//!
//! The processor time of a control group is exact and covers forks, threads and children that
//! have ended. It includes the delivery of each packet into the receiver's queue, because the
//! kernel does that in the sender's context. Where no control group can be made, the times of the
//! processes in the server's network namespace are added up instead.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The processes of one server; their control group is removed when dropped.
pub(crate) struct Group {
    account: Account,
}

/// Who counts.
enum Account {
    /// A control group of version 1, with the controller `cpuacct`.
    Cpuacct(PathBuf),
    /// One of version 2, which counts without any controller.
    Unified(PathBuf),
    /// `/proc`, of all processes in the network namespace with this inode.
    Processes(u64),
}

/// What one look at the memory of a group found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Anonymous memory of all processes, in KiB.
    pub anonymous_kib: u64,
    /// Processes.
    pub processes: u64,
    /// Threads of all of them.
    pub threads: u64,
}

impl Usage {
    /// The larger of each number.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            anonymous_kib: self.anonymous_kib.max(other.anonymous_kib),
            processes: self.processes.max(other.processes),
            threads: self.threads.max(other.threads),
        }
    }
}

impl Group {
    /// Makes the group `name` of this run, for processes that will live in `namespace` (a file
    /// that stands for a network namespace).
    ///
    /// # Errors
    /// When there is neither a control group nor such a namespace.
    pub(crate) fn add(run: &str, name: &str, namespace: &Path) -> Result<Self> {
        // Where no hierarchy is mounted, a directory could be made, but would mean nothing.
        let made = |root: &str, file: &str| {
            let root = Path::new(root);
            let dir = root.join(run).join(name);
            let usable = root.join("cgroup.procs").exists() && fs::create_dir_all(&dir).is_ok();
            (usable && dir.join(file).exists()).then_some(dir)
        };
        let unified = || V2.into_iter().find_map(|root| made(root, "cpu.stat"));
        let account = match made(CPUACCT, "cpuacct.usage") {
            Some(dir) => Account::Cpuacct(dir),
            None => match unified() {
                Some(dir) => Account::Unified(dir),
                None => Account::Processes(foreign(namespace)?),
            },
        };
        Ok(Self { account })
    }

    /// Who counts, for the reader of the figures.
    pub(crate) fn counted_by(&self) -> &'static str {
        match &self.account {
            Account::Cpuacct(_) => "CPU as counted by cpuacct",
            Account::Unified(_) => "CPU as counted by version 2 of control groups",
            Account::Processes(_) => {
                "CPU as in /proc, for want of control groups: without processes that have ended, \
                 so next to nothing for tftpd-hpa, which forks for each file"
            }
        }
    }

    /// The file that takes the process into the group that writes `0` to it.
    pub(crate) fn entry(&self) -> PathBuf {
        match &self.account {
            Account::Cpuacct(dir) | Account::Unified(dir) => dir.join("cgroup.procs"),
            // Its namespace is enough.
            Account::Processes(_) => PathBuf::from("/dev/null"),
        }
    }

    /// Processor time so far.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let read = |file: PathBuf| {
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
        };
        match &self.account {
            Account::Cpuacct(dir) => {
                let text = read(dir.join("cpuacct.usage"))?;
                let nanos = text.trim().parse();
                Ok(Duration::from_nanos(nanos.with_context(|| {
                    format!("cpuacct.usage holds no number: {text:?}")
                })?))
            }
            Account::Unified(dir) => {
                let text = read(dir.join("cpu.stat"))?;
                Ok(Duration::from_micros(number_after(&text, "usage_usec ")))
            }
            Account::Processes(_) => {
                let stat = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
                Ok(self
                    .processes()
                    .into_iter()
                    .filter_map(stat)
                    .map(|s| spent(&s))
                    .sum())
            }
        }
    }

    /// The processes in it.
    fn processes(&self) -> Vec<i32> {
        match &self.account {
            Account::Cpuacct(dir) | Account::Unified(dir) => {
                let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                text.lines().filter_map(|l| l.parse().ok()).collect()
            }
            Account::Processes(namespace) => processes_in(*namespace),
        }
    }

    /// Memory and threads now. Processes that end meanwhile are left out.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.processes() {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) else {
                continue;
            };
            usage.processes += 1;
            usage.anonymous_kib += number_after(&text, "RssAnon:");
            usage.threads += number_after(&text, "Threads:");
        }
        usage
    }

    /// Lets every process of it rest, or go on: a server that is not measured must not disturb
    /// the one that is.
    pub(crate) fn rest(&self, rest: bool) {
        let signal = match rest {
            true => Signal::SIGSTOP,
            false => Signal::SIGCONT,
        };
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Kills what is left of it (a forking server's children).
    pub(crate) fn kill(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let all = self.processes();
            if all.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in all {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        if let Account::Cpuacct(dir) | Account::Unified(dir) = &self.account {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Removes the groups of a run, and of runs that were killed; their names end in a process id.
pub(crate) fn sweep(run: &str) {
    let prefix = run.trim_end_matches(|c: char| c.is_ascii_digit());
    let roots = [CPUACCT].into_iter().chain(V2);
    for entry in roots
        .filter_map(|root| fs::read_dir(root).ok())
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let pid = name
            .strip_prefix(prefix)
            .and_then(|n| n.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        if name == run || !Path::new(&format!("/proc/{pid}")).exists() {
            for inner in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(inner.path());
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Processor time of everybody on this machine, of which a round's own share is taken off to
/// know what other work took.
pub(crate) fn machine_busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    Ok(busy(&text))
}

/// Busy time in `/proc/stat`: all but idle and waiting for disks. Time that the host took from
/// this machine (`steal`) counts, for it was not to be had.
fn busy(stat: &str) -> Duration {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .enumerate()
        .filter(|(field, _)| ![3, 4].contains(field))
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * TICK_MILLIS)
}

/// What a process has spent, and its children that it has buried: of `/proc/<pid>/stat`.
fn spent(stat: &str) -> Duration {
    // A name may hold anything, also spaces and brackets: fields count from behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = fields.split_whitespace().skip(11).take(4);
    let ticks: u64 = times.filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * TICK_MILLIS)
}

/// The inode of a namespace that is not this process's own: its processes will be killed.
fn foreign(namespace: &Path) -> Result<u64> {
    let inode = inode(namespace)?;
    ensure!(
        inode != self::inode(Path::new("/proc/self/ns/net"))?,
        "{} is the namespace of this program itself",
        namespace.display()
    );
    Ok(inode)
}

/// The processes in the network namespace with this inode.
fn processes_in(namespace: u64) -> Vec<i32> {
    let inside = |pid: &i32| {
        inode(Path::new(&format!("/proc/{pid}/ns/net"))).is_ok_and(|inode| inode == namespace)
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(inside)
        .collect()
}

/// What a file of the kernel's own tells namespaces apart by.
fn inode(namespace: &Path) -> Result<u64> {
    let data = fs::metadata(namespace).with_context(|| format!("look at {}", namespace.display()));
    Ok(data?.ino())
}

fn number_after(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

const CPUACCT: &str = "/sys/fs/cgroup/cpuacct";
/// Where version 2 lies: alone, or beside version 1.
const V2: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// USER_HZ is 100 on every Linux that this runs on.
const TICK_MILLIS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_disk_time_are_not_busy() {
        let stat = "cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 1 1 1 1\n";
        assert_eq!(
            busy(stat),
            Duration::from_millis((100 + 20 + 30 + 6 + 7 + 8) * 10)
        );
    }

    #[test]
    fn a_process_has_spent_its_own_time_and_its_buried_childrens() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 99 0 0 0 10 20 3 4 20 0 1 0 55 1 2\n";
        assert_eq!(spent(stat), Duration::from_millis(370));
        assert_eq!(spent("nonsense"), Duration::ZERO);
    }

    #[test]
    fn without_control_groups_the_namespace_says_whose_processes_they_are() -> Result<()> {
        let own = Path::new("/proc/self/ns/net");
        let pid = i32::try_from(std::process::id())?;
        assert!(processes_in(inode(own)?).contains(&pid));
        assert!(!processes_in(0).contains(&pid), "no namespace has inode 0");
        assert!(foreign(own).is_err(), "nobody may end its processes");
        Ok(())
    }

    #[test]
    fn numbers_of_a_status_file() {
        let text = "Name:\tfarrier\nRssAnon:\t    5172 kB\nThreads:\t4\n";
        assert_eq!(number_after(text, "RssAnon:"), 5172);
        assert_eq!(number_after(text, "Threads:"), 4);
        assert_eq!(number_after(text, "VmSwap:"), 0);
    }
}
