//! What may be stored.

use crate::StoreError;
use bootplan::{MacAddr, Machine};
use std::collections::BTreeMap;

/// Checks every field that an operator can write.
pub(crate) fn machine(machine: &Machine) -> Result<(), StoreError> {
    name("name", &machine.name, NAME_LIMIT)?;
    let by_uuid = machine.uuid.is_some_and(|uuid| uuid.is_identity());
    if (machine.macs.is_empty() && !by_uuid) || machine.macs.len() > MACS_LIMIT {
        return Err(invalid(
            "macs",
            format!(
                "a machine has 1 to {MACS_LIMIT} MACs, not {} (none only with an SMBIOS UUID)",
                machine.macs.len()
            ),
        ));
    }
    for (index, address) in machine.macs.iter().enumerate() {
        mac("macs", *address)?;
        if machine.macs[..index].contains(address) {
            return Err(invalid("macs", format!("{address} is given twice")));
        }
    }
    if let Some(serial) = &machine.serial {
        name("serial", serial, FACT_LIMIT)?;
    }
    if let Some(asset) = &machine.asset {
        name("asset", asset, FACT_LIMIT)?;
    }
    let control = |c: char| c.is_control() && c != '\n';
    if machine.notes.chars().count() > NOTES_LIMIT || machine.notes.chars().any(control) {
        return Err(invalid(
            "notes",
            format!("at most {NOTES_LIMIT} printable characters and line breaks"),
        ));
    }
    labels(&machine.labels)
}

/// Checks the labels of a machine or a profile.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> Result<(), StoreError> {
    if labels.len() > LABELS_LIMIT {
        return Err(invalid(
            "labels",
            format!("more than {LABELS_LIMIT} labels"),
        ));
    }
    for (key, value) in labels {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let starts = key
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric());
        if !starts || key.len() > NAME_LIMIT || !key.chars().all(legal) {
            let shown: String = key.chars().take(80).collect();
            return Err(invalid(
                "labels",
                format!(
                    "'{}' is no label name (1 to {NAME_LIMIT} letters, digits, '-', '_', '.', \
                     '/', the first a letter or digit)",
                    shown.escape_debug()
                ),
            ));
        }
        if value.chars().count() > LABEL_VALUE_LIMIT || value.chars().any(char::is_control) {
            return Err(invalid(
                &format!("labels.{key}"),
                format!("a value has at most {LABEL_VALUE_LIMIT} printable characters"),
            ));
        }
    }
    Ok(())
}

/// A short printable text.
pub(crate) fn name(field: &str, text: &str, limit: usize) -> Result<(), StoreError> {
    let length = text.chars().count();
    let fits = (1..=limit).contains(&length);
    if fits && !text.chars().any(char::is_control) && text.trim() == text {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    Err(invalid(
        field,
        format!(
            "'{}' must be 1 to {limit} printable characters without spaces at the ends",
            shown.escape_debug()
        ),
    ))
}

/// An address that a machine can have.
pub(crate) fn mac(field: &str, mac: MacAddr) -> Result<(), StoreError> {
    if mac.is_unicast() {
        return Ok(());
    }
    Err(invalid(
        field,
        format!("{mac} is no machine's address (all zero, broadcast or multicast)"),
    ))
}

/// What a packet said, fit for storing and showing; `None` when nothing is left of it.
pub(crate) fn clean(said: Option<&str>) -> Option<String> {
    let printable: String = said?
        .chars()
        .filter(|c| !c.is_control())
        .take(FACT_LIMIT)
        .collect();
    let trimmed = printable.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn invalid(field: &str, problem: String) -> StoreError {
    StoreError::Invalid {
        field: field.to_owned(),
        problem,
    }
}

/// As long as a host name's label may be.
pub(crate) const NAME_LIMIT: usize = 63;
/// SMBIOS strings are rarely longer; a packet may claim anything.
const FACT_LIMIT: usize = 128;
const NOTES_LIMIT: usize = 4000;
/// A switch-like machine has many; a forger must not give one more.
pub(crate) const MACS_LIMIT: usize = 32;
const LABELS_LIMIT: usize = 64;
const LABEL_VALUE_LIMIT: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_printable_lines() {
        for good in ["a", "rack1-u3", "Büro 7", &"x".repeat(63)] {
            assert!(name("name", good, NAME_LIMIT).is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a\nb", "a\0", &"x".repeat(64)] {
            let error = name("name", bad, NAME_LIMIT)
                .expect_err("refused")
                .to_string();
            assert!(error.starts_with("name: '"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_packets_say_is_made_printable() {
        assert_eq!(clean(Some(" QEMU\n\0 ")).as_deref(), Some("QEMU"));
        assert_eq!(clean(Some(" \t ")), None);
        assert_eq!(clean(None), None);
        assert_eq!(clean(Some(&"x".repeat(999))).map(|s| s.len()), Some(128));
    }
}
