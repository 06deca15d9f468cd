//! Machines that boot what is assigned to them.

use super::Run;
use crate::events::{Step, in_order};
use crate::lan::{FARRIER, Host, Lan, SITE};
use crate::machine::{Firmware, Machine, Spec};
use crate::process::Process;
use crate::server::Server;
use crate::site::SiteDhcp;
use anyhow::{Result, ensure};
use bootplan::timeline::Milestone;
use bootplan::{MacAddr, Stage, Transport};
use std::time::Duration;

/// A LAN with a site DHCP server and Farrier. Dropped in this order: servers first.
pub(crate) struct Stand {
    /// Farrier.
    pub(crate) server: Server,
    _dhcp: Process,
    _capture: Option<Process>,
    /// The host Farrier runs on.
    pub(crate) farrier: Host,
    _site: Host,
    /// The LAN.
    pub(crate) lan: Lan,
}

impl Stand {
    /// Builds it, with the sample profiles.
    ///
    /// # Errors
    /// When something is missing or does not start.
    pub(crate) fn build(run: &Run<'_>, dhcp: SiteDhcp) -> Result<Self> {
        Self::with_config(run, dhcp, "")
    }

    /// The same with more in Farrier's configuration file.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub(crate) fn with_config(run: &Run<'_>, dhcp: SiteDhcp, more: &str) -> Result<Self> {
        let (lan, capture) = run.lan()?;
        let site = lan.host("site", Some(SITE))?;
        let farrier = lan.host("farrier", Some(FARRIER))?;
        let dhcp_server = dhcp.start(&site, &run.dir)?;
        let server = Server::start(
            &run.options.farrier,
            &run.options.assets,
            &farrier,
            &run.dir,
            more,
        )?;
        server.cli(&["apply", "-f", PROFILES])?;
        Ok(Self {
            server,
            _dhcp: dhcp_server,
            _capture: capture,
            farrier,
            _site: site,
            lan,
        })
    }
}

/// A [`Stand`] whose Farrier has ended.
pub(crate) struct Abandoned {
    _dhcp: Process,
    _capture: Option<Process>,
    _farrier: Host,
    _site: Host,
    /// The LAN.
    pub(crate) lan: Lan,
}

impl Stand {
    /// Stops Farrier; its host stays.
    pub(crate) fn without_server(self) -> Abandoned {
        drop(self.server);
        Abandoned {
            _dhcp: self._dhcp,
            _capture: self._capture,
            _farrier: self.farrier,
            _site: self._site,
            lan: self.lan,
        }
    }
}

/// BIOS, PXELINUX by TFTP.
pub(crate) fn bios_pxelinux(run: &Run<'_>) -> Result<()> {
    boot(
        run,
        Firmware::Bios,
        "pxelinux",
        SiteDhcp::Dnsmasq,
        &["PXELINUX 6"],
        &[
            Step::Offered(Stage::Ipxe, "pxelinux.0"),
            Step::File(Transport::Tftp, "pxelinux.0"),
            Step::File(Transport::Tftp, "ldlinux.c32"),
            Step::Menu(Stage::Pxelinux, Transport::Tftp, INSTALLER),
            Step::File(Transport::Tftp, KERNEL),
            Step::File(Transport::Tftp, INITRD),
        ],
    )
}

/// BIOS, the ROM's own iPXE, script by HTTP.
pub(crate) fn bios_ipxe(run: &Run<'_>) -> Result<()> {
    boot(
        run,
        Firmware::Bios,
        "ipxe",
        SiteDhcp::Dnsmasq,
        &["iPXE"],
        &[
            Step::Offered(Stage::Ipxe, "boot.ipxe"),
            Step::Menu(Stage::Ipxe, Transport::Http, INSTALLER),
            Step::File(Transport::Http, KERNEL),
            Step::File(Transport::Http, INITRD),
        ],
    )
}

/// UEFI, snponly.efi, script by HTTP; the site's server sets siaddr.
pub(crate) fn uefi_ipxe(run: &Run<'_>) -> Result<()> {
    uefi_ipxe_at(run, SiteDhcp::Dnsmasq)
}

/// The same where the site's server leaves siaddr zero.
pub(crate) fn uefi_ipxe_siaddr0(run: &Run<'_>) -> Result<()> {
    uefi_ipxe_at(run, SiteDhcp::Udhcpd)
}

/// UEFI, shim, GRUB; the site's server sets siaddr.
pub(crate) fn uefi_grub(run: &Run<'_>) -> Result<()> {
    uefi_grub_at(run, SiteDhcp::Dnsmasq)
}

/// The same where the site's server leaves siaddr zero.
pub(crate) fn uefi_grub_siaddr0(run: &Run<'_>) -> Result<()> {
    uefi_grub_at(run, SiteDhcp::Udhcpd)
}

