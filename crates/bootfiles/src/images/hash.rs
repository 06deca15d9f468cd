//! Checksums of whole images: of those that were copied in, once; and again on request, to find
//! out whether the disk still has what it was given.

use super::info::{ImageKind, ImageState, Record};
use super::look::Stamp;
use super::{ImageError, ImageStore};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// What [`ImageStore::verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The content is what it was.
    Same(String),
    /// There was nothing to compare with; now there is.
    First(String),
    /// It is not.
    Damaged {
        /// The checksum on record.
        expected: String,
        /// That of what the disk has now.
        found: String,
    },
}

impl ImageStore {
    /// An image whose checksum nobody knows yet.
    pub fn unhashed(&self) -> Option<String> {
        let seen = self.seen();
        let mut all = seen.values().map(|seen| &seen.info);
        let wanted = all.find(|info| {
            info.kind == ImageKind::Iso && info.state == ImageState::Ready && info.sha256.is_none()
        });
        wanted.map(|info| info.name.clone())
    }

    /// Reads a whole image and compares its checksum with the one on record, which it becomes if
    /// there is none for this version of the file. Takes as long as reading takes.
    ///
    /// # Errors
    /// When it is gone, was changed meanwhile, or cannot be read.
    pub fn verify(&self, name: &str) -> Result<Verified, ImageError> {
        let info = self
            .get(name)
            .ok_or_else(|| ImageError::NotFound(name.to_owned()))?;
        if info.kind != ImageKind::Iso {
            return Err(ImageError::NotFound(name.to_owned()));
        }
        let mut file = File::open(self.0.root.join(name))?;
        let stamp = Stamp::of(&file.metadata()?);
        let found = self.digest(&mut file, Sha256::new())?;
        if Stamp::of(&file.metadata()?) != stamp {
            return Err(ImageError::Arriving(name.to_owned()));
        }
        let root = &self.0.root;
        let record = Record::read(root, name).unwrap_or_else(|| Record::found(info.added));
        let verified = match record.sha256_of(&stamp) {
            Some(expected) if expected != found => Verified::Damaged { expected, found },
            Some(_) => Verified::Same(found),
            None => {
                let record = Record {
                    size: stamp.len,
                    modified: stamp.modified,
                    sha256: Some(found.clone()),
                    from: None,
                    verified: None,
                    ..record
                };
                record.write(root, name)?;
                Verified::First(found)
            }
        };
        if let Some(seen) = self.seen().get_mut(name).filter(|seen| seen.stamp == stamp) {
            let info = Arc::make_mut(&mut seen.info);
            match &verified {
                Verified::Damaged { found, .. } => {
                    info.state = ImageState::Damaged(format!("SHA-256 is now {found}"));
                }
                Verified::Same(sum) | Verified::First(sum) => info.sha256 = Some(sum.clone()),
            }
        }
        Ok(verified)
    }

    /// SHA-256 of what `begun` has taken in and of the rest of a file.
    pub(super) fn digest(&self, file: &mut File, mut begun: Sha256) -> io::Result<String> {
        let mut piece = vec![0; PIECE];
        loop {
            if self.is_stopping() {
                return Err(io::Error::other("the server is stopping"));
            }
            match file.read(&mut piece)? {
                0 => return Ok(HEXLOWER.encode(&begun.finalize())),
                read => begun.update(&piece[..read]),
            }
        }
    }
}

const PIECE: usize = 1 << 20;
