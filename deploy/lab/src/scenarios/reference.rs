//! The lab without Farrier: dnsmasq is proxyDHCP and TFTP server. As scenarios: if these fail,
//! the lab is broken, not the server. For [`crate::times`]: what Farrier is compared with.

use super::Run;
use super::boots::{FIRST_SCREEN, PATIENCE};
use crate::lan::{FARRIER, Host, Lan, SITE};
use crate::machine::{Firmware, Machine, Spec};
use crate::process::Process;
use crate::site::SiteDhcp;
use anyhow::{Context, Result};
use bootplan::MacAddr;
use std::path::Path;

/// A LAN with a site DHCP server and dnsmasq where Farrier would be. Dropped in this order:
/// servers first.
pub(crate) struct Reference {
    _proxy: Process,
    _dhcp: Process,
    _capture: Option<Process>,
    _server: Host,
    _site: Host,
    /// The LAN.
    pub(crate) lan: Lan,
}

/// What dnsmasq serves to one kind of firmware.
struct Chain {
    /// For `--pxe-service`.
    service: &'static str,
    loaders: &'static [&'static str],
    /// Where the loader looks first for this machine.
    menu_name: String,
    menu: &'static str,
}

impl Chain {
    /// PXELINUX for BIOS, shim and GRUB for UEFI: all by TFTP, to Debian's installer.
    fn of(firmware: Firmware, mac: MacAddr) -> Self {
        match firmware {
            Firmware::Bios => Self {
                service: "x86PC,Boot,pxelinux",
                loaders: &["pxelinux.0", "ldlinux.c32"],
                menu_name: format!("pxelinux.cfg/01-{}", mac.to_string().replace(':', "-")),
                menu: "SERIAL 0 115200\nDEFAULT di\nPROMPT 0\nLABEL di\n KERNEL linux\n \
                       INITRD initrd.gz\n APPEND console=ttyS0,115200 ---\n",
            },
            Firmware::UefiX64 => Self {
                service: "X86-64_EFI,Boot,shimx64.efi",
                loaders: &["shimx64.efi", "grubx64.efi"],
                menu_name: "grub/grub.cfg".to_owned(),
                menu: "linux /linux console=ttyS0,115200 ---\ninitrd /initrd.gz\nboot\n",
            },
        }
    }
}

impl Reference {
    /// Builds it for one machine.
    ///
    /// # Errors
    /// When something is missing or does not start.
    pub(crate) fn build(run: &Run<'_>, spec: &Spec) -> Result<Self> {
        let (lan, capture) = run.lan()?;
        let site = lan.host("site", Some(SITE))?;
        let server = lan.host("server", Some(FARRIER))?;
        let dhcp = SiteDhcp::Dnsmasq.start(&site, &run.dir)?;

        let chain = Chain::of(spec.firmware, spec.mac);
        let root = run.dir.join("tftp");
        let menu_file = root.join(chain.menu_name);
        let menu_dir = menu_file.parent().unwrap_or(&root);
        std::fs::create_dir_all(menu_dir).context("make the TFTP root")?;
        std::fs::write(&menu_file, chain.menu).context("write the menu")?;
        let assets = &run.options.assets;
        for name in chain.loaders {
            copy(
                &assets.join("loaders/packaged").join(name),
                &root.join(name),
            )?;
        }
        for name in ["linux", "initrd.gz"] {
            copy(
                &assets.join("images/debian-12/amd64").join(name),
                &root.join(name),
            )?;
        }
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
            .args([&format!("--pxe-service={}", chain.service), "--enable-tftp"])
            .arg(format!("--tftp-root={}", root.display()));
        let proxy = Process::spawn("dnsmasq as proxyDHCP", command, &run.dir.join("proxy.log"))?;
        Ok(Self {
            _proxy: proxy,
            _dhcp: dhcp,
            _capture: capture,
            _server: server,
            _site: site,
            lan,
        })
    }
}

/// BIOS machine, dnsmasq as proxyDHCP and TFTP server, pxelinux, Debian's installer.
pub(crate) fn bios(run: &Run<'_>) -> Result<()> {
    boot(run, Firmware::Bios)
}

/// UEFI machine, dnsmasq as proxyDHCP and TFTP server, shim, GRUB, Debian's installer.
pub(crate) fn uefi(run: &Run<'_>) -> Result<()> {
    boot(run, Firmware::UefiX64)
}

fn boot(run: &Run<'_>, firmware: Firmware) -> Result<()> {
    let spec = Spec::new(run.name, firmware, 1);
    let reference = Reference::build(run, &spec)?;
    let mut machine = Machine::power_on(&reference.lan, &run.dir, spec)?;
    for marker in ["Linux version", FIRST_SCREEN] {
        let after = machine.expect(marker, PATIENCE)?;
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
