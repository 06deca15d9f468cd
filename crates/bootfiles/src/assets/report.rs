//! What a sync did, for people.

use std::fmt;

/// What a sync did, file by file in the manifest's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every file of the manifest.
    pub files: Vec<FileReport>,
    /// Why nothing could be downloaded at all, if so.
    pub trouble: Option<String>,
    /// What to do by hand when files are missing.
    pub by_hand: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Loader or image.
    pub kind: Kind,
    /// File name, or path below the images directory.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// Which directory a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A loader.
    Loader,
    /// A file of an image.
    Image,
}

/// What came of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Was there already, with the recorded checksum.
    Current {
        /// Package, version and suite.
        package: String,
        /// Why it comes from another place than the first choice, and what that costs.
        fallback: Option<String>,
    },
    /// Put there now.
    Installed {
        /// Package, version and suite.
        package: String,
        /// Why it comes from another place than the first choice, and what that costs.
        fallback: Option<String>,
    },
    /// Not there, and no package has it.
    NotPackaged {
        /// How to get it.
        by_hand: String,
    },
    /// Not there.
    Missing {
        /// Why, and how to get it.
        why: String,
    },
}

impl Report {
    /// Whether everything that a package has is there.
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The files that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &FileReport> {
        let missing = |f: &&FileReport| matches!(f.outcome, Outcome::Missing { .. });
        self.files.iter().filter(missing)
    }

    /// How many files were put there now.
    pub fn installed(&self) -> usize {
        let new = |f: &&FileReport| matches!(f.outcome, Outcome::Installed { .. });
        self.files.iter().filter(new).count()
    }
}

impl Outcome {
    fn is_present(&self) -> bool {
        matches!(self, Outcome::Current { .. } | Outcome::Installed { .. })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let (mark, package, fallback) = match &file.outcome {
                Outcome::Current { package, fallback } => ("  ok ", package, fallback),
                Outcome::Installed { package, fallback } => (" new ", package, fallback),
                Outcome::NotPackaged { by_hand } => {
                    writeln!(f, "   -    {}: {by_hand}", file.name)?;
                    continue;
                }
                Outcome::Missing { why } => {
                    writeln!(f, "MISSING {}: {why}", file.name)?;
                    continue;
                }
            };
            writeln!(f, "{mark}   {:<32} {package}", file.name)?;
            if let Some(fallback) = fallback {
                writeln!(f, "        fallback: {fallback}")?;
            }
        }
        let missing = self.missing().count();
        let present = self.files.iter().filter(|f| f.outcome.is_present()).count();
        writeln!(
            f,
            "{present} files present, {} of them new; {missing} missing",
            self.installed()
        )?;
        if let Some(trouble) = &self.trouble {
            writeln!(f, "Nothing could be downloaded: {trouble}")?;
        }
        if missing > 0 && !self.by_hand.is_empty() {
            writeln!(f, "{}", self.by_hand)?;
        }
        Ok(())
    }
}
