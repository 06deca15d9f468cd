//! What images are called on the disk.

/// The spellings of the extension. Other mixtures of case would make eight questions to the file
/// system out of each one; they are listed for renaming.
pub(crate) const EXTENSIONS: [&str; 2] = [".iso", ".ISO"];

/// The first part of the names of an image's files: `debian` for `debian.iso` and `debian.ISO`;
/// `None` for what is not called like an image.
pub fn iso_stem(name: &str) -> Option<&str> {
    let stems = EXTENSIONS.iter();
    let mut stems = stems.filter_map(|extension| name.strip_suffix(extension));
    stems.next().filter(|stem| !stem.is_empty())
}

/// Whether a name ends as that of an image does, in whatever case.
pub fn is_like_iso(name: &str) -> bool {
    let end = name.len().checked_sub(EXTENSIONS[0].len());
    let end = end.and_then(|at| name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(EXTENSIONS[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_spellings_are_images() {
        assert_eq!(iso_stem("debian.iso"), Some("debian"));
        assert_eq!(iso_stem("WIN11.ISO"), Some("WIN11"));
        for none in ["x.Iso", ".iso", "iso", "x.iso.txt", "\u{e9}so"] {
            assert_eq!(iso_stem(none), None, "{none}");
        }
        assert!(is_like_iso("x.Iso") && is_like_iso("x.ISO") && is_like_iso("x.iso"));
        assert!(!is_like_iso("iso") && !is_like_iso("\u{e9}so"));
    }
}
