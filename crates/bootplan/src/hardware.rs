//! What a machine says it is made of.

use serde::{Deserialize, Serialize};

/// A machine's inventory, as something that runs on it told: claims, shown to people and used for
/// nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hardware {
    /// Its processor, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Its memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Its disks, a line for each: `sda 480 GB ATA INTEL SSDSC2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// Its network cards, a line for each: `eno1 52:54:00:12:34:56`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<String>,
}

impl Hardware {
    /// Reads what a machine sent as JSON, and leaves out of its texts what cannot be shown. `None`:
    /// it is no such JSON, or larger than anything that a machine has to tell.
    pub fn told(json: &[u8]) -> Option<Hardware> {
        // A list of values without names would pass as an inventory, too.
        let is_object = json.trim_ascii_start().starts_with(b"{");
        if json.len() > JSON_LIMIT || !is_object {
            return None;
        }
        let told: Hardware = serde_json::from_slice(json).ok()?;
        let lines = |all: Vec<String>| -> Vec<String> {
            let lines = all.iter().filter_map(|text| line(text));
            lines.take(LINES).collect()
        };
        Some(Hardware {
            cpu: told.cpu.as_deref().and_then(line),
            memory_mib: told.memory_mib,
            disks: lines(told.disks),
            cards: lines(told.cards),
        })
    }

    /// One line for each thing it is made of.
    pub fn lines(&self) -> Vec<String> {
        let memory = self.memory_mib.map(|mib| format!("{mib} MiB of memory"));
        let first = self.cpu.clone().into_iter().chain(memory);
        let disks = self.disks.iter().map(|disk| format!("disk {disk}"));
        let cards = self.cards.iter().map(|card| format!("card {card}"));
        first.chain(disks).chain(cards).collect()
    }
}

/// A text as it may stand on a page.
fn line(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(LINE).collect();
    (!short.is_empty()).then_some(short)
}

/// The longest inventory.
pub const JSON_LIMIT: usize = 16 * 1024;
/// Disks or cards of one machine: a chassis with two shelves of disks has fewer.
const LINES: usize = 64;
const LINE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_cut_to_what_can_be_shown() {
        let told = Hardware::told(
            br#"{"cpu": " AMD EPYC\n 7302  ", "memory_mib": 65536, "disks": ["sda 480 GB", "", "\u001b[2J"]}"#,
        );
        let told = told.expect("an inventory");
        assert_eq!(
            told.lines(),
            [
                "AMD EPYC 7302",
                "65536 MiB of memory",
                "disk sda 480 GB",
                "disk [2J"
            ]
        );
        let many = format!(r#"{{"cards": [{}]}}"#, vec![r#""x""#; 999].join(","));
        assert_eq!(
            Hardware::told(many.as_bytes()).expect("one").cards.len(),
            64
        );
        let long = format!(r#"{{"cpu": "{}"}}"#, "x".repeat(9999));
        assert_eq!(
            Hardware::told(long.as_bytes()).expect("one").lines()[0].len(),
            128
        );
        let huge = format!(r#"{{"cpu": "{}"}}"#, "x".repeat(JSON_LIMIT));
        for wrong in [
            "",
            "[]",
            r#"{"cpu": 7}"#,
            r#"{"price": 7}"#,
            r#"{"memory_mib": -1}"#,
            &huge,
        ] {
            assert_eq!(Hardware::told(wrong.as_bytes()), None, "{wrong:.40}");
        }
        assert!(
            Hardware::told(b"{}")
                .expect("an empty one")
                .lines()
                .is_empty()
        );
    }
}
