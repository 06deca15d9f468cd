//! A `Release` file of a Debian archive: what it says of itself, and the checksums it lists.

use crate::order::is_sha256;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use std::collections::BTreeMap;

/// What a signed release says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release<'a> {
    fields: BTreeMap<&'a str, &'a str>,
    sums: BTreeMap<&'a str, &'a str>,
}

impl<'a> Release<'a> {
    /// Reads what was signed.
    pub(crate) fn parse(text: &'a str) -> Release<'a> {
        let mut release = Release {
            fields: BTreeMap::new(),
            sums: BTreeMap::new(),
        };
        let mut section = "";
        for line in text.lines() {
            match line.strip_prefix(' ') {
                // ` <checksum> <size> <path>`
                Some(entry) if section == "SHA256" => {
                    let mut words = entry.split_whitespace();
                    if let (Some(sum), Some(_), Some(path)) =
                        (words.next(), words.next(), words.next())
                        && is_sha256(sum)
                    {
                        release.sums.insert(path, sum);
                    }
                }
                Some(_) => {}
                None => {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    section = name;
                    release.fields.entry(name).or_insert(value.trim());
                }
            }
        }
        release
    }

    /// Whether it says of itself what it should, and is still in force.
    ///
    /// # Errors
    /// For people.
    pub(crate) fn check(
        &self,
        is: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(), String> {
        for (name, expected) in is {
            let said = self.fields.get(name.as_str()).copied().unwrap_or("nothing");
            if said != expected {
                return Err(format!(
                    "it says {name}: {said}, and not {expected}: the mirror has another release there"
                ));
            }
        }
        let Some(until) = self.fields.get("Valid-Until") else {
            return Ok(());
        };
        let zoned = until.replace("UTC", "GMT");
        let parsed = DateTimeParser::new().parse_timestamp(&zoned);
        match parsed {
            Ok(end) if end < now => Err(format!(
                "it was in force until {until}: the mirror is old, or somebody shows an old release"
            )),
            Ok(_) => Ok(()),
            Err(_) => Err(format!("its Valid-Until cannot be read: {until}")),
        }
    }

    /// The SHA-256 of a file that it lists.
    pub(crate) fn sha256(&self, path: &str) -> Option<&'a str> {
        self.sums.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(until: &str) -> String {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        format!(
            "Origin: Debian\nCodename: bookworm\n{until}MD5Sum:\n {b} 1 main/SHA256SUMS\nSHA256:\n {a}  12 main/SHA256SUMS\n {b} 1 other\nSHA512:\n {b} 1 main/SHA256SUMS\n"
        )
    }

    fn check(text: &str, codename: &str) -> Result<(), String> {
        let is = [("Origin", "Debian"), ("Codename", codename)];
        let is = is
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let now = "2026-11-23T00:00:00Z".parse().expect("a time");
        Release::parse(text).check(&is, now)
    }

    #[test]
    fn the_sha256_section_counts() {
        let text = text("");
        let release = Release::parse(&text);
        assert_eq!(
            release.sha256("main/SHA256SUMS"),
            Some("a".repeat(64).as_str())
        );
        assert_eq!(release.sha256("absent"), None);
    }

    #[test]
    fn it_must_be_the_release_that_was_wanted_and_in_force() {
        assert_eq!(check(&text(""), "bookworm"), Ok(()));
        let told = check(&text(""), "trixie").expect_err("another");
        assert!(
            told.contains("Codename: bookworm, and not trixie"),
            "{told}"
        );
        let until = |date: &str| text(&format!("Valid-Until: {date}\n"));
        assert_eq!(
            check(&until("Sat, 05 Dec 2026 10:00:00 UTC"), "bookworm"),
            Ok(())
        );
        let told = check(&until("Sat, 05 Dec 2020 10:00:00 UTC"), "bookworm").expect_err("old");
        assert!(told.contains("was in force until"), "{told}");
        assert!(check(&until("soon"), "bookworm").is_err());
    }
}
