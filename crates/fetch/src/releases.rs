//! How new the newest signed release of each mirror was: whoever shows an older one wants us to stay with what
//! was mended since, and has a good signature for it.

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

/// The dates of releases, by their URL without what may be secret, in a file of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Releases {
    path: PathBuf,
    /// Held from the look to the note.
    turn: Arc<Mutex<()>>,
}

type Dates = BTreeMap<String, Timestamp>;

impl Releases {
    /// Kept in this file, which is made when the first release is believed.
    pub fn at(path: &Path) -> Releases {
        Releases {
            path: path.to_owned(),
            turn: Arc::default(),
        }
    }

    /// Remembers a release that is signed and in force; waits for the disk.
    ///
    /// # Errors
    /// For people: there was a newer one and nobody said that this is meant, or the file cannot be used.
    pub(crate) fn believe(
        &self,
        release: &str,
        date: Option<Timestamp>,
        older_is_meant: bool,
    ) -> Result<(), String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let unusable = |error: io::Error| format!("{}: {error}", self.path.display());
        let mut dates = self.read().map_err(unusable)?;
        let known = dates.get(release).copied();
        if known.is_some_and(|known| date.is_none_or(|date| date < known)) {
            if older_is_meant {
                return Ok(());
            }
            let day = |date: Timestamp| date.strftime("%Y-%m-%d %H:%M UTC").to_string();
            return Err(format!(
                "it is {}, and this mirror has shown one of {} before: it went back, or somebody shows an old release; `--allow-older` takes it all the same",
                date.map_or_else(
                    || "of no date".to_owned(),
                    |date| format!("of {}", day(date))
                ),
                known.map(day).unwrap_or_default(),
            ));
        }
        match date {
            Some(date) if known != Some(date) => {
                dates.insert(release.to_owned(), date);
                self.write(&dates).map_err(unusable)
            }
            _ => Ok(()),
        }
    }

    fn read(&self) -> io::Result<Dates> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Dates::new()),
            read => serde_json::from_slice(&read?).map_err(io::Error::other),
        }
    }

    /// There is the old file or the new one, never a part.
    fn write(&self, dates: &Dates) -> io::Result<()> {
        let directory = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec_pretty(dates).map_err(io::Error::other)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        fs::File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "http://mirror.example.org/debian/dists/bookworm/InRelease";

    fn day(day: &str) -> Option<Timestamp> {
        Some(format!("{day}T10:00:00Z").parse().expect("a time"))
    }

    #[test]
    fn an_older_one_is_refused_until_somebody_means_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("releases.json");
        let releases = Releases::at(&path);
        let (old, new) = (day("2026-01-10"), day("2026-07-11"));
        for date in [None, old, old, new] {
            assert_eq!(releases.believe(DEBIAN, date, false), Ok(()), "{date:?}");
        }
        // After a restart as well.
        let releases = Releases::at(&path);
        let told = releases.believe(DEBIAN, old, false).expect_err("older");
        for part in [
            "of 2026-01-10 10:00 UTC",
            "of 2026-07-11 10:00 UTC",
            "--allow-older",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(releases.believe(DEBIAN, None, false).is_err(), "of no date");
        assert_eq!(releases.believe(DEBIAN, old, true), Ok(()));
        // Which changes nothing for the next.
        assert!(releases.believe(DEBIAN, old, false).is_err());
        assert_eq!(releases.believe("another", old, false), Ok(()));
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("releases.json");
        fs::write(&path, "mine").expect("written");
        let told = Releases::at(&path).believe(DEBIAN, None, true);
        assert!(told.expect_err("unreadable").contains("releases.json"));
        assert_eq!(fs::read(&path).expect("there"), b"mine");
    }
}
