//! The directories that boot files are served from.

use crate::cache::{DEFAULT_BUDGET, FileCache, SharedFile};
use crate::inside::{self, Trees};
use crate::loaders::{self, LoaderIndex, LoaderStatus};
use crate::opener::{self, Patience, Refused};
use crate::published::{self, Published};
use answers::Links;
use answers::links::LinkKey;
use bootplan::{LoaderInventory, RelPath, Timestamp};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// Loader directories and the images directory, with an index of the loaders that are there.
///
/// Cheap to share behind an `Arc`; every method takes `&self` and may be called from any thread.
/// Opening and reading files blocks as the file system does.
#[derive(Debug)]
pub struct BootFiles {
    loader_dirs: Vec<PathBuf>,
    images: PathBuf,
    index: RwLock<Arc<LoaderIndex>>,
    cache: FileCache,
    trees: Trees,
    published: Vec<Published>,
    link_key: Option<LinkKey>,
}

/// Why the boot files cannot be served at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory cannot be made or opened.
    #[error("cannot use {path} as a directory of boot files; create it and make it readable")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel (before Linux 5.6) or a sandbox refuses `openat2`, without which a symbolic
    /// link could lead out of the directory.
    #[error(
        "openat2 does not work on {path}; Linux 5.6 or newer is needed, and a container's \
         seccomp profile must allow it"
    )]
    NoOpenat2 {
        /// Where it was tried.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl BootFiles {
    /// Makes the directories if they are absent, and indexes the loaders.
    ///
    /// `loader_dirs` in order of precedence: the operator's own set first.
    ///
    /// # Errors
    /// [`OpenError`] names the directory that cannot be used.
    pub fn open(loader_dirs: &[PathBuf], images: &Path) -> Result<BootFiles, OpenError> {
        for path in loader_dirs.iter().map(PathBuf::as_path).chain([images]) {
            std::fs::create_dir_all(path).map_err(|source| OpenError::Directory {
                path: path.to_owned(),
                source,
            })?;
            opener::probe(path).map_err(|source| OpenError::NoOpenat2 {
                path: path.to_owned(),
                source,
            })?;
        }
        let index = LoaderIndex::scan(loader_dirs);
        Ok(BootFiles {
            loader_dirs: loader_dirs.to_owned(),
            images: images.to_owned(),
            index: RwLock::new(Arc::new(index)),
            cache: FileCache::new(DEFAULT_BUDGET),
            trees: Trees::default(),
            published: Vec::new(),
            link_key: None,
        })
    }

    /// The same directories with another memory of file contents.
    #[must_use]
    pub fn with_cache(self, cache: FileCache) -> BootFiles {
        BootFiles { cache, ..self }
    }

    /// With the key under which links of machines are signed; without it, menus hold none.
    #[must_use]
    pub fn with_link_key(self, key: LinkKey) -> BootFiles {
        BootFiles {
            link_key: Some(key),
            ..self
        }
    }

    /// Links for a menu that is rendered now.
    pub(crate) fn links(&self) -> Links<'_> {
        let now = Timestamp::from(SystemTime::now());
        let key = self.link_key.as_ref();
        key.map_or(Links::Hidden, |key| Links::Minted(key, now))
    }

    /// With directories that are served below a prefix of their own.
    #[must_use]
    pub fn with_published(self, published: Vec<Published>) -> BootFiles {
        BootFiles { published, ..self }
    }

    /// What is kept of the files that are being served.
    pub fn cache(&self) -> &FileCache {
        &self.cache
    }

    /// Which platform and role has a loader on disk; operator's sets win over packaged ones. A
    /// loader whose companions are missing (shim without GRUB) is not listed.
    pub fn inventory(&self) -> LoaderInventory {
        self.current().inventory()
    }

    /// Every loader we know of, present or missing, for the status page. As of the last scan.
    pub fn loaders(&self) -> Vec<LoaderStatus> {
        self.current().status()
    }

    /// What is wrong with the loader directories themselves, such as a manifest that cannot be
    /// parsed; for people, as of the last scan.
    pub fn problems(&self) -> Vec<String> {
        self.current().problems()
    }

    /// Looks at the loader directories again; call after `assets::sync` or when they changed.
    pub fn rescan(&self) {
        let fresh = Arc::new(LoaderIndex::scan(&self.loader_dirs));
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Opens a loader by name: in each directory in turn by its exact name, then by the only
    /// indexed name that differs in case alone (firmware and DOS-bred loaders change it).
    pub(crate) fn open_loader(
        &self,
        name: &RelPath,
        patience: Patience,
    ) -> Result<SharedFile, Refused> {
        if loaders::is_bookkeeping(name) {
            return Err(Refused::Absent);
        }
        match self.open_exact(name, patience) {
            Err(Refused::Absent) => {}
            other => return other,
        }
        match self.current().other_case(name) {
            Some(name) => self.open_exact(&name, patience),
            None => Err(Refused::Absent),
        }
    }

    /// Whether this path below the images directory can be served at this moment.
    pub fn has_image(&self, path: &RelPath) -> bool {
        self.open_image(path, Patience::Waits).is_ok()
    }

    /// Opens a file below the images directory by its exact name; else the one of that name inside
    /// an image: `debian/x` is `debian/x` on the disk or `x` in `debian.iso`.
    pub(crate) fn open_image(
        &self,
        path: &RelPath,
        patience: Patience,
    ) -> Result<SharedFile, Refused> {
        match self.open_beneath(&self.images, path, patience) {
            Err(Refused::Absent) => match inside::other_spelling(path) {
                Some(other) => self.open_beneath(&self.images, &other, patience),
                None => self.open_inside(path, patience),
            },
            other => other,
        }
    }

    fn open_inside(&self, path: &RelPath, patience: Patience) -> Result<SharedFile, Refused> {
        let ([usual, other], below) = inside::images_of(path).ok_or(Refused::Absent)?;
        let (image, identity) = match opener::look(&self.images, &usual, patience) {
            Err(Refused::Absent) => {
                let identity = opener::look(&self.images, &other, patience)?;
                (other, identity)
            }
            found => (usual, found?),
        };
        if let Some(tree) = self.trees.known(&identity) {
            let entry = inside::file_of(&tree, below).ok_or(Refused::Absent)?;
            let open = self.cache.find(&identity.inside(&entry));
            let may_be_old = |file: &SharedFile| patience == Patience::Never && !file.is_local();
            if let Some(file) = open.filter(|file| !may_be_old(file)) {
                return Ok(file);
            }
        }
        if patience == Patience::Never {
            return Err(Refused::WouldBlock);
        }
        // It may be another version by now: what is open counts.
        let open = opener::open_beneath(&self.images, &image)?;
        let tree = self.trees.of(&open).map_err(Refused::Failed)?;
        let entry = inside::file_of(&tree, below).ok_or(Refused::Absent)?;
        Ok(self.cache.adopt(open.inside(&entry)))
    }

    /// Opens a file of a published directory; `None` when the name is below none of their prefixes. For those
    /// outside its networks nothing is there.
    pub(crate) fn open_published(
        &self,
        name: &RelPath,
        asker: Ipv4Addr,
        patience: Patience,
    ) -> Option<Result<SharedFile, Refused>> {
        let mut all = self.published.iter();
        let (published, below) = all.find_map(|p| Some((p, p.below(name)?)))?;
        if !published.networks.contains(asker) {
            return Some(Err(Refused::Absent));
        }
        let exact = self.open_beneath(&published.directory, &below, patience);
        if !published.ignore_case || !matches!(exact, Err(Refused::Absent)) {
            return Some(exact);
        }
        Some(match patience {
            Patience::Never => Err(Refused::WouldBlock),
            Patience::Waits => match published::other_case(&published.directory, &below) {
                Some(name) => self.open_beneath(&published.directory, &name, patience),
                None => Err(Refused::Absent),
            },
        })
    }

    fn open_exact(&self, name: &RelPath, patience: Patience) -> Result<SharedFile, Refused> {
        for dir in &self.loader_dirs {
            match self.open_beneath(dir, name, patience) {
                Err(Refused::Absent) => {}
                other => return other,
            }
        }
        Err(Refused::Absent)
    }

    /// The version that stands under this name now: the one that is open already, or (for those
    /// who may wait) a new one.
    fn open_beneath(
        &self,
        dir: &Path,
        name: &RelPath,
        patience: Patience,
    ) -> Result<SharedFile, Refused> {
        let identity = opener::look(dir, name, patience)?;
        let open = self.cache.find(&identity);
        match (open, patience) {
            (Some(file), Patience::Waits) => Ok(file),
            (Some(file), Patience::Never) if file.is_local() => Ok(file),
            (_, Patience::Never) => Err(Refused::WouldBlock),
            (None, Patience::Waits) => Ok(self.cache.adopt(opener::open_beneath(dir, name)?)),
        }
    }

    fn current(&self) -> Arc<LoaderIndex> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}
