//! The guides of `docs/guides`, run as they are written.

use super::Run;
use super::boots::{PATIENCE, Stand};
use super::payload::empty_disk;
use crate::guide::{Deed, Guide};
use crate::lan::Host;
use crate::machine::{Firmware, Machine, Spec};
use crate::process::run as finish;
use crate::site::SiteDhcp;
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// `docs/guides/switches.md`
pub(crate) fn switches(run: &Run<'_>) -> Result<()> {
    follow(run, "docs/guides/switches.md")
}

/// `docs/guides/diskless-classroom.md`
pub(crate) fn classroom(run: &Run<'_>) -> Result<()> {
    follow(run, "docs/guides/diskless-classroom.md")
}

/// `docs/guides/debian-forty.md`
pub(crate) fn forty(run: &Run<'_>) -> Result<()> {
    follow(run, "docs/guides/debian-forty.md")
}

fn follow(run: &Run<'_>, path: &str) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let guide = Guide::parse(&text).with_context(|| path.to_owned())?;
    own_srv()?;
    let work = desk(run)?;
    // What the guide's directories need before Farrier starts is made by its first block.
    let mut deeds = guide.deeds.iter();
    if !guide.config.is_empty()
        && let Some(first) = deeds.next()
    {
        bash(&mut Command::new("bash"), first, &work)?;
    }
    let stand = Stand::with_config(run, SiteDhcp::Dnsmasq, &guide.config)?;
    let elsewhere = stand.lan.host("switch", Some(SWITCH))?;
    let mut machines = HashMap::new();
    for deed in deeds {
        match deed {
            Deed::Commands { line, .. } => {
                done(run, &stand, &elsewhere, deed, &work)
                    .with_context(|| format!("{path}, line {line}"))?;
            }
            Deed::Boot { name, mac, until } => {
                // The same name again is the same machine after a power cut.
                machines.remove(name);
                // With a disk, which a diskless machine leaves alone.
                let disk = empty_disk(&run.dir)?;
                let mut spec = Spec::new(name, Firmware::Bios, 1).with_disk(disk);
                spec.mac = *mac;
                let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
                let after = machine.expect(until, PATIENCE)?;
                run.say(format!(
                    "{name}: {until:?} after {:.1} s",
                    after.as_secs_f32()
                ));
                machines.insert(name, machine);
            }
            Deed::Off { name } => drop(machines.remove(name)),
        }
    }
    Ok(())
}

fn done(run: &Run<'_>, stand: &Stand, elsewhere: &Host, deed: &Deed, work: &Path) -> Result<()> {
    let Deed::Commands {
        elsewhere: other, ..
    } = deed
    else {
        return Ok(());
    };
    let mut command = match other {
        true => elsewhere.command("bash"),
        false => Command::new("bash"),
    };
    let programs = run.options.farrier.parent().unwrap_or(Path::new("."));
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env(
            "PATH",
            format!("{}:{path}:/usr/sbin:/sbin", programs.display()),
        )
        .env("FARRIER_DATA_DIR", stand.server.data_dir());
    bash(&mut command, deed, work)
}

/// Runs one block; the first command that fails ends it.
fn bash(command: &mut Command, deed: &Deed, work: &Path) -> Result<()> {
    let Deed::Commands { line, text, .. } = deed else {
        return Ok(());
    };
    let script = work.join(format!("line-{line}.sh"));
    std::fs::write(&script, text).with_context(|| format!("write {}", script.display()))?;
    finish(
        command
            .args(["-euo", "pipefail"])
            .arg(&script)
            .current_dir(work),
    )?;
    Ok(())
}

/// Where the commands are run: what they make stays out of the repository.
fn desk(run: &Run<'_>) -> Result<PathBuf> {
    let work = run.dir.join("work");
    std::fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    let link = |from: &str, to: &str| {
        let from = std::path::absolute(from).context("where are we?")?;
        std::os::unix::fs::symlink(&from, work.join(to))
            .with_context(|| format!("link {}", from.display()))
    };
    link("configs", "configs")?;
    // The one program of `deploy` that guides name; this one builds a system only once.
    std::fs::create_dir_all(work.join("deploy")).context("create deploy")?;
    link("deploy/lab/build-live.sh", "deploy/build-live.sh")?;
    Ok(work)
}

/// An empty /srv, seen by this run only; once for all guides.
fn own_srv() -> Result<()> {
    static MADE: Mutex<bool> = Mutex::new(false);
    let mut made = MADE.lock().expect("no panic while held");
    if !*made {
        mount(
            Some("tmpfs"),
            "/srv",
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("mount a private /srv")?;
        *made = true;
    }
    Ok(())
}

/// The host that is no server.
const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
