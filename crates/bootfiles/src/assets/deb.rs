//! Debian packages as files, and packages installed on this host.

use super::Progress;
use super::run::{RunError, run};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package file, downloaded and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deb {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// Where packages come from.
pub(crate) trait Packages {
    /// Told beforehand what will be asked for first.
    fn prepare(&mut self, wanted: &[Want], tell: Tell<'_>) {
        let _ = (wanted, tell);
    }

    /// Gets one package; the error is for people.
    fn fetch(&mut self, want: &Want, tell: Tell<'_>) -> Result<Deb, String>;
}

/// One package of one suite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Want {
    pub(crate) suite: String,
    pub(crate) package: String,
    pub(crate) arch: String,
}

impl Want {
    /// Whether a file is named `<package>_<version>_<arch>.deb`.
    pub(crate) fn is_file(&self, name: &str) -> bool {
        let parts: Vec<&str> = name.split('_').collect();
        let [package, _, arch] = parts.as_slice() else {
            return false;
        };
        *package == self.package && arch.strip_suffix(".deb") == Some(&self.arch)
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.package, self.arch)
    }
}

/// Who is told how it goes.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Progress);

/// A directory of package files: `<dir>/<suite>/*.deb`, or simply `<dir>/*.deb`, which stands
/// for whatever suite is asked first.
#[derive(Debug)]
pub(crate) struct DebDir(pub(crate) PathBuf);

impl Packages for DebDir {
    fn fetch(&mut self, want: &Want, _tell: Tell<'_>) -> Result<Deb, String> {
        let dirs = [self.0.join(&want.suite), self.0.clone()];
        match dirs.iter().find_map(|dir| newest(dir, want)) {
            Some(path) => inspect(&path, want),
            None => Err(format!("no {want} in {}", self.0.display())),
        }
    }
}

fn newest(dir: &Path, want: &Want) -> Option<PathBuf> {
    let name = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
    let age = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    std::fs::read_dir(dir)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .filter(|path| name(path).is_some_and(|n| want.is_file(&n)))
        .max_by_key(age)
}

/// Reads a package's own fields; a file that is something else is refused.
pub(crate) fn inspect(path: &Path, want: &Want) -> Result<Deb, String> {
    let mut command = Command::new("dpkg-deb");
    command
        .args([
            "--show",
            "--showformat",
            "${Package} ${Architecture} ${Version}",
        ])
        .arg(path);
    let (fields, _) = run(&mut command).map_err(|e| format!("{}: {e}", path.display()))?;
    match fields.split_whitespace().collect::<Vec<_>>().as_slice() {
        [p, a, version] if *p == want.package && *a == want.arch => Ok(Deb {
            path: path.to_owned(),
            version: (*version).to_owned(),
        }),
        _ => Err(format!("{} is not the package {want}", path.display())),
    }
}

/// Unpacks the files of a package; runs none of its scripts.
pub(crate) fn unpack(deb: &Deb, into: &Path) -> Result<(), RunError> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--extract").arg(&deb.path).arg(into);
    run(&mut command).map(drop)
}

/// The version of a package that is installed on this host for this architecture.
pub(crate) fn installed_version(package: &str, arch: &str) -> Option<String> {
    let name = match arch {
        "all" => package.to_owned(),
        arch => format!("{package}:{arch}"),
    };
    let mut command = Command::new("dpkg-query");
    command.args([
        "--show",
        "--showformat",
        "${db:Status-Status} ${Architecture} ${Version}",
        &name,
    ]);
    let (fields, _) = run(&mut command).ok()?;
    match fields.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["installed", a, version] if *a == arch => Some((*version).to_owned()),
        _ => None,
    }
}
