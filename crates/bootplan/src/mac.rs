//! Hardware addresses as they travel in `chaddr`, in file names and in forms.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// An EUI-48 hardware address. A *selector*, never a credential: anybody can claim one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

/// The text was not six octets in any of the usual spellings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a MAC address (expected six octets like 52:54:00:12:34:56, \
     52-54-00-12-34-56, 5254.0012.3456 or 525400123456)"
)]
pub struct MacParseError(String);

impl MacAddr {
    /// Lower case with dashes: the spelling of `pxelinux.cfg/01-…` and of our own script paths.
    pub fn dashed(self) -> String {
        let [a, b, c, d, e, f] = self.0;
        format!("{a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{f:02x}")
    }

    /// False for all-zero, broadcast and multicast addresses: no machine has one of those, and
    /// answering them would only help a forger (protocol.md G.4).
    pub fn is_unicast(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for MacAddr {
    type Err = MacParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || MacParseError(text.chars().take(40).collect());
        let groups: Vec<&str> = text.split([':', '-', '.']).collect();
        let width = match groups.len() {
            6 => 2,
            3 => 4,
            1 => 12,
            _ => return Err(bad()),
        };
        if groups.iter().any(|g| g.len() != width) {
            return Err(bad());
        }
        let digits: Vec<u8> = groups.concat().bytes().collect();
        let mut octets = [0u8; 6];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(bad());
            };
            *octet = high << 4 | low;
        }
        Ok(MacAddr(octets))
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings() {
        let mac = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        for text in [
            "52:54:00:12:34:56",
            "52-54-00-12-34-56",
            "5254.0012.3456",
            "525400123456",
        ] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:5g",
            "52:54:00:12:34:567",
            "é:é:é:é:é:é",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
        assert_eq!(mac.dashed(), "52-54-00-12-34-56");
    }

    #[test]
    fn only_unicast_addresses_name_machines() {
        assert!(MacAddr([2, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddr([0; 6]).is_unicast());
        assert!(!MacAddr([0xff; 6]).is_unicast());
        assert!(!MacAddr([1, 0, 0x5e, 0, 0, 1]).is_unicast());
    }

    proptest! {
        #[test]
        fn display_parses_back(octets: [u8; 6]) {
            let mac = MacAddr(octets);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            prop_assert_eq!(mac.dashed().parse(), Ok(mac));
        }

        #[test]
        fn any_text_is_handled(text in ".{0,40}") {
            let _ = text.parse::<MacAddr>();
        }
    }
}
