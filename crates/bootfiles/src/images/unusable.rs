//! What people copied into the images directory and nobody could boot by its name.

use super::{ImageStore, check_name};
use crate::{is_like_iso, iso_stem};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::sync::PoisonError;

/// A file or directory whose name keeps it from being an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// As it is called; what is not text in it is replaced.
    pub name: String,
    /// Why not, for people.
    pub why: &'static str,
    /// What it could be called instead.
    pub better: String,
}

impl Unusable {
    /// `None` for what is an image, or none that anybody meant to be one.
    pub(super) fn of(name: &str, metadata: &Metadata) -> Option<Unusable> {
        let image = metadata.is_dir() || is_like_iso(name);
        if !image {
            return None;
        }
        let why = match (
            check_name(name),
            metadata.is_dir() || iso_stem(name).is_some(),
        ) {
            (Ok(_), true) => return None,
            (Ok(_), false) => "an image's name ends in .iso",
            (Err(_), _) => PLAIN,
        };
        Some(Unusable::named(name, why))
    }

    /// One whose name is no text.
    pub(super) fn unspoken(name: &str) -> Unusable {
        Unusable::named(name, PLAIN)
    }

    fn named(name: &str, why: &'static str) -> Unusable {
        Unusable {
            name: name.to_owned(),
            why,
            better: better(name),
        }
    }
}

impl ImageStore {
    pub(super) fn tell_unusable(&self, mut unusable: Vec<Unusable>) {
        unusable.sort_by(|a, b| a.name.cmp(&b.name));
        unusable.truncate(MOST);
        let known = &self.0.unusable;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = unusable;
    }
}

/// Of `x.iso` and `x.ISO` the first is served.
pub(super) fn keep_one_spelling(
    found: &mut BTreeMap<String, Metadata>,
    unusable: &mut Vec<Unusable>,
) {
    let usual = |name: &str| Some(format!("{}.iso", iso_stem(name)?));
    let others = found.keys().filter(|name| {
        let usual = usual(name).filter(|usual| usual != *name);
        usual.is_some_and(|usual| found.contains_key(&usual))
    });
    let others: Vec<String> = others.cloned().collect();
    for name in others {
        found.remove(&name);
        let stem = iso_stem(&name).unwrap_or(&name);
        unusable.push(Unusable {
            why: "another image has this name in small letters, and is the one that is served",
            better: format!("{stem}-2.iso"),
            name,
        });
    }
}

/// A name of plain characters that is like this one.
fn better(name: &str) -> String {
    let (stem, extension) = match is_like_iso(name) {
        true => (&name[..name.len() - 4], ".iso"),
        false => (name, ""),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let words = stem.split(|c| !plain(c)).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let joined: String = joined.trim_matches(['-', '.']).chars().take(100).collect();
    match joined.is_empty() {
        true => format!("image{extension}"),
        false => format!("{joined}{extension}"),
    }
}

const PLAIN: &str = "names of images have only letters, digits, '.', '_', '+' and '-', \
                     and begin with neither '.' nor '-'";
/// Listed of a directory full of them.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_name_is_one_that_can_be_used() {
        for (name, expected) in [
            ("Win11 (1).iso", "Win11-1.iso"),
            ("Debian.Iso", "Debian.iso"),
            ("-x y", "x-y"),
            ("\u{fc}", "image"),
            ("\u{fc}.ISO", "image.iso"),
        ] {
            assert_eq!(better(name), expected);
            assert!(check_name(&better(name)).is_ok(), "{name}");
        }
        let long = better(&"a b".repeat(200));
        assert!(check_name(&long).is_ok(), "{long}");
    }
}
