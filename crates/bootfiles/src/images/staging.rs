//! An image on its way in.
//!
//! It lies in `.staging/ID` as `part`, with what was announced of it in `state.json`. The length
//! of `part` is how far it has come, after a crash as well; it gets its name in one step, after all
//! of it is durable and right. So an image is there whole or not at all, wherever the program or
//! the machine stops.

use super::bundle::BUNDLE;
use super::disk::{self, STAGING, free, now_ms, rename_new, sync_dir, unique, write_whole};
use super::info::Record;
use super::look::Stamp;
use super::{ImageError, ImageStore, check_name};
use crate::iso_name::{EXTENSIONS, iso_stem};
use media::Image;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What it will be called below the images directory.
    pub name: String,
    /// Its length in bytes; `None` when nobody knows beforehand.
    pub len: Option<u64>,
    /// Its SHA-256 in lower-case hexadecimal, if it is to be checked.
    pub sha256: Option<String>,
    /// Whatever else tells this file from others of its name and length, such as when it was
    /// modified: who announces the same again goes on where it stopped.
    #[serde(default)]
    pub mark: String,
    /// Who brings it, for people: `uploaded by morgan`.
    #[serde(default)]
    pub source: String,
    /// The job of Farrier's own that fetches it. Nobody else sees it or writes to it.
    #[serde(default)]
    pub job: Option<String>,
}

/// Where a file came from that nobody uploaded, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The URL, without what may be secret in it.
    pub from: Option<String>,
    /// What it was checked against, for people; nothing: only its name speaks for it.
    pub verified: Option<String>,
    /// The SHA-256 that it must have, in lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// An image on its way in. Cheap to clone; every clone is the same one. Dropping it leaves it to be
/// resumed.
#[derive(Clone, Debug)]
pub struct Staging(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    wanted: Wanted,
    directory: PathBuf,
    progress: Mutex<Progress>,
    /// How many bytes have come; for those who ask without waiting.
    offset: AtomicU64,
}

#[derive(Debug)]
struct Progress {
    file: File,
    /// Of the first `hashed` bytes.
    hash: Sha256,
    hashed: u64,
    /// Published or cancelled: nothing more is taken.
    over: bool,
}

impl ImageStore {
    /// Begins to bring in an image, or goes on with the one that was announced like this before.
    /// Room for all of it is taken at once, where the file system can.
    ///
    /// # Errors
    /// A name that is not possible, is taken, or that another file is brought in under; no room.
    pub fn begin(&self, wanted: Wanted) -> Result<Staging, ImageError> {
        check_name(&wanted.name)?;
        if !wanted.name.contains('/') && iso_stem(&wanted.name).is_none() {
            return Err(ImageError::Alone(wanted.name));
        }
        if let Some(sum) = &wanted.sha256
            && !(sum.len() == 64 && sum.bytes().all(|c| b"0123456789abcdef".contains(&c)))
        {
            let expected = sum.chars().take(80).collect();
            let found = "64 lower-case hexadecimal digits".to_owned();
            return Err(ImageError::Checksum { expected, found });
        }
        let mut staged = self.staged();
        let mut under_way = staged.values();
        let other = under_way.find(|other| other.wanted().name == wanted.name);
        if let Some(other) = other {
            let of = |it: &Wanted| (it.len, it.sha256.clone(), it.mark.clone(), it.job.clone());
            return match of(other.wanted()) == of(&wanted) {
                true => Ok(other.clone()),
                false => Err(ImageError::UnderWay(wanted.name)),
            };
        }
        if let Some(taken) = self.taken(&wanted.name) {
            return Err(ImageError::Exists(taken));
        }
        if staged.len() >= MOST {
            return Err(ImageError::TooMany(staged.len()));
        }
        let all = self.0.root.join(STAGING);
        let free = free(&all);
        if wanted.len.is_some_and(|len| len > free) {
            return Err(ImageError::NoSpace { free });
        }
        let id = unique();
        let directory = all.join(&id);
        let begun = Staging::make(&id, &directory, wanted, free);
        match begun {
            Ok(staging) => {
                staged.insert(id, staging.clone());
                Ok(staging)
            }
            Err(error) => {
                let _ = disk::remove(&directory);
                Err(error)
            }
        }
    }

    /// What stands where an image of this name would: both spellings are below one name.
    fn taken(&self, name: &str) -> Option<String> {
        let others = iso_stem(name).map(|stem| EXTENSIONS.map(|e| format!("{stem}{e}")));
        let mut all = others.into_iter().flatten().chain([name.to_owned()]);
        all.find(|name| fs::symlink_metadata(self.0.root.join(name)).is_ok())
    }

