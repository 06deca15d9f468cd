//! `farrier assets sync`: bring the files of the manifest into the data directory.

use super::apt::{Apt, find_mirror, native_arch};
use super::deb::{Deb, DebDir, Packages, Tell, installed_version, unpack};
use super::record::{Installed, Record, RecordError, digest};
use super::report::{FileReport, Kind, Outcome, Report};
use super::{Manifest, PackageFile};
use crate::opener::open_beneath;
use bootplan::RelPath;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
    },
    /// Downloading a package.
    Fetching {
        /// Its name.
        package: String,
        /// Its architecture.
        arch: String,
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
            Progress::Updating { mirror, suites } => {
                write!(
                    f,
                    "fetching package lists of {} from {mirror}",
                    suites.join(", ")
                )
            }
            Progress::Fetching {
                package,
                arch,
                suite,
            } => {
                write!(f, "downloading {package} ({arch}) from {suite}")
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
    let by_hand = by_hand(&todo, &work.place);
    Ok(Report {
        files: work.report(manifest),
        trouble,
        by_hand,
    })
}

/// Files that come out of one package.
struct Group {
    package: String,
    arch: String,
    suites: Vec<String>,
    files: Vec<Wanted>,
}

#[derive(Clone)]
struct Wanted {
    kind: Kind,
    name: RelPath,
    path: RelPath,
    licence: String,
    older: Option<String>,
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

/// The directories of a data directory that a sync writes to; locked while it does.
struct Place {
    loaders: PathBuf,
    images: PathBuf,
    cache: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    fn open(data_dir: &Path) -> Result<Place, SyncError> {
        let made = |path: PathBuf| match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(SyncError::File { path, source }),
        };
        let data_dir = made(data_dir.to_owned())?;
        let fail = |source| SyncError::File {
            path: data_dir.clone(),
            source,
        };
        // apt wants absolute paths, and its configuration knows no way to write these characters.
        let data_dir = data_dir.canonicalize().map_err(fail)?;
        if data_dir.to_string_lossy().contains(['"', '\n', ';']) {
            return Err(SyncError::Name(data_dir));
        }
        let cache = made(data_dir.join("cache/assets"))?;
        let path = cache.join("lock");
        let file = File::create(&path).map_err(|source| SyncError::File { path, source })?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| SyncError::Busy(data_dir.clone()))?;
        Ok(Place {
            loaders: made(data_dir.join("loaders/packaged"))?,
            images: made(data_dir.join("images"))?,
            cache,
            _lock: lock,
        })
    }

    fn root(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Loader => &self.loaders,
            Kind::Image => &self.images,
        }
    }

    fn debs(&self) -> PathBuf {
        self.cache.join("debs")
    }
}

struct Work<'a> {
    options: &'a SyncOptions,
    place: Place,
    record: Record,
    outcomes: BTreeMap<(Kind, String), Outcome>,
}

/// Where one package was found at last.
struct Source {
    root: PathBuf,
    version: String,
    suite: String,
    /// Why it is not the first choice.
    fallback: Option<String>,
    /// Unpacked packages are deleted when we are through with them.
    _unpacked: Option<tempfile::TempDir>,
}

