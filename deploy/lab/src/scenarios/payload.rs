//! The lab's own installer (`deploy/lab/payload.sh`): small enough to install in seconds.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand, assigned, handed_over};
use crate::events::{Step, in_order};
use crate::machine::{Firmware, Machine, Spec};
use crate::site::SiteDhcp;
use anyhow::{Context, Result, bail};
use bootplan::{Stage, Transport};
use std::path::{Path, PathBuf};

/// Boots it through Farrier by a plain profile; what it wrote is what the machine starts then.
pub(crate) fn installs(run: &Run<'_>) -> Result<()> {
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    stand.server.apply(PROFILE)?;
    let disk = empty_disk(&run.dir)?;
    let spec = Spec::new(run.name, Firmware::Bios, 1).with_disk(disk);
    let mac = spec.mac;
    stand.server.apply(&assigned(run.name, &spec, NAME, None))?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
    let after = machine.expect("PAYLOAD: installed", PATIENCE)?;
    run.say(format!(
        "installed {:.1} s after power-on",
        after.as_secs_f32()
    ));
    machine.goes_off(PATIENCE)?;
    let steps = [
        Step::Menu(Stage::Ipxe, Transport::Http, NAME),
        Step::File(Transport::Http, "payload/linux"),
        Step::File(Transport::Http, "payload/initrd"),
    ];
    stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    handed_over(&stand.server, mac)?;

    stand
        .server
        .cli(&["machine", "assign", "--none", run.name])?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    let after = machine.expect(DISK_SAYS, PATIENCE)?;
    if machine.has_printed("Linux version") {
        bail!("it booted from the network");
    }
    run.say(format!(
        "its disk speaks {:.1} s after power-on",
        after.as_secs_f32()
    ));
    Ok(())
}

/// A disk with nothing on it; BIOSes do not boot from smaller ones.
pub(super) fn empty_disk(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("empty.img");
    std::fs::write(&path, vec![0; 1 << 20]).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

const NAME: &str = "payload";
const PROFILE: &str = "\
kind: profile
name: payload
title: The lab's installer
boot: {kind: linux, kernel: payload/linux, initrds: [payload/initrd], args: quiet, console: \"ttyS0,115200\"}
";
/// What the payload's boot sector prints when no answers say otherwise.
const DISK_SAYS: &str = "INSTALLED BY THE PAYLOAD";
