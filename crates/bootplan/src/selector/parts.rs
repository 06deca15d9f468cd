//! What the leaves of a selector compare with: beginnings of MACs, subnets and globs.

use crate::MacAddr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::{Chars, FromStr};

/// Why a selector was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not one to six octets.
    #[error("'{0}' is not the beginning of a MAC address (one to six octets, like 52:54:00)")]
    MacPrefix(String),
    /// Not an address and a length.
    #[error("'{0}' is not a subnet (expected an address and a length, like 10.1.0.0/16)")]
    Subnet(String),
    /// An address inside a subnet instead of the subnet's own.
    #[error("'{given}' is an address inside a subnet; the subnet is {subnet}")]
    InsideSubnet {
        /// As written.
        given: String,
        /// What it probably means.
        subnet: Subnet,
    },
    /// A glob that is empty, too long, or not printable.
    #[error("'{0}' is not a pattern (1 to 128 printable characters; '*' and '?' stand for others)")]
    Glob(String),
    /// A list without entries, which would match nothing, or a selector without conditions.
    #[error("{what}: must not be empty")]
    Empty {
        /// Which list.
        what: &'static str,
    },
    /// Nested too deeply.
    #[error("conditions are nested more than {} deep", DEPTH_LIMIT)]
    Depth,
    /// More conditions than anybody reads.
    #[error("more than {} conditions and values", LEAF_LIMIT)]
    Leaves,
}

/// The first octets of a MAC, such as a maker's.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacPrefix {
    octets: [u8; 6],
    length: usize,
}

impl MacPrefix {
    /// Whether the address begins so.
    pub fn covers(&self, mac: MacAddr) -> bool {
        mac.0.starts_with(&self.octets[..self.length])
    }
}

impl FromStr for MacPrefix {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || SelectorError::MacPrefix(shown(text));
        let mut prefix = MacPrefix {
            octets: [0; 6],
            length: 0,
        };
        for group in text.split([':', '-']) {
            let digits = group.len() == 2 && group.bytes().all(|c| c.is_ascii_hexdigit());
            let octet = u8::from_str_radix(group, 16).ok().filter(|_| digits);
            let place = prefix.octets.get_mut(prefix.length).ok_or_else(bad)?;
            *place = octet.ok_or_else(bad)?;
            prefix.length += 1;
        }
        Ok(prefix)
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, octet) in self.octets[..self.length].iter().enumerate() {
            let colon = if n == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

/// An IPv4 network: its own address and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: Ipv4Addr,
    length: u32,
}

impl Subnet {
    /// Whether the address lies in it.
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip) & mask(self.length) == u32::from(self.address)
    }
}

impl FromStr for Subnet {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (address, length) = text.split_once('/')?;
            let plain = length.bytes().all(|c| c.is_ascii_digit());
            let length = length.parse::<u32>().ok().filter(|n| plain && *n <= 32)?;
            Some((address.parse::<Ipv4Addr>().ok()?, length))
        };
        let (given, length) = read().ok_or_else(|| SelectorError::Subnet(shown(text)))?;
        let address = Ipv4Addr::from(u32::from(given) & mask(length));
        let subnet = Subnet { address, length };
        if address == given {
            return Ok(subnet);
        }
        Err(SelectorError::InsideSubnet {
            given: shown(text),
            subnet,
        })
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A pattern for the whole of a text: `*` stands for any characters, `?` for one; upper and lower
/// case of ASCII letters are the same, for vendors spell their own names both ways.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

impl Glob {
    /// Whether the whole text is like this. Allocates nothing; the time it takes is bounded by
    /// the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), text.chars());
        // What follows the last `*`, and the text it was last tried on.
        let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
        loop {
            let mut ahead = pattern.clone();
            match (ahead.next(), rest.clone().next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((ahead.clone(), rest.clone()));
                    pattern = ahead;
                }
                (Some(p), Some(c)) if p == '?' || p.eq_ignore_ascii_case(&c) => {
                    pattern = ahead;
                    rest.next();
                }
                _ => {
                    let Some((after, from)) = &mut retry else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    pattern = after.clone();
                    rest = from.clone();
                }
            }
        }
    }
}

impl FromStr for Glob {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = text.chars().count();
        if !(1..=GLOB_LIMIT).contains(&length) || text.chars().any(char::is_control) {
            return Err(SelectorError::Glob(shown(text)));
        }
        Ok(Glob(text.to_owned()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All three are written in files and forms as one text.
macro_rules! written_as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = SelectorError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    )*};
}

written_as_text!(MacPrefix, Subnet, Glob);

/// A wrong text, short enough for a message and without line breaks.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    short.escape_debug().to_string()
}

pub(super) const DEPTH_LIMIT: usize = 8;
pub(super) const LEAF_LIMIT: usize = 256;
const GLOB_LIMIT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("Dell*", "DELL Inc.", true),
            ("Dell*", "dell", true),
            ("Dell*", "My Dell", false),
            ("*750", "PowerEdge R750", true),
            ("*750", "PowerEdge R750xs", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("R?50", "R750", true),
            ("R?50", "R50", false),
            ("ge-0/0/*", "ge-0/0/47", true),
            ("*", "", true),
            ("?", "ü", true),
            ("**", "x", true),
            ("x", "", false),
        ] {
            let glob: Glob = pattern.parse().expect("a pattern");
            assert_eq!(glob.matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn beginnings_of_macs() {
        let mac = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        for (text, expected) in [
            ("52", true),
            ("52:54:00", true),
            ("52-54-00-12-34-56", true),
            ("52:55", false),
        ] {
            let prefix: MacPrefix = text.parse().expect("a prefix");
            assert_eq!(prefix.covers(mac), expected, "{text}");
        }
        for bad in ["", "5", "525", "52:", "+1:00", "5g", "52:54:00:12:34:56:78"] {
            assert!(bad.parse::<MacPrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn subnets() {
        let inside = Ipv4Addr::new(10, 1, 200, 3);
        for (text, expected) in [
            ("10.1.0.0/16", true),
            ("10.2.0.0/16", false),
            ("10.1.200.3/32", true),
            ("0.0.0.0/0", true),
        ] {
            let subnet: Subnet = text.parse().expect("a subnet");
            assert_eq!(subnet.contains(inside), expected, "{text}");
            assert_eq!(subnet.to_string(), text);
        }
        for bad in [
            "",
            "10.1.0.0",
            "10.1.0.0/33",
            "10.1.0.0/+8",
            "10.1/16",
            "x/8",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
        let error = "10.1.2.3/16".parse::<Subnet>().expect_err("a host");
        assert!(error.to_string().ends_with("is 10.1.0.0/16"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_handled(pattern in ".{0,20}", text in ".{0,20}") {
            let _ = pattern.parse::<MacPrefix>();
            let _ = pattern.parse::<Subnet>();
            if let Ok(glob) = pattern.parse::<Glob>() {
                glob.matches(&text);
            }
        }

        /// What is put in for the stars comes out as a match.
        #[test]
        fn a_text_made_from_a_glob_matches(parts in prop::collection::vec("[a-z]{0,4}", 1..6)) {
            let pattern = format!("{}*", parts.join("*"));
            let glob: Glob = pattern.parse().expect("a pattern");
            prop_assert!(glob.matches(&parts.join("-x-")));
        }
    }
}
