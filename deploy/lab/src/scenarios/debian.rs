//! Debian's own installer, unattended by the sample profile and its answers: from an empty disk to the
//! login prompt of what it installed.
//!
//! `deploy/lab/debian-mirror.sh` prepares the installer; the packages come by [`Mirror`].

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand};
use super::orders::lifecycle;
use crate::machine::{Firmware, Machine, Spec};
use crate::mirror::Mirror;
use crate::process::run as finish;
use crate::sandbox::pause;
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use bootplan::{Event, EventKind};
use serde_json::json;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The whole way by BIOS.
pub(crate) fn installs(run: &Run<'_>) -> Result<()> {
    whole_way(run, Firmware::Bios)
}

/// The same by UEFI, whose firmware forgets its boot entries in between.
pub(crate) fn installs_by_uefi(run: &Run<'_>) -> Result<()> {
    whole_way(run, Firmware::UefiX64)
}

fn whole_way(run: &Run<'_>, firmware: Firmware) -> Result<()> {
    let prepared = run.options.assets.with_file_name("mirror");
    ensure!(
        prepared.join("boot/linux").exists(),
        "no installer in {}: run `make debian-install`",
        prepared.display()
    );
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let shop = stand.lan.host("mirror", Some(MIRROR))?;
    let mirror = Mirror::start(&shop, &prepared)?;
    let images = PathBuf::from(stand.server.data_dir()).join("images/lab-installer");
    std::fs::create_dir_all(&images).context("make room for the installer")?;
    for file in ["linux", "initrd.gz"] {
        std::fs::copy(prepared.join("boot").join(file), images.join(file))
            .with_context(|| format!("take over {file}"))?;
    }

    samples(&stand, run)?;
    let disk = run.dir.join("disk.img");
    let file = std::fs::File::create(&disk).context("create the disk")?;
    file.set_len(DISK).context("size the disk")?;
    let spec = Spec::new(run.name, firmware, 1).with_disk(disk.clone());
    let mac = spec.mac;
    stand.server.apply(&format!(
        "kind: machine\nname: {}\nmacs: [\"{mac}\"]\n",
        run.name
    ))?;
    let order = ["machine", "install", run.name, "--profile", PROFILE];
    stand.server.cli(&order)?;

    let mut installer = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
    for stage in STAGES {
        let after = installer.expect(stage, LONG)?;
        run.say(format!(
            "{stage:?} {:.0} s after power-on",
            after.as_secs_f32()
        ));
    }
    installer.goes_off(LONG)?;
    let deadline = Instant::now() + SETTLE;
    loop {
        let told = lifecycle(&stand, run.name)?;
        if told["lifecycle"] == "installed" {
            break;
        }
        ensure!(Instant::now() < deadline, "not installed: {told}");
        pause(Duration::from_millis(200))?;
    }
    let given = mirror.given();
    run.say(format!(
        "it reported and restarted {:.0} s after power-on; {} files ({} MiB) came from the mirror, {} of them \
         from outside; {} MiB of its disk are written",
        installer.uptime().as_secs_f32(),
        given.files,
        given.octets >> 20,
        given.fetched,
        (disk.metadata().context("look at the disk")?.blocks() * 512) >> 20,
    ));
    drop(installer);

    let kernels = loads(&stand.server.events_of(mac)?);
    for time in ["once", "again"] {
        let mut installed = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
        let after = installed.expect(&format!("{} login:", run.name), LONG)?;
        run.say(format!(
            "switched on {time}: the login prompt of its own disk after {:.0} s",
            after.as_secs_f32()
        ));
        looks_right(&mut installed)?;
        installed.goes_off(PATIENCE)?;
    }
    let now = loads(&stand.server.events_of(mac)?);
    ensure!(
        now == kernels && kernels > 0,
        "the installer's kernel was fetched {now} times, {kernels} before it was installed"
    );
    Ok(())
}

/// Logs in with the password whose hash was a secret, and asks the system how it is.
fn looks_right(machine: &mut Machine) -> Result<()> {
    machine.type_keys("root\n")?;
    machine.expect("Password:", PATIENCE)?;
    machine.type_keys(&format!("{PASSWORD}\n"))?;
    // What is typed before the shell listens is lost.
    let prompt = format!("root@{}:~#", machine.name());
    machine.expect(&prompt, PATIENCE)?;
    machine.type_keys(
        "echo SYSTEM=$(cut -c1-3 /etc/debian_version) SSH=$(systemctl is-active ssh) \
         FAILED=$(systemctl --failed --no-legend | wc -l)\n",
    )?;
    machine.expect("SYSTEM=12. SSH=active FAILED=0", PATIENCE)?;
    machine.type_keys("systemctl poweroff\n")
}

/// How often a machine fetched the installer's kernel.
fn loads(events: &[Event]) -> usize {
    let kernel = |e: &&Event| matches!(&e.kind, EventKind::FileServed { path, .. } if path.ends_with("lab-installer/linux"));
    events.iter().filter(kernel).count()
}

/// The sample profile, its templates and its secret, as an operator brings them.
fn samples(stand: &Stand, run: &Run<'_>) -> Result<()> {
    for file in ["snippets.yaml", "debian-preseed.yaml"] {
        stand
            .server
            .cli(&["apply", "-f", &format!("{TEMPLATES}/{file}")])?;
    }
    let hash = finish(Command::new("openssl").args(["passwd", "-6", PASSWORD]))?;
    let value = json!({ "value": hash.trim() });
    stand.server.put("/secrets/root-password-hash", &value)?;

    let mut profile = std::fs::read_to_string(SAMPLE).with_context(|| format!("read {SAMPLE}"))?;
    // A console that we can read, the suite of debian-mirror.sh, and no limit of time: emulation is slow.
    for (from, to) in [
        ("debian-12/amd64/linux", "lab-installer/linux"),
        ("debian-12/amd64/initrd.gz", "lab-installer/initrd.gz"),
        (
            "kind: linux\n",
            "kind: linux\n  console: \"ttyS0,115200\"\n",
        ),
        ("auto=true", ARGS),
        ("minutes: 120", "minutes: 600"),
    ] {
        ensure!(profile.contains(from), "{SAMPLE} has no {from:?} any more");
        profile = profile.replacen(from, to, 1);
    }
    // The variables of a site that has a mirror and no way out.
    profile += &format!(
        "variables: {{mirror_host: {MIRROR}, security_host: {MIRROR}, suite: bookworm, \
         tasks: [ssh-server], upgrade: none}}\n"
    );
    stand.server.apply(&profile)?;
    run.say("the sample profile, its answers and its secret are there");
    Ok(())
}

const MIRROR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const TEMPLATES: &str = "configs/templates";
const SAMPLE: &str = "configs/installs/debian-12-auto.yaml";
const PROFILE: &str = "debian-12-auto";
/// In front of the sample's arguments. The small initial RAM disk saves an emulated machine minutes.
const ARGS: &str = "DEBIAN_FRONTEND=text ipv6.disable=1 mirror/udeb/suite=lab \
    base-installer/initramfs-tools/driver-policy=dep base-installer/install-recommends=false auto=true";
const PASSWORD: &str = "correct-horse";
/// Sparse.
const DISK: u64 = 4 << 30;
/// What the installer says it does, in order.
const STAGES: &[&str] = &[
    "Linux version",
    "Loading additional components",
    "Installing the base system",
    "Select and install software",
    "Installing GRUB boot loader",
    "Finishing the installation",
];
/// From one stage to the next. Emulation on a busy machine is slow.
const LONG: Duration = Duration::from_secs(90 * 60);
