//! Debian packages as files, and packages installed on this host.

use super::Progress;
use super::run::{RunError, run};
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
    /// Told beforehand which suites and architectures will be asked first.
    fn prepare(&mut self, wanted: &[(String, String)], tell: Tell<'_>) {
        let _ = (wanted, tell);
    }

    /// Gets one package; the error is for people.
    fn fetch(
        &mut self,
        package: &str,
        arch: &str,
        suite: &str,
        tell: Tell<'_>,
    ) -> Result<Deb, String>;
}

/// Who is told how it goes.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Progress);

/// A directory of package files: `<dir>/<suite>/*.deb`, or simply `<dir>/*.deb`, which stands
/// for whatever suite is asked first.
#[derive(Debug)]
pub(crate) struct DebDir(pub(crate) PathBuf);

impl Packages for DebDir {
    fn fetch(
        &mut self,
        package: &str,
        arch: &str,
        suite: &str,
        _tell: Tell<'_>,
    ) -> Result<Deb, String> {
        let found = newest(&self.0.join(suite), package, arch).or(newest(&self.0, package, arch));
        match found {
            Some(path) => inspect(&path, package, arch),
            None => Err(format!("no {package} ({arch}) in {}", self.0.display())),
        }
    }
}

/// The latest file `<package>_<version>_<arch>.deb` of a directory.
fn newest(dir: &Path, package: &str, arch: &str) -> Option<PathBuf> {
    let listing = std::fs::read_dir(dir).ok()?;
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        is_file_of(name, package, arch)
    };
    let age = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    listing
        .flatten()
        .map(|e| e.path())
        .filter(fits)
        .max_by_key(age)
}

/// Whether a file is named `<package>_<version>_<arch>.deb`.
pub(crate) fn is_file_of(name: &str, package: &str, arch: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    matches!(parts.as_slice(), [p, _, a] if *p == package && a.strip_suffix(".deb") == Some(arch))
}

/// Reads a package's own fields; a file that is something else is refused.
pub(crate) fn inspect(path: &Path, package: &str, arch: &str) -> Result<Deb, String> {
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
        [p, a, version] if *p == package && *a == arch => Ok(Deb {
            path: path.to_owned(),
            version: (*version).to_owned(),
        }),
        _ => Err(format!(
            "{} is not the package {package} ({arch})",
            path.display()
        )),
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
