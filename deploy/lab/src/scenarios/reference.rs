//! The lab itself, without Farrier: if these fail, the lab is broken, not the server.

use super::Run;
use crate::lan::FARRIER;
use crate::machine::{Firmware, Machine, Spec};
use crate::process::Process;
use crate::site::SiteDhcp;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// BIOS machine, dnsmasq as proxyDHCP and TFTP server, pxelinux, Debian's installer.
pub(crate) fn bios(run: &Run<'_>) -> Result<()> {
    let (lan, _capture) = run.lan()?;
    let site = lan.host("site", Some(crate::lan::SITE))?;
    let server = lan.host("server", Some(FARRIER))?;
    let _dhcp = SiteDhcp::Dnsmasq.start(&site, &run.dir)?;

    let root = run.dir.join("tftp");
    std::fs::create_dir_all(root.join("pxelinux.cfg")).context("make the TFTP root")?;
    for (from, to) in [
        (PXELINUX, "pxelinux.0"),
        (LDLINUX, "ldlinux.c32"),
        (&format!("{INSTALLER}/linux"), "linux"),
        (&format!("{INSTALLER}/initrd.gz"), "initrd.gz"),
    ] {
        copy(Path::new(from), &root.join(to))?;
    }
    std::fs::write(
        root.join("pxelinux.cfg/default"),
        "SERIAL 0 115200\nDEFAULT di\nPROMPT 0\nLABEL di\n KERNEL linux\n INITRD initrd.gz\n APPEND console=ttyS0,115200 ---\n",
    )
    .context("write the menu")?;
    let mut command = server.command("dnsmasq");
    command
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--port=0",
            "--user=root",
            "--log-dhcp",
        ])
        .args([
            "--interface=eth0",
            "--bind-interfaces",
            "--dhcp-range=10.77.0.0,proxy",
        ])
        .args(["--pxe-service=x86PC,Boot,pxelinux", "--enable-tftp"])
        .arg(format!("--tftp-root={}", root.display()));
    let _proxy = Process::spawn("dnsmasq as proxyDHCP", command, &run.dir.join("proxy.log"))?;

    let mut machine = Machine::power_on(&lan, &run.dir, Spec::new("bios", Firmware::Bios, 1))?;
    for marker in ["PXELINUX 6", "Linux version", "language"] {
        let after = machine.expect(marker, Duration::from_secs(300))?;
        run.say(format!(
            "printed {marker:?} {:.1} s after power-on",
            after.as_secs_f32()
        ));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    Ok(())
}

const PXELINUX: &str = "/usr/lib/PXELINUX/pxelinux.0";
const LDLINUX: &str = "/usr/lib/syslinux/modules/bios/ldlinux.c32";
const INSTALLER: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";
