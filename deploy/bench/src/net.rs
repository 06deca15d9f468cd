//! The wire: one namespace for the load, one for each server, joined by veth pairs.
//!
//! ```text
//!   load                                   server i
//!   v<i> 10.88.<i>.2  <=== veth ===>  eth0 10.88.<i>.1    offloads on: a segmented send crosses whole
//!   s<i> 10.87.<i>.2  <=== veth ===>  eth1 10.87.<i>.1    GSO, SG, checksums, GRO off: cut by software
//!   lo   10.89.0.0/16                     clients of a storm, each with an address of its own
//!   lo   10.90.0.0/16                     the same, answered by way of s<i>
//!   lo   10.96.0.0/12                     forged sources
//! ```
//!
//! Servers have a namespace each, so that all of them can hold port 69 at once and take turns.

use anyhow::{Context, Result};
use lab::process::run;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

/// Which of the two pairs a case uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A veth pair with every offload.
    Veth,
    /// A veth pair that cuts and sums in software before the packets cross.
    Software,
}

/// The namespace that the load comes from; all others hang on it.
pub(crate) struct Site {
    load: Namespace,
    stations: u8,
}

/// The namespace of one server.
pub(crate) struct Station {
    namespace: Namespace,
    index: u8,
}

/// A network namespace; removed when dropped.
struct Namespace(String);

impl Site {
    /// Makes the load's namespace.
    ///
    /// # Errors
    /// When the kernel or `ip` refuses.
    pub(crate) fn build() -> Result<Self> {
        let load = Namespace::add("load")?;
        for range in [CLIENTS, SOFTWARE_CLIENTS, FORGED] {
            load.ip(&format!("route add local {range} dev lo"))?;
        }
        Ok(Self { load, stations: 0 })
    }

    /// Adds the namespace of one more server, with both pairs.
    ///
    /// # Errors
    /// When the kernel, `ip` or `ethtool` refuses.
    pub(crate) fn station(&mut self) -> Result<Station> {
        self.stations += 1;
        let index = self.stations;
        let namespace = Namespace::add(&format!("server{index}"))?;
        for (path, near, far) in [(Path::Veth, "v", "eth0"), (Path::Software, "s", "eth1")] {
            let near = format!("{near}{index}");
            self.load.ip(&format!(
                "link add {near} mtu 1500 type veth peer name {far} mtu 1500 netns {}",
                namespace.0
            ))?;
            let (ours, theirs) = (path.load(index), path.server(index));
            self.load.ip(&format!("addr add {ours}/24 dev {near}"))?;
            self.load.ip(&format!("link set {near} up"))?;
            namespace.ip(&format!("addr add {theirs}/24 brd + dev {far}"))?;
            namespace.ip(&format!("link set {far} up"))?;
            let ranges: &[&str] = match path {
                Path::Veth => &[CLIENTS, FORGED],
                Path::Software => &[SOFTWARE_CLIENTS],
            };
            for range in ranges {
                namespace.ip(&format!("route add {range} via {ours}"))?;
            }
            if path == Path::Software {
                no_offload(&self.load, &near)?;
                no_offload(&namespace, far)?;
            }
        }
        Ok(Station { namespace, index })
    }

    /// Runs `work` on a thread of its own in the load's namespace.
    ///
    /// # Errors
    /// What `work` says, and when the namespace cannot be entered.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = self.load.file();
        let namespace = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(&namespace, CloneFlags::CLONE_NEWNET).context("enter the load's network")?;
                work()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Station {
    /// The server's address on this path.
    pub(crate) fn address(&self, path: Path) -> Ipv4Addr {
        path.server(self.index)
    }

    /// The load's interface towards this server.
    pub(crate) fn interface(&self) -> String {
        format!("v{}", self.index)
    }

    /// The file that stands for its network namespace.
    pub(crate) fn namespace_file(&self) -> PathBuf {
        self.namespace.file()
    }

    /// What is put before a command to have it run here.
    pub(crate) fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.namespace.0]
    }
}

impl Path {
    fn load(self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.net(), index, 2)
    }

    fn server(self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.net(), index, 1)
    }

    fn net(self) -> u8 {
        match self {
            Self::Veth => 88,
            Self::Software => 87,
        }
    }

    /// The address of the n-th client of a storm.
    pub(crate) fn client(self, n: usize) -> Ipv4Addr {
        let second = match self {
            Self::Veth => 89,
            Self::Software => 90,
        };
        let [third, fourth] = u16::try_from(n + 1).unwrap_or(u16::MAX).to_be_bytes();
        Ipv4Addr::new(10, second, third, fourth)
    }
}

/// The n-th forged source; a million of them.
pub(crate) fn forged(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 1).to_bits() + n % 1_000_000)
}

fn no_offload(namespace: &Namespace, interface: &str) -> Result<()> {
    let words = "gso off tso off gro off sg off tx off rx off";
    run(Command::new("ip")
        .args(["netns", "exec", &namespace.0, "ethtool", "-K", interface])
        .args(words.split(' ')))?;
    Ok(())
}

impl Namespace {
    fn add(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self(name.to_owned());
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    fn file(&self) -> PathBuf {
        std::path::Path::new("/run/netns").join(&self.0)
    }

    fn ip(&self, words: &str) -> Result<()> {
        run(Command::new("ip")
            .args(["-n", &self.0])
            .args(words.split(' ')))?;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The kernel would do it at the end of the sandbox.
        let _ = run(Command::new("ip").args(["netns", "del", &self.0]));
    }
}

const CLIENTS: &str = "10.89.0.0/16";
const SOFTWARE_CLIENTS: &str = "10.90.0.0/16";
const FORGED: &str = "10.96.0.0/12";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_an_address_of_its_own() {
        assert_eq!(Path::Veth.client(0), Ipv4Addr::new(10, 89, 0, 1));
        assert_eq!(Path::Software.client(999), Ipv4Addr::new(10, 90, 3, 232));
        let all: std::collections::BTreeSet<_> = (0..100_000).map(forged).collect();
        assert_eq!(all.len(), 100_000);
        // 10.96.0.0/12 ends here.
        assert!(all.iter().all(|a| a.octets()[1] < 112));
    }
}
