//! Which distribution a tree holds, and the profiles that can be made of it.

use crate::Recipes;
use crate::recipe::{Boot, Holds, Instead, Offer, Place, Recipe, When};
use crate::tree::{Kind, Tree};
use bootplan::{BootMethod, EfiStyle, FileRef, Profile, ProfileName, RelPath};
use std::collections::BTreeMap;

/// A distribution that was found in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The recipe's name, such as `debian-installer`.
    pub distribution: String,
    /// What it is, with its version when that is known.
    pub title: String,
    /// Profiles that can be made of it, the usual one first. Their files exist in the tree.
    pub profiles: Vec<Profile>,
    /// Offers that could not be made, and why; for people.
    pub withheld: Vec<String>,
    /// Files outside that offers wait for.
    pub lacks: Vec<String>,
    /// The recipe of a mirror whose files are to be taken instead.
    pub mirror: Option<String>,
}

/// Where a file of this name is, that belongs to no image: below the images directory.
pub type Outside<'a> = dyn Fn(&str) -> Option<RelPath> + 'a;

/// Why an offer is not made.
enum Withheld {
    Because(String),
    Lacks {
        name: String,
        what: String,
    },
    Instead {
        mirror: Option<String>,
        what: String,
    },
}

impl From<String> for Withheld {
    fn from(why: String) -> Self {
        Withheld::Because(why)
    }
}

/// Finds out what a tree holds. `image` is the name that it is served by: the files of the offered
/// profiles are below it; `outside` finds those that are on no disk.
///
/// All recipes that match are returned, in the recipes' order; the fallbacks among them only when
/// no other matched. Nothing at all means that nobody knows it. Reads a few small files: blocks as
/// reading does.
pub fn recognise(
    tree: &dyn Tree,
    recipes: &Recipes,
    image: &RelPath,
    outside: &Outside<'_>,
) -> Vec<Recognised> {
    let all = |fallback: bool| {
        let asked = recipes
            .all
            .iter()
            .filter(move |recipe| recipe.fallback == fallback);
        let found = asked.filter(|recipe| holds(tree, &recipe.when));
        found
            .map(|recipe| offered(tree, recipe, image, outside))
            .collect::<Vec<_>>()
    };
    let found = all(false);
    if found.is_empty() { all(true) } else { found }
}

fn holds(tree: &dyn Tree, when: &When) -> bool {
    let label = when.label.as_deref();
    label.is_none_or(|pattern| glob(pattern, tree.label()))
        && when.has.iter().all(|path| file(tree, path).is_some())
        && !when.lacks.iter().any(|path| file(tree, path).is_some())
        && when.text.iter().all(|Holds { file, holds }| {
            text(tree, file).is_some_and(|text| text.contains(holds.as_str()))
        })
}

fn offered(tree: &dyn Tree, recipe: &Recipe, image: &RelPath, outside: &Outside<'_>) -> Recognised {
    let found = recipe.find.iter().map(|(name, places)| {
        let value = places.iter().find_map(|place| value(tree, place));
        (name.as_str(), value.unwrap_or_default())
    });
    let mut values: BTreeMap<&str, String> = found.collect();
    values.insert("image", image.to_string());
    let mut recognised = Recognised {
        distribution: recipe.name.clone(),
        title: filled(&recipe.title, &values),
        profiles: Vec::new(),
        withheld: Vec::new(),
        lacks: Vec::new(),
        mirror: None,
    };
    for offer in &recipe.offers {
        let why = match profile(tree, offer, image, &values, outside) {
            Ok(profile) => {
                recognised.profiles.push(profile);
                continue;
            }
            Err(Withheld::Because(why)) => why,
            Err(Withheld::Lacks { name, what }) => {
                recognised.lacks.push(name);
                what
            }
            Err(Withheld::Instead { mirror, what }) => {
                recognised.mirror = recognised.mirror.or(mirror);
                what
            }
        };
        let title = filled(&offer.title, &values);
        recognised.withheld.push(format!("{title}: {why}"));
    }
    recognised
}

