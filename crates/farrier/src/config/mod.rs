//! The server's configuration file: exactly what may stand in it, with defaults that make
//! `farrier serve` useful with no file at all.
//!
//! Machines, profiles and site settings are not here: they live in the store, edited in the
//! browser or by `farrier apply`.

mod load;
mod sharing;

pub(crate) use load::{ConfigError, data_dir_at_least, load, load_or_default};

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The configuration file as written. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everything durable lives: database, loaders, images, control socket.
    pub data_dir: PathBuf,
    /// Interfaces to answer on; empty means every suitable one.
    pub interfaces: Vec<String>,
    /// Store URL: `sqlite:PATH` or `postgres://…`; empty means SQLite in the data directory.
    pub database: String,
    /// The DHCP side.
    pub dhcp: Dhcp,
    /// The TFTP server.
    pub tftp: Tftp,
    /// The memory of file contents.
    pub cache: Cache,
    /// Secrets and links.
    pub secrets: Secrets,
    /// A directory of documents that are applied as they are saved.
    pub apply: ApplyFiles,
    /// The HTTP boot plane, for machines.
    pub http: Http,
    /// The people's pages.
    pub ui: Ui,
    /// Machines without a disk.
    pub diskless: Diskless,
    /// What is asked of others: downloads, web hooks.
    pub outgoing: Outgoing,
    /// Power switches.
    pub power: Power,
    /// Logging.
    pub log: Log,
}

/// What the command line said; wins over the file, also when that is read again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--json-log`
    pub json_log: bool,
}

impl Overrides {
    /// Puts it into a configuration.
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        if self.json_log {
            config.log.format = LogFormat::Json;
        }
    }
}

/// `dhcp:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dhcp {
    /// How boot requests are answered.
    pub mode: DhcpMode,
}

/// `dhcp.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DhcpMode {
    /// Ports 67 and 4011.
    #[default]
    Proxy,
    /// Port 4011 only, beside a DHCP server on this host that sends option 60 `PXEClient`.
    BootServerOnly,
    /// No DHCP answers; the site's DHCP server names our loaders itself.
    Off,
}

/// `tftp:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tftp {
    /// Whether TFTP is served.
    pub enabled: bool,
    /// Largest block size agreed to, in bytes. More than 1468 means IP fragments, which many
    /// boot ROMs cannot put together.
    pub max_block_size: u16,
    /// Largest window agreed to, in blocks.
    pub max_window: u16,
    /// Directories that network hardware may write into; none: writing is off.
    pub drop_boxes: Vec<sharing::DropBox>,
    /// Directories served as they are, by TFTP and HTTP.
    pub publish: Vec<sharing::Publish>,
}

/// `cache:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    /// Most memory that contents of served files take, in MiB, for TFTP and HTTP together.
    pub memory_mib: u32,
}

/// `secrets:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Secrets {
    /// The file with the key that secrets are sealed with; empty: `secret.key` in the data
    /// directory.
    pub key_file: PathBuf,
}

impl Config {
    /// Where the key file is.
    pub(crate) fn key_file(&self) -> PathBuf {
        match self.secrets.key_file.as_os_str().is_empty() {
            true => self.data_dir.join("secret.key"),
            false => self.secrets.key_file.clone(),
        }
    }
}

/// `apply:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApplyFiles {
    /// The directory of `*.yaml` files; empty: none is watched.
    pub directory: PathBuf,
    /// `KEY=VALUE`: the label of everything that they describe; empty: none.
    pub owner: String,
    /// Whether what has that label and is not described is deleted.
    pub prune: bool,
}

impl ApplyFiles {
    /// The owner's label; checked when the file was read.
    pub(crate) fn owner(&self) -> Option<web::documents::Own> {
        self.owner.parse().ok()
    }

    /// The key that cannot be so, and why.
    fn fault(&self) -> Option<(&'static str, String)> {
        let wrong: Result<web::documents::Own, _> = self.owner.parse();
        match wrong {
            Err(error) if !self.owner.is_empty() => {
                Some(("owner", format!("apply.owner: {error}")))
            }
            Err(_) if self.prune => {
                let problem = "apply.prune: needs apply.owner: only what it owns is ever deleted";
                Some(("prune", problem.to_owned()))
            }
            _ => None,
        }
    }
}

