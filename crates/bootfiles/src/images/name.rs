//! Names that images may have.

use super::ImageError;
use bootplan::RelPath;

/// Checks a name for what is brought in: `debian.iso`, `vmlinuz-dir/vmlinuz`. Menus of all three
/// loaders, URLs and shells take such a name as it is.
///
/// # Errors
/// [`ImageError::Name`] shows the name, cut and without control characters; [`ImageError::Reserved`]
/// for what could not be asked for by its name.
pub fn check_name(name: &str) -> Result<RelPath, ImageError> {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        (1..=PART).contains(&part.len()) && part.chars().all(plain) && !part.starts_with(['.', '-'])
    };
    let parts: Vec<&str> = name.split('/').collect();
    if let Some(word) = RESERVED.iter().find(|word| parts.first() == Some(word)) {
        return Err(ImageError::Reserved((*word).to_owned()));
    }
    let path = name.parse::<RelPath>().ok();
    let fine = parts.len() <= DEPTH && parts.iter().copied().all(part);
    path.filter(|_| fine).ok_or_else(|| {
        let shown = name
            .chars()
            .take(80)
            .map(|c| if c.is_control() { '?' } else { c });
        ImageError::Name(shown.collect())
    })
}

/// What stands in the API where the name of an image does.
const RESERVED: [&str; 2] = ["fetches", "uploads"];
/// With `.iso` and `.json` behind it, it is still a file name.
const PART: usize = 128;
/// Directories of images have few levels.
const DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_only() {
        for good in [
            "debian-12.8.0-amd64.iso",
            "a",
            "pair/vmlinuz",
            "a/b/c/d",
            "F_41+x.iso",
            "uploads.iso",
            "a/fetches",
        ] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for word in ["fetches", "uploads", "uploads/vmlinuz"] {
            let error = check_name(word).expect_err("refused");
            assert!(matches!(error, ImageError::Reserved(_)), "{word}: {error}");
        }
        let long = "x".repeat(129);
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            ".staging/x",
            "a/.hidden",
            "-rf",
            "a b.iso",
            "a\nb",
            "a\\b",
            "a,b.iso",
            "ü.iso",
            "a:b",
            "a/b/c/d/e",
            "$(x)",
            "a'b",
            "a%2e",
            "<b>",
            "\u{202e}x",
            &long,
        ] {
            assert!(
                matches!(check_name(bad), Err(ImageError::Name(_))),
                "{bad:?}"
            );
        }
    }
}
