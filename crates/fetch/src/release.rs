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
        match time(until) {
            Some(end) if end < now => Err(format!(
                "it was in force until {until}: the mirror is old, or somebody shows an old release"
            )),
            Some(_) => Ok(()),
            None => Err(format!("its Valid-Until cannot be read: {until}")),
        }
    }

    /// When it was made, if it says so.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        self.fields.get("Date").and_then(|date| time(date))
    }

    /// Whether the files that it lists are there by their checksums as well, so that those of the
    /// last release stay while the next one is put up.
    pub(crate) fn by_hash(&self) -> bool {
        self.fields.get("Acquire-By-Hash") == Some(&"yes")
    }

    /// The SHA-256 of a file that it lists.
    pub(crate) fn sha256(&self, path: &str) -> Option<&'a str> {
        self.sums.get(path).copied()
    }
}

/// As releases write times: like mail, but with another name for the zone.
fn time(text: &str) -> Option<Timestamp> {
    let zoned = text.replace("UTC", "GMT");
    DateTimeParser::new().parse_timestamp(&zoned).ok()
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
    fn it_says_when_it_was_made_and_whether_by_hash() {
        let with = |fields: &str| {
            let release = format!("{fields}{}", text(""));
            let release = Release::parse(&release);
            (
                release.date().map(|date| date.to_string()),
                release.by_hash(),
            )
        };
        let made = Some("2026-07-11T09:41:22Z".to_owned());
        assert_eq!(
            with("Date: Sat, 11 Jul 2026 09:41:22 UTC\nAcquire-By-Hash: yes\n"),
            (made, true)
        );
        assert_eq!(with("Date: then\nAcquire-By-Hash: no\n"), (None, false));
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
