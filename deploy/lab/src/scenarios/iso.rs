//! A machine that boots a kernel from inside an untouched ISO.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand, assigned};
use super::payload::empty_disk;
use crate::events::{Step, in_order};
use crate::machine::{Firmware, Machine, Spec};
use crate::process;
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use bootplan::{Stage, Transport};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Brings an ISO in, takes the profile that it offers, and boots it: the kernel, the initial RAM
/// disk and what they do are the payload's.
pub(crate) fn boots(run: &Run<'_>) -> Result<()> {
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let iso = made(run)?;
    let server = &stand.server;
    server.cli(&["image", "add", &iso.display().to_string()])?;
    let offered = server.cli(&["image", "offer", "lab.iso", "--make"])?;
    ensure!(offered.contains("made lab:"), "offered was: {offered}");
    // What is offered knows nothing of serial consoles.
    server.apply(PROFILE)?;
    let spec = Spec::new(run.name, Firmware::Bios, 1).with_disk(empty_disk(&run.dir)?);
    let mac = spec.mac;
    server.apply(&assigned(run.name, &spec, "lab", None))?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    let after = machine.expect("PAYLOAD: installed", PATIENCE)?;
    let seconds = after.as_secs_f32();
    run.say(format!(
        "it ran from inside the ISO {seconds:.1} s after power-on"
    ));
    let steps = [
        Step::Menu(Stage::Ipxe, Transport::Http, "lab"),
        Step::File(Transport::Http, "lab/boot/vmlinuz"),
        Step::File(Transport::Http, "lab/boot/initrd.img"),
    ];
    stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    let refused = stand.server.cli(&["image", "remove", "lab.iso"]);
    ensure!(
        refused.is_err(),
        "an image was removed while a profile boots from it"
    );
    Ok(())
}

fn made(run: &Run<'_>) -> Result<PathBuf> {
    let (tree, iso) = (run.dir.join("tree"), run.dir.join("lab.iso"));
    let payload = run.options.assets.join("images/payload");
    fs::create_dir_all(tree.join("boot"))?;
    for (from, to) in [("linux", "vmlinuz"), ("initrd", "initrd.img")] {
        let from = payload.join(from);
        fs::copy(&from, tree.join("boot").join(to))
            .with_context(|| format!("copy {} (`make boots` makes it)", from.display()))?;
        // At the top, too: that is where a pair is recognised. xorriso keeps one copy of both.
        fs::hard_link(tree.join("boot").join(to), tree.join(to))?;
    }
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-r", "-J", "-V", "LAB", "-o"]);
    process::run(xorriso.arg(&iso).arg(&tree))?;
    Ok(iso)
}

const PROFILE: &str = "\
kind: profile
name: lab
title: The lab's installer, from inside an ISO
boot: {kind: linux, kernel: lab/boot/vmlinuz, initrds: [lab/boot/initrd.img], args: quiet, console: \"ttyS0,115200\"}
";
