//! The lab itself, without Farrier: if these fail, the lab is broken, not the server.

use super::Run;
use super::boots::{FIRST_SCREEN, PATIENCE};
use crate::lan::{FARRIER, SITE};
use crate::machine::{Firmware, Machine, Spec};
use crate::process::Process;
use crate::site::SiteDhcp;
use anyhow::{Context, Result};
use std::path::Path;

/// BIOS machine, dnsmasq as proxyDHCP and TFTP server, pxelinux, Debian's installer.
pub(crate) fn bios(run: &Run<'_>) -> Result<()> {
    let menu = "SERIAL 0 115200\nDEFAULT di\nPROMPT 0\nLABEL di\n KERNEL linux\n \
                INITRD initrd.gz\n APPEND console=ttyS0,115200 ---\n";
    let files = ["pxelinux.0", "ldlinux.c32"];
    boot(
        run,
        Firmware::Bios,
        "x86PC,Boot,pxelinux",
        &files,
        ("pxelinux.cfg/default", menu),
    )
}

/// UEFI machine, dnsmasq as proxyDHCP and TFTP server, shim, GRUB, Debian's installer.
pub(crate) fn uefi(run: &Run<'_>) -> Result<()> {
    let menu = "linux /linux console=ttyS0,115200 ---\ninitrd /initrd.gz\nboot\n";
    let files = ["shimx64.efi", "grubx64.efi"];
    boot(
        run,
        Firmware::UefiX64,
        "X86-64_EFI,Boot,shimx64.efi",
        &files,
        ("grub/grub.cfg", menu),
    )
}

fn boot(
    run: &Run<'_>,
    firmware: Firmware,
    service: &str,
    loaders: &[&str],
    (menu_name, menu): (&str, &str),
) -> Result<()> {
    let (lan, _capture) = run.lan()?;
    let site = lan.host("site", Some(SITE))?;
    let server = lan.host("server", Some(FARRIER))?;
    let _dhcp = SiteDhcp::Dnsmasq.start(&site, &run.dir)?;

    let root = run.dir.join("tftp");
    let menu_file = root.join(menu_name);
    let menu_dir = menu_file.parent().unwrap_or(&root);
    std::fs::create_dir_all(menu_dir).context("make the TFTP root")?;
    std::fs::write(&menu_file, menu).context("write the menu")?;
    let assets = &run.options.assets;
    for name in loaders {
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
        .args([&format!("--pxe-service={service}"), "--enable-tftp"])
        .arg(format!("--tftp-root={}", root.display()));
    let _proxy = Process::spawn("dnsmasq as proxyDHCP", command, &run.dir.join("proxy.log"))?;

    let mut machine = Machine::power_on(&lan, &run.dir, Spec::new(run.name, firmware, 1))?;
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
