//! `farrier image build-live`: the sample script of `deploy/build-live.sh`, which came with the program.

use super::output::out;
use anyhow::{Context, bail};
use clap::Args;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Command;

/// What is made, and where.
#[derive(Debug, Args)]
pub(crate) struct BuildLive {
    /// Print the script instead of running it, to change it
    #[arg(long)]
    print: bool,
    /// Put Debian's live-boot into the initial RAM disk as well, for profiles of `start: live-boot`
    #[arg(long)]
    live_boot: bool,
    /// The workstations' architecture as Debian calls it (amd64, arm64); usually this host's
    #[arg(long)]
    arch: Option<String>,
    /// The Debian suite, e.g. bookworm
    #[arg(required_unless_present = "print")]
    suite: Option<String>,
    /// Where linux, initrd.img and filesystem.squashfs are put, e.g. below the images directory
    #[arg(required_unless_present = "print")]
    dir: Option<PathBuf>,
    /// Packages to install in addition
    packages: Vec<String>,
}

/// Runs the script here, as whoever calls (it wants root); no server is needed.
pub(crate) fn run(wanted: &BuildLive) -> anyhow::Result<()> {
    let (Some(suite), Some(dir), false) = (&wanted.suite, &wanted.dir, wanted.print) else {
        out!("{SCRIPT}");
        return Ok(());
    };
    let place = Place::new()?;
    let script = place.0.join("build-live.sh");
    fs::write(&script, SCRIPT).context("cannot write the script")?;
    let parts = place.0.join("boot-assets/diskless");
    fs::create_dir_all(&parts).context("cannot write the script's parts")?;
    for (name, text) in PARTS {
        fs::write(parts.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let mut bash = Command::new("bash");
    bash.env("HERE", &place.0).arg(&script);
    if wanted.live_boot {
        bash.arg("--live-boot");
    }
    if let Some(arch) = &wanted.arch {
        bash.args(["--arch", arch]);
    }
    bash.arg(suite).arg(dir).args(&wanted.packages);
    let status = bash.status().context("cannot start bash")?;
    if !status.success() {
        bail!("the script ended with {status}; `farrier image build-live --print` shows it");
    }
    Ok(())
}

/// A directory of our own, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> anyhow::Result<Place> {
        let dir = std::env::temp_dir().join(format!("farrier-build-live-{}", std::process::id()));
        // Made, not taken over: what somebody else put there is not run as root.
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Place(dir))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SCRIPT: &str = include_str!("../../../../deploy/build-live.sh");
const PARTS: [(&str, &str); 3] = [
    (
        "farrier",
        include_str!("../../../../boot-assets/diskless/farrier"),
    ),
    (
        "hook",
        include_str!("../../../../boot-assets/diskless/hook"),
    ),
    (
        "live-premount",
        include_str!("../../../../boot-assets/diskless/live-premount"),
    ),
];
