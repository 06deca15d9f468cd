//! What changes while the server runs: the configuration by SIGHUP or a saved file, and loaders.

use crate::config::{self, Config, Overrides};
use crate::watcher::Watch;
use bootfiles::BootFiles;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use store::Store;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

/// Takes in changes. What cannot change while running is named, and stays as it was.
pub(crate) struct Reloader {
    /// The configuration file; `None` when there is none.
    pub path: Option<PathBuf>,
    /// What the command line said; it stays in force.
    pub said: Overrides,
    /// The configuration in force.
    pub running: Config,
    /// Interfaces to serve; the network side follows this.
    pub wanted: watch::Sender<Vec<String>>,
    /// Boot files, to be looked at again when the loaders changed.
    pub files: Arc<BootFiles>,
    /// The loader directories.
    pub loader_dirs: Vec<PathBuf>,
    /// Publishes the loaders.
    pub store: Store,
    /// Why the file is not the configuration in force.
    pub fault: Arc<Mutex<Option<String>>>,
    /// SIGHUP, caught from the very start: until then it would end the program.
    pub hangup: Signal,
}

impl Reloader {
    /// Follows the files and SIGHUP for ever.
    pub(crate) async fn run(mut self) {
        let config_dir = self.path.as_deref().and_then(|p| match p.parent() {
            Some(dir) if dir.as_os_str().is_empty() => Some(Path::new(".").to_owned()),
            dir => dir.map(Path::to_owned),
        });
        let dirs: Vec<&Path> = config_dir.as_deref().into_iter().collect();
        let trees: Vec<&Path> = self.loader_dirs.iter().map(PathBuf::as_path).collect();
        let mut watch = match Watch::on(&dirs, &trees) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(%error, "cannot watch files; send SIGHUP after a change");
                None
            }
        };
        // What was saved between the start and the watching would never be seen.
        self.reload_config();
        self.rescan_loaders();
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    self.reload_config();
                    self.rescan_loaders();
                }
                paths = changes(&mut watch) => {
                    let name = self.path.as_deref().and_then(Path::file_name);
                    if name.is_some() && paths.iter().any(|p| p.file_name() == name) {
                        self.reload_config();
                    }
                    if paths.iter().any(|p| self.loader_dirs.iter().any(|d| p.starts_with(d))) {
                        self.rescan_loaders();
                    }
                }
            }
        }
    }

    fn reload_config(&mut self) {
        let Some(path) = &self.path else { return };
        let mut fresh = match config::load(path) {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::error!("{error}; the old configuration stays in force");
                *self.fault.lock().expect("no panic while held") = Some(error.to_string());
                return;
            }
        };
        *self.fault.lock().expect("no panic while held") = None;
        self.said.apply(&mut fresh);
        if fresh == self.running {
            return;
        }
        let stale = needs_restart(&self.running, &fresh);
        self.wanted.send_replace(fresh.interfaces.clone());
        self.running.interfaces = fresh.interfaces;
        match stale.as_slice() {
            [] => tracing::info!(path = %path.display(), "configuration reloaded"),
            keys => {
                let note = format!(
                    "{}: changed, and takes effect at the next start",
                    keys.join(", ")
                );
                tracing::warn!("{note}");
                *self.fault.lock().expect("no panic while held") = Some(note);
            }
        }
    }

    fn rescan_loaders(&self) {
        // Every loader is read for its checksum; packets go on meanwhile.
        tokio::task::block_in_place(|| self.files.rescan());
        let fresh = self.files.inventory();
        if self.store.catalog().loaders != fresh {
            tracing::info!(loaders = fresh.iter().count(), "loaders changed");
            self.store.set_loaders(fresh);
        }
    }
}

async fn changes(watch: &mut Option<Watch>) -> Vec<PathBuf> {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// The keys that differ and that only a start takes in: bound sockets and the store.
fn needs_restart(running: &Config, fresh: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut compare = |key, differs| {
        if differs {
            keys.push(key);
        }
    };
    compare("data_dir", running.data_dir != fresh.data_dir);
    compare("database", running.database != fresh.database);
    compare("dhcp", running.dhcp != fresh.dhcp);
    compare("tftp", running.tftp != fresh.tftp);
    compare("cache", running.cache != fresh.cache);
    compare("apply", running.apply != fresh.apply);
    compare("http", running.http != fresh.http);
    compare("ui", running.ui != fresh.ui);
    compare("log", running.log != fresh.log);
    keys
}
