//! `farrier assets sync`: bring the files of the manifest into the data directory.

use super::deb::Want;
use super::place::Place;
use super::record::{Record, RecordError};
use super::report::{Kind, Outcome, Report};
use super::work::Work;
use super::{Manifest, PackageFile};
use bootplan::RelPath;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// How to sync.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// Farrier's data directory; loaders go to `loaders/packaged`, images to `images`, and
    /// downloaded packages stay in `cache/assets/debs`.
    pub data_dir: PathBuf,
    /// Install everything again, even what is there and whole.
    pub force: bool,
    /// Look for newer packages. Without it what is there and whole is left alone, and no network
    /// is used when all is there.
    pub refresh: bool,
    /// Use no network: only packages in `cache/assets/debs`, and those installed on this host.
    pub offline: bool,
    /// Debian mirror; `None` takes the one this host's apt uses.
    pub mirror: Option<String>,
    /// A directory of package files to take instead of downloading (`<dir>/*.deb`, or
    /// `<dir>/<suite>/*.deb`).
    pub packages: Option<PathBuf>,
    /// Keys that Debian's package lists must be signed with.
    pub keyring: PathBuf,
    /// The program to run as `apt-get`; another one in tests.
    pub apt_get: PathBuf,
    /// Where the host's apt sources are; another place in tests.
    pub etc_apt: PathBuf,
}

impl SyncOptions {
    /// The usual way, into this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> SyncOptions {
        SyncOptions {
            data_dir: data_dir.into(),
            force: false,
            refresh: false,
            offline: false,
            mirror: None,
            packages: None,
            keyring: PathBuf::from("/usr/share/keyrings/debian-archive-keyring.gpg"),
            apt_get: PathBuf::from("apt-get"),
            etc_apt: PathBuf::from("/etc/apt"),
        }
    }
}

/// What a sync is doing, as it does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Fetching package lists.
    Updating {
        /// From where.
        mirror: String,
        /// Which suites.
        suites: Vec<String>,
        /// Of which architecture.
        arch: String,
    },
    /// Downloading a package.
    Fetching {
        /// Its name and architecture.
        package: String,
        /// The suite asked.
        suite: String,
    },
    /// A file is in its place.
    Installed {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Updating {
                mirror,
                suites,
                arch,
            } => {
                let suites = suites.join(", ");
                write!(
                    f,
                    "fetching package lists of {suites} ({arch}) from {mirror}"
                )
            }
            Progress::Fetching { package, suite } => {
                write!(f, "downloading {package} from {suite}")
            }
            Progress::Installed { name } => write!(f, "installed {name}"),
        }
    }
}

/// A sync that could not do its work at all. Packages that cannot be had are no such error: they
/// stand in the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Another sync is at work.
    #[error("another 'assets sync' is at work in {0}; wait for it to end")]
    Busy(PathBuf),
    /// The data directory's path cannot be written into apt's configuration.
    #[error("the data directory {0} has a quote or a line break in its path; apt cannot use it")]
    Name(PathBuf),
    /// No access to the data directory.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record of an earlier sync cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Installs what is missing, damaged or (with `refresh`) outdated. Files are replaced one by one
/// by renaming, so that a boot in progress gets either the old file or the new one, whole; what is
/// done stays recorded when the sync is interrupted.
///
/// # Errors
/// [`SyncError`] when the data directory cannot be used.
pub fn sync(
    options: &SyncOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, SyncError> {
    sync_manifest(&Manifest::builtin(), options, progress)
}

/// [`sync`] by any manifest.
pub(crate) fn sync_manifest(
    manifest: &Manifest,
    options: &SyncOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, SyncError> {
    let place = Place::open(&options.data_dir)?;
    let mut work = Work {
        options,
        record: Record::load(&place.loaders)?,
        place,
        outcomes: BTreeMap::new(),
    };
    let (current, todo): (Vec<Group>, Vec<Group>) = groups(manifest)
        .into_iter()
        .partition(|group| work.is_done(group));
    for group in &current {
        work.keep(group);
    }
    let mut trouble = None;
    if !todo.is_empty() {
        trouble = work.get_all(&todo, progress)?;
    }
    let missing = |group: &&Group| {
        let files = &mut group.files.iter();
        files.any(|wanted| matches!(work.get(wanted), Some(Outcome::Missing { .. })))
    };
    let by_hand = by_hand(todo.iter().filter(missing), &work.place);
    Ok(Report {
        files: work.report(manifest),
        trouble,
        by_hand,
    })
}

/// Files that come out of one package.
pub(super) struct Group {
    pub(super) package: String,
    pub(super) arch: String,
    pub(super) suites: Vec<String>,
    pub(super) files: Vec<Wanted>,
}

impl Group {
    pub(super) fn want(&self, suite: &str) -> Want {
        Want {
            suite: suite.to_owned(),
            package: self.package.clone(),
            arch: self.arch.clone(),
        }
    }
}

#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) name: RelPath,
    pub(super) path: RelPath,
    pub(super) licence: String,
    pub(super) older: Option<String>,
}

fn groups(manifest: &Manifest) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |from: &PackageFile, wanted: Wanted| {
        let suites = manifest.suites_of(from);
        let same =
            |g: &&mut Group| g.package == from.package && g.arch == from.arch && g.suites == suites;
        match groups.iter_mut().find(same) {
            Some(group) => group.files.push(wanted),
            None => groups.push(Group {
                package: from.package.clone(),
                arch: from.arch.clone(),
                suites: suites.to_vec(),
                files: vec![wanted],
            }),
        }
    };
    for loader in &manifest.loaders {
        let Some(from) = &loader.from else { continue };
        let wanted = Wanted {
            kind: Kind::Loader,
            name: loader.name.clone(),
            path: from.path.clone(),
            licence: loader.licence.clone(),
            older: loader.older.clone(),
        };
        add(from, wanted);
    }
    for image in &manifest.images {
        let wanted = Wanted {
            kind: Kind::Image,
            name: image.name.clone(),
            path: image.from.path.clone(),
            licence: image.licence.clone(),
            older: image.older.clone(),
        };
        add(&image.from, wanted);
    }
    groups
}

/// What somebody without a network here can do.
fn by_hand<'a>(missing: impl Iterator<Item = &'a Group>, place: &Place) -> String {
    let mut text = String::from(
        "To get what is missing by hand: on a Debian 13 machine with network access, run\n  \
         apt-get download",
    );
    for group in missing {
        text.push(' ');
        text.push_str(&group.package);
        if group.arch != "all" {
            text.push(':');
            text.push_str(&group.arch);
        }
    }
    text.push_str(&format!(
        "\ncopy the .deb files to {} and run 'farrier assets sync --offline' here.",
        place.debs().display()
    ));
    text
}

#[cfg(test)]
mod tests;
