//! Looking at the directory: what is there, whether it is whole, what it holds.

use super::disk::now_ms;
use super::info::{ImageInfo, ImageKind, ImageState, Record};
use super::outside::Outside;
use super::unusable::{self, Unusable};
use super::{ImageStore, check_name};
use crate::iso_stem;
use bootplan::RelPath;
use media::{Directory, Image, Recipes, Recognised, Tree, recognise};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    pub(super) modified: (i64, u32),
    pub(super) changed: (i64, u32),
    pub(super) inode: u64,
}

/// An image as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) info: Arc<ImageInfo>,
    pub(super) stamp: Stamp,
    /// When this version was first seen.
    since: Instant,
    /// What is in memory is newer than the record.
    unsaved: bool,
}

/// What a look found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Images that were recognised (or found to be unreadable) just now.
    pub fresh: Vec<String>,
    /// Something is being copied in: look again in a second.
    pub unsettled: bool,
}

/// How distributions are recognised, and where files are that no disk has.
type Knowledge<'a> = (&'a Recipes, &'a Outside);

impl Seen {
    pub(super) fn serve(&mut self, at: i64) {
        if self.info.last_served.is_none_or(|before| before < at) {
            Arc::make_mut(&mut self.info).last_served = Some(at);
            self.unsaved = true;
        }
    }
}

impl ImageStore {
    /// Looks at the directory. What has not changed since the last look costs one question to the
    /// file system; what is new and whole is read.
    ///
    /// # Errors
    /// When the directory cannot be read; what was known stays.
    pub fn look(&self) -> io::Result<Look> {
        let _turn = self.turn();
        let (mut found, mut unusable) = (BTreeMap::new(), Vec::new());
        let entries = fs::read_dir(&self.0.root)?;
        for entry in entries.take(MOST) {
            let name = match entry?.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    unusable.push(Unusable::unspoken(&name.to_string_lossy()));
                    continue;
                }
            };
            let Ok(metadata) = fs::metadata(self.0.root.join(&name)) else {
                continue;
            };
            if name.starts_with('.') {
                continue; // ours, or hidden on purpose
            }
            // What menus could not name is none: the page would offer what cannot boot.
            match Unusable::of(&name, &metadata) {
                Some(one) => unusable.push(one),
                None if metadata.is_dir() || iso_stem(&name).is_some() => {
                    found.insert(name, metadata);
                }
                None => {}
            }
        }
        unusable::keep_one_spelling(&mut found, &mut unusable);
        self.tell_unusable(unusable);
        let outside = Outside::new(&self.0.root, &found);
        let recipes = self.recipes();
        let mut look = Look::default();
        self.seen().retain(|name, _| found.contains_key(name));
        for (name, metadata) in found {
            self.look_at(&name, &metadata, &recipes, &outside, &mut look);
        }
        self.save_served();
        Ok(look)
    }

    fn look_at(
        &self,
        name: &str,
        metadata: &Metadata,
        recipes: &Recipes,
        outside: &Outside,
        look: &mut Look,
    ) {
        let stamp = Stamp::of(metadata);
        let (mut since, mut known) = (Instant::now(), None);
        if let Some(seen) = self.seen().get(name).filter(|seen| seen.stamp == stamp) {
            since = seen.since;
            known = Some(Arc::clone(&seen.info));
        }
        // What is in a directory changes without it.
        let came = |info: &ImageInfo| {
            let mut lacks = info.recognised.iter().flat_map(|found| &found.lacks);
            lacks.any(|name| outside.find(name).is_some())
        };
        let fresh_enough = match metadata.is_file() {
            true => !known.as_deref().is_some_and(came),
            false => since.elapsed() < DIRECTORY_AGE,
        };
        let arriving = |info: &ImageInfo| matches!(info.state, ImageState::Arriving(_));
        if known.as_deref().is_some_and(|info| !arriving(info)) && fresh_enough {
            return;
        }
        let was_known = known.as_deref().is_some_and(|info| !arriving(info));
        let mut info = self.read(name, metadata, &stamp, since, (recipes, outside));
        if let Some(known) = known {
            info.last_served = info.last_served.max(known.last_served);
        }
        match info.state {
            // One that was cut off long ago is waited for by nobody.
            ImageState::Arriving(_) => look.unsettled |= !stamp.is_settled(since),
            _ if was_known => since = Instant::now(),
            _ => look.fresh.push(name.to_owned()),
        }
        let seen = Seen {
            info: Arc::new(info),
            stamp,
            since,
            unsaved: false,
        };
        self.seen().insert(name.to_owned(), seen);
    }

    fn read(
        &self,
        name: &str,
        metadata: &Metadata,
        stamp: &Stamp,
        since: Instant,
        knowledge: Knowledge<'_>,
    ) -> ImageInfo {
        let root = &self.0.root;
        let kind = match metadata.is_dir() {
            true => ImageKind::Directory,
            false => ImageKind::Iso,
        };
        let known = Record::read(root, name);
        let record = known.clone().unwrap_or_else(|| Record::found(now_ms()));
        // What is known of a file is not known of another that was copied over it.
        let same = metadata.is_dir() || record.sha256_of(stamp).is_some();
        let mut info = ImageInfo {
            name: name.to_owned(),
            kind,
            state: ImageState::Ready,
            len: metadata.len(),
            larger: false,
            label: String::new(),
            recognised: Vec::new(),
            sha256: record.sha256_of(stamp),
            added: record.added,
            source: record.source.clone(),
            from: record.from.clone().filter(|_| same),
            verified: record.verified.clone().filter(|_| same),
            last_served: record.last_served,
        };
        let Ok(prefix) = info.prefix().parse::<RelPath>() else {
            return info;
        };
        let path = root.join(name);
        match kind {
            ImageKind::Directory => {
                info.recognised = in_directory(&path, &prefix, knowledge);
                (info.len, info.larger) = size_of(&path);
            }
            // Ours came whole, by renaming.
            ImageKind::Iso if info.sha256.is_none() && !stamp.is_settled(since) => {
                info.state = ImageState::Arriving("being copied in".to_owned());
            }
            ImageKind::Iso => match in_image(&path, &prefix, knowledge) {
                Ok((label, recognised)) => (info.label, info.recognised) = (label, recognised),
                Err(state) => info.state = state,
            },
        }
        let arriving = matches!(info.state, ImageState::Arriving(_));
        if known.is_none() && !arriving {
            let titles = info.recognised.iter().map(|found| found.title.clone());
            let record = Record {
                recognised: titles.collect(),
                ..record
            };
            // Without a record it will be as new again after a restart; nothing else is lost.
            if let Err(error) = record.write(root, name) {
                tracing::warn!(%error, image = name, "cannot write the record of an image");
            }
        }
        info
    }

    /// Writes down when images were last served, for the next start.
    fn save_served(&self) {
        let mut unsaved = Vec::new();
        for (name, seen) in self.seen().iter_mut() {
            if std::mem::take(&mut seen.unsaved) {
                unsaved.push((name.clone(), seen.info.last_served));
            }
        }
        for (name, last_served) in unsaved {
            let record = Record::read(&self.0.root, &name);
            if let Some(record) = record {
                let record = Record {
                    last_served,
                    ..record
                };
                let _ = record.write(&self.0.root, &name);
            }
        }
    }
}

