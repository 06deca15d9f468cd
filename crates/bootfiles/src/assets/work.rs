//! A sync at work: one package after another, from the best place there is.

use super::apt::{Apt, find_mirror, native_arch};
use super::deb::{Deb, DebDir, Packages, Tell, Want, installed_version, unpack};
use super::place::{Place, copy};
use super::record::{Installed, Record, digest};
use super::report::{FileReport, Kind, Outcome};
use super::sync::{Group, Wanted};
use super::{Manifest, Progress, SyncError, SyncOptions};
use crate::opener::open_beneath;
use bootplan::RelPath;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A sync at work.
pub(super) struct Work<'a> {
    pub(super) options: &'a SyncOptions,
    pub(super) place: Place,
    pub(super) record: Record,
    pub(super) outcomes: BTreeMap<(Kind, String), Outcome>,
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
    pub(super) fn is_done(&self, group: &Group) -> bool {
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

    pub(super) fn keep(&mut self, group: &Group) {
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

    pub(super) fn get(&self, wanted: &Wanted) -> Option<&Outcome> {
        self.outcomes.get(&(wanted.kind, wanted.name.to_string()))
    }

    fn set(&mut self, wanted: &Wanted, outcome: Outcome) {
        self.outcomes
            .insert((wanted.kind, wanted.name.to_string()), outcome);
    }

    /// Gets every package from the best place there is. Gives the reason when there is none to
    /// download from; then only what is installed on this host can help.
    pub(super) fn get_all(
        &mut self,
        todo: &[Group],
        tell: Tell<'_>,
    ) -> Result<Option<String>, SyncError> {
        let first = |group: &Group| group.suites.first().map(|suite| group.want(suite));
        let first: Vec<Want> = todo.iter().filter_map(first).collect();
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
            lists: BTreeMap::new(),
            native: native_arch()?,
            ready: BTreeMap::new(),
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
            let fetched = packages.fetch(&group.want(suite), tell);
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

    pub(super) fn report(mut self, manifest: &Manifest) -> Vec<FileReport> {
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

/// The `suite` of files taken from a package that is installed on this host.
const HOST: &str = "installed on this host";
