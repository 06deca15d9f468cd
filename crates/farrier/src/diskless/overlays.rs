//! The files that machines without a disk write into. The directory is the truth: a file's name
//! holds its machine and 128 random bits, and is the name of its export.

use super::open;
use crate::config::Config;
use bootplan::{MachineId, Overlays};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use web::people::Kept;

/// The directory of overlays.
#[derive(Clone, Debug)]
pub(crate) struct OverlayFiles {
    dir: PathBuf,
    quota: u64,
}

/// One overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OverlayFile {
    /// Whose it is.
    pub(crate) machine: MachineId,
    /// File and export name.
    pub(crate) name: String,
    /// Bytes it may grow to.
    pub(crate) size: u64,
    /// Bytes it takes now.
    pub(crate) used: u64,
}

/// Why an overlay could not be made.
#[derive(Debug, thiserror::Error)]
enum OverlayError {
    /// More would be promised than the operator allows.
    #[error(
        "the quota of {} GiB is promised to others (diskless.overlay_quota; \
         'farrier diskless list' shows them)",
        quota >> 30
    )]
    Quota { quota: u64 },
    /// The program is missing.
    #[error("mke2fs cannot be run (package e2fsprogs): {0}")]
    Missing(io::Error),
    /// The program failed.
    #[error("mke2fs failed: {0}")]
    Failed(String),
    /// The directory or file system failed.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl OverlayFiles {
    /// Where this configuration keeps them.
    pub(crate) fn of(config: &Config) -> Self {
        OverlayFiles {
            dir: config.data_dir.join("overlays"),
            quota: config.diskless.overlay_quota.0,
        }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// All there are, by machine; none when there is no directory.
    pub(crate) fn list(&self) -> Vec<OverlayFile> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut files: Vec<OverlayFile> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let meta = entry.metadata().ok().filter(|m| m.is_file())?;
                Some(OverlayFile {
                    machine: machine_of(&name)?,
                    name,
                    size: meta.len(),
                    used: meta.blocks() * 512,
                })
            })
            .collect();
        files.sort_by(|a, b| (a.machine, &a.name).cmp(&(b.machine, &b.name)));
        files
    }

    /// Makes what is missing and says what there is. A fault keeps only those that have none yet
    /// from booting.
    pub(super) fn provide(&self, wanted: &BTreeMap<MachineId, u16>) -> Overlays {
        let mut files = self.list();
        let mut fault = None;
        for (machine, gib) in wanted {
            if files.iter().any(|f| f.machine == *machine) {
                continue;
            }
            match self.make(*machine, *gib, &files) {
                Ok(file) => files.push(file),
                Err(error) => fault = Some(Arc::from(error.to_string())),
            }
        }
        let ready = files.into_iter().map(|f| (f.machine, f.name.into()));
        let mut overlays = Overlays::new(ready);
        overlays.fault = fault;
        overlays
    }

    /// Takes a machine's overlay away; it gets an empty one if it still needs one. Says how many
    /// bytes became free.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(crate) fn remove(&self, machine: MachineId) -> io::Result<Option<u64>> {
        let mut freed = None;
        for file in self.list().iter().filter(|f| f.machine == machine) {
            std::fs::remove_file(self.dir.join(&file.name))?;
            freed = Some(freed.unwrap_or(0) + file.used);
        }
        Ok(freed)
    }

    /// Whether a machine writes to its overlay, as far as this process may see (nbdkit's user and
    /// root may). The file system is marked as in use every second, so one that lost its power is
    /// known by its silence long before its connection ends.
    pub(crate) fn is_in_use(&self, machine: MachineId) -> bool {
        let files = self.list();
        let mut own = files.iter().filter(|f| f.machine == machine);
        own.any(|f| self.is_written(&f.name) && open::by_anybody(&f.name))
    }

    fn is_written(&self, name: &str) -> bool {
        let modified = std::fs::metadata(self.dir.join(name)).and_then(|m| m.modified());
        // A clock that was set back is no silence.
        modified.is_ok_and(|at| at.elapsed().map_or(true, |age| age < SILENCE))
    }

    fn make(
        &self,
        machine: MachineId,
        gib: u16,
        there: &[OverlayFile],
    ) -> Result<OverlayFile, OverlayError> {
        let size = u64::from(gib) << 30;
        let promised: u64 = there.iter().map(|f| f.size).sum();
        if promised.saturating_add(size) > self.quota {
            return Err(OverlayError::Quota { quota: self.quota });
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OverlayError::Io { path, source }
        };
        let mut private = std::fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(&self.dir).map_err(io(&self.dir))?;
        let random = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let name = format!("m{}-{random}.img", machine.0);
        // Made under a name that is no overlay's, so that one that is half made is never used.
        let half = self.dir.join(format!("{random}.part"));
        let done = self.dir.join(&name);
        let made = self.format(&half, gib);
        let made = made.and_then(|()| std::fs::rename(&half, &done).map_err(io(&done)));
        if let Err(error) = made {
            let _ = std::fs::remove_file(&half);
            return Err(error);
        }
        tracing::info!(
            machine = machine.0,
            gib,
            "made an overlay for a diskless machine"
        );
        Ok(OverlayFile {
            machine,
            name,
            size,
            used: 0,
        })
    }

    /// An empty ext4. Multiple mount protection refuses a second machine that claims to be this
    /// one; label and `persistence.conf` are what Debian's live-boot looks for.
    fn format(&self, file: &Path, gib: u16) -> Result<(), OverlayError> {
        let io = |source| OverlayError::Io {
            path: file.to_owned(),
            source,
        };
        let tree = file.with_extension("tree");
        std::fs::create_dir(&tree).map_err(io)?;
        let output = std::fs::write(tree.join("persistence.conf"), "/ union\n")
            .map_err(io)
            .and_then(|()| {
                Command::new(program("mke2fs"))
                    .args(["-q", "-F", "-t", "ext4", "-O", "mmp", "-m", "0"])
                    .args(["-L", "persistence", "-J", "size=16"])
                    .args([
                        "-E",
                        "root_owner=0:0,lazy_itable_init=1,mmp_update_interval=1",
                    ])
                    .arg("-d")
                    .arg(&tree)
                    .arg(file)
                    .arg(format!("{gib}G"))
                    .output()
                    .map_err(OverlayError::Missing)
            });
        let _ = std::fs::remove_dir_all(&tree);
        let output = output?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(OverlayError::Failed(text));
        }
        std::fs::File::open(file)
            .and_then(|f| f.sync_all())
            .map_err(io)
    }
}

