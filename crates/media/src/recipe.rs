//! One recipe: how a distribution is recognised and what may be booted from it. The words of the
//! files in `boot-assets/distributions`.

use bootplan::{LoaderKind, Platform};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One distribution.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// A slug; the first recipe of a name wins, so that operators can replace a built-in one.
    pub(crate) name: String,
    /// For people; `@value@` stands for a value of `find`.
    pub(crate) title: String,
    /// Asked only when nothing else matched.
    #[serde(default)]
    pub(crate) fallback: bool,
    /// All of it must hold.
    pub(crate) when: When,
    /// Values read out of the tree.
    #[serde(default)]
    pub(crate) find: BTreeMap<String, Vec<Place>>,
    /// What may be booted from it.
    #[serde(default)]
    pub(crate) offers: Vec<Offer>,
}

/// Conditions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    /// These paths exist; `*` stands for anything in the last part.
    #[serde(default)]
    pub(crate) has: Vec<String>,
    /// And none of these.
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// The volume's label, with `*`.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// Texts that stand in files.
    #[serde(default)]
    pub(crate) text: Vec<Holds>,
}

/// A file holds a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Holds {
    pub(crate) file: String,
    pub(crate) holds: String,
}

/// Where a value stands: what follows `after` up to `until` or the end of the line. Of several
/// places the first one that has something counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The file; left out: the label.
    #[serde(default)]
    pub(crate) file: Option<String>,
    #[serde(default)]
    pub(crate) after: String,
    #[serde(default)]
    pub(crate) until: String,
}

/// One profile that can be offered. In all texts `@image@` stands for the image's name and
/// `@value@` for a value of `find`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offer {
    /// What is put behind the image's name to make the profile's; empty for the usual one.
    #[serde(default)]
    pub(crate) suffix: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) platforms: Vec<Platform>,
    /// The only loader that can; left out: any.
    #[serde(default)]
    pub(crate) loader: Option<LoaderKind>,
    /// Why it is not offered as long as a file outside is not there: what that is.
    #[serde(default)]
    pub(crate) needs: String,
    /// It could be started and would fail: what to take instead.
    #[serde(default)]
    pub(crate) instead: Option<Instead>,
    pub(crate) boot: Boot,
}

/// Files of a mirror instead of those of the disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instead {
    /// The name of a recipe of `boot-assets/mirrors`.
    pub(crate) mirror: String,
    /// For people: why the disk's own files will not do.
    pub(crate) because: String,
}

/// What is booted; files are paths inside the tree, with `*` in the last part. A kernel `/NAME` is
/// a file of that name in the tree, else outside of it: in the images directory or in a directory
/// there.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Boot {
    Linux {
        kernel: String,
        #[serde(default)]
        initrds: Vec<String>,
        #[serde(default)]
        args: String,
    },
    Program {
        files: BTreeMap<Platform, String>,
    },
}

impl Recipe {
    /// Why it cannot be used.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let slug = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let when = &self.when;
        if self.name.is_empty() || !self.name.bytes().all(slug) {
            return Some("a name is of a-z, 0-9 and '-'");
        }
        if when.has.is_empty() && when.text.is_empty() && when.label.is_none() {
            return Some("'when' must ask for something that is there, else it matches everything");
        }
        None
    }
}
