//! The SMBIOS system UUID and its two byte orders.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The SMBIOS UUID of a machine, kept in canonical (printed) order.
///
/// Option 97 carries type 0 and the UUID with its first three groups little-endian (RFC 4578,
/// SMBIOS 2.6). iPXE prints the canonical form; PXELINUX and GRUB print the wire order, so file
/// names may come in either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemUuid([u8; 16]);

/// The text was not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a UUID (expected 8-4-4-4-12 hexadecimal digits)")]
pub struct UuidParseError(String);

impl SystemUuid {
    /// From the 17 octets of option 97: a type octet (0) and the UUID in wire order.
    /// Anything else is no UUID (protocol.md A.4: such clients are still answered).
    pub fn from_option97(raw: &[u8]) -> Option<Self> {
        let (kind, wire) = raw.split_first()?;
        let wire: [u8; 16] = wire.try_into().ok()?;
        (*kind == 0).then(|| SystemUuid(swap_groups(wire)))
    }

    /// The same UUID read from a text in wire order (PXELINUX and GRUB file names).
    pub fn swapped(self) -> Self {
        SystemUuid(swap_groups(self.0))
    }

    /// The same value for both byte orders of one UUID, to look it up by.
    pub fn either_order(self) -> Self {
        self.min(self.swapped())
    }

    /// False for values that many machines share, so that they identify nothing
    /// (protocol.md A.12: all 00, all ff, the Pi 3's all 44, and AMI's sample value).
    pub fn is_identity(self) -> bool {
        const AMI_SAMPLE: [u8; 16] = [
            0x03, 0, 0x02, 0, 0x04, 0, 0x05, 0, 0, 0x06, 0, 0x07, 0, 0x08, 0, 0x09,
        ];
        let uniform = self.0.iter().all(|b| *b == self.0[0]);
        !uniform && self.0 != AMI_SAMPLE && self.swapped().0 != AMI_SAMPLE
    }
}

fn swap_groups(mut b: [u8; 16]) -> [u8; 16] {
    b[0..4].reverse();
    b[4..6].reverse();
    b[6..8].reverse();
    b
}

impl fmt::Display for SystemUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SystemUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for SystemUuid {
    type Err = UuidParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || UuidParseError(text.chars().take(60).collect());
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        if groups != [8, 4, 4, 4, 12] && groups != [32] {
            return Err(bad());
        }
        let mut octets = [0u8; 16];
        let mut digits = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
        for octet in &mut octets {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(bad());
            };
            *octet = (high << 4 | low) as u8;
        }
        Ok(SystemUuid(octets))
    }
}

impl Serialize for SystemUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SystemUuid {
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
    fn wire_order_is_little_endian_in_the_first_three_groups() {
        // protocol.md A.12
        let raw = [
            0, 0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
            0x77, 0x88,
        ];
        let uuid = SystemUuid::from_option97(&raw).expect("17 octets");
        assert_eq!(uuid.to_string(), "12345678-9abc-def0-1122-334455667788");
        assert_eq!(
            uuid.swapped().to_string(),
            "78563412-bc9a-f0de-1122-334455667788"
        );
    }

    #[test]
    fn odd_option_97_is_no_uuid() {
        assert_eq!(SystemUuid::from_option97(&[]), None);
        assert_eq!(SystemUuid::from_option97(&[0; 16]), None);
        assert_eq!(SystemUuid::from_option97(&[1; 17]), None);
        assert_eq!(SystemUuid::from_option97(&[0; 18]), None);
    }

    #[test]
    fn shared_values_are_no_identity() {
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "44444444-4444-4444-4444-444444444444",
            "03000200-0400-0500-0006-000700080009",
        ] {
            let uuid: SystemUuid = text.parse().expect("valid");
            assert!(!uuid.is_identity(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(octets: [u8; 16]) {
            let uuid = SystemUuid(octets);
            prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
            prop_assert_eq!(uuid.swapped().swapped(), uuid);
        }

        #[test]
        fn any_text_is_handled(text in ".{0,60}") {
            let _ = text.parse::<SystemUuid>();
        }
    }
}