    /// One that somebody uploads.
    ///
    /// # Errors
    /// [`ImageError::NotFound`].
    pub fn staging(&self, id: &str) -> Result<Staging, ImageError> {
        let found = self.staged().get(id).cloned();
        let found = found.filter(|staging| staging.wanted().job.is_none());
        found.ok_or_else(|| ImageError::NotFound(id.chars().take(80).collect()))
    }

    /// All that people upload, the oldest first.
    pub fn stagings(&self) -> Vec<Staging> {
        let staged = self.staged();
        let uploads = staged.values().filter(|it| it.wanted().job.is_none());
        uploads.cloned().collect()
    }

    /// All that jobs fetch, the oldest first.
    pub fn fetched(&self) -> Vec<Staging> {
        let staged = self.staged();
        let fetched = staged.values().filter(|it| it.wanted().job.is_some());
        fetched.cloned().collect()
    }

    /// Gives it its name: from here on it is an image.
    ///
    /// # Errors
    /// It is not whole, not what was announced (then it is thrown away), no image though it is
    /// called `.iso` (likewise), or its name has been taken meanwhile.
    pub fn publish(&self, staging: &Staging) -> Result<String, ImageError> {
        self.publish_from(staging, &Origin::default())
    }

    /// As [`ImageStore::publish`], for what was fetched; the SHA-256 that it has.
    ///
    /// # Errors
    /// As [`ImageStore::publish`].
    pub fn publish_from(&self, staging: &Staging, origin: &Origin) -> Result<String, ImageError> {
        let mut progress = staging.lock()?;
        let wanted = staging.wanted();
        let (part, have) = (staging.part(), staging.offset());
        if let Some(announced) = wanted.len.filter(|len| *len != have) {
            return Err(ImageError::Incomplete { have, announced });
        }
        // What was reserved and never written would stay with the file.
        progress.file.set_len(have)?;
        progress.file.sync_all()?;
        let hashed = progress.hashed;
        progress.file.seek(SeekFrom::Start(hashed))?;
        let begun = progress.hash.clone();
        let found = self.digest(&mut progress.file, begun)?;
        for expected in [&wanted.sha256, &origin.sha256].into_iter().flatten() {
            if *expected != found {
                self.discard(staging, &mut progress);
                let expected = expected.clone();
                return Err(ImageError::Checksum { expected, found });
            }
        }
        if iso_stem(&wanted.name).is_some()
            && let Err(error) = Image::open(File::open(&part)?)
        {
            self.discard(staging, &mut progress);
            return Err(ImageError::NotAnImage(error));
        }
        self.place(wanted, &part, &found, origin)?;
        self.forget(staging, &mut progress);
        drop(progress);
        let _ = self.look();
        Ok(found)
    }

    /// Throws it away.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when it is over already.
    pub fn cancel(&self, staging: &Staging) -> Result<(), ImageError> {
        let mut progress = staging.lock()?;
        self.discard(staging, &mut progress);
        Ok(())
    }