impl Kept for OverlayFiles {
    fn bytes(&self, machine: MachineId) -> Option<u64> {
        let files = self.list().into_iter();
        let own = files.filter(|f| f.machine == machine);
        own.map(|f| f.used).reduce(|a, b| a + b)
    }

    fn is_in_use(&self, machine: MachineId) -> bool {
        OverlayFiles::is_in_use(self, machine)
    }

    fn throw_away(&self, machine: MachineId) -> io::Result<()> {
        self.remove(machine).map(drop)
    }

    fn hand_over(&self, from: MachineId, to: MachineId) -> io::Result<bool> {
        let files = self.list();
        if files.iter().any(|f| f.machine == to) {
            return Ok(false);
        }
        for file in files.iter().filter(|f| f.machine == from) {
            let (_, random) = file.name.split_once('-').unwrap_or_default();
            let name = format!("m{}-{random}", to.0);
            std::fs::rename(self.dir.join(&file.name), self.dir.join(name))?;
        }
        Ok(true)
    }
}

/// After so long without a word a machine is off.
const SILENCE: Duration = Duration::from_secs(30);

/// Whose overlay a file is, by its name.
fn machine_of(name: &str) -> Option<MachineId> {
    let (id, random) = name
        .strip_prefix('m')?
        .strip_suffix(".img")?
        .split_once('-')?;
    (random.len() == 32).then_some(())?;
    id.parse().ok().map(MachineId)
}

/// A system program: people's PATH often lacks the directories of the administrator's programs.
fn program(name: &str) -> PathBuf {
    ["/usr/sbin", "/sbin"]
        .map(|dir| Path::new(dir).join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| name.into())
}
