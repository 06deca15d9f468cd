//! The directories a sync writes to, and how it writes.

use super::record::digest;
use super::{Kind, SyncError};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The directories of a data directory that a sync writes to; locked while it does.
pub(super) struct Place {
    pub(super) loaders: PathBuf,
    pub(super) images: PathBuf,
    pub(super) cache: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    pub(super) fn open(data_dir: &Path) -> Result<Place, SyncError> {
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

    pub(super) fn root(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Loader => &self.loaders,
            Kind::Image => &self.images,
        }
    }

    pub(super) fn debs(&self) -> PathBuf {
        self.cache.join("debs")
    }
}

/// Makes what is missing of a directory, readable by the service's own user: root may sync into a
/// data directory that belongs to somebody else, whatever root's umask. The data directory itself
/// keeps others out.
fn make_readable(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_readable(parent)?;
    }
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755))),
    }
}

/// Writes a file whole or not at all: beside its place, synced, then renamed.
pub(super) fn copy(mut from: impl io::Read, target: &Path) -> io::Result<(String, u64)> {
    let dir = target.parent().unwrap_or(Path::new("."));
    make_readable(dir)?;
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
