//! The key file: 32 octets that are made at the first start and never change.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::hmac;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The key from which those for single purposes are derived. Nothing is sealed or signed with
/// it directly.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

/// What to do when there is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Make one: nothing was sealed yet.
    Make,
    /// Refuse to start: the database has secrets that only the old key opens.
    Refuse,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There are secrets and no key.
    #[error(
        "{path}: the key file is missing, and the database has secrets that only its key opens; \
         put it back from a backup, or name it under `secrets: key_file:`"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Somebody else could read it.
    #[error(
        "{path}: other users can read the key file (mode {mode:03o}); `chmod 600 {path}`, and \
         change the secrets if somebody did"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error(
        "{path}: not a key: expected 64 hexadecimal digits (`openssl rand -hex 32` makes them) or \
         32 octets; it was left untouched"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The system said no.
    #[error("{path}: cannot {doing}: {cause}")]
    File {
        /// The file or its directory.
        path: PathBuf,
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

impl MasterKey {
    /// Takes a key's octets: 256 random bits.
    pub fn new(octets: [u8; 32]) -> Self {
        MasterKey(octets)
    }

    /// Reads the key file, or makes it with mode 0600 where that is asked for.
    ///
    /// A file is made whole under another name and then linked, so that neither a crash nor a
    /// second server that starts at the same time leaves or takes half a key.
    ///
    /// # Errors
    /// What is wrong with the file, with its path. An existing file is never changed.
    pub fn load(path: &Path, absent: Absent) -> Result<Self, KeyFileError> {
        match read(path) {
            Err(KeyFileError::File { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
                match absent {
                    Absent::Refuse => Err(KeyFileError::Missing {
                        path: path.to_owned(),
                    }),
                    Absent::Make => {
                        make(path, &rand::random())?;
                        read(path)
                    }
                }
            }
            read => read,
        }
    }

    /// A key for one purpose: HMAC-SHA256 of the purpose's name. Keys of different purposes say
    /// nothing of each other.
    pub fn derived(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, purpose.as_bytes());
        let mut octets = [0; 32];
        octets.copy_from_slice(tag.as_ref());
        octets
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(master key)")
    }
}

fn read(path: &Path) -> Result<MasterKey, KeyFileError> {
    let failed = failed(path, "read the key file");
    let file = File::open(path).map_err(&failed)?;
    let status = file.metadata().map_err(&failed)?;
    let form = || KeyFileError::Form {
        path: path.to_owned(),
    };
    if !status.is_file() {
        return Err(form());
    }
    let mode = status.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut content = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut content)
        .map_err(&failed)?;
    if let Ok(octets) = <[u8; 32]>::try_from(content.as_slice()) {
        return Ok(MasterKey(octets));
    }
    let decoded = HEXLOWER_PERMISSIVE.decode(content.trim_ascii());
    let octets = decoded
        .ok()
        .and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    octets.map(MasterKey).ok_or_else(form)
}

/// Writes a new key. Somebody else's that appears meanwhile stays.
fn make(path: &Path, octets: &[u8; 32]) -> Result<(), KeyFileError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let unfinished = parent.join(format!(".secret-key-{}", std::process::id()));
    let made = write(&unfinished, octets).and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(failed(path, "make the key file")),
    });
    // Its content is the key: it must not stay, whatever happened.
    let removed = match fs::remove_file(&unfinished) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed(&unfinished, "remove the unfinished file")),
    };
    made?;
    removed?;
    let directory = File::open(parent).and_then(|directory| directory.sync_all());
    directory.map_err(failed(parent, "write the directory"))
}

fn write(path: &Path, octets: &[u8; 32]) -> Result<(), KeyFileError> {
    let failed = failed(path, "write the key file");
    // One of a process with our number that was killed here.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(&failed)?;
    let text = HEXLOWER.encode(octets);
    writeln!(file, "{text}").map_err(&failed)?;
    file.sync_all().map_err(&failed)
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |cause| KeyFileError::File {
        path: path.clone(),
        doing,
        cause,
    }
}

/// More than any key; a wrong path may name a disk.
const LONGEST: u64 = 256;

#[cfg(test)]
#[path = "key_file/tests.rs"]
mod tests;
