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
    /// A shortened hexadecimal address: PXELINUX and GRUB ask for `C0A84D3`, `C0A84D` ... after
    /// the full one. A whole network is no machine, so there is never an answer.
    #[error("the name means a whole network, not one machine")]
    Nobody,
}

/// Whose menu is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// By hardware address.
    Mac(MacAddr),
    /// By SMBIOS UUID as spelled in the name (either byte order).
    Uuid(SystemUuid),
    /// By IPv4 address: the full eight hexadecimal digits, or dotted (our own GRUB bootstrap).
    Address(Ipv4Addr),
    /// The `default` name: nobody in particular. Whoever asks is known, if at all, by its address.
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

    /// Parses a name as TFTP carries it, as [`BootPath::parse`] does, when it can only be a file's.
    ///
    /// # Errors
    /// Why the name was refused.
    pub fn from_wire(raw: &[u8]) -> Result<RelPath, PathRefusal> {
        let text = printable_text(raw)?.replace('\\', "/");
        components(&text)?.join("/").parse()
    }

    /// What follows `prefix` and a slash, if this path is below it.
    pub fn below(&self, prefix: &RelPath) -> Option<RelPath> {
        let rest = self.0.strip_prefix(&prefix.0)?.strip_prefix('/')?;
        Some(RelPath(rest.to_owned()))
    }

    /// The path of a name below this one.
    ///
    /// # Errors
    /// When both together are too long.
    pub fn join(&self, below: &RelPath) -> Result<RelPath, PathRefusal> {
        format!("{self}/{below}").parse()
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What is before the last component; `None` when there is only one.
    pub fn parent(&self) -> Option<RelPath> {
        self.0
            .rsplit_once('/')
            .map(|(dir, _)| RelPath(dir.to_owned()))
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
        if text.len() > NAME_LIMIT {
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
    /// The hardware address in the name itself, if there is one: whose menu it is.
    pub fn mac(&self) -> Option<MacAddr> {
        match self {
            BootPath::Ipxe { mac } => Some(*mac),
            BootPath::Pxelinux {
                key: ClientKey::Mac(mac),
                ..
            }
            | BootPath::Grub {
                key: ClientKey::Mac(mac),
            } => Some(*mac),
            _ => None,
        }
    }

    /// Parses a name as TFTP carries it (raw octets) or an HTTP path after one percent-decoding
    /// and without its query (protocol.md C.9).
    ///
    /// PXELINUX asks for UUID, hardware address, address, shortened addresses, `default`, in that
    /// order, and takes the first answer. Every machine has an answer under its hardware address
    /// (if only "boot your local disk, because ..."), so the later names are reached by nobody we
    /// know; shortened addresses are refused outright, or a stranger would get a neighbour's menu.
    ///
    /// # Errors
    /// Why the name was refused; nothing outside the grammar is ever looked up on disk.
    pub fn parse(raw: &[u8]) -> Result<BootPath, PathRefusal> {
        let text = printable_text(raw)?.replace('\\', "/");
        let parts = components(&text)?;
        let (last, dirs) = parts.split_last().ok_or(PathRefusal::Empty)?;
        if let Some(path) = generated(dirs, last) {
            return path;
        }
        match parts.as_slice() {
            [root, rest @ ..] if root.eq_ignore_ascii_case("images") && !rest.is_empty() => {
                rest.join("/").parse().map(BootPath::Image)
            }
            ["boot", rest @ ..] if !rest.is_empty() => rest.join("/").parse().map(BootPath::Loader),
            all => all.join("/").parse().map(BootPath::Loader),
        }
    }
}

/// What is before the first NUL, when it is short, UTF-8 and free of control characters.
fn printable_text(raw: &[u8]) -> Result<&str, PathRefusal> {
    let name = raw.split(|b| *b == 0).next().unwrap_or(raw);
    if name.len() > NAME_LIMIT {
        return Err(PathRefusal::TooLong);
    }
    if name.iter().any(u8::is_ascii_control) {
        return Err(PathRefusal::Control);
    }
    let text = std::str::from_utf8(name).map_err(|_| PathRefusal::NotText)?;
    if text.chars().any(char::is_control) {
        return Err(PathRefusal::Control);
    }
    Ok(text)
}

/// The components, without what loaders put in front: `/`, `./`, PXELINUX's `::` for "the
/// server's root". A component that begins with a dot is refused, never cleaned up.
fn components(text: &str) -> Result<Vec<&str>, PathRefusal> {
    let mut rest = text;
    while let Some(shorter) = ["/", "./", "::"].iter().find_map(|p| rest.strip_prefix(p)) {
        rest = shorter;
    }
    // A name that ends in a slash is a directory's; directories are never served.
    if rest.is_empty() || rest.ends_with('/') {
        return Err(PathRefusal::Empty);
    }
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| part.starts_with('.')) {
        return Err(PathRefusal::Traversal);
    }
    Ok(parts)
}

/// The names that are rendered, not files: matched in any letter case, MAC addresses in any of
/// their spellings. `None` when it is none of them.
fn generated(dirs: &[&str], last: &str) -> Option<Result<BootPath, PathRefusal>> {
    let dirs: Vec<String> = dirs.iter().map(|d| d.to_ascii_lowercase()).collect();
    let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
    let last = last.to_ascii_lowercase();
    if dirs.first() == Some(&"images") {
        return None;
    }
    match (dirs.as_slice(), last.as_str()) {
        ([] | ["boot"], "boot.ipxe" | "autoexec.ipxe") => Some(Ok(BootPath::IpxeBootstrap)),
        ([mac], "boot.ipxe") => {
            let mac = mac.parse().ok()?;
            Some(Ok(BootPath::Ipxe { mac }))
        }
        ([before @ .., "pxelinux.cfg"], name) => {
            let round = match before {
                [.., "farrier", "wait", n] => round(n)?,
                _ => 0,
            };
            let key = client_key(name)?;
            Some(key.map(|key| BootPath::Pxelinux { key, round }))
        }
        (dirs, "grub.cfg") if is_grub_dir(dirs) => Some(Ok(BootPath::GrubBootstrap)),
        (dirs, name) if is_grub_dir(dirs) => {
            let key = client_key(name.strip_prefix("grub.cfg-")?)?;
            Some(key.map(|key| BootPath::Grub { key }))
        }
        _ => None,
    }
}

/// Where GRUB looks for its configuration: its prefix (`/grub`, `/boot/grub`), or the directory
/// of its own file. Not `<prefix>/x86_64-efi`, which Debian's image probes before `<prefix>`.
fn is_grub_dir(dirs: &[&str]) -> bool {
    matches!(
        dirs,
        [] | ["boot"] | [.., "grub" | "grub2"] | ["efi", _] | ["boot", "efi", _]
    )
}

fn round(text: &str) -> Option<u32> {
    let plain = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads the part of a name that says whose it is (lower case).
fn client_key(name: &str) -> Option<Result<ClientKey, PathRefusal>> {
    if name == "default" {
        return Some(Ok(ClientKey::Default));
    }
    if let Ok(uuid) = name.parse() {
        return Some(Ok(ClientKey::Uuid(uuid)));
    }
    // ARP hardware type in front: Ethernet, IEEE 802 (token ring), InfiniBand.
    let unprefixed = ["01", "06", "20"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind))
        .map(|rest| rest.strip_prefix(['-', ':']).unwrap_or(rest));
    if let Some(mac) = [unprefixed, Some(name)]
        .into_iter()
        .flatten()
        .find_map(|text| text.parse().ok())
    {
        return Some(Ok(ClientKey::Mac(mac)));
    }
    if let Ok(address) = name.parse() {
        return Some(Ok(ClientKey::Address(address)));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match (name.len(), u32::from_str_radix(name, 16)) {
        (8, Ok(bits)) => Some(Ok(ClientKey::Address(Ipv4Addr::from(bits)))),
        (1..=7, _) => Some(Err(PathRefusal::Nobody)),
        _ => None,
    }
}

/// Firmware buffers end at 128 or 255; nothing of ours is longer.
const NAME_LIMIT: usize = 255;

#[cfg(test)]
mod tests;
