//! Which machines somebody means by a few words: one grammar for the page's filter, the API and the
//! command line.
//!
//! `rack=1 state:installing !serial:OLD* "Büro 7"`: every word must hold, `!` turns one around. A
//! word alone is looked for in everything that is known of a machine; `key:value` asks for one
//! thing. Quotes keep spaces together and take everything inside them literally.

mod words;

use bootplan::{Glob, Machine, Platform};
use words::{Word, WordsError, words};

/// Which machines.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<Term>);

/// Words that are no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// A key that does not exist.
    #[error(
        "filter: '{0}:' is no key; there are {keys}; put the word in quotes to look for it as text",
        keys = listed()
    )]
    Key(String),
    /// A value that the key never has.
    #[error("filter: {key}:{value} never holds; {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What could be.
        expected: String,
    },
    /// Quotes that do not end.
    #[error("filter: {0}")]
    Words(#[from] WordsError),
}

#[derive(Debug)]
struct Term {
    /// Holds when the test does not.
    not: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// In lower case, anywhere in what is known.
    Anywhere(String),
    /// One of this key's values is like this.
    Key(&'static Key, Pattern),
    /// The key has no value at all.
    Nothing(&'static Key),
    /// A label of this name, whatever its value.
    HasLabel(String),
    Label(String, Pattern),
    /// Hexadecimal digits that one of the MACs begins with.
    Mac(String),
}

/// How a value must look. Never minds the case.
#[derive(Debug)]
enum Pattern {
    Whole(String),
    Within(String),
    Like(Glob),
}

#[derive(Debug)]
struct Key {
    name: &'static str,
    /// Whether a value without `*` must be the whole of it.
    whole: bool,
    values: fn(&Machine) -> Vec<String>,
}

impl Query {
    /// Reads the words.
    ///
    /// # Errors
    /// A key or a value that cannot be, which else would silently find nothing (or, turned around,
    /// everything).
    pub(crate) fn parse(text: &str) -> Result<Query, QueryError> {
        let terms = words(text)?.into_iter().map(Term::read);
        terms.collect::<Result<_, _>>().map(Query)
    }

    /// Whether every word holds.
    pub(crate) fn matches(&self, machine: &Machine) -> bool {
        let anywhere = |term: &Term| matches!(term.test, Test::Anywhere(_));
        let known = match self.0.iter().any(anywhere) {
            true => known(machine),
            false => String::new(),
        };
        self.0
            .iter()
            .all(|term| term.test.holds(machine, &known) != term.not)
    }
}

impl Term {
    fn read(word: Word) -> Result<Term, QueryError> {
        let Word {
            not,
            key,
            value,
            quoted,
        } = word;
        let test = match key {
            None => Test::Anywhere(value.to_lowercase()),
            // A MAC of letters alone (aa:bb:cc) looks like a key and its value.
            Some(key) if !quoted && is_hex(&key) && value.split([':', '-']).all(is_hex) => {
                Test::Anywhere(format!("{key}:{value}").to_lowercase())
            }
            Some(key) => Test::of(key, value, quoted)?,
        };
        Ok(Term { not, test })
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Test {
    fn of(key: String, value: String, quoted: bool) -> Result<Test, QueryError> {
        match key.as_str() {
            "label" => {
                let (name, wanted) = match value.split_once('=') {
                    None => return Ok(Test::HasLabel(value)),
                    Some((name, wanted)) => (name.to_owned(), wanted),
                };
                Ok(Test::Label(name, Pattern::of(wanted, true, quoted)))
            }
            "mac" => {
                let digits: String = value.chars().filter(|c| !":-. *".contains(*c)).collect();
                match is_hex(&digits) && digits.len() <= 12 {
                    true => Ok(Test::Mac(digits.to_lowercase())),
                    false => Err(QueryError::Value {
                        key: "mac",
                        value,
                        expected: "expected the first octets, such as 52:54:00".to_owned(),
                    }),
                }
            }
            "state" => {
                let known = STATES.contains(&value.to_lowercase().as_str());
                match known {
                    true => Ok(Test::Key(&STATE, Pattern::Whole(value))),
                    false => Err(QueryError::Value {
                        key: "state",
                        value,
                        expected: format!("a machine's states are {}", STATES.join(", ")),
                    }),
                }
            }
            _ => {
                let Some(key) = KEYS.iter().find(|known| known.name == key) else {
                    return Err(QueryError::Key(key));
                };
                Ok(match value.is_empty() {
                    true => Test::Nothing(key),
                    false => Test::Key(key, Pattern::of(&value, key.whole, quoted)),
                })
            }
        }
    }

    fn holds(&self, machine: &Machine, known: &str) -> bool {
        match self {
            Test::Anywhere(text) => known.contains(text),
            Test::Key(key, pattern) => (key.values)(machine).iter().any(|v| pattern.fits(v)),
            Test::Nothing(key) => (key.values)(machine).is_empty(),
            Test::HasLabel(name) => machine.labels.contains_key(name),
            Test::Label(name, pattern) => {
                let value = machine.labels.get(name);
                value.is_some_and(|value| pattern.fits(value))
            }
            Test::Mac(digits) => {
                let mut macs = machine.macs.iter();
                macs.any(|mac| mac.to_string().replace(':', "").starts_with(digits))
            }
        }
    }
}

impl Pattern {
    fn of(text: &str, whole: bool, quoted: bool) -> Pattern {
        let glob = text.contains(['*', '?']) && !quoted;
        match text.parse() {
            Ok(glob_of) if glob => Pattern::Like(glob_of),
            _ if whole => Pattern::Whole(text.to_owned()),
            _ => Pattern::Within(text.to_lowercase()),
        }
    }

    fn fits(&self, value: &str) -> bool {
        match self {
            Pattern::Whole(text) => value.to_lowercase() == text.to_lowercase(),
            Pattern::Within(text) => value.to_lowercase().contains(text),
            Pattern::Like(glob) => glob.matches(value),
        }
    }
}

fn known(machine: &Machine) -> String {
    let mut all = vec![machine.name.clone(), machine.state.slug().to_owned()];
    for mac in &machine.macs {
        all.push(mac.to_string());
        all.push(mac.dashed());
        all.push(mac.to_string().replace(':', ""));
    }
    all.extend(machine.uuid.map(|u| u.to_string()));
    all.extend(machine.serial.clone());
    all.extend(machine.asset.clone());
    all.push(machine.notes.clone());
    all.extend(machine.profile.as_ref().map(ToString::to_string));
    all.extend(machine.facts.platform.map(|p| format!("{p} {}", p.slug())));
    all.extend(machine.facts.manufacturer.clone());
    all.extend(machine.facts.product.clone());
    all.extend(machine.labels.iter().map(|(k, v)| format!("{k}={v}")));
    all.join("\n").to_lowercase()
}

/// Every key, for people.
fn listed() -> String {
    let own = KEYS.iter().map(|key| key.name);
    let mut all: Vec<&str> = own.chain(["label", "mac", "state"]).collect();
    all.sort_unstable();
    all.join(", ")
}

fn present(text: Option<impl ToString>) -> Vec<String> {
    text.map(|text| text.to_string()).into_iter().collect()
}

const fn key(name: &'static str, whole: bool, values: fn(&Machine) -> Vec<String>) -> Key {
    Key {
        name,
        whole,
        values,
    }
}

const STATE: Key = key("state", true, |m| {
    let run = m.run.as_ref().map(|run| run.state.slug());
    let all = [Some(m.state.slug()), Some(m.lifecycle().slug()), run];
    all.into_iter().flatten().map(str::to_owned).collect()
});
const STATES: [&str; 10] = [
    "discovered",
    "registered",
    "ready",
    "waiting",
    "armed",
    "installing",
    "installed",
    "failed",
    "held",
    "cancelled",
];
static KEYS: [Key; 10] = [
    key("asset", false, |m| present(m.asset.as_ref())),
    key("loader", true, |m| present(m.loader.map(|l| l.slug()))),
    key("maker", false, |m| present(m.facts.manufacturer.as_ref())),
    key("name", false, |m| vec![m.name.clone()]),
    key("notes", false, |m| {
        present((!m.notes.is_empty()).then_some(&m.notes))
    }),
    key("platform", true, |m| {
        present(m.facts.platform.map(Platform::slug))
    }),
    key("product", false, |m| present(m.facts.product.as_ref())),
    key("profile", true, |m| present(m.profile.as_ref())),
    key("serial", false, |m| present(m.serial.as_ref())),
    key("uuid", false, |m| present(m.uuid.as_ref())),
];

#[cfg(test)]
mod tests;
