//! A private LAN: a bridge in one network namespace, hosts in others, joined by veth pairs.
//!
//! ```text
//!   namespace <id>-lan                 namespace <id>-site       <id>-farrier
//!   br0 --- site    <=== veth ===>     eth0 10.77.0.1
//!    |  --- farrier <=== veth ===>                               eth0 10.77.0.2
//!    |  --- tap0    <--- QEMU
//! ```
//!
//! No interface of the host is touched and nothing here has a way out.

use crate::process::run;
use anyhow::Result;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bridge and its namespace.
pub(crate) struct Lan {
    id: String,
    namespace: Namespace,
    taps: AtomicU32,
}

/// A host of the LAN: a namespace with one interface, `eth0`.
pub(crate) struct Host {
    namespace: Namespace,
}

/// A network namespace; removed when dropped.
struct Namespace(String);

impl Lan {
    /// Makes the bridge. `id` tells the LANs of one run apart.
    ///
    /// # Errors
    /// When the kernel or `ip` refuses.
    pub(crate) fn build(id: &str) -> Result<Self> {
        let lan = Self {
            id: id.to_owned(),
            namespace: Namespace::add(&format!("{id}-lan"))?,
            taps: AtomicU32::new(0),
        };
        // With the default forward delay the first seconds' DISCOVERs vanish; multicast snooping
        // eats router solicitations.
        lan.namespace
            .ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")?;
        lan.namespace.ip("link set br0 up")?;
        Ok(lan)
    }

    /// Adds a host; with an address when it has a fixed one.
    ///
    /// # Errors
    /// When the kernel or `ip` refuses.
    pub(crate) fn host(&self, name: &str, address: Option<Ipv4Addr>) -> Result<Host> {
        let namespace = Namespace::add(&format!("{}-{name}", self.id))?;
        self.namespace.ip(&format!(
            "link add {name} type veth peer name eth0 netns {}",
            namespace.0
        ))?;
        self.namespace
            .ip(&format!("link set {name} master br0 up"))?;
        namespace.ip("link set eth0 up")?;
        if let Some(address) = address {
            namespace.ip(&format!("addr add {address}/{PREFIX} dev eth0"))?;
        }
        let host = Host { namespace };
        // Or UDP leaves with unfinished checksums, which some firmware checks.
        run(host.command("ethtool").args(["-K", "eth0", "tx", "off"]))?;
        Ok(host)
    }

    /// Adds a tap to the bridge and returns its name.
    ///
    /// # Errors
    /// When the kernel or `ip` refuses.
    pub(crate) fn tap(&self) -> Result<String> {
        let name = format!("tap{}", self.taps.fetch_add(1, Ordering::Relaxed));
        self.namespace.ip(&format!("tuntap add {name} mode tap"))?;
        self.namespace
            .ip(&format!("link set {name} master br0 up"))?;
        Ok(name)
    }

    /// A command that will run where the bridge is (for QEMU and tcpdump).
    pub(crate) fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }
}

impl Host {
    /// A command that will run on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// The file that stands for this host's network namespace.
    pub(crate) fn namespace_file(&self) -> String {
        format!("/run/netns/{}", self.namespace.0)
    }
}

impl Namespace {
    fn add(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self(name.to_owned());
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    fn ip(&self, words: &str) -> Result<()> {
        run(Command::new("ip")
            .args(["-n", &self.0])
            .args(words.split(' ')))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The kernel would do it at the end of the run; this is for runs of many scenarios.
        let _ = run(Command::new("ip").args(["netns", "del", &self.0]));
    }
}

/// The site's DHCP server.
pub(crate) const SITE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The host Farrier runs on.
pub(crate) const FARRIER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Prefix length of the LAN.
const PREFIX: u8 = 24;
