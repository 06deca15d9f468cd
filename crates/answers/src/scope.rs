//! Which value a variable has for one machine, and where it comes from.

use bootplan::Variables;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Where a variable's value was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The site's settings.
    Site,
    /// A group by this name.
    Group(String),
    /// The profile by this name.
    Profile(String),
    /// The machine itself.
    Machine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Site => f.write_str("site"),
            Origin::Group(name) => write!(f, "group {name}"),
            Origin::Profile(name) => write!(f, "profile {name}"),
            Origin::Machine => f.write_str("machine"),
        }
    }
}

/// A group that a machine belongs to.
#[derive(Clone, Debug)]
pub struct GroupLayer {
    /// The group's name.
    pub name: String,
    /// How narrow its selector is: the narrower group's values win.
    pub specificity: u16,
    /// Its variables.
    pub variables: Variables,
}

/// A value with its origin, and the origins whose values it covers, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved<'a> {
    /// The value in force.
    pub value: &'a Value,
    /// Who wrote it.
    pub origin: &'a Origin,
    /// Who else has a value by this name, nearest first.
    pub covers: Vec<&'a Origin>,
}

/// Two groups of the same specificity that give one variable different values, and nothing
/// nearer decides: the name that comes later in the alphabet wins, and people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The variable.
    pub variable: String,
    /// The group whose value is in force.
    pub winner: String,
    /// The groups that say otherwise.
    pub others: Vec<String>,
}

/// The variables of one machine under one profile, in layers: site, groups, profile, machine.
/// A later layer covers an earlier one, value by value; values are never merged.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    origin: Origin,
    /// Only groups have one.
    specificity: Option<u16>,
    variables: Variables,
}

impl Scope {
    /// Puts the layers in order. `groups` are those the machine belongs to, in any order.
    pub fn new(
        site: Variables,
        mut groups: Vec<GroupLayer>,
        profile: (&str, Variables),
        machine: Variables,
    ) -> Self {
        groups.sort_by(|a, b| (a.specificity, &a.name).cmp(&(b.specificity, &b.name)));
        let layer = |origin, variables| Layer {
            origin,
            specificity: None,
            variables,
        };
        let mut layers = vec![layer(Origin::Site, site)];
        layers.extend(groups.into_iter().map(|group| Layer {
            origin: Origin::Group(group.name),
            specificity: Some(group.specificity),
            variables: group.variables,
        }));
        layers.push(layer(Origin::Profile(profile.0.to_owned()), profile.1));
        layers.push(layer(Origin::Machine, machine));
        Scope { layers }
    }

    /// The value in force by this name.
    pub fn resolve(&self, name: &str) -> Option<Resolved<'_>> {
        let mut found = self
            .layers
            .iter()
            .rev()
            .filter_map(|layer| Some((layer.variables.get(name)?, &layer.origin)));
        let (value, origin) = found.next()?;
        Some(Resolved {
            value,
            origin,
            covers: found.map(|(_, origin)| origin).collect(),
        })
    }

    /// All names, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        self.layers
            .iter()
            .flat_map(|layer| layer.variables.iter().map(|(name, _)| name))
            .collect()
    }

    /// Where groups of one specificity disagree and nothing nearer decides.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.names()
            .into_iter()
            .filter_map(|name| self.conflict(name))
            .collect()
    }

    fn conflict(&self, name: &str) -> Option<Conflict> {
        let mut from_the_top = self.layers.iter().rev();
        let top = from_the_top.find(|layer| layer.variables.get(name).is_some())?;
        let specificity = top.specificity?;
        let value = top.variables.get(name);
        let others: Vec<String> = self
            .layers
            .iter()
            .filter(|layer| layer.specificity == Some(specificity))
            .filter(|layer| layer.variables.get(name).is_some_and(|v| Some(v) != value))
            .map(|layer| group_name(&layer.origin))
            .collect();
        (!others.is_empty()).then(|| Conflict {
            variable: name.to_owned(),
            winner: group_name(&top.origin),
            others,
        })
    }
}

/// The bare name: only layers with a specificity come here, and those are groups.
fn group_name(origin: &Origin) -> String {
    match origin {
        Origin::Group(name) => name.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "scope/tests.rs"]
mod tests;