fn in_image(
    path: &Path,
    prefix: &RelPath,
    (recipes, outside): Knowledge<'_>,
) -> Result<(String, Vec<Recognised>), ImageState> {
    let unreadable = |error: String| ImageState::Unreadable(error);
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    if let Some(claimed) = media::claimed_len(&file)
        && len + PADDING < claimed
    {
        return Err(ImageState::Arriving(format!(
            "{len} of the {claimed} bytes that it says it has"
        )));
    }
    let image = Image::open(file).map_err(|error| unreadable(error.to_string()))?;
    let recognised = recognise(&image, recipes, prefix, &|name| outside.find(name));
    Ok((image.label().to_owned(), recognised))
}

/// What a directory holds; if nobody knows it, what the directories in it hold, two levels deep.
fn in_directory(
    path: &Path,
    prefix: &RelPath,
    (recipes, outside): Knowledge<'_>,
) -> Vec<Recognised> {
    let mut level = vec![(path.to_owned(), prefix.clone())];
    for _ in 0..LEVELS {
        let mut found = Vec::new();
        for (path, prefix) in &level {
            if let Ok(tree) = Directory::open(path) {
                found.extend(recognise(&tree, recipes, prefix, &|name| {
                    outside.find(name)
                }));
            }
        }
        if !found.is_empty() {
            return found;
        }
        level = level.iter().flat_map(below).take(MOST_BELOW).collect();
    }
    Vec::new()
}

/// Bytes of the files of a directory, and whether there are more than are worth counting. A file
/// with two names counts twice.
fn size_of(directory: &Path) -> (u64, bool) {
    let (mut bytes, mut files) = (0, 0);
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            files += 1;
            if files > MOST_COUNTED {
                return (bytes, true);
            }
            // Links are not followed: what they lead to may be counted already, or be elsewhere.
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                Ok(metadata) if metadata.is_file() => bytes += metadata.len(),
                _ => {}
            }
        }
    }
    (bytes, false)
}

fn below((path, prefix): &(std::path::PathBuf, RelPath)) -> Vec<(std::path::PathBuf, RelPath)> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Not through links: they may lead anywhere, and in circles.
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut below: Vec<_> = directories
        .take(MOST_BELOW)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let prefix = format!("{prefix}/{name}");
            check_name(&prefix)
                .ok()
                .map(|prefix| (entry.path(), prefix))
        })
        .collect();
    below.sort();
    below
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        let nanos = |nanos: i64| u32::try_from(nanos).unwrap_or(0);
        Stamp {
            len: metadata.len(),
            modified: (metadata.mtime(), nanos(metadata.mtime_nsec())),
            changed: (metadata.ctime(), nanos(metadata.ctime_nsec())),
            inode: metadata.ino(),
        }
    }

    /// Whether nobody has written to it for a while: by its own clock, or by ours since it was
    /// first seen like this (clocks are set back).
    fn is_settled(&self, since: Instant) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = Duration::new(u64::try_from(seconds).unwrap_or(0), nanos);
        let age = (SystemTime::UNIX_EPOCH + changed).elapsed();
        age.is_ok_and(|age| age >= SETTLED) || since.elapsed() >= SETTLED
    }
}

/// Names looked at.
const MOST: usize = 10_000;
/// Files whose sizes are added up: a system unpacked for NFS has more, and nobody waits for it.
const MOST_COUNTED: usize = 20_000;
/// Directories looked at below one image's.
const MOST_BELOW: usize = 64;
const LEVELS: usize = 3;
/// A copy that makes no progress for so long has ended, or will be seen by its length.
const SETTLED: Duration = Duration::from_secs(3);
/// How long what was found in a directory counts.
const DIRECTORY_AGE: Duration = Duration::from_secs(10);
/// Some images lack the padding that they count (150 sectors).
const PADDING: u64 = 150 * 2048;
