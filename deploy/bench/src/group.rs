//! What a server costs: the kernel's own accounting of its control group.
//!
//! The processor time of a `cpuacct` group is exact and covers forks, threads and children that
//! have ended. It includes the delivery of each packet into the receiver's queue, because the
//! kernel does that in the sender's context.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The group of one server; removed when dropped.
pub(crate) struct Group {
    dir: PathBuf,
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
    /// Makes the group `name` of this run.
    ///
    /// # Errors
    /// When there is no writable `cpuacct` hierarchy.
    pub(crate) fn add(run: &str, name: &str) -> Result<Self> {
        let dir = Path::new(CPUACCT).join(run).join(name);
        fs::create_dir_all(&dir).with_context(|| {
            format!(
                "make the control group {} (needs the cpuacct hierarchy of cgroup v1, writable)",
                dir.display()
            )
        })?;
        Ok(Self { dir })
    }

    /// The file that takes a process into the group.
    pub(crate) fn entry(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Processor time so far.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let file = self.dir.join("cpuacct.usage");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let nanos = text
            .trim()
            .parse()
            .with_context(|| format!("{} holds no number: {text:?}", file.display()))?;
        Ok(Duration::from_nanos(nanos))
    }

    /// The processes in it.
    fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.entry()).unwrap_or_default();
        text.lines().filter_map(|l| l.parse().ok()).collect()
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
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Removes the groups of a run, and of runs that were killed; their names end in a process id.
pub(crate) fn sweep(run: &str) {
    let prefix = run.trim_end_matches(|c: char| c.is_ascii_digit());
    for entry in fs::read_dir(CPUACCT).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(pid) = name
            .strip_prefix(prefix)
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
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
    // USER_HZ is 100 on every Linux that this runs on.
    Duration::from_millis(ticks * 10)
}

fn number_after(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

const CPUACCT: &str = "/sys/fs/cgroup/cpuacct";

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
    fn numbers_of_a_status_file() {
        let text = "Name:\tfarrier\nRssAnon:\t    5172 kB\nThreads:\t4\n";
        assert_eq!(number_after(text, "RssAnon:"), 5172);
        assert_eq!(number_after(text, "Threads:"), 4);
        assert_eq!(number_after(text, "VmSwap:"), 0);
    }
}
