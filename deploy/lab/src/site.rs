//! The site's own DHCP server: it knows nothing of network booting.

use crate::lan::{Host, SITE};
use crate::process::Process;
use anyhow::{Context, Result};
use std::path::Path;

/// Which DHCP server the site has. Boot loaders care: see each variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SiteDhcp {
    /// dnsmasq, which puts its own address into `siaddr` of every reply, as most home routers do.
    Dnsmasq,
    /// busybox udhcpd, which leaves `siaddr` zero, as ISC dhcpd and Kea do.
    Udhcpd,
}

impl SiteDhcp {
    /// Starts it on `host`, with its files in `dir`.
    ///
    /// # Errors
    /// When it is not installed or its files cannot be written.
    pub(crate) fn start(self, host: &Host, dir: &Path) -> Result<Process> {
        match self {
            Self::Dnsmasq => {
                let mut command = host.command("dnsmasq");
                command
                    .args([
                        "--no-daemon",
                        "--conf-file=/dev/null",
                        "--port=0",
                        "--log-dhcp",
                    ])
                    .args([
                        "--interface=eth0",
                        "--bind-interfaces",
                        "--leasefile-ro",
                        "--user=root",
                    ])
                    .arg("--dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,1h")
                    // Answer at once, without first asking by ping whether the address is free.
                    .arg("--no-ping");
                Process::spawn("the site's dnsmasq", command, &dir.join("site.log"))
            }
            Self::Udhcpd => {
                let leases = dir.join("udhcpd.leases");
                std::fs::write(&leases, "")
                    .with_context(|| format!("write {}", leases.display()))?;
                let config = dir.join("udhcpd.conf");
                let text = format!(
                    "start 10.77.0.100\nend 10.77.0.199\ninterface eth0\nmax_leases 100\n\
                     lease_file {}\nsiaddr 0.0.0.0\noption subnet 255.255.255.0\n\
                     option router {SITE}\noption lease 3600\n",
                    leases.display()
                );
                std::fs::write(&config, text)
                    .with_context(|| format!("write {}", config.display()))?;
                let mut command = host.command("busybox");
                command.args(["udhcpd", "-f"]).arg(config);
                Process::spawn("the site's udhcpd", command, &dir.join("site.log"))
            }
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dnsmasq => "dnsmasq (siaddr set)",
            Self::Udhcpd => "busybox udhcpd (siaddr 0)",
        }
    }
}
