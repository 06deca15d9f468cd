//! Network boot programs: which kinds there are, and which ones are on disk.

use crate::{BootMethod, Diskless, FileRef, Platform};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Which family of loader a machine or profile prefers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderKind {
    /// iPXE: script over HTTP.
    #[default]
    Ipxe,
    /// PXELINUX: menu over TFTP, BIOS only.
    Pxelinux,
    /// shim and GRUB: the Secure Boot capable chain, UEFI only.
    Grub,
}

impl LoaderKind {
    /// Every kind.
    pub const ALL: [LoaderKind; 3] = [LoaderKind::Ipxe, LoaderKind::Pxelinux, LoaderKind::Grub];

    /// The word used in YAML, forms and the API.
    pub fn slug(self) -> &'static str {
        match self {
            LoaderKind::Ipxe => "ipxe",
            LoaderKind::Pxelinux => "pxelinux",
            LoaderKind::Grub => "grub",
        }
    }

    /// The kind whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<LoaderKind> {
        LoaderKind::ALL.into_iter().find(|k| k.slug() == slug)
    }

    /// Whether loaders of this kind exist for the platform at all.
    pub fn runs_on(self, platform: Platform) -> bool {
        match self {
            LoaderKind::Ipxe => platform != Platform::RaspberryPi,
            LoaderKind::Pxelinux => platform == Platform::Bios,
            LoaderKind::Grub => platform.is_efi(),
        }
    }
}

impl LoaderKind {
    /// Whether this loader can boot by this method: PXELINUX and the signed GRUB fetch from the
    /// server they came from, by TFTP, and from nowhere else.
    pub fn can_boot(self, method: &BootMethod) -> bool {
        let here = |file: &FileRef| matches!(file, FileRef::Image(_));
        self == LoaderKind::Ipxe
            || match method {
                BootMethod::Linux {
                    kernel, initrds, ..
                } => here(kernel) && initrds.iter().all(here),
                BootMethod::Diskless(Diskless {
                    kernel, initrds, ..
                }) => here(kernel) && initrds.iter().all(here),
                BootMethod::Program { files } => files.values().all(here),
                BootMethod::Chain { .. } => false,
                BootMethod::LocalDisk {} => true,
            }
    }
}

impl fmt::Display for LoaderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LoaderKind::Ipxe => "iPXE",
            LoaderKind::Pxelinux => "PXELINUX",
            LoaderKind::Grub => "GRUB",
        })
    }
}

/// How a UEFI client is answered (protocol.md P5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EfiStyle {
    /// No option 43; the client asks port 4011 again. What Windows networks do, so what firmware
    /// vendors test.
    #[default]
    Binl,
    /// Option 43 with discovery control 8: the client takes the OFFER's file at once.
    Direct,
}

/// What a loader file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderRole {
    /// iPXE as first stage, on the firmware's own network driver (`undionly.kpxe`, `snponly.efi`).
    Ipxe,
    /// iPXE with its own drivers, for a ROM that is already a cut-down iPXE (`ipxe.pxe`).
    IpxeNative,
    /// PXELINUX.
    Pxelinux,
    /// The signed first stage of the GRUB chain.
    Shim,
    /// A file that another loader fetches by its own name (`ldlinux.c32`, `grubx64.efi`).
    Companion,
}

/// The loaders that are really on disk: platform and role to file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoaderInventory {
    files: BTreeMap<(Platform, LoaderRole), Arc<str>>,
}

impl LoaderInventory {
    /// Adds a loader; the first one added for a platform and role stays, so add operator sets
    /// before the packaged one.
    pub fn add(&mut self, platform: Platform, role: LoaderRole, file_name: &str) {
        self.files
            .entry((platform, role))
            .or_insert_with(|| file_name.into());
    }

    /// The file name to offer, when one is present.
    pub fn file(&self, platform: Platform, role: LoaderRole) -> Option<&str> {
        self.shared(platform, role).map(|name| &**name)
    }

    /// The same, to be kept without a copy.
    pub(crate) fn shared(&self, platform: Platform, role: LoaderRole) -> Option<&Arc<str>> {
        self.files.get(&(platform, role))
    }

    /// All first-stage loaders present.
    pub fn iter(&self) -> impl Iterator<Item = (Platform, LoaderRole, &str)> {
        self.files.iter().map(|((p, r), f)| (*p, *r, &**f))
    }
}
