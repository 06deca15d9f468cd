//! Which machines a rule is meant for.

mod parts;
#[cfg(test)]
pub(crate) mod tests;

pub use parts::{Glob, MacPrefix, SelectorError, Subnet};

use crate::{BootClient, MacAddr, Machine, Platform};
use parts::{DEPTH_LIMIT, LEAF_LIMIT};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::Ipv4Addr;

/// A condition on a machine and on where it asks from.
///
/// Written as a mapping (`{arch: [efi-x64], not: {serial: ["OLD*"]}}`); several keys in one
/// mapping must all hold, the values of one list are alternatives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Selector {
    /// All of these.
    All(Vec<Selector>),
    /// At least one of these.
    Any(Vec<Selector>),
    /// Not this.
    Not(Box<Selector>),
    /// The machine has each of these labels with one of the values.
    Label(BTreeMap<String, Vec<String>>),
    /// The asking card's address, or another of the machine, begins so.
    Mac(Vec<MacPrefix>),
    /// What loaders the machine can run.
    Arch(Vec<Platform>),
    /// Where it asks from: its relay's network, else the one where we hear it.
    Subnet(Vec<Subnet>),
    /// The relay agent (`giaddr`) it asks through.
    Relay(Vec<Ipv4Addr>),
    /// What the relay says of its port: see [`CircuitId`](crate::CircuitId).
    Circuit(Vec<Glob>),
    /// SMBIOS manufacturer.
    Manufacturer(Vec<Glob>),
    /// SMBIOS product.
    Product(Vec<Glob>),
    /// SMBIOS serial number.
    Serial(Vec<Glob>),
}

/// What is known of one that asks: by its packet, else by what its machine said before.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    mac: MacAddr,
    machine: Option<&'a Machine>,
    platform: Option<Platform>,
    place: Option<Ipv4Addr>,
    relay: Option<Ipv4Addr>,
    circuit: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// Puts together a claim and what is known of the machine behind it.
    pub fn of(client: &'a BootClient, machine: Option<&'a Machine>) -> Self {
        let facts = machine.map(|m| &m.facts);
        // A packet tells all of its way or nothing: a machine that was behind a relay yesterday
        // is not behind it now because today's packet names none.
        let (place, relay, circuit) = match (client.place, facts) {
            (None, Some(facts)) => (facts.place, facts.relay, facts.circuit.as_ref()),
            _ => (client.place, client.relay, client.circuit.as_ref()),
        };
        Seen {
            mac: client.mac,
            machine,
            platform: client.platform.or(facts.and_then(|f| f.platform)),
            place,
            relay,
            circuit: circuit.map(|id| id.as_str()),
        }
    }

    fn said(&self, what: impl Fn(&'a Machine) -> Option<&'a String>) -> Option<&'a str> {
        self.machine.and_then(what).map(String::as_str)
    }
}

/// One line of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How deep it is nested, from 0.
    pub depth: usize,
    /// The condition, for people.
    pub text: String,
    /// Whether it holds; `None`: not known yet.
    pub holds: Option<bool>,
}

impl Selector {
    /// Whether it holds for certain. Allocates nothing.
    pub fn matches(&self, seen: &Seen<'_>) -> bool {
        self.holds(seen) == Some(true)
    }

