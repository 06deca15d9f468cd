//! Where a relay says that a client is plugged in.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The agent circuit of option 82 (RFC 3046 3.1) as text: as the relay wrote it when that is
/// printable (`ge-0/0/1:100`), else `0x` and hexadecimal digits. Kept inline, so that reading it
/// from a packet allocates nothing; what is longer than 64 characters is cut.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CircuitId {
    /// ASCII, the unused rest zero.
    text: [u8; LIMIT],
    length: u8,
}

impl CircuitId {
    /// From the value of sub-option 1; `None` when it is empty.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        if octets.is_empty() {
            return None;
        }
        let mut id = CircuitId {
            text: [0; LIMIT],
            length: 0,
        };
        let plain = |c: &u8| c.is_ascii_graphic() || *c == b' ';
        if octets.iter().all(plain) {
            octets.iter().for_each(|c| id.push(*c));
            return Some(id);
        }
        id.push(b'0');
        id.push(b'x');
        for octet in octets.iter().take((LIMIT - 2) / 2) {
            id.push(DIGITS[usize::from(octet >> 4)]);
            id.push(DIGITS[usize::from(octet & 15)]);
        }
        Some(id)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let text = &self.text[..usize::from(self.length)];
        std::str::from_utf8(text).unwrap_or_default()
    }

    fn push(&mut self, c: u8) {
        if let Some(place) = self.text.get_mut(usize::from(self.length)) {
            *place = c;
            self.length += 1;
        }
    }
}

impl TryFrom<String> for CircuitId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        CircuitId::from_octets(text.as_bytes()).ok_or("a circuit must not be empty")
    }
}

impl From<CircuitId> for String {
    fn from(id: CircuitId) -> String {
        id.as_str().to_owned()
    }
}

impl fmt::Display for CircuitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CircuitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

const LIMIT: usize = 64;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_stays_text_and_octets_become_digits() {
        let cases: [(&[u8], Option<&str>); 4] = [
            (b"ge-0/0/1:100", Some("ge-0/0/1:100")),
            (&[0, 4, 0, 100, 1, 7], Some("0x000400640107")),
            ("Tür".as_bytes(), Some("0x54c3bc72")),
            (b"", None),
        ];
        for (octets, expected) in cases {
            let id = CircuitId::from_octets(octets);
            assert_eq!(id.as_ref().map(CircuitId::as_str), expected);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_short_text_that_is_read_back(octets: Vec<u8>) {
            let Some(id) = CircuitId::from_octets(&octets) else {
                return Ok(());
            };
            prop_assert!((1..=LIMIT).contains(&id.as_str().len()));
            let json = serde_json::to_string(&id).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<CircuitId>(&json).expect("read"), id);
        }
    }
}
