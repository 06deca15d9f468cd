//! The virtual lab: a private LAN in network namespaces, a site DHCP server that knows nothing of
//! network booting, Farrier, and QEMU machines with real firmware and nothing on their disk.
//!
//! `lab demo` shows two machines booting; `lab test` asserts every boot of the test list.

mod console;
mod demo;
mod events;
mod forward;
mod guide;
mod lan;
mod machine;
mod mirror;
mod scenarios;
mod server;
mod site;
mod times;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::{process, sandbox};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The virtual lab of Farrier. Needs root; touches no interface of this host.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Args {
    /// The farrier program to test.
    #[arg(long, env = "FARRIER_BIN", default_value = "target/debug/farrier")]
    farrier: PathBuf,
    /// Where `farrier assets sync` put the loaders.
    #[arg(long, env = "FARRIER_ASSETS", default_value = ".lab/assets")]
    assets: PathBuf,
    /// Where logs are kept.
    #[arg(long, default_value = ".lab/logs")]
    logs: PathBuf,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Boots machines and asserts what they print; all scenarios, or the named ones.
    Test {
        /// Names, see `lab list`.
        names: Vec<String>,
        /// How many at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Also record what crosses the bridge (lan.pcap beside the logs).
        #[arg(long)]
        capture: bool,
    },
    /// Measures the time from power-on to the payload's first line, with Farrier and with dnsmasq
    /// as proxyDHCP and TFTP server, in turn, for BIOS and UEFI x64.
    Time {
        /// How often each machine boots from each server.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Replace the part of this Markdown file that is written by `lab time`.
        #[arg(long)]
        markdown: Option<PathBuf>,
    },
    /// Shows two machines booting, in plain words.
    Demo {
        /// Leave everything up until Ctrl-C.
        #[arg(long)]
        keep: bool,
        /// Port of 127.0.0.1 for the pages.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Lists the scenarios.
    List,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if let Action::List = args.command {
        scenarios::list();
        return Ok(ExitCode::SUCCESS);
    }
    let Some(run_dir) = sandbox::worker()? else {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let run_dir = std::env::temp_dir().join(format!("farrier-lab-{}", std::process::id()));
        return sandbox::keep(&words, &run_dir, &args.logs);
    };
    let options = scenarios::Options {
        farrier: absolute(&args.farrier),
        assets: absolute(&args.assets),
        capture: matches!(args.command, Action::Test { capture: true, .. }),
    };
    match &args.command {
        Action::Test { names, jobs, .. } => scenarios::test(&options, &run_dir, names, *jobs),
        Action::Time { rounds, markdown } => {
            times::run(&options, &run_dir, *rounds, markdown.as_deref())
        }
        Action::Demo { keep, port } => demo::run(&options, &run_dir, *port, *keep),
        Action::List => Ok(ExitCode::SUCCESS),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
