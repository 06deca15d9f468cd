//! The command line: what there is to say, and who does it.

mod apply;
mod assets;
mod boots;
mod build_live;
mod client;
mod diskless;
mod explain;
mod export;
mod hook;
mod identity;
mod image;
mod image_fetch;
mod machine;
mod machine_many;
mod orders;
mod output;
mod power;
mod profile;
mod progress;
mod review;
mod rule;
mod secret;
mod status;
mod tftp;
mod tftp_put;
mod user;

use crate::config;
use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use output::outln;
pub(crate) use output::without_password;
use std::path::PathBuf;

/// Network boot beside the DHCP server you already have.
#[derive(Debug, Parser)]
#[command(name = "farrier", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command knows.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file [default: /etc/farrier/farrier.yaml if it exists]
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "FARRIER_CONFIG"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Data directory; wins over the configuration's
    #[arg(long, global = true, value_name = "DIR", env = "FARRIER_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Control socket of the running server [default: run/control.sock in the data directory]
    #[arg(long, global = true, value_name = "PATH", env = "FARRIER_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// A remote server's pages, e.g. http://10.0.0.2:8080 (needs --token)
    #[arg(long, global = true, value_name = "URL", env = "FARRIER_SERVER")]
    pub(crate) server: Option<String>,
    /// API token for --server
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "FARRIER_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer machines that boot from the network
    Serve {
        /// Log JSON lines
        #[arg(long)]
        json_log: bool,
    },
    /// Check a configuration file: errors with file:line:column
    Check,
    /// Loaders and sample images
    #[command(subcommand)]
    Assets(assets::Command),
    /// Machines of the running server
    #[command(subcommand)]
    Machine(machine::Command),
    /// Profiles of the running server
    #[command(subcommand)]
    Profile(profile::Command),
    /// Rules: what machines get that have no assignment of their own
    #[command(subcommand)]
    Rule(rule::Command),
    /// Images of the running server
    #[command(subcommand)]
    Image(image::Command),
    /// What a machine would get, and because of what
    Explain(explain::Explain),
    /// Bring machines, profiles and settings to what YAML files say
    Apply(apply::Apply),
    /// Print machines, profiles and settings as YAML
    Export(export::Export),
    /// What machines are doing
    Boots(boots::Boots),
    /// What machines without a disk keep
    #[command(subcommand)]
    Diskless(diskless::Command),
    /// What the server is doing: interfaces, ports, loaders, counters
    Status,
    /// Secrets that sealed answers name
    #[command(subcommand)]
    Secret(secret::Command),
    /// Web hooks: who is told of what happens
    #[command(subcommand)]
    Hook(hook::Command),
    /// Who may log in (on the server's own host only)
    #[command(subcommand)]
    User(user::Command),
    /// TFTP client, for looking into things
    #[command(subcommand)]
    Tftp(tftp::Command),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs one command.
///
/// # Errors
/// A text for people: what was tried, with which value, and what to do.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Serve { json_log } => {
            let (mut config, path) = config::load_or_default(global.config.as_deref())?;
            let said = config::Overrides {
                data_dir: global.data_dir.clone(),
                json_log,
            };
            said.apply(&mut config);
            crate::logging::start(&config.log)?;
            crate::server::run(config, path, said).await
        }
        Command::Check => check(global),
        Command::Assets(command) => assets::run(global, command),
        Command::Machine(command) => machine::run(global, command).await,
        Command::Profile(command) => profile::run(global, command).await,
        Command::Rule(command) => rule::run(global, command).await,
        Command::Image(command) => image::run(global, command).await,
        Command::Secret(command) => secret::run(global, command).await,
        Command::Hook(command) => hook::run(global, command).await,
        Command::Explain(explain) => explain::run(global, explain).await,
        Command::Apply(apply) => apply::run(global, apply).await,
        Command::Export(export) => export::run(global, export).await,
        Command::Boots(boots) => boots::run(global, boots).await,
        Command::Diskless(command) => diskless::run(global, command).await,
        Command::Status => status::run(global).await,
        Command::User(command) => user::run(global, command).await,
        Command::Tftp(command) => tftp::run(command).await,
        Command::Completions { shell } => {
            // Into memory first: the generator panics when its writer fails.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "farrier", &mut script);
            output::bytes(&script);
            Ok(())
        }
    }
}

fn check(global: &Global) -> anyhow::Result<()> {
    let (config, path) = global.load_config()?;
    match path {
        Some(path) => outln!("{}: ok", path.display()),
        None => outln!("no configuration file: the defaults apply, and they are fine"),
    }
    outln!("data directory  {}", config.data_dir.display());
    outln!(
        "database        {}",
        output::without_password(&config.database_url())
    );
    outln!("boot plane      http://{}", config.http.listen);
    outln!("people's pages  http://{}", config.ui.listen);
    let interfaces = match config.interfaces.as_slice() {
        [] => "every suitable one".to_owned(),
        named => named.join(", "),
    };
    outln!("interfaces      {interfaces}");
    Ok(())
}

impl Global {
    /// The configuration with what the command line says about it, and the file it came from.
    pub(crate) fn load_config(&self) -> anyhow::Result<(config::Config, Option<PathBuf>)> {
        let (mut config, path) = config::load_or_default(self.config.as_deref())?;
        let said = config::Overrides {
            data_dir: self.data_dir.clone(),
            json_log: false,
        };
        said.apply(&mut config);
        Ok((config, path))
    }

    /// Where the running server is.
    pub(crate) fn client(&self) -> anyhow::Result<client::Client> {
        if let Some(server) = &self.server {
            let token = self.token.clone().context(
                "--server needs an API token: make one under Settings in the browser and pass --token or FARRIER_TOKEN",
            )?;
            return Ok(client::Client::remote(server, token)?);
        }
        let socket = match (&self.socket, &self.data_dir) {
            (Some(socket), _) => socket.clone(),
            (None, Some(dir)) => config::control_socket(dir),
            (None, None) => self.configured_socket()?,
        };
        Ok(client::Client::local(socket))
    }

    /// A mistake in the file must not keep people from asking the server that runs on what the
    /// file said before.
    fn configured_socket(&self) -> anyhow::Result<PathBuf> {
        match config::load_or_default(self.config.as_deref()) {
            Ok((config, _)) => Ok(config.control_socket()),
            Err(error @ config::ConfigError::Invalid { .. }) => {
                let dir = config::data_dir_at_least(self.config.as_deref());
                let looking = dir.display();
                eprintln!("farrier: warning: {error}; looking for the server in {looking}");
                Ok(config::control_socket(&dir))
            }
            Err(error) => Err(error.into()),
        }
    }
}
