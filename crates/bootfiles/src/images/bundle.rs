//! Files that become one directory together, or not at all.
//!
//! They lie in `.staging/bundle-JOB/tree` until all of them are right and durable; then the
//! directory gets its name in one step, as a single file does.

use super::disk::{self, STAGING, free, now_ms, rename_new, sync_dir};
use super::info::Record;
use super::staging::Origin;
use super::{ImageError, ImageStore, check_name};
use crate::is_like_iso;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A directory on its way in. Dropping it leaves it to be gone on with.
#[derive(Clone, Debug)]
pub struct Bundle {
    name: String,
    directory: PathBuf,
}

/// What the hidden directory of a job's files is called before the job.
pub(super) const BUNDLE: &str = "bundle-";

impl ImageStore {
    /// Begins a directory of this name for a job, or goes on with what has come of it.
    ///
    /// # Errors
    /// A name that is not possible or taken.
    pub fn bundle(&self, name: &str, job: &str) -> Result<Bundle, ImageError> {
        if is_like_iso(flat(name)?) {
            return Err(ImageError::Name(name.to_owned()));
        }
        flat(job)?;
        if fs::symlink_metadata(self.0.root.join(name)).is_ok() {
            return Err(ImageError::Exists(name.to_owned()));
        }
        let bundle = Bundle {
            name: name.to_owned(),
            directory: self.0.root.join(STAGING).join(format!("{BUNDLE}{job}")),
        };
        fs::create_dir_all(bundle.tree())?;
        Ok(bundle)
    }

    /// The jobs that have brought files so far.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn bundles(&self) -> io::Result<Vec<String>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(self.0.root.join(STAGING))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            jobs.extend(name.strip_prefix(BUNDLE).map(str::to_owned));
        }
        Ok(jobs)
    }

    /// Throws away what has come for a job; nothing, if there is nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn drop_bundle(&self, job: &str) -> Result<(), ImageError> {
        flat(job)?;
        let directory = self.0.root.join(STAGING).join(format!("{BUNDLE}{job}"));
        Ok(disk::remove(&directory)?)
    }

    /// SHA-256 of a file as it lies there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest_of(&self, bundle: &Bundle, name: &str) -> Result<String, ImageError> {
        let mut file = File::open(bundle.tree().join(flat(name)?))?;
        Ok(self.digest(&mut file, Sha256::new())?)
    }

    /// Gives the directory its name: with exactly these files, each of which must have its SHA-256.
    ///
    /// # Errors
    /// One is not what it must be; the name has been taken meanwhile.
    pub fn publish_bundle(
        &self,
        bundle: &Bundle,
        files: &[(String, String)],
        source: &str,
        origin: &Origin,
    ) -> Result<(), ImageError> {
        let root = &self.0.root;
        for (name, expected) in files {
            let found = self.digest_of(bundle, name)?;
            if found != *expected {
                let expected = expected.clone();
                return Err(ImageError::Checksum { expected, found });
            }
            File::open(bundle.tree().join(name))?.sync_all()?;
        }
        sync_dir(&bundle.tree())?;
        let record = Record {
            added: now_ms(),
            source: source.to_owned(),
            from: origin.from.clone(),
            verified: origin.verified.clone(),
            ..Record::default()
        };
        let target = root.join(&bundle.name);
        let taken = || ImageError::Exists(bundle.name.clone());
        if fs::symlink_metadata(&target).is_ok() {
            return Err(taken());
        }
        record.write(root, &bundle.name)?;
        rename_new(&bundle.tree(), &target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(),
            _ => error.into(),
        })?;
        sync_dir(root)?;
        let _ = disk::remove(&bundle.directory);
        let _ = self.look();
        Ok(())
    }
}

impl Bundle {
    /// How many bytes have come of a file.
    ///
    /// # Errors
    /// A name that is not possible.
    pub fn len_of(&self, name: &str) -> Result<u64, ImageError> {
        let path = self.tree().join(flat(name)?);
        Ok(fs::symlink_metadata(path).map_or(0, |metadata| metadata.len()))
    }

