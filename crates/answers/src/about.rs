//! What every template may know of its machine, its server and its try.

use bootplan::{Machine, RelPath};
use serde_json::{Value, json};
use std::fmt;
use std::net::Ipv4Addr;

/// The server as this machine reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Our address on the machine's network.
    pub ip: Ipv4Addr,
    /// Our boot plane's base URL without a final slash, e.g. `http://10.0.0.1:8080`.
    pub http: String,
}

/// Which try of how many this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// Counted from 1; 0 where there is no run.
    pub number: u8,
    /// How many there are before the machine is held.
    pub of: u8,
}

/// The words `machine`, `labels`, `facts`, `server` and `run` of a template.
#[derive(Clone, Debug)]
pub struct About(Vec<(&'static str, Value)>);

impl About {
    /// Gathers them.
    ///
    /// Serial, manufacturer and product are what the machine *claims*. Control characters are
    /// dropped from them and they are cut at `CLAIM_LIMIT` characters; quoting them is the
    /// template's business (`|yaml`, `|sh`, ...).
    pub fn new(machine: &Machine, server: &Server, run: Try) -> Self {
        let claim = |text: &Option<String>| text.as_deref().map(tame);
        let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
        About(vec![
            (
                "machine",
                json!({
                    "id": machine.id.0,
                    "name": tame(&machine.name),
                    "mac": macs.first(),
                    "macs": macs,
                    "uuid": machine.uuid.map(|uuid| uuid.to_string()),
                    "serial": claim(&machine.serial),
                }),
            ),
            ("labels", json!(machine.labels)),
            (
                "facts",
                json!({
                    "platform": machine.facts.platform.map(|platform| platform.slug()),
                    "manufacturer": claim(&machine.facts.manufacturer),
                    "product": claim(&machine.facts.product),
                }),
            ),
            (
                "server",
                json!({"ip": server.ip.to_string(), "http": server.http}),
            ),
            ("run", json!({"try": run.number, "of": run.of})),
        ])
    }

    /// Word and value, for the template engine.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(word, value)| (*word, value))
    }
}

fn tame(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(CLAIM_LIMIT).collect()
}

/// Longer than any serial number seen.
const CLAIM_LIMIT: usize = 128;

/// The addresses under which one machine gets and gives: what `answer(name)`, `answers`,
/// `report`, `inventory` and `file(path)` say. Its `Debug` text hides the link.
#[derive(Clone)]
pub struct Addresses {
    base: String,
    answers_link: String,
    report_link: String,
    names: Vec<String>,
}

impl Addresses {
    /// `names` are the answers that the profile has: others cannot be named in a template.
    /// The links come from [`crate::links::mint`], or are [`Addresses::HIDDEN`] in a preview.
    pub fn new(server: &Server, answers: &str, report: &str, names: Vec<String>) -> Self {
        Addresses {
            base: server.http.clone(),
            answers_link: answers.to_owned(),
            report_link: report.to_owned(),
            names,
        }
    }

    /// What stands for a link in a preview.
    pub const HIDDEN: &'static str = "link";

    /// The directory of the answers, with its final slash: for cloud-init's `s=`.
    pub(crate) fn answers(&self) -> String {
        format!("{}/a/{}/", self.base, self.answers_link)
    }

    /// The URL of one answer, if the profile has it.
    pub(crate) fn answer(&self, name: &str) -> Option<String> {
        let known = self.names.iter().any(|known| known == name);
        known.then(|| format!("{}{name}", self.answers()))
    }

    /// Where a machine posts how its install goes.
    pub(crate) fn report(&self) -> String {
        format!("{}/a/{}/report", self.base, self.report_link)
    }

    /// Where a machine posts what it is made of.
    pub(crate) fn inventory(&self) -> String {
        format!("{}/a/{}/inventory", self.base, self.report_link)
    }

    /// The URL of a file below the images directory, if the path is plain.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        let plain = path
            .bytes()
            .all(|c| c.is_ascii_graphic() && !b"\"'\\%?#".contains(&c));
        let path = path.parse::<RelPath>().ok().filter(|_| plain)?;
        Some(format!("{}/images/{path}", self.base))
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses")
            .field("base", &self.base)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        let server = Server {
            ip: Ipv4Addr::new(10, 0, 0, 1),
            http: "http://10.0.0.1:8080".to_owned(),
        };
        Addresses::new(
            &server,
            "1-2-1-9-aa",
            "1-2-1-9-bb",
            vec!["user-data".to_owned()],
        )
    }

    #[test]
    fn addresses_are_made_of_the_links() {
        let addresses = addresses();
        let base = "http://10.0.0.1:8080";
        assert_eq!(addresses.answers(), format!("{base}/a/1-2-1-9-aa/"));
        assert_eq!(addresses.report(), format!("{base}/a/1-2-1-9-bb/report"));
        assert_eq!(
            addresses.inventory(),
            format!("{base}/a/1-2-1-9-bb/inventory")
        );
        let answer = addresses.answer("user-data");
        assert_eq!(answer, Some(format!("{base}/a/1-2-1-9-aa/user-data")));
        assert_eq!(addresses.answer("meta-data"), None);
    }

    #[test]
    fn a_file_is_a_plain_path() {
        let file = addresses().file("debian-12/amd64/linux");
        assert_eq!(
            file.as_deref(),
            Some("http://10.0.0.1:8080/images/debian-12/amd64/linux")
        );
        for bad in [
            "",
            "../x",
            "/etc/passwd/..",
            "a b",
            "a?b",
            "a#b",
            "a%2e",
            "a\"b",
            "ä",
        ] {
            assert_eq!(addresses().file(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_link_is_not_seen_in_debug_texts() {
        let said = format!("{:?}", addresses());
        assert!(!said.contains("1-2-1-9"), "{said}");
    }

    #[test]
    fn claims_are_tamed() {
        assert_eq!(tame("S1\n\u{1b}[2Jx"), "S1[2Jx");
        assert_eq!(tame(&"x".repeat(999)).len(), CLAIM_LIMIT);
    }
}
