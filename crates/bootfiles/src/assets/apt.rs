//! apt under a private state: other suites and architectures than the host's, and nothing of the
//! host's own package lists is touched.
//!
//! Each architecture has a state of its own. apt takes all lists of a suite or none of them, and mirrors were seen
//! whose i386 lists were days behind the suite's Release file: that must not cost the loaders of x64.

use super::deb::{Deb, Packages, Tell, Want, inspect};
use super::run::{run, summary};
use super::{Progress, mirror};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// apt with its own sources, lists and status below `state/<arch>`; packages go to `debs/<suite>/`.
pub(crate) struct Apt {
    pub(crate) apt_get: PathBuf,
    pub(crate) mirror: String,
    pub(crate) keyring: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) debs: PathBuf,
    /// By architecture.
    pub(crate) lists: BTreeMap<String, Lists>,
    pub(crate) native: String,
    /// What is downloaded already.
    pub(crate) ready: BTreeMap<Want, PathBuf>,
}

/// The package lists of one architecture.
#[derive(Default)]
pub(crate) struct Lists {
    /// Suites that were asked for.
    suites: BTreeSet<String>,
    /// What the last update said went wrong.
    trouble: Option<String>,
    /// The mirror's disorder was waited for already.
    waited: bool,
}

/// Why there is no mirror to download from; for people.
pub(crate) fn find_mirror(given: Option<&str>, etc_apt: &Path) -> Result<String, String> {
    let found = match given {
        Some(uri) => Some(uri.to_owned()),
        None => mirror::find(etc_apt),
    };
    let Some(uri) = found else {
        return Err(format!(
            "{} names no Debian mirror; name one with --mirror",
            etc_apt.display()
        ));
    };
    // The address goes into a sources file: one word, or it could add fields of its own.
    if uri.chars().all(|c| c.is_ascii_graphic()) {
        Ok(uri)
    } else {
        Err(format!(
            "'{}' is no address of a mirror",
            uri.escape_debug()
        ))
    }
}

/// The host's own architecture, whose lists also hold the `all` packages.
pub(crate) fn native_arch() -> Result<String, String> {
    let (arch, _) =
        run(Command::new("dpkg").arg("--print-architecture")).map_err(|e| e.to_string())?;
    Ok(arch.trim().to_owned())
}

impl Packages for Apt {
    /// Everything in two calls of apt for each suite; a call alone reads a hundred megabytes of
    /// lists first. What fails here is tried again one by one, and explained there.
    fn prepare(&mut self, wanted: &[Want], tell: Tell<'_>) {
        let mut together: BTreeMap<(String, String), Vec<&Want>> = BTreeMap::new();
        for want in wanted {
            self.list(want);
            let key = (self.arch(want).to_owned(), want.suite.clone());
            together.entry(key).or_default().push(want);
        }
        for arch in self.lists.keys().cloned().collect::<Vec<_>>() {
            self.update(&arch, tell);
        }
        for ((arch, suite), wants) in together {
            for want in &wants {
                tell(Progress::Fetching {
                    package: want.to_string(),
                    suite: suite.clone(),
                });
            }
            if let Ok(files) = self.download(&arch, &suite, &wants) {
                self.ready.extend(files);
            }
        }
    }

    fn fetch(&mut self, want: &Want, tell: Tell<'_>) -> Result<Deb, String> {
        if let Some(path) = self.ready.get(want) {
            return inspect(path, want);
        }
        let arch = self.arch(want).to_owned();
        if self.list(want) {
            self.update(&arch, tell);
        }
        tell(Progress::Fetching {
            package: want.to_string(),
            suite: want.suite.clone(),
        });
        let trouble = || self.lists.get(&arch)?.trouble.as_ref();
        let files = self
            .download(&arch, &want.suite, &[want])
            .map_err(|said| match trouble() {
                Some(trouble) => format!("{said} ({trouble})"),
                None => said,
            })?;
        let path = files.get(want).ok_or("apt-get named no file of it")?;
        inspect(path, want)
    }
}

impl Apt {
    /// The architecture in whose lists a package stands; those of `all` stand in every one.
    fn arch<'a>(&'a self, want: &'a Want) -> &'a str {
        match want.arch.as_str() {
            "all" => &self.native,
            arch => arch,
        }
    }

    /// Notes a suite and architecture; true when its lists have not been fetched yet.
    fn list(&mut self, want: &Want) -> bool {
        let lists = self.lists.entry(self.arch(want).to_owned()).or_default();
        lists.suites.insert(want.suite.clone())
    }

