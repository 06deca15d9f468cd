//! Which kinds of documents there are: a file for each, and one line in [`KINDS`].

use super::own::Own;
use super::place::{Fault, Place, fault, places};
use super::plan::{Planner, Pruned};
use super::{adapter, hook, machine, object, profile, rule, secret, site};
use serde::{Deserialize, Serialize};
use store::Decided;

/// One kind of document.
pub(super) struct Kind {
    /// What stands after `kind:`.
    pub(super) name: &'static str,
    /// Reads one; refuses fields that it does not know.
    pub(super) read:
        fn(serde_yaml::Deserializer<'_>) -> Result<Box<dyn Document>, serde_yaml::Error>,
    /// Everything of this kind that an operator has decided.
    pub(super) export: fn(&Decided, &mut Export),
    /// What of this kind has the label, so that it may be pruned; nothing for kinds without labels.
    pub(super) owned: fn(&Decided, &Own) -> Vec<Pruned>,
}

/// What a document asks for.
pub(super) trait Document: std::fmt::Debug + Send {
    /// Notes what it would change, or what is wrong with it.
    fn plan(&self, planner: &mut Planner<'_>, place: &Place);
}

/// Every kind, in the order in which they are put into force: nothing names what comes later. Rules
/// come after machines: a rule orders installs for machines that are registered under it, and an
/// export that is applied to an empty database must order none. An adapter comes after the machine
/// that gives it up.
pub(super) const KINDS: [Kind; 10] = [
    site::KIND,
    secret::KIND,
    object::SNIPPET,
    object::TEMPLATE,
    object::GROUP,
    profile::KIND,
    machine::KIND,
    adapter::KIND,
    rule::KIND,
    hook::KIND,
];

/// A document, its kind, and where it stands.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) kind: &'static str,
    pub(super) document: Box<dyn Document>,
    pub(super) place: Place,
}

/// Reads every document, or says everything that is wrong with them.
pub(super) fn parse(text: &str) -> Result<Vec<Placed>, Vec<Fault>> {
    let places = places(text);
    let kinds = kinds(text, &places)?;
    let mut documents = Vec::new();
    let mut faults = Vec::new();
    for (index, yaml) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = places.get(index).cloned().unwrap_or_default();
        let Some(Some(kind)) = kinds.get(index) else {
            continue;
        };
        match (kind.read)(yaml) {
            Ok(document) => documents.push(Placed {
                kind: kind.name,
                document,
                place,
            }),
            Err(error) => faults.push(fault(&place, &error)),
        }
    }
    if faults.is_empty() {
        Ok(documents)
    } else {
        Err(faults)
    }
}

/// The kind of each document; `None` for an empty one: what stands before the first `---`, or after
/// the last.
fn kinds(text: &str, places: &[Place]) -> Result<Vec<Option<&'static Kind>>, Vec<Fault>> {
    let mut kinds = Vec::new();
    let mut faults = Vec::new();
    for (index, yaml) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = places.get(index).cloned().unwrap_or_default();
        let value = match serde_yaml::Value::deserialize(yaml) {
            Ok(value) => value,
            Err(error) => {
                // Nothing after a syntax error can be trusted to mean what it seems to.
                faults.push(fault(&place, &error));
                return Err(faults);
            }
        };
        let said = value.get("kind").and_then(serde_yaml::Value::as_str);
        let kind = said.and_then(|said| KINDS.iter().find(|kind| kind.name == said));
        kinds.push(kind);
        if kind.is_none() && !value.is_null() {
            let all: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let all = all.join(", ");
            let problem = match said {
                Some(said) => format!("'{}' is not one of {all}", short(said)),
                None => format!("missing; expected one of {all}"),
            };
            faults.push(place.fault("kind", problem));
        }
    }
    if faults.is_empty() {
        Ok(kinds)
    } else {
        Err(faults)
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A stream of documents being written.
#[derive(Default)]
pub(super) struct Export {
    text: String,
    /// Whether secrets are written with their values.
    pub(super) values: bool,
}

impl Export {
    /// Adds a document of this kind.
    pub(super) fn push<T: Serialize>(&mut self, kind: &'static str, spec: &T) {
        #[derive(Serialize)]
        struct Out<'a, T> {
            kind: &'static str,
            #[serde(flatten)]
            spec: &'a T,
        }
        let yaml = serde_yaml::to_string(&Out { kind, spec });
        self.text.push_str("---\n");
        let yaml = yaml.expect("plain values and string keys");
        self.text.push_str(&yaml);
    }
}

/// Everything an operator has decided, as documents that [`parse`] reads back. What is merely
/// discovered is no decision.
pub(super) fn export(decided: &Decided, values: bool) -> String {
    let mut export = Export {
        values,
        ..Export::default()
    };
    for kind in &KINDS {
        (kind.export)(decided, &mut export);
    }
    export.text
}
