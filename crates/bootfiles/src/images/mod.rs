//! The images directory as people see it: which images there are, what they hold, and how new
//! ones come in.
//!
//! The directory is the truth (docs/decisions/0012-images.md): what somebody copies into it is an
//! image, what somebody deletes is none any more. Beside each image lies a small record of what
//! cannot be read off it quickly (`.farrier/NAME.json`); what is on its way in lies in
//! `.staging/ID` until it is whole. Both names are hidden, and clients have no spelling for them.
//!
//! Everything here blocks as the file system does.

mod bundle;
mod disk;
mod error;
mod hash;
mod info;
mod look;
mod name;
mod outside;
mod staging;
#[cfg(test)]
mod tests;
mod unusable;

pub use bundle::Bundle;
pub use error::ImageError;
pub use hash::Verified;
pub use info::{ImageInfo, ImageKind, ImageState, uses};
pub use look::Look;
pub use name::check_name;
pub use staging::{Origin, Staging, Wanted};
pub use unusable::Unusable;

use crate::iso_name::{EXTENSIONS, iso_stem};
use bootplan::RelPath;
use disk::{RECORDS, STAGING, sync_dir};
use info::Record;
use look::Seen;
use media::Recipes;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The images directory. Cheap to clone; every clone is the same store.
#[derive(Clone, Debug)]
pub struct ImageStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// The operator's own recipes; read at each look, so that a new one needs no restart.
    recipes: PathBuf,
    seen: Mutex<BTreeMap<String, Seen>>,
    unusable: Mutex<Vec<Unusable>>,
    /// Held while somebody looks: two at once would read every new image twice.
    looking: Mutex<()>,
    /// Uploads under way, by their identity.
    staged: Mutex<BTreeMap<String, Staging>>,
    /// What machines read by NBD.
    read_now: Mutex<BTreeSet<RelPath>>,
    stopping: AtomicBool,
}

impl ImageStore {
    /// Opens the directory (`images`, with its hidden parts, which are made), takes up the uploads
    /// that a restart interrupted and sweeps what belongs to nobody. `recipes` may be absent.
    ///
    /// # Errors
    /// When the directories cannot be made or read.
    pub fn open(images: &Path, recipes: &Path) -> io::Result<ImageStore> {
        for part in [RECORDS, STAGING] {
            fs::create_dir_all(images.join(part))?;
        }
        let store = ImageStore(Arc::new(Inner {
            root: images.to_owned(),
            recipes: recipes.to_owned(),
            seen: Mutex::default(),
            unusable: Mutex::default(),
            looking: Mutex::default(),
            staged: Mutex::default(),
            read_now: Mutex::default(),
            stopping: AtomicBool::new(false),
        }));
        staging::take_up(&store)?;
        Ok(store)
    }

    /// Where people copy images to.
    pub fn directory(&self) -> &Path {
        &self.0.root
    }

    /// Every image as of the last [`ImageStore::look`], by name.
    pub fn list(&self) -> Vec<Arc<ImageInfo>> {
        self.seen()
            .values()
            .map(|seen| Arc::clone(&seen.info))
            .collect()
    }

    /// What lies in the directory and cannot be used as it is called, as of the last look.
    pub fn unusable(&self) -> Vec<Unusable> {
        let unusable = &self.0.unusable;
        unusable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<Arc<ImageInfo>> {
        self.seen().get(name).map(|seen| Arc::clone(&seen.info))
    }

    /// A client fetched something of this image; `path` is what it asked for, below the images
    /// directory. Kept in memory until the next look.
    pub fn served(&self, path: &str, at_ms: i64) {
        let first = path.split('/').next().unwrap_or(path);
        let stem = iso_stem(first).unwrap_or(first);
        let isos = EXTENSIONS.map(|extension| format!("{stem}{extension}"));
        let mut seen = self.seen();
        for name in [first, &isos[0], &isos[1]] {
            if let Some(seen) = seen.get_mut(name) {
                seen.serve(at_ms);
            }
        }
    }

    /// Machines read these files below the images directory by another way than ours (NBD) at
    /// this moment, and no others.
    pub fn exported(&self, files: BTreeSet<RelPath>, at_ms: i64) {
        for file in &files {
            self.served(file.as_str(), at_ms);
        }
        *self.read_now() = files;
    }

    /// Whether machines read something of this image by NBD, as of the last
    /// [`ImageStore::exported`].
    pub fn is_read(&self, name: &str) -> bool {
        let first = |file: &RelPath| file.as_str().split('/').next() == Some(name);
        self.read_now().iter().any(first)
    }

    /// Takes an image out of the directory, all at once: it is renamed away before anything of
    /// it is deleted. Who is fetching it at this moment gets the rest of a file that is open.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], or what the file system says.
    pub fn delete(&self, name: &str) -> Result<(), ImageError> {
        check_name(name)?;
        let _turn = self.turn();
        let from = self.0.root.join(name);
        if name.contains('/') || fs::symlink_metadata(&from).is_err() {
            return Err(ImageError::NotFound(name.to_owned()));
        }
        let grave = self
            .0
            .root
            .join(STAGING)
            .join(format!("gone-{}", disk::unique()));
        fs::rename(&from, &grave)?;
        sync_dir(&self.0.root)?;
        self.seen().remove(name);
        Record::remove(&self.0.root, name);
        // A power cut from here on leaves what the next start sweeps.
        disk::remove(&grave)?;
        Ok(())
    }

    /// Ends long readings, for a shutdown.
    pub fn stop(&self) {
        self.0.stopping.store(true, Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(Relaxed)
    }

    fn recipes(&self) -> Recipes {
        Recipes::load(&self.0.recipes).unwrap_or_else(|error| {
            tracing::warn!(%error, "recipes of distributions cannot be used; the built-in ones are");
            Recipes::builtin()
        })
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_now(&self) -> MutexGuard<'_, BTreeSet<RelPath>> {
        self.0
            .read_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.0
            .looking
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