    /// Whether it holds; `None` when that hangs on something not known yet, such as the serial
    /// number, which only iPXE tells. Unknown stays unknown inside a `not`: what is doubtful must
    /// not come out as a match. Allocates nothing.
    pub fn holds(&self, seen: &Seen<'_>) -> Option<bool> {
        let like = |said: Option<&str>, globs: &[Glob]| {
            said.map(|said| globs.iter().any(|glob| glob.matches(said)))
        };
        match self {
            Selector::All(parts) => every(parts.iter().map(|part| part.holds(seen))),
            Selector::Any(parts) => {
                let none = every(parts.iter().map(|part| part.holds(seen).map(|held| !held)));
                none.map(|none| !none)
            }
            Selector::Not(part) => part.holds(seen).map(|held| !held),
            Selector::Label(wanted) => Some(wanted.iter().all(|(key, values)| {
                let value = seen.machine.and_then(|machine| machine.labels.get(key));
                value.is_some_and(|value| values.contains(value))
            })),
            Selector::Mac(prefixes) => {
                let others = seen
                    .machine
                    .map_or(&[][..], |machine| machine.macs.as_slice());
                let mut macs = std::iter::once(&seen.mac).chain(others);
                Some(macs.any(|mac| prefixes.iter().any(|prefix| prefix.covers(*mac))))
            }
            Selector::Arch(platforms) => seen.platform.map(|p| platforms.contains(&p)),
            Selector::Subnet(nets) => seen
                .place
                .map(|place| nets.iter().any(|net| net.contains(place))),
            // Who is known to be somewhere, without a relay, is known to be behind none.
            Selector::Relay(relays) => seen
                .place
                .map(|_| seen.relay.is_some_and(|relay| relays.contains(&relay))),
            Selector::Circuit(globs) => seen.place.map(|_| like(seen.circuit, globs) == Some(true)),
            Selector::Manufacturer(globs) => {
                like(seen.said(|m| m.facts.manufacturer.as_ref()), globs)
            }
            Selector::Product(globs) => like(seen.said(|m| m.facts.product.as_ref()), globs),
            Selector::Serial(globs) => like(seen.said(|m| m.serial.as_ref()), globs),
        }
    }

    /// How narrow it is: each condition that must hold counts one, of alternatives the widest
    /// counts, a `not` counts nothing. Of two rules that match, the narrower one wins.
    pub fn specificity(&self) -> usize {
        match self {
            Selector::All(parts) => parts.iter().map(Selector::specificity).sum(),
            Selector::Any(parts) => {
                let each = parts.iter().map(Selector::specificity);
                each.min().unwrap_or(0)
            }
            Selector::Not(_) => 0,
            Selector::Label(wanted) => wanted.len(),
            _ => 1,
        }
    }

    /// Every condition with whether it holds, in the order written.
    pub fn explain(&self, seen: &Seen<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.find(seen, 0, &mut findings);
        findings
    }

    fn find(&self, seen: &Seen<'_>, depth: usize, findings: &mut Vec<Finding>) {
        findings.push(Finding {
            depth,
            text: self.line(),
            holds: self.holds(seen),
        });
        let parts = match self {
            Selector::All(parts) | Selector::Any(parts) => &parts[..],
            Selector::Not(part) => std::slice::from_ref(&**part),
            _ => &[],
        };
        for part in parts {
            part.find(seen, depth + 1, findings);
        }
    }

    /// This condition alone, for people.
    fn line(&self) -> String {
        match self {
            Selector::All(_) => "all of".to_owned(),
            Selector::Any(_) => "any of".to_owned(),
            Selector::Not(_) => "not".to_owned(),
            Selector::Label(wanted) => {
                let each = wanted
                    .iter()
                    .map(|(key, values)| either(&format!("label {key} is"), values));
                each.collect::<Vec<_>>().join(" and ")
            }
            Selector::Mac(list) => either("MAC begins", list),
            Selector::Arch(list) => either("architecture is", list),
            Selector::Subnet(list) => either("in subnet", list),
            Selector::Relay(list) => either("behind relay", list),
            Selector::Circuit(list) => either("circuit is like", list),
            Selector::Manufacturer(list) => either("manufacturer is like", list),
            Selector::Product(list) => either("product is like", list),
            Selector::Serial(list) => either("serial is like", list),
        }
    }

