//! `farrier assets sync`: loaders and sample images from Debian's packages.

use super::Global;
use super::output::out;
use crate::setup;
use anyhow::bail;
use bootfiles::assets::{SyncOptions, sync};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `farrier assets …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install loaders and sample images into the data directory, with checksums
    Sync(Sync),
}

/// `farrier assets sync`
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Install everything again, even what is there and whole
    #[arg(long)]
    force: bool,
    /// Look for newer packages
    #[arg(long)]
    refresh: bool,
    /// Use no network: packages downloaded before, and those installed on this host
    #[arg(long)]
    offline: bool,
    /// Debian mirror [default: the one this host's apt uses]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Take package files from this directory instead of downloading
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let Command::Sync(args) = command;
    let (config, _) = global.load_config()?;
    setup::make_directories(&config.data_dir)?;
    let options = SyncOptions {
        force: args.force,
        refresh: args.refresh,
        offline: args.offline,
        mirror: args.mirror,
        packages: args.packages,
        ..SyncOptions::new(config.data_dir)
    };
    let report = sync(&options, &mut |step| eprintln!("{step}"))?;
    out!("{report}");
    if !report.is_complete() {
        bail!("some files are missing; machines that need them cannot boot");
    }
    Ok(())
}
