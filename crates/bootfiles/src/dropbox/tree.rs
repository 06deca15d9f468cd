//! A drop box's directory. Everything a client's name has a part in is resolved by the kernel beneath it.

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fsync, linkat, mkdirat, openat, openat2,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Uploads under way.
pub(super) const INCOMING: &str = ".farrier/incoming";
/// Uploads that are complete, with their records.
pub(super) const UPLOADS: &str = ".farrier/uploads";

/// The open directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
}

/// A directory below it, to make and remove names in.
#[derive(Debug)]
pub(super) struct Place {
    dir: OwnedFd,
}

/// Directories that were made, each after those above it.
#[derive(Debug, Default)]
pub(super) struct Made(Vec<String>);

impl Made {
    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Tree {
    /// Opens the directory with its hidden parts, and makes what is missing.
    pub(super) fn make(path: &Path) -> io::Result<Tree> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o750).create(path)?;
        let tree = Tree::open(path)?;
        tree.place(INCOMING)?;
        tree.place(UPLOADS)?;
        Ok(tree)
    }

    /// Opens the directory.
    pub(super) fn open(path: &Path) -> io::Result<Tree> {
        let root = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        Ok(Tree { root })
    }

    /// A directory, made with all above it where it is missing; what was made is durable.
    pub(super) fn place(&self, path: &str) -> io::Result<Place> {
        self.place_noting(path, &mut Made::default())
    }

    /// The same; notes what it makes, also when it fails.
    pub(super) fn place_noting(&self, path: &str, made: &mut Made) -> io::Result<Place> {
        let mut place = Place {
            dir: self.resolve(".")?,
        };
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let so_far = &path[..end];
            place.dir = match self.resolve(so_far) {
                Err(Errno::NOENT) => {
                    let name = so_far.rsplit('/').next().unwrap_or(so_far);
                    match mkdirat(&place.dir, name, Mode::from_raw_mode(0o750)) {
                        Err(Errno::EXIST) => {}
                        result => {
                            result?;
                            made.0.push(so_far.to_owned());
                        }
                    }
                    fsync(&place.dir)?;
                    self.resolve(so_far)?
                }
                found => found?,
            };
        }
        Ok(place)
    }

    /// The directory of a path that may be only one component, with that last component.
    pub(super) fn place_of<'a>(
        &self,
        path: &'a str,
        made: &mut Made,
    ) -> io::Result<(Place, &'a str)> {
        match path.rsplit_once('/') {
            Some((dir, name)) => Ok((self.place_noting(dir, made)?, name)),
            None => Ok((self.place(".")?, path)),
        }
    }

    /// How many directories [`Tree::place`] would make.
    pub(super) fn missing(&self, path: &str) -> io::Result<u64> {
        let mut missing = 0;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            match self.resolve(&path[..end]) {
                Err(Errno::NOENT) => missing += 1,
                found => drop(found?),
            }
        }
        Ok(missing)
    }

    /// Removes what was made, as far as nobody has put anything into it since.
    pub(super) fn unmake(&self, made: &Made) {
        for path in made.0.iter().rev() {
            let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
            if let Ok(dir) = self.resolve(above) {
                let _ = unlinkat(&dir, name, AtFlags::REMOVEDIR);
            }
        }
    }

    /// What is at this path: `None` when there is nothing.
    pub(super) fn kind(&self, path: &str) -> io::Result<Option<FileType>> {
        let (dir, name) = match path.rsplit_once('/') {
            Some((dir, name)) => match self.resolve(dir) {
                Err(Errno::NOENT) => return Ok(None),
                found => (found?, name),
            },
            None => (self.resolve(".")?, path),
        };
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A new empty file among the uploads under way, with its name there.
    pub(super) fn new_incoming(&self) -> io::Result<(File, String)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let place = self.place(INCOMING)?;
        for _ in 0..NAME_TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}", std::process::id());
            match place.create(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((made?, name)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes what an earlier run left unfinished.
    pub(super) fn clear_incoming(&self) -> io::Result<()> {
        let place = self.place(INCOMING)?;
        for entry in Dir::read_from(&place.dir)? {
            let entry = entry?;
            if entry.file_type() != FileType::Directory {
                unlinkat(&place.dir, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Whether the file system can do what publishing needs; what is wrong otherwise.
    pub(super) fn probe(&self) -> Result<(), String> {
        let (_file, name) = self
            .new_incoming()
            .map_err(|e| format!("no file can be made in it: {e}"))?;
        let linked = format!("{name}-linked");
        let place = self.place(INCOMING).map_err(|e| e.to_string())?;
        let result = place.link(&name, &place, &linked);
        let _ = place.remove(&linked);
        let _ = place.remove(&name);
        result.map_err(|e| format!("its file system must be able to make hard links: {e}"))
    }

    /// A file to read: `None` when there is none, or something that is no file.
    pub(super) fn file(&self, path: &str) -> io::Result<Option<File>> {
        let file = match self.open_beneath(path, READ) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            found => File::from(found?),
        };
        Ok(file.metadata()?.is_file().then_some(file))
    }

    fn resolve(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.open_beneath(path, DIRECTORY)
    }

    fn open_beneath(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: a rename elsewhere raced with `..` of a symbolic link; the manual says try again.
        for _ in 0..RACE_RETRIES {
            match openat2(&self.root, path, flags, Mode::empty(), beneath) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }
}

impl Place {
    /// A new file; one that is there is an error.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = openat(&self.dir, name, flags, Mode::from_raw_mode(0o640))?;
        Ok(File::from(fd))
    }

    /// Gives the file `name` another name in `to`; one that is there is an error.
    pub(super) fn link(&self, name: &str, to: &Place, other: &str) -> io::Result<()> {
        Ok(linkat(&self.dir, name, &to.dir, other, AtFlags::empty())?)
    }

    /// Moves the file `name` to a name in `to`, in the place of what is there.
    pub(super) fn rename(&self, name: &str, to: &Place, other: &str) -> io::Result<()> {
        Ok(renameat(&self.dir, name, &to.dir, other)?)
    }

    /// Removes a file's name.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    /// A file's length.
    pub(super) fn size(&self, name: &str) -> io::Result<u64> {
        let stat = statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// Makes names that were made and removed durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.dir)?)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Whoever manages the directory may have put a pipe there: opening it must not wait for its other end.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
/// More than a handful means somebody renames without end.
const RACE_RETRIES: u32 = 8;
/// Names of this process only collide with those of an earlier one that had its number.
const NAME_TRIES: u32 = 1_000;