/// `http:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Where the boot plane listens. Port 80: many shipped GRUBs know no port syntax.
    pub listen: SocketAddr,
}

/// `ui:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ui {
    /// Where people's pages listen.
    pub listen: SocketAddr,
    /// Names people reach the pages by, besides addresses, `localhost` and this host's name.
    pub hosts: Vec<String>,
}

/// `diskless:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Diskless {
    /// The nbdkit program; found in PATH.
    pub nbdkit: String,
    /// Most that all machines together may be promised to keep.
    pub overlay_quota: sharing::Size,
}

/// `outgoing:`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outgoing {
    /// Networks and addresses beyond the Internet that downloads and web hooks may ask.
    pub allow: reach::Allowed,
    /// Roots of mirrors of distributions by the names that recipes have for them, e.g. `debian`.
    pub mirrors: BTreeMap<String, String>,
}

/// `power:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Power {
    /// The program that speaks IPMI.
    pub ipmitool: PathBuf,
}

/// `log:`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// For people on a terminal, or JSON lines.
    pub format: LogFormat,
    /// A level (`info`) or a tracing filter (`info,farrier=debug`).
    pub level: String,
}

/// `log.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// One readable line each.
    #[default]
    Human,
    /// One JSON object each.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: default_data_dir(),
            interfaces: Vec::new(),
            database: String::new(),
            dhcp: Dhcp::default(),
            tftp: Tftp::default(),
            cache: Cache::default(),
            secrets: Secrets::default(),
            apply: ApplyFiles::default(),
            http: Http::default(),
            ui: Ui::default(),
            diskless: Diskless::default(),
            outgoing: Outgoing::default(),
            power: Power::default(),
            log: Log::default(),
        }
    }
}

impl Default for Dhcp {
    fn default() -> Self {
        Dhcp {
            mode: DhcpMode::Proxy,
        }
    }
}

impl Default for Tftp {
    fn default() -> Self {
        Tftp {
            enabled: true,
            max_block_size: 1468,
            max_window: 16,
            drop_boxes: Vec::new(),
            publish: Vec::new(),
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            memory_mib: u32::try_from(bootfiles::DEFAULT_BUDGET >> 20).unwrap_or(u32::MAX),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http { listen: any(80) }
    }
}

impl Default for Ui {
    fn default() -> Self {
        Ui {
            listen: any(8080),
            hosts: Vec::new(),
        }
    }
}

impl Default for Diskless {
    fn default() -> Self {
        Diskless {
            nbdkit: "nbdkit".to_owned(),
            overlay_quota: sharing::Size(512 << 30),
        }
    }
}

impl Default for Power {
    fn default() -> Self {
        Power {
            ipmitool: PathBuf::from("ipmitool"),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log {
            format: LogFormat::Human,
            level: "info".to_owned(),
        }
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// What packages use, when it exists or we may make it; else a directory beside the caller, so
/// that a first try needs no preparation.
pub(crate) fn default_data_dir() -> PathBuf {
    let packaged = PathBuf::from("/var/lib/farrier");
    if packaged.is_dir() || nix::unistd::Uid::effective().is_root() {
        packaged
    } else {
        PathBuf::from("farrier-data")
    }
}

impl Config {
    /// The store's URL, with the default filled in.
    pub(crate) fn database_url(&self) -> String {
        match self.database.as_str() {
            "" => format!("sqlite:{}", self.data_dir.join("farrier.db").display()),
            url => url.to_owned(),
        }
    }

    /// The local control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        control_socket(&self.data_dir)
    }
}

/// The control socket below a data directory.
pub(crate) fn control_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("control.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        let config: Config = serde_yaml::from_str("{}").expect("valid");
        assert_eq!(config, Config::default());
        assert_eq!(config.http.listen.port(), 80);
    }
}