    /// How many bytes have come of all of them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn bytes(&self) -> Result<u64, ImageError> {
        let mut sum = 0;
        for entry in fs::read_dir(self.tree())? {
            sum += entry?.metadata()?.len();
        }
        Ok(sum)
    }

    /// Adds bytes at the end of a file, which is at `offset`; how many there are then.
    ///
    /// # Errors
    /// It has come further or less far; the disk is full, and then nothing was added.
    pub fn append(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<u64, ImageError> {
        let path = self.tree().join(flat(name)?);
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let expected = file.metadata()?.len();
        if offset != expected {
            return Err(ImageError::Offset { expected, offset });
        }
        if let Err(error) = file.write_all_at(bytes, offset) {
            let _ = file.set_len(offset);
            return Err(match ImageError::from(error) {
                ImageError::NoSpace { .. } => ImageError::NoSpace {
                    free: free(&self.directory),
                },
                other => other,
            });
        }
        Ok(offset + bytes.len() as u64)
    }

    /// Throws away what has come of a file; how many bytes there are then.
    ///
    /// # Errors
    /// What the file system says.
    pub fn reset(&self, name: &str) -> Result<u64, ImageError> {
        disk::remove(&self.tree().join(flat(name)?))?;
        Ok(0)
    }

    fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }
}

/// A name without directories.
fn flat(name: &str) -> Result<&str, ImageError> {
    check_name(name)?;
    match name.contains('/') {
        true => Err(ImageError::Name(name.to_owned())),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use std::path::Path;

    fn open(dir: &Path) -> ImageStore {
        ImageStore::open(&dir.join("images"), &dir.join("recipes")).expect("a directory")
    }

    fn sum(bytes: &[u8]) -> String {
        HEXLOWER.encode(&Sha256::digest(bytes))
    }

    #[test]
    fn files_become_a_directory_together_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path());
        let bundle = store.bundle("netboot", "job1").expect("a name");
        bundle.append("linux", 0, b"ker").expect("room");
        // As kill -9 leaves it.
        let store = open(dir.path());
        assert_eq!(store.bundles().expect("readable"), ["job1"]);
        let bundle = store.bundle("netboot", "job1").expect("goes on");
        assert_eq!(bundle.len_of("linux").expect("a name"), 3);
        let gap = bundle.append("linux", 9, b"nel");
        assert!(matches!(gap, Err(ImageError::Offset { expected: 3, .. })));
        bundle.append("linux", 3, b"nel").expect("room");
        bundle.append("initrd.gz", 0, b"disk").expect("room");
        assert_eq!(bundle.bytes().expect("readable"), 10);
        let origin = Origin {
            from: Some("http://mirror.example.org/debian".to_owned()),
            ..Origin::default()
        };
        let publish = |linux: &[u8]| {
            let files = [("linux", linux), ("initrd.gz", b"disk")];
            let files = files.map(|(name, bytes)| (name.to_owned(), sum(bytes)));
            store.publish_bundle(&bundle, &files, "fetched by morgan", &origin)
        };
        let wrong = publish(b"other");
        assert!(
            matches!(wrong, Err(ImageError::Checksum { .. })),
            "{wrong:?}"
        );
        let there = dir.path().join("images/netboot");
        assert!(!there.exists());
        publish(b"kernel").expect("all of it is right");
        assert_eq!(fs::read(there.join("linux")).expect("there"), b"kernel");
        let info = store.get("netboot").expect("an image at once");
        assert_eq!(info.from, origin.from);
        assert_eq!(info.source, "fetched by morgan");
        assert!(store.bundles().expect("readable").is_empty());
        let again = store.bundle("netboot", "job2");
        assert!(matches!(again, Err(ImageError::Exists(_))), "{again:?}");
    }

    #[test]
    fn names_lead_nowhere_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path());
        for name in ["../x", "a/b", "x.iso", "", ".farrier"] {
            assert!(store.bundle(name, "job1").is_err(), "{name}");
        }
        for job in ["../x", "a/b", "", ".."] {
            assert!(store.bundle("netboot", job).is_err(), "{job}");
        }
        let bundle = store.bundle("netboot", "job1").expect("a name");
        for name in ["../x", "a/b", "", "/etc/x"] {
            assert!(bundle.append(name, 0, b"x").is_err(), "{name}");
            assert!(
                bundle.len_of(name).is_err() && bundle.reset(name).is_err(),
                "{name}"
            );
        }
        store.drop_bundle("job1").expect("there");
        store.drop_bundle("job1").expect("nothing is nothing");
        assert!(store.drop_bundle("../..").is_err());
    }
}
