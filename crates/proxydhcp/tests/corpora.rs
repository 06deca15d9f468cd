//! The octets kept for the fuzz target `dhcp_parse`, as an ordinary test: packets of real firmware, and all that differ
//! from them in little.

#[allow(unreachable_pub, reason = "the fuzz target includes it, too")]
#[path = "common/model.rs"]
mod model;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// `fuzz/seeds/dhcp_parse` by their names.
fn seeds() -> BTreeMap<String, Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/dhcp_parse");
    let entries = std::fs::read_dir(directory).expect("the seeds are there");
    entries
        .map(|entry| {
            let entry = entry.expect("it is there");
            let octets = std::fs::read(entry.path()).expect("it is readable");
            (entry.file_name().to_string_lossy().into_owned(), octets)
        })
        .collect()
}

#[test]
fn the_kept_corpus() {
    let answered: BTreeMap<String, usize> = seeds()
        .into_iter()
        .map(|(name, mut octets)| {
            let plain = model::run(&octets);
            octets[235] |= 1; // the answer is a menu: one of the packets chooses from it
            (name, plain + model::run(&octets))
        })
        .collect();
    let silent: Vec<&str> = answered
        .iter()
        .filter(|(_, ports)| **ports == 0)
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(answered.len() >= 10, "{answered:?}");
    // One is for the DHCP server, the other does not say that it is a PXE client.
    let expected = ["lease-request.bin", "u-boot-discover.bin"];
    assert_eq!(silent, expected, "{answered:?}");
}

/// Cut off at any octet; and any one octet another: lengths, types and counts that are a little wrong.
#[test]
fn neighbours_of_the_kept_corpus() {
    let mut answered = 0;
    for octets in seeds().into_values() {
        for length in 0..octets.len() {
            model::run(&octets[..length]);
        }
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            for value in [0, 1, 255, octets[at] ^ 0x80, octets[at].wrapping_add(1)] {
                changed[at] = value;
                answered += model::run(&changed);
            }
        }
    }
    assert!(answered > 10_000, "{answered} were answered");
}