    /// The record first: an image without one would be read again, a record without an image is
    /// nothing.
    fn place(
        &self,
        wanted: &Wanted,
        part: &Path,
        sha256: &str,
        origin: &Origin,
    ) -> Result<(), ImageError> {
        let root = &self.0.root;
        let target = root.join(&wanted.name);
        let parent = target.parent().unwrap_or(root);
        let taken = || ImageError::Exists(wanted.name.clone());
        if let Some((first, _)) = wanted.name.split_once('/') {
            fs::create_dir_all(parent)?;
            // A link of the operator's that leads out of the directory is not followed.
            if !parent.canonicalize()?.starts_with(root.canonicalize()?) {
                return Err(ImageError::Name(wanted.name.clone()));
            }
            sync_dir(&root.join(first))?;
            sync_dir(root)?;
        } else if fs::symlink_metadata(&target).is_ok() {
            return Err(taken());
        } else {
            let stamp = Stamp::of(&fs::metadata(part)?);
            let record = Record {
                size: stamp.len,
                modified: stamp.modified,
                sha256: Some(sha256.to_owned()),
                added: now_ms(),
                source: wanted.source.clone(),
                from: origin.from.clone(),
                verified: origin.verified.clone(),
                ..Record::default()
            };
            record.write(root, &wanted.name)?;
        }
        rename_new(part, &target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(),
            _ => error.into(),
        })?;
        sync_dir(parent)?;
        Ok(())
    }

    fn discard(&self, staging: &Staging, progress: &mut Progress) {
        // Its room is given back at once, also while somebody still holds the file.
        let _ = progress.file.set_len(0);
        self.forget(staging, progress);
    }

    fn forget(&self, staging: &Staging, progress: &mut Progress) {
        progress.over = true;
        self.staged().remove(staging.id());
        // What is left after a failure is swept at the next start.
        let _ = disk::remove(&staging.0.directory);
    }

    fn staged(&self) -> MutexGuard<'_, std::collections::BTreeMap<String, Staging>> {
        self.0.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Staging {
    /// What it is called in addresses.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What was announced.
    pub fn wanted(&self) -> &Wanted {
        &self.0.wanted
    }

    /// How many bytes have come.
    pub fn offset(&self) -> u64 {
        self.0.offset.load(Relaxed)
    }

    /// Adds bytes at its end, which is at `offset`; how many there are now. Blocks as writing does.
    ///
    /// # Errors
    /// Then nothing was added: it has come further or less far than `offset`; more came than was
    /// announced; the disk is full.
    pub fn append(&self, offset: u64, bytes: &[u8]) -> Result<u64, ImageError> {
        let mut progress = self.lock()?;
        let expected = self.offset();
        if offset != expected {
            return Err(ImageError::Offset { expected, offset });
        }
        let end = offset + bytes.len() as u64;
        if let Some(announced) = self.wanted().len.filter(|len| end > *len) {
            return Err(ImageError::TooLong { announced });
        }
        if let Err(error) = progress.file.write_all_at(bytes, offset) {
            let _ = progress.file.set_len(offset);
            return Err(match ImageError::from(error) {
                ImageError::NoSpace { .. } => ImageError::NoSpace {
                    free: free(&self.0.directory),
                },
                other => other,
            });
        }
        if progress.hashed == offset {
            progress.hash.update(bytes);
            progress.hashed = end;
        }
        self.0.offset.store(end, Relaxed);
        Ok(end)
    }

    fn make(id: &str, directory: &Path, wanted: Wanted, free: u64) -> Result<Staging, ImageError> {
        fs::create_dir(directory)?;
        let file = File::create_new(directory.join(PART))?;
        if let Some(len) = wanted.len.filter(|len| *len > 0) {
            disk::reserve(&file, len).map_err(|error| match ImageError::from(error) {
                ImageError::NoSpace { .. } => ImageError::NoSpace { free },
                other => other,
            })?;
        }
        drop(file);
        let state = serde_json::to_vec(&wanted).map_err(io::Error::other)?;
        write_whole(&directory.join(STATE), &state)?;
        Ok(Staging::open(id, directory, wanted)?)
    }

    fn open(id: &str, directory: &Path, wanted: Wanted) -> io::Result<Staging> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(directory.join(PART))?;
        Ok(Staging(Arc::new(Inner {
            offset: AtomicU64::new(file.metadata()?.len()),
            id: id.to_owned(),
            wanted,
            directory: directory.to_owned(),
            progress: Mutex::new(Progress {
                file,
                hash: Sha256::new(),
                hashed: 0,
                over: false,
            }),
        })))
    }

    /// The file that holds what has come.
    pub fn part(&self) -> PathBuf {
        self.0.directory.join(PART)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Progress>, ImageError> {
        let progress = self
            .0
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match progress.over {
            true => Err(ImageError::NotFound(self.0.id.clone())),
            false => Ok(progress),
        }
    }
}

/// Takes up what a restart interrupted. What cannot be resumed, or has not been for long, goes:
/// its room is needed.
pub(super) fn take_up(store: &ImageStore) -> io::Result<()> {
    for entry in fs::read_dir(store.0.root.join(STAGING))? {
        let directory = entry?.path();
        let id = directory.file_name().and_then(|name| name.to_str());
        // The files of a job: whoever runs the jobs knows whether it is still there.
        if id.is_some_and(|id| id.starts_with(BUNDLE)) {
            continue;
        }
        let resumed = id.and_then(|id| Some((id, resumable(id, &directory)?)));
        match resumed {
            Some((id, staging)) => {
                store.staged().insert(id.to_owned(), staging);
            }
            None => {
                tracing::info!(path = %directory.display(), "removing what was left of an image");
                disk::remove(&directory)?;
            }
        }
    }
    Ok(())
}

fn resumable(id: &str, directory: &Path) -> Option<Staging> {
    let state = fs::read(directory.join(STATE)).ok()?;
    let wanted: Wanted = serde_json::from_slice(&state).ok()?;
    check_name(&wanted.name).ok()?;
    let touched = fs::metadata(directory.join(PART)).ok()?.modified().ok()?;
    let age = SystemTime::now()
        .duration_since(touched)
        .unwrap_or_default();
    if age > KEPT {
        return None;
    }
    Staging::open(id, directory, wanted).ok()
}

const PART: &str = "part";
const STATE: &str = "state.json";
/// At once.
const MOST: usize = 16;
/// Who has not gone on in this time will not.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);