    fn update(&mut self, arch: &str, tell: Tell<'_>) {
        let mut lists = self.lists.remove(arch).unwrap_or_default();
        tell(Progress::Updating {
            mirror: self.mirror.clone(),
            suites: lists.suites.iter().cloned().collect(),
            arch: arch.to_owned(),
        });
        let fetch = || run(self.command(arch).arg("update")).map_err(|e| e.to_string());
        let configured = self.configure(arch, &lists.suites);
        let mut result = configured.map_err(|e| e.to_string()).and_then(|()| fetch());
        let (Ok((_, said)) | Err(said)) = &result;
        if said.contains("Mirror sync in progress") && !lists.waited {
            lists.waited = true;
            std::thread::sleep(MIRROR_PAUSE);
            result = fetch();
        }
        // Unreachable servers are only warnings to `apt-get update`.
        lists.trouble = match result {
            Ok((_, said)) if said.contains("W: Failed to fetch") => Some(summary(&said)),
            Ok(_) => None,
            Err(said) => Some(said),
        };
        self.lists.insert(arch.to_owned(), lists);
    }

    /// Downloads packages of one suite, all or none; gives their files.
    fn download(
        &self,
        arch: &str,
        suite: &str,
        wanted: &[&Want],
    ) -> Result<BTreeMap<Want, PathBuf>, String> {
        let dir = self.debs.join(suite);
        let access = |e: io::Error| format!("{}: {e}", dir.display());
        std::fs::create_dir_all(&dir).map_err(access)?;
        let names = wanted.iter().map(|want| match want.arch.as_str() {
            "all" => format!("{}/{suite}", want.package),
            arch => format!("{}:{arch}/{suite}", want.package),
        });
        let names: Vec<String> = names.collect();
        // Asked in a directory without packages: apt names only the files it would download.
        let mut asking = self.command(arch);
        asking.current_dir(self.state.join(arch));
        let (listing, _) = run(asking.args(["download", "--print-uris"]).args(&names))
            .map_err(|e| e.to_string())?;
        let mut downloading = self.command(arch);
        downloading.current_dir(&dir);
        run(downloading.arg("download").args(&names)).map_err(|e| e.to_string())?;
        let mut files = BTreeMap::new();
        for want in wanted {
            if let Some(name) = file_name(&listing, want) {
                drop_others(&dir, name, want).map_err(access)?;
                files.insert((*want).clone(), dir.join(name));
            }
        }
        Ok(files)
    }

    fn command(&self, arch: &str) -> Command {
        let mut command = Command::new(&self.apt_get);
        let conf = self.state.join(arch).join("apt.conf");
        command.arg("-c").arg(conf).arg("-q");
        command
    }

    fn configure(&self, arch: &str, suites: &BTreeSet<String>) -> io::Result<()> {
        let dir = |name: &str| self.state.join(arch).join(name);
        for name in ["lists/partial", "cache/archives/partial", "sources"] {
            std::fs::create_dir_all(dir(name))?;
        }
        std::fs::write(dir("status"), "")?;
        std::fs::write(dir("apt.conf"), self.conf(arch))?;
        std::fs::write(dir("sources/farrier.sources"), self.sources(arch, suites))
    }

    /// Read after the host's own configuration, so that its proxies stay in force.
    fn conf(&self, arch: &str) -> String {
        format!(
            "Dir::Etc::SourceList \"/dev/null\";\n\
             Dir::Etc::SourceParts \"{state}/sources\";\n\
             Dir::State::Lists \"{state}/lists\";\n\
             Dir::State::status \"{state}/status\";\n\
             Dir::Cache \"{state}/cache\";\n\
             Dir::Cache::pkgcache \"pkgcache.bin\";\n\
             Dir::Cache::srcpkgcache \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"2\";\n\
             #clear APT::Update::Pre-Invoke;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n\
             #clear Acquire::IndexTargets::deb::DEP-11;\n\
             #clear Acquire::IndexTargets::deb::DEP-11-icons;\n\
             #clear APT::Architectures;\n\
             APT::Architectures {{ \"{native}\"; \"{arch}\"; }};\n",
            state = self.state.join(arch).display(),
            native = self.native,
        )
    }

    fn sources(&self, arch: &str, suites: &BTreeSet<String>) -> String {
        let mut text = String::new();
        for suite in suites {
            writeln!(
                text,
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nArchitectures: {arch}\n\
                 Signed-By: {}\n",
                self.mirror,
                self.keyring.display()
            )
            .expect("a String takes any text");
        }
        text
    }
}

/// The file name in `'uri' name size hash`.
fn file_name<'a>(listing: &'a str, want: &Want) -> Option<&'a str> {
    let mut names = listing.lines().filter_map(|l| l.split_whitespace().nth(1));
    names.find(|name| want.is_file(name) && !name.contains('/'))
}

/// Older versions of what was just downloaded are of no more use.
fn drop_others(dir: &Path, keep: &str, want: &Want) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != keep && want.is_file(&name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A mirror that is just being updated has lists that do not belong together, for some seconds: without another
/// try, one bad moment means the loaders of the suite before.
const MIRROR_PAUSE: Duration = Duration::from_secs(10);
