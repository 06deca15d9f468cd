//! How a machine that a loader already runs on starts its own disk.

use serde::{Deserialize, Serialize};

/// What ends a loader for the local disk. Firmwares differ, so it can be chosen per machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// By what works most widely: BIOS starts the first disk, UEFI goes on to its next boot
    /// entry, GRUB looks for an installed system's loader.
    #[default]
    Auto,
    /// The loader leaves, and the firmware goes on by itself.
    Exit,
    /// The loader starts the first disk itself, where it can; else as [`LocalBoot::Auto`].
    FirstDisk,
}

impl LocalBoot {
    /// Every way, the shipped one first.
    pub const ALL: [LocalBoot; 3] = [LocalBoot::Auto, LocalBoot::Exit, LocalBoot::FirstDisk];

    /// The word stored, and used in YAML, forms and the API.
    pub fn slug(self) -> &'static str {
        match self {
            LocalBoot::Auto => "auto",
            LocalBoot::Exit => "exit",
            LocalBoot::FirstDisk => "first-disk",
        }
    }

    /// The way whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        LocalBoot::ALL.into_iter().find(|way| way.slug() == slug)
    }
}