fn uefi_ipxe_at(run: &Run<'_>, dhcp: SiteDhcp) -> Result<()> {
    boot(
        run,
        Firmware::UefiX64,
        "ipxe",
        dhcp,
        &["iPXE"],
        &[
            Step::Offered(Stage::Firmware, "snponly.efi"),
            Step::BootServerAck("snponly.efi"),
            Step::File(Transport::Tftp, "snponly.efi"),
            Step::Offered(Stage::Ipxe, "boot.ipxe"),
            Step::Menu(Stage::Ipxe, Transport::Http, INSTALLER),
            Step::File(Transport::Http, KERNEL),
            Step::File(Transport::Http, INITRD),
        ],
    )
}

fn uefi_grub_at(run: &Run<'_>, dhcp: SiteDhcp) -> Result<()> {
    boot(
        run,
        Firmware::UefiX64,
        "grub",
        dhcp,
        &[],
        &[
            Step::Offered(Stage::Firmware, "shimx64.efi"),
            Step::BootServerAck("shimx64.efi"),
            Step::File(Transport::Tftp, "shimx64.efi"),
            Step::File(Transport::Tftp, "grubx64.efi"),
            Step::Menu(Stage::Grub, Transport::Tftp, INSTALLER),
            Step::File(Transport::Tftp, KERNEL),
            Step::File(Transport::Tftp, INITRD),
        ],
    )
}

/// Boots one machine to the Debian installer's first screen.
fn boot(
    run: &Run<'_>,
    firmware: Firmware,
    loader: &str,
    dhcp: SiteDhcp,
    printed: &[&str],
    steps: &[Step],
) -> Result<()> {
    let mut stand = Stand::build(run, dhcp)?;
    run.say(format!(
        "the site's DHCP server is {}; Farrier is ready",
        dhcp.name()
    ));
    let spec = Spec::new(run.name, firmware, 1);
    let mac = spec.mac;
    stand
        .server
        .apply(&assigned(run.name, &spec, INSTALLER, Some(loader)))?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    for marker in printed.iter().chain(&["Linux version", FIRST_SCREEN]) {
        let after = machine.expect(marker, PATIENCE)?;
        run.say(format!(
            "printed {marker:?} {:.1} s after power-on",
            after.as_secs_f32()
        ));
    }
    let events = stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, steps))?;
    run.say(format!(
        "the timeline has its {} steps in order, in {} events",
        steps.len(),
        events.len()
    ));
    handed_over(&stand.server, mac)
}

/// Checks that the server itself says that the operating system has the machine.
pub(crate) fn handed_over(server: &Server, mac: MacAddr) -> Result<()> {
    let milestone = server.milestone(mac)?;
    ensure!(
        milestone == Milestone::HandedOver,
        "the server says that the boot came to {milestone:?} only"
    );
    Ok(())
}

/// An `apply` document for one machine with an assignment.
pub(crate) fn assigned(name: &str, spec: &Spec, profile: &str, loader: Option<&str>) -> String {
    let loader = loader.map_or_else(String::new, |l| format!("loader: {l}\n"));
    format!(
        "kind: machine\nname: {name}\nmacs: [\"{}\"]\nprofile: {profile}\n{loader}",
        spec.mac
    )
}

/// The sample profiles, applied as an operator would.
const PROFILES: &str = "configs/profiles";
/// The sample profile that boots Debian's installer on a serial console.
pub(crate) const INSTALLER: &str = "debian-12-serial";
/// Its kernel and initrd, as they are named on the wire.
const KERNEL: &str = "debian-12/amd64/linux";
const INITRD: &str = "debian-12/amd64/initrd.gz";
/// What the installer's first dialogue is called.
pub(crate) const FIRST_SCREEN: &str = "Select a language";
/// From one marker to the next: five times what a busy machine was seen to take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(400);
/// For the last events to be written.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::Profile;
    use serde_yaml::Value;
    use std::path::Path;

    #[test]
    fn every_sample_profile_is_valid_and_the_one_we_boot_is_among_them() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(PROFILES);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).expect("the samples are there") {
            let path = entry.expect("readable").path();
            let text = std::fs::read_to_string(&path).expect("readable");
            let mut document: Value = serde_yaml::from_str(&text).expect("YAML");
            let kind = document.as_mapping_mut().expect("a mapping").remove("kind");
            assert_eq!(kind, Some("profile".into()), "{}", path.display());
            let profile: Profile = serde_yaml::from_value(document)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            profile
                .validate()
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let stem = path.file_stem().and_then(|s| s.to_str()).expect("UTF-8");
            assert_eq!(
                profile.name.as_str(),
                stem,
                "a file is called as its profile"
            );
            names.push(stem.to_owned());
        }
        assert!(names.iter().any(|n| n == INSTALLER), "{names:?}");
    }
}
