//! What a packet or a URL claims about the machine behind it.

use crate::{CircuitId, MacAddr, SystemUuid};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// A processor architecture code of option 93 (RFC 4578, IANA registry), host order.
///
/// The published RFC swaps 7 and 9; firmware, IANA and we use 7 = x64 and 9 = EBC, and give both
/// the x64 loaders (protocol.md B, "Swap note").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arch(pub u16);

impl Arch {
    /// What loaders run on this architecture; `None` means we do not know and never guess.
    pub fn platform(self) -> Option<Platform> {
        match self.0 {
            0 | 20 => Some(Platform::Bios),
            6 | 15 => Some(Platform::EfiIa32),
            7 | 9 | 16 | 17 => Some(Platform::EfiX64),
            11 | 19 => Some(Platform::EfiArm64),
            41 => Some(Platform::RaspberryPi),
            _ => None,
        }
    }
}

/// What loaders a machine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// Legacy PC BIOS.
    Bios,
    /// 32-bit x86 UEFI, whatever the processor can do.
    EfiIa32,
    /// 64-bit x86 UEFI.
    EfiX64,
    /// 64-bit ARM UEFI.
    EfiArm64,
    /// Raspberry Pi boot ROM or EEPROM: asks for a fixed list of files by itself.
    RaspberryPi,
}

impl Platform {
    /// Every platform, in the order people list them.
    pub const ALL: [Platform; 5] = [
        Platform::Bios,
        Platform::EfiX64,
        Platform::EfiIa32,
        Platform::EfiArm64,
        Platform::RaspberryPi,
    ];

    /// True for every UEFI platform.
    pub fn is_efi(self) -> bool {
        matches!(
            self,
            Platform::EfiIa32 | Platform::EfiX64 | Platform::EfiArm64
        )
    }

    /// The word used in YAML, URLs and the API (`efi-x64`).
    pub fn slug(self) -> &'static str {
        match self {
            Platform::Bios => "bios",
            Platform::EfiIa32 => "efi-ia32",
            Platform::EfiX64 => "efi-x64",
            Platform::EfiArm64 => "efi-arm64",
            Platform::RaspberryPi => "raspberry-pi",
        }
    }

    /// The platform whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|p| p.slug() == slug)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Bios => "BIOS",
            Platform::EfiIa32 => "UEFI IA32",
            Platform::EfiX64 => "UEFI x64",
            Platform::EfiArm64 => "UEFI ARM64",
            Platform::RaspberryPi => "Raspberry Pi",
        })
    }
}

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The machine's own PXE or HTTP Boot firmware.
    Firmware,
    /// An iPXE, in the ROM or chain-loaded (user class `iPXE` or option 175).
    Ipxe,
    /// PXELINUX or SYSLINUX asking for its configuration.
    Pxelinux,
    /// GRUB asking for its configuration.
    Grub,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Firmware => "firmware",
            Stage::Ipxe => "iPXE",
            Stage::Pxelinux => "PXELINUX",
            Stage::Grub => "GRUB",
        })
    }
}

/// The vendor class family of option 60: decides the transport and must be echoed in kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientClass {
    /// `PXEClient…`: boot file names over TFTP.
    Pxe,
    /// `HTTPClient…`: boot file URLs.
    Http,
}

/// The feature markers of iPXE's option 175 that change our answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IpxeFeatures {
    /// Tag 19: can fetch over HTTP.
    pub http: bool,
    /// Tag 24: can boot a Linux bzImage. VirtualBox's built-in ROM cannot.
    pub bzimage: bool,
    /// Tag 36: an EFI build.
    pub efi: bool,
}

/// What a packet or URL *claims*: untrusted, and not a [`Machine`](crate::Machine).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootClient {
    /// The client's hardware address (`chaddr`, or the MAC in a file name).
    pub mac: MacAddr,
    /// SMBIOS UUID, when the client sent a well-formed one.
    pub uuid: Option<SystemUuid>,
    /// The architecture code as sent; `None` when nothing said (script and menu requests).
    pub arch: Option<Arch>,
    /// What can run there; `None` when unknown.
    pub platform: Option<Platform>,
    /// Who is asking.
    pub stage: Stage,
    /// PXE or HTTP Boot.
    pub class: ClientClass,
    /// iPXE's own features, when [`Stage::Ipxe`] told them.
    pub ipxe: Option<IpxeFeatures>,
    /// The relay agent (`giaddr`) the packet came through.
    pub relay: Option<Ipv4Addr>,
    /// What that relay says of the port the client is plugged in (option 82, sub-option 1).
    #[serde(default)]
    pub circuit: Option<CircuitId>,
    /// Where it asks from: the relay, else our own address on that network; `None` in questions
    /// for menus, which are placed by what the machine's DHCP said before.
    #[serde(default)]
    pub place: Option<Ipv4Addr>,
}

impl BootClient {
    /// A client that asks for its menu or script: only its MAC and its stage are known.
    pub fn asking(mac: MacAddr, stage: Stage) -> Self {
        BootClient {
            mac,
            uuid: None,
            arch: None,
            platform: None,
            stage,
            class: ClientClass::Pxe,
            ipxe: None,
            relay: None,
            circuit: None,
            place: None,
        }
    }
}
