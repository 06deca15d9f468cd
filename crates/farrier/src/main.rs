//! Farrier: network boot beside the DHCP server you already have.

mod applier;
mod bind;
mod clerk;
mod cli;
mod config;
mod counters;
mod diskless;
mod documents;
mod foreign;
mod hooks;
mod image_watch;
mod logging;
mod net;
mod reload;
mod server;
mod setup;
mod status;
mod watcher;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Our files hold password hashes: nobody else may read what we create.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(MAY_WAIT)
        .enable_all()
        .build();
    let result = runtime
        .map_err(anyhow::Error::from)
        .and_then(|r| r.block_on(cli::run(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farrier: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Threads that may wait for disks and password hashes. Look-ups for TFTP take 64 of them at most; all together
/// stay below the tasks that `deploy/farrier.service` allows (256).
const MAY_WAIT: usize = 192;
