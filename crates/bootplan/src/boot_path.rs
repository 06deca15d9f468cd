//! One grammar of names for TFTP and HTTP; a client's string never becomes a file-system path.

use crate::{MacAddr, SystemUuid};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A relative path of plain components: no `..`, no leading slash, no backslash, no control
/// characters, no component beginning with a dot. The only form in which a name reaches the
/// file opener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

/// Why a name was refused. Clients are told the same as for an absent file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathRefusal {
    /// Nothing left after normalising.
    #[error("the name is empty")]
    Empty,
    /// Longer than 255 octets.
    #[error("the name is longer than 255 octets")]
    TooLong,
    /// Control characters.
    #[error("the name contains control characters")]
    Control,
    /// Not UTF-8.
    #[error("the name is not UTF-8")]
    NotText,
    /// A `..` component, a drive letter, a hidden file: tries to leave the root.
    #[error("the name tries to leave the served tree")]
    Traversal,
}

/// Whose menu is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// By hardware address.
    Mac(MacAddr),
    /// By SMBIOS UUID as spelled in the name (either byte order).
    Uuid(SystemUuid),
    /// By IPv4 address in upper-case hexadecimal (only the full eight digits name one client).
    Address(Ipv4Addr),
    /// The `default` name, or a shortened address: nobody in particular.
    Default,
}

/// What a client asked for, by name, over either transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootPath {
    /// `pxelinux.cfg/…`: a PXELINUX configuration, in round `n` of a waiting machine.
    Pxelinux {
        /// Whose.
        key: ClientKey,
        /// 0 for the first question; `farrier/wait/<n>/pxelinux.cfg/…` counts on.
        round: u32,
    },
    /// `grub/grub.cfg-…`: a GRUB configuration for one machine.
    Grub {
        /// Whose.
        key: ClientKey,
    },
    /// `grub/grub.cfg`: finds out the MAC on the client and sources the file above.
    GrubBootstrap,
    /// `boot.ipxe` or `autoexec.ipxe`: finds out the MAC on the client and chains to the script.
    IpxeBootstrap,
    /// `<mac>/boot.ipxe`: the machine's script.
    Ipxe {
        /// Whose.
        mac: MacAddr,
    },
    /// A loader or a companion file, by bare file name (`snponly.efi`, `boot/snponly.efi`).
    Loader(RelPath),
    /// A file below the images directory (`images/debian-12/linux`).
    Image(RelPath),
}
impl RelPath {
    /// The path with forward slashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RelPath {
    type Err = PathRefusal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(PathRefusal::Empty);
        }
        if text.len() > 255 {
            return Err(PathRefusal::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PathRefusal::Control);
        }
        let bad = |c: &str| c.is_empty() || c.starts_with('.') || c.contains(['\\', ':']);
        if text.split('/').any(bad) {
            return Err(PathRefusal::Traversal);
        }
        Ok(RelPath(text.to_owned()))
    }
}

impl BootPath {
    /// Parses a name as TFTP carries it (raw octets, no NUL) or HTTP after one percent-decoding
    /// (protocol.md C.9). Round and trailing-slash rules: see the variants.
    ///
    /// # Errors
    /// Why the name was refused; nothing outside the grammar is ever looked up on disk.
    pub fn parse(raw: &[u8]) -> Result<BootPath, PathRefusal> {
        let _ = raw;
        Err(PathRefusal::Empty)
    }
}