    /// Counts conditions and values, and refuses what is empty, too deep or too much.
    fn count(&self, depth: usize) -> Result<usize, SelectorError> {
        if depth > DEPTH_LIMIT {
            return Err(SelectorError::Depth);
        }
        let filled = |what, length: usize| match length {
            0 => Err(SelectorError::Empty { what }),
            n => Ok(n),
        };
        let inside = |what, parts: &[Selector]| -> Result<usize, SelectorError> {
            filled(what, parts.len())?;
            parts.iter().map(|part| part.count(depth + 1)).sum()
        };
        let leaves: Result<usize, SelectorError> = match self {
            Selector::All(parts) => inside("selector", parts),
            Selector::Any(parts) => inside("any", parts),
            Selector::Not(part) => part.count(depth + 1),
            Selector::Label(wanted) => {
                filled("label", wanted.len())?;
                let values = wanted.values().map(|values| filled("label", values.len()));
                values.sum()
            }
            Selector::Mac(list) => filled("mac", list.len()),
            Selector::Arch(list) => filled("arch", list.len()),
            Selector::Subnet(list) => filled("subnet", list.len()),
            Selector::Relay(list) => filled("relay", list.len()),
            Selector::Circuit(list) => filled("circuit", list.len()),
            Selector::Manufacturer(list) => filled("manufacturer", list.len()),
            Selector::Product(list) => filled("product", list.len()),
            Selector::Serial(list) => filled("serial", list.len()),
        };
        leaves.and_then(|n| match n {
            n if n > LEAF_LIMIT => Err(SelectorError::Leaves),
            n => Ok(n),
        })
    }
}

/// In one line, for people.
impl Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Selector], between: &str| {
            for (n, part) in parts.iter().enumerate() {
                f.write_str(if n == 0 { "" } else { between })?;
                match part {
                    Selector::All(parts) | Selector::Any(parts) if parts.len() > 1 => {
                        write!(f, "({part})")?;
                    }
                    part => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Selector::All(parts) => joined(f, parts, " and "),
            Selector::Any(parts) => joined(f, parts, ", or "),
            Selector::Not(part) => write!(f, "not ({part})"),
            leaf => f.write_str(&leaf.line()),
        }
    }
}

/// True when all are true, false when any is false, else unknown.
fn every(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for part in parts {
        match part {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

fn either<T: Display>(what: &str, list: &[T]) -> String {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("{what} {}", texts.join(" or "))
}

/// A selector as a mapping in a file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<Vec<Selector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    any: Option<Vec<Selector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not: Option<Box<Selector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<Vec<MacPrefix>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<Vec<Platform>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<Vec<Subnet>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<Vec<Ipv4Addr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit: Option<Vec<Glob>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<Vec<Glob>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<Vec<Glob>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<Vec<Glob>>,
}

impl TryFrom<Written> for Selector {
    type Error = SelectorError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let keys = [
            written.all.map(Selector::All),
            written.any.map(Selector::Any),
            written.not.map(Selector::Not),
            written.label.map(Selector::Label),
            written.mac.map(Selector::Mac),
            written.arch.map(Selector::Arch),
            written.subnet.map(Selector::Subnet),
            written.relay.map(Selector::Relay),
            written.circuit.map(Selector::Circuit),
            written.manufacturer.map(Selector::Manufacturer),
            written.product.map(Selector::Product),
            written.serial.map(Selector::Serial),
        ];
        let mut keys: Vec<Selector> = keys.into_iter().flatten().collect();
        let selector = match keys.len() {
            1 => keys.remove(0),
            _ => Selector::All(keys),
        };
        selector.count(1)?;
        Ok(selector)
    }
}

impl From<Selector> for Written {
    fn from(selector: Selector) -> Written {
        let mut written = Written::default();
        match selector {
            Selector::All(parts) => written.all = Some(parts),
            Selector::Any(parts) => written.any = Some(parts),
            Selector::Not(part) => written.not = Some(part),
            Selector::Label(wanted) => written.label = Some(wanted),
            Selector::Mac(list) => written.mac = Some(list),
            Selector::Arch(list) => written.arch = Some(list),
            Selector::Subnet(list) => written.subnet = Some(list),
            Selector::Relay(list) => written.relay = Some(list),
            Selector::Circuit(list) => written.circuit = Some(list),
            Selector::Manufacturer(list) => written.manufacturer = Some(list),
            Selector::Product(list) => written.product = Some(list),
            Selector::Serial(list) => written.serial = Some(list),
        }
        written
    }
}