impl Work<'_> {
    /// Whether nothing is to be done for a package: all files whole, and none a fallback that
    /// could now be had from its first choice.
    fn is_done(&self, group: &Group) -> bool {
        if self.options.force || (self.options.refresh && !self.options.offline) {
            return false;
        }
        group.files.iter().all(|wanted| {
            let whole = self.whole(wanted);
            whole.is_some_and(|i| i.fallback.is_none() || self.options.offline)
        })
    }

    /// The record of a file that is there with the recorded checksum.
    fn whole(&self, wanted: &Wanted) -> Option<&Installed> {
        let installed = match wanted.kind {
            Kind::Loader => self.record.loader(&wanted.name)?,
            Kind::Image => self.record.image(&wanted.name)?,
        };
        let open = open_beneath(self.place.root(wanted.kind), &wanted.name).ok()?;
        let (sha256, _) = digest(open.file).ok()?;
        (sha256 == installed.sha256).then_some(installed)
    }

    fn keep(&mut self, group: &Group) {
        for wanted in &group.files {
            if let Some(installed) = self.whole(wanted) {
                let outcome = Outcome::Current {
                    package: label(installed),
                    fallback: installed.fallback.clone(),
                };
                self.set(wanted, outcome);
            }
        }
    }

    fn set(&mut self, wanted: &Wanted, outcome: Outcome) {
        self.outcomes
            .insert((wanted.kind, wanted.name.to_string()), outcome);
    }

    /// Gets every package from the best place there is. Gives the reason when there is none to
    /// download from; then only what is installed on this host can help.
    fn get_all(&mut self, todo: &[Group], tell: Tell<'_>) -> Result<Option<String>, SyncError> {
        let mut first: Vec<(String, String)> = Vec::new();
        for group in todo {
            if let Some(suite) = group.suites.first() {
                first.push((suite.clone(), group.arch.clone()));
            }
        }
        let mut trouble = None;
        let mut packages: Box<dyn Packages> = match (&self.options.packages, self.options.offline) {
            (Some(dir), _) => Box::new(DebDir(dir.clone())),
            (None, true) => Box::new(DebDir(self.place.debs())),
            (None, false) => match self.apt() {
                Ok(apt) => Box::new(apt),
                Err(why) => {
                    trouble = Some(why);
                    Box::new(DebDir(self.place.debs()))
                }
            },
        };
        packages.prepare(&first, tell);
        for group in todo {
            let found = self.find(group, packages.as_mut(), tell);
            self.place_files(group, found, tell)?;
        }
        // Lists of several releases are a hundred megabytes; the next download wants fresh ones.
        let _ = fs::remove_dir_all(self.place.cache.join("apt"));
        Ok(trouble)
    }

    fn apt(&self) -> Result<Apt, String> {
        let options = self.options;
        if !options.keyring.exists() {
            return Err(format!(
                "Debian's archive keys are not in {} (package debian-archive-keyring)",
                options.keyring.display()
            ));
        }
        Ok(Apt {
            apt_get: options.apt_get.clone(),
            mirror: find_mirror(options.mirror.as_deref(), &options.etc_apt)?,
            keyring: options.keyring.clone(),
            state: self.place.cache.join("apt"),
            debs: self.place.debs(),
            listed: BTreeMap::new(),
            native: native_arch()?,
            trouble: None,
        })
    }

    /// The package from the first suite that has it, else from this host, else why not.
    fn find(
        &self,
        group: &Group,
        packages: &mut dyn Packages,
        tell: Tell<'_>,
    ) -> Result<Source, String> {
        let mut reasons: Vec<String> = Vec::new();
        for suite in &group.suites {
            let fetched = packages.fetch(&group.package, &group.arch, suite, tell);
            match fetched.and_then(|deb| self.open_deb(&deb).map(|dir| (deb, dir))) {
                Ok((deb, dir)) => {
                    return Ok(Source {
                        root: dir.path().to_owned(),
                        version: deb.version,
                        suite: suite.clone(),
                        fallback: (!reasons.is_empty()).then(|| reasons.join("; ")),
                        _unpacked: Some(dir),
                    });
                }
                Err(why) => reasons.push(format!("not from {suite}: {why}")),
            }
        }
        match installed_version(&group.package, &group.arch) {
            Some(version) => Ok(Source {
                root: PathBuf::from("/"),
                version,
                suite: HOST.to_owned(),
                fallback: Some(reasons.join("; ")),
                _unpacked: None,
            }),
            None => Err(reasons.join("; ")),
        }
    }

    fn open_deb(&self, deb: &Deb) -> Result<tempfile::TempDir, String> {
        let dir = tempfile::Builder::new()
            .prefix("unpack-")
            .tempdir_in(&self.place.cache)
            .map_err(|e| format!("{}: {e}", self.place.cache.display()))?;
        unpack(deb, dir.path()).map_err(|e| e.to_string())?;
        Ok(dir)
    }

    fn place_files(
        &mut self,
        group: &Group,
        found: Result<Source, String>,
        tell: Tell<'_>,
    ) -> Result<(), SyncError> {
        for wanted in &group.files {
            let outcome = match &found {
                Ok(source) => self.place_file(group, wanted, source)?,
                Err(why) => Err(format!("package {} ({}): {why}", group.package, group.arch)),
            };
            let outcome = match (outcome, self.whole(wanted)) {
                (Ok(outcome), _) => outcome,
                // What an earlier sync installed is still good.
                (Err(_), Some(kept)) => Outcome::Current {
                    package: label(kept),
                    fallback: kept.fallback.clone(),
                },
                (Err(why), None) => Outcome::Missing { why },
            };
            if matches!(outcome, Outcome::Installed { .. }) {
                let name = wanted.name.to_string();
                tell(Progress::Installed { name });
            }
            self.set(wanted, outcome);
        }
        self.save()
    }

    /// Copies one file into its place and notes it in the record. The inner error is for people.
    fn place_file(
        &mut self,
        group: &Group,
        wanted: &Wanted,
        source: &Source,
    ) -> Result<Result<Outcome, String>, SyncError> {
        let Ok(open) = open_beneath(&source.root, &wanted.path) else {
            return Ok(Err(format!(
                "package {} {} has no file {}",
                group.package, source.version, wanted.path
            )));
        };
        let fallback = source.fallback.as_ref().map(|why| match &wanted.older {
            Some(older) => format!("{older} ({why})"),
            None => why.clone(),
        });
        let before = self.whole(wanted).cloned();
        let target = self.place.root(wanted.kind).join(wanted.name.as_str());
        let (sha256, size) = copy(open.file, &target).map_err(|source| SyncError::File {
            path: target.clone(),
            source,
        })?;
        let installed = Installed {
            name: wanted.name.to_string(),
            package: group.package.clone(),
            version: source.version.clone(),
            arch: group.arch.clone(),
            suite: source.suite.clone(),
            sha256,
            size,
            licence: wanted.licence.clone(),
            fallback: fallback.clone(),
        };
        let package = label(&installed);
        let unchanged = before.as_ref() == Some(&installed);
        let list = match wanted.kind {
            Kind::Loader => &mut self.record.loaders,
            Kind::Image => &mut self.record.images,
        };
        list.retain(|i| i.name != installed.name);
        list.push(installed);
        Ok(Ok(if unchanged && !self.options.force {
            Outcome::Current { package, fallback }
        } else {
            Outcome::Installed { package, fallback }
        }))
    }

    fn save(&mut self) -> Result<(), SyncError> {
        let path = self.place.loaders.join(super::RECORD_FILE);
        for list in [&mut self.record.loaders, &mut self.record.images] {
            list.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let text = serde_yaml::to_string(&self.record).expect("plain maps of texts and numbers");
        copy(text.as_bytes(), &path)
            .map(drop)
            .map_err(|source| SyncError::File { path, source })
    }

    fn report(mut self, manifest: &Manifest) -> Vec<FileReport> {
        let mut files = Vec::new();
        let mut add = |kind, name: &RelPath, by_hand: Option<&String>| {
            let key = (kind, name.to_string());
            let outcome = match (self.outcomes.remove(&key), by_hand) {
                (Some(outcome), _) => outcome,
                (None, Some(by_hand)) => Outcome::NotPackaged {
                    by_hand: by_hand.clone(),
                },
                (None, None) => Outcome::Missing {
                    why: "its manifest names no package".to_owned(),
                },
            };
            files.push(FileReport {
                kind,
                name: name.to_string(),
                outcome,
            });
        };
        for loader in &manifest.loaders {
            add(Kind::Loader, &loader.name, loader.by_hand.as_ref());
        }
        for image in &manifest.images {
            add(Kind::Image, &image.name, None);
        }
        files
    }
}

fn label(installed: &Installed) -> String {
    format!(
        "{} {} ({})",
        installed.package, installed.version, installed.suite
    )
}

/// Writes a file whole or not at all: beside its place, synced, then renamed.
fn copy(mut from: impl io::Read, target: &Path) -> io::Result<(String, u64)> {
    let dir = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    // Begins with a dot, so no client can name it.
    let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    io::copy(&mut from, &mut temp)?;
    temp.flush()?;
    temp.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))?;
    temp.as_file().sync_all()?;
    let digest = digest(File::open(temp.path())?)?;
    temp.persist(target).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()?;
    Ok(digest)
}

/// What somebody without a network here can do.
fn by_hand(todo: &[Group], place: &Place) -> String {
    let mut text = String::from(
        "To get what is missing by hand: on a Debian 13 machine with network access, run\n  \
         apt-get download",
    );
    for group in todo {
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

/// The `suite` of files taken from a package that is installed on this host.
const HOST: &str = "installed on this host";

#[cfg(test)]
mod tests;
