//! How a machine that a loader already runs on starts its own disk.

use crate::{Facts, Glob};
use serde::{Deserialize, Serialize};

/// What ends a loader for the local disk. Firmwares differ, so it can be chosen per machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// By what works most widely: BIOS starts the first disk, UEFI goes on to its next boot
    /// entry, GRUB looks for an installed system's loader.
    #[default]
    Auto,
    /// The loader leaves and says that all is well: for firmware that then goes on by itself.
    Exit,
    /// The loader leaves with an error, and the firmware goes on to its next boot entry. GRUB
    /// cannot, and does as in [`LocalBoot::Auto`].
    NextEntry,
    /// The loader starts the first disk itself, where it can; else as [`LocalBoot::Auto`].
    FirstDisk,
    /// The loader starts what an installed system left on the first disk's EFI partition (shim or
    /// GRUB), else the first disk.
    LocalGrub,
}

impl LocalBoot {
    /// Every way, the shipped one first.
    pub const ALL: [LocalBoot; 5] = [
        LocalBoot::Auto,
        LocalBoot::Exit,
        LocalBoot::NextEntry,
        LocalBoot::FirstDisk,
        LocalBoot::LocalGrub,
    ];

    /// The word stored, and used in YAML, forms and the API.
    pub fn slug(self) -> &'static str {
        match self {
            LocalBoot::Auto => "auto",
            LocalBoot::Exit => "exit",
            LocalBoot::NextEntry => "next-entry",
            LocalBoot::FirstDisk => "first-disk",
            LocalBoot::LocalGrub => "local-grub",
        }
    }

    /// What it is, for people, in half a line.
    pub fn told(self) -> &'static str {
        match self {
            LocalBoot::Auto => "what works most widely",
            LocalBoot::Exit => "exit: the loader leaves, the firmware goes on",
            LocalBoot::NextEntry => "next entry: leaving with an error",
            LocalBoot::FirstDisk => "sanboot: the loader starts the first disk",
            LocalBoot::LocalGrub => "local GRUB: what an installed system left there",
        }
    }

    /// The way whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        LocalBoot::ALL.into_iter().find(|way| way.slug() == slug)
    }
}

/// How machines of one model start their disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalBootModel {
    /// SMBIOS manufacturer; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Glob>,
    /// SMBIOS product; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Glob>,
    /// The way.
    pub local_boot: LocalBoot,
}

impl LocalBootModel {
    /// Whether a machine is of this model. One that never told its model is of none.
    pub fn is_of(&self, facts: &Facts) -> bool {
        let like = |pattern: &Option<Glob>, said: &Option<String>| match (pattern, said) {
            (None, _) => true,
            (Some(pattern), Some(said)) => pattern.matches(said),
            (Some(_), None) => false,
        };
        let any = self.manufacturer.is_none() && self.product.is_none();
        !any && like(&self.manufacturer, &facts.manufacturer) && like(&self.product, &facts.product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_what_the_machine_told() {
        let model = |written: serde_json::Value| -> LocalBootModel {
            serde_json::from_value(written).expect("a model")
        };
        let facts = Facts {
            manufacturer: Some("Dell Inc.".to_owned()),
            product: Some("OptiPlex 7010".to_owned()),
            ..Facts::default()
        };
        for (written, expected) in [
            (
                serde_json::json!({"product": "OptiPlex *", "local_boot": "exit"}),
                true,
            ),
            (
                serde_json::json!({"manufacturer": "dell*", "local_boot": "exit"}),
                true,
            ),
            (
                serde_json::json!({"manufacturer": "HP", "product": "*", "local_boot": "exit"}),
                false,
            ),
            (serde_json::json!({"local_boot": "exit"}), false),
        ] {
            assert_eq!(model(written.clone()).is_of(&facts), expected, "{written}");
            assert!(!model(written).is_of(&Facts::default()));
        }
    }

    #[test]
    fn words_are_read_back() {
        for way in LocalBoot::ALL {
            assert_eq!(LocalBoot::from_slug(way.slug()), Some(way));
            let written = serde_json::to_value(way).expect("JSON");
            assert_eq!(written, way.slug(), "{}", way.told());
        }
    }
}
