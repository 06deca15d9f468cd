//! apt under a private state: other suites and architectures than the host's, and nothing of the
//! host's own package lists is touched.

use super::deb::{Deb, Packages, Tell, Want, inspect};
use super::run::{run, summary};
use super::{Progress, mirror};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// apt with its own sources, lists and status below `state`; packages go to `debs/<suite>/`.
pub(crate) struct Apt {
    pub(crate) apt_get: PathBuf,
    pub(crate) mirror: String,
    pub(crate) keyring: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) debs: PathBuf,
    /// Suite to the architectures whose lists were asked for.
    pub(crate) listed: BTreeMap<String, BTreeSet<String>>,
    pub(crate) native: String,
    /// What is downloaded already.
    pub(crate) ready: BTreeMap<Want, PathBuf>,
    /// What the last update said went wrong.
    pub(crate) trouble: Option<String>,
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
        for want in wanted {
            self.list(want);
        }
        self.update(tell);
        for suite in self.listed.keys().cloned().collect::<Vec<_>>() {
            let of_suite: Vec<&Want> = wanted.iter().filter(|w| w.suite == suite).collect();
            for want in &of_suite {
                tell(Progress::Fetching {
                    package: want.to_string(),
                    suite: suite.clone(),
                });
            }
            if let Ok(files) = self.download(&suite, &of_suite) {
                self.ready.extend(files);
            }
        }
    }

    fn fetch(&mut self, want: &Want, tell: Tell<'_>) -> Result<Deb, String> {
        if let Some(path) = self.ready.get(want) {
            return inspect(path, want);
        }
        if self.list(want) {
            self.update(tell);
        }
        tell(Progress::Fetching {
            package: want.to_string(),
            suite: want.suite.clone(),
        });
        let files = self
            .download(&want.suite, &[want])
            .map_err(|said| match &self.trouble {
                Some(trouble) => format!("{said} ({trouble})"),
                None => said,
            })?;
        let path = files.get(want).ok_or("apt-get named no file of it")?;
        inspect(path, want)
    }
}

impl Apt {
    /// Notes a suite and architecture; true when its lists have not been fetched yet.
    fn list(&mut self, want: &Want) -> bool {
        let arch = match want.arch.as_str() {
            "all" => self.native.clone(),
            arch => arch.to_owned(),
        };
        self.listed
            .entry(want.suite.clone())
            .or_default()
            .insert(arch)
    }

    fn update(&mut self, tell: Tell<'_>) {
        tell(Progress::Updating {
            mirror: self.mirror.clone(),
            suites: self.listed.keys().cloned().collect(),
        });
        let fetch = || run(self.command().arg("update")).map_err(|e| e.to_string());
        let configured = self.configure().map_err(|e| e.to_string());
        let mut result = configured.and_then(|()| fetch());
        for _ in 0..MIRROR_TRIES {
            let (Ok((_, said)) | Err(said)) = &result;
            if !said.contains("Mirror sync in progress") {
                break;
            }
            std::thread::sleep(MIRROR_PAUSE);
            result = fetch();
        }
        // Unreachable servers are only warnings to `apt-get update`.
        self.trouble = match result {
            Ok((_, said)) if said.contains("W: Failed to fetch") => Some(summary(&said)),
            Ok(_) => None,
            Err(said) => Some(said),
        };
    }

    /// Downloads packages of one suite, all or none; gives their files.
    fn download(&self, suite: &str, wanted: &[&Want]) -> Result<BTreeMap<Want, PathBuf>, String> {
        let dir = self.debs.join(suite);
        let access = |e: io::Error| format!("{}: {e}", dir.display());
        std::fs::create_dir_all(&dir).map_err(access)?;
        let names = wanted.iter().map(|want| match want.arch.as_str() {
            "all" => format!("{}/{suite}", want.package),
            arch => format!("{}:{arch}/{suite}", want.package),
        });
        let names: Vec<String> = names.collect();
        // Asked in a directory without packages: apt names only the files it would download.
        let mut asking = self.command();
        asking.current_dir(&self.state);
        let (listing, _) = run(asking.args(["download", "--print-uris"]).args(&names))
            .map_err(|e| e.to_string())?;
        let mut downloading = self.command();
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

    fn command(&self) -> Command {
        let mut command = Command::new(&self.apt_get);
        command.arg("-c").arg(self.state.join("apt.conf")).arg("-q");
        command
    }

    fn configure(&self) -> io::Result<()> {
        let dir = |name: &str| self.state.join(name);
        for name in ["lists/partial", "cache/archives/partial", "sources"] {
            std::fs::create_dir_all(dir(name))?;
        }
        std::fs::write(dir("status"), "")?;
        std::fs::write(dir("apt.conf"), self.conf())?;
        std::fs::write(dir("sources/farrier.sources"), self.sources())
    }

    /// Read after the host's own configuration, so that its proxies stay in force.
    fn conf(&self) -> String {
        let arches: BTreeSet<&String> = self.listed.values().flatten().collect();
        let arches: Vec<String> = arches.iter().map(|a| format!("\"{a}\";")).collect();
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
             APT::Architectures {{ \"{native}\"; {arches} }};\n",
            state = self.state.display(),
            native = self.native,
            arches = arches.join(" "),
        )
    }

    fn sources(&self) -> String {
        let mut text = String::new();
        for (suite, arches) in &self.listed {
            let arches: Vec<&str> = arches.iter().map(String::as_str).collect();
            writeln!(
                text,
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nArchitectures: {}\n\
                 Signed-By: {}\n",
                self.mirror,
                arches.join(" "),
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
const MIRROR_TRIES: u32 = 3;
const MIRROR_PAUSE: Duration = Duration::from_secs(10);
