//! `installed.yaml`: what `assets sync` installed, from where, and with which checksum.

use bootplan::RelPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Everything `assets sync` has installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Loaders, by file name.
    #[serde(default)]
    pub loaders: Vec<Installed>,
    /// Images, by path below the images directory.
    #[serde(default)]
    pub images: Vec<Installed>,
}

/// One installed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// File name (loaders) or path below the images directory (images).
    pub name: String,
    /// Package it was taken from.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The package's architecture.
    pub arch: String,
    /// Suite the package came from, or that it was installed on this host.
    pub suite: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// SPDX licence expression.
    pub licence: String,
    /// Why it comes from another place than the first choice, and what that costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// The record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No access.
    #[error("cannot access {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Damaged.
    #[error("{path} is damaged; delete it and run 'farrier assets sync' again")]
    Yaml {
        /// Which file.
        path: PathBuf,
        /// Where and how.
        source: serde_yaml::Error,
    },
}

impl Record {
    /// Reads the record of a loader directory; an absent one is empty.
    ///
    /// # Errors
    /// [`RecordError`] when it is there and cannot be read.
    pub fn load(dir: &Path) -> Result<Record, RecordError> {
        let path = dir.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(source) => return Err(RecordError::File { path, source }),
        };
        serde_yaml::from_str(&text).map_err(|source| RecordError::Yaml { path, source })
    }

    /// The record of one loader.
    pub fn loader(&self, name: &RelPath) -> Option<&Installed> {
        self.loaders.iter().find(|i| i.name == name.as_str())
    }

    /// The record of one image.
    pub fn image(&self, name: &RelPath) -> Option<&Installed> {
        self.images.iter().find(|i| i.name == name.as_str())
    }
}

/// SHA-256 of everything a reader gives, in lower-case hexadecimal, with the length.
pub(crate) fn digest(mut reader: impl Read) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0u64;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok((data_encoding::HEXLOWER.encode(&hash.finalize()), length))
}

/// Lies beside the loaders and is never served.
pub(crate) const FILE_NAME: &str = "installed.yaml";