fn profile(
    tree: &dyn Tree,
    offer: &Offer,
    image: &RelPath,
    values: &BTreeMap<&str, String>,
    outside: &Outside<'_>,
) -> Result<Profile, Withheld> {
    let reference = |pattern: &String| -> Result<FileRef, String> {
        let pattern = filled(pattern, values);
        let path = file(tree, &pattern).ok_or_else(|| format!("{pattern} is not in it"))?;
        let path = format!("{image}/{path}");
        path.parse::<FileRef>().map_err(|error| error.to_string())
    };
    let boot = match &offer.boot {
        Boot::Linux {
            kernel,
            initrds,
            args,
        } => BootMethod::Linux {
            kernel: match kernel.strip_prefix('/') {
                None => reference(kernel)?,
                Some(name) => started_by(name, reference, offer, outside)?,
            },
            initrds: initrds.iter().map(reference).collect::<Result<_, _>>()?,
            args: filled(args, values),
            console: None,
        },
        Boot::Program { files } => {
            let there = files
                .iter()
                .filter_map(|(platform, path)| Some((*platform, reference(path).ok()?)));
            BootMethod::Program {
                files: there.collect(),
            }
        }
    };
    if let Some(instead) = &offer.instead {
        return Err(elsewhere(instead, values));
    }
    let name = slug(image, &offer.suffix).parse::<ProfileName>();
    let profile = Profile {
        name: name.map_err(|error| error.to_string())?,
        title: filled(&offer.title, values),
        description: filled(&offer.description, values),
        labels: Default::default(),
        enabled: true,
        in_menu: false,
        platforms: offer.platforms.clone(),
        loader: offer.loader,
        efi_style: EfiStyle::default(),
        boot,
        extras: Default::default(),
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
    };
    profile.validate().map_err(|error| error.to_string())?;
    Ok(profile)
}

/// A kernel that lies in the tree, or outside.
fn started_by(
    name: &str,
    reference: impl Fn(&String) -> Result<FileRef, String>,
    offer: &Offer,
    outside: &Outside<'_>,
) -> Result<FileRef, Withheld> {
    let own = reference(&name.to_owned()).ok();
    let found = own.or_else(|| Some(FileRef::Image(outside(name)?)));
    found.ok_or_else(|| Withheld::Lacks {
        name: name.to_owned(),
        what: format!("needs {}", offer.needs),
    })
}

fn elsewhere(instead: &Instead, values: &BTreeMap<&str, String>) -> Withheld {
    let unknown = |(name, value): (&&str, &String)| {
        value.is_empty() && instead.mirror.contains(&format!("@{name}@"))
    };
    let mirror = filled(&instead.mirror, values);
    let mirror = Some(mirror).filter(|_| !values.iter().any(unknown));
    let how = mirror
        .as_ref()
        .map(|name| format!(" (farrier image add --mirror {name})"));
    Withheld::Instead {
        what: format!(
            "needs netboot files from a mirror{}: {}",
            how.unwrap_or_default(),
            instead.because
        ),
        mirror,
    }
}

/// The path in the tree of a file, or of the first one that a `*` in the last part stands for.
fn file(tree: &dyn Tree, path: &str) -> Option<String> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !name.contains('*') {
        // As asked for: what the recipe calls it is found by the lookup, too.
        return tree.find(path).map(|_| path.to_owned());
    }
    let files = tree.list(directory);
    let mut names = files
        .iter()
        .filter(|entry| entry.kind == Kind::File)
        .filter_map(|entry| entry.path.rsplit('/').next());
    let name = names.find(|found| glob(name, found))?;
    Some(match directory {
        "" => name.to_owned(),
        directory => format!("{directory}/{name}"),
    })
}

fn text(tree: &dyn Tree, path: &str) -> Option<String> {
    let entry = tree.find(&file(tree, path)?)?;
    let bytes = tree.read(&entry, MOST_TEXT).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands at a place, if it is something that fits into a title and an argument.
fn value(tree: &dyn Tree, place: &Place) -> Option<String> {
    let text = match &place.file {
        Some(path) => text(tree, path)?,
        None => tree.label().to_owned(),
    };
    let at = text.find(place.after.as_str())? + place.after.len();
    let rest = text[at..].lines().next()?;
    let end = match place.until.as_str() {
        "" => None,
        until => rest.find(until),
    };
    let value = rest[..end.unwrap_or(rest.len())].trim();
    // Strangers wrote this: nothing that a loader, a shell or a page would act on.
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._+-".contains(c);
    let fine = !value.is_empty() && value.len() <= MOST_VALUE && value.chars().all(plain);
    fine.then(|| value.to_owned())
}

/// Puts values in; the gap that an unknown one leaves is closed.
fn filled(text: &str, values: &BTreeMap<&str, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A profile's name from an image's.
fn slug(image: &RelPath, suffix: &str) -> String {
    let lower = image.as_str().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let mut slug: String = lower
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    // At most 64 characters, beginning with a letter or a digit; all of it is ASCII by now.
    slug.truncate(64 - suffix.len().min(32));
    format!("{}{suffix}", slug.trim_start_matches(['-', '_', '.']))
}

/// Whether a text is what a pattern with `*` stands for, whatever the case.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// Enough of a marker file: the longest there is (`.treeinfo`) has 10 KiB.
const MOST_TEXT: usize = 64 << 10;
const MOST_VALUE: usize = 32;

#[cfg(test)]
mod tests;
