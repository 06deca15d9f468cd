//! `kind: secret`: that there is such a secret; with `value`, what it is. An export has names alone
//! unless values are asked for, and no difference, mark or fault ever shows a value.

use super::diff::FieldChange;
use super::kinds::{Document, Kind};
use super::place::Place;
use super::plan::Planner;
use bootplan::{ObjectName, Secret};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use store::{Applied, Held, Step};

/// A value that sealed answers, power switches and hooks name. Never pruned: it could not be had
/// back.
pub(super) const KIND: Kind = Kind {
    name: "secret",
    read: |yaml| Ok(Box::new(SecretDoc::deserialize(yaml)?)),
    export: |decided, out| {
        for (name, held) in &decided.secrets {
            let value = held.value.as_ref().filter(|_| out.values);
            let value = value.map(Secret::expose);
            out.push("secret", &SecretOut { name, value });
        }
    },
    owned: |_, _| Vec::new(),
};

#[derive(Serialize)]
struct SecretOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretDoc {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    name: ObjectName,
    #[serde(default, deserialize_with = "hidden")]
    value: Option<Secret>,
    /// Read by whoever has the file; the server reads none that a document names.
    #[serde(default)]
    value_file: Option<IgnoredAny>,
}

/// The parser's own complaint would repeat the value, and be logged with it.
fn hidden<'de, D: Deserializer<'de>>(yaml: D) -> Result<Option<Secret>, D::Error> {
    match serde_yaml::Value::deserialize(yaml) {
        Ok(serde_yaml::Value::String(value)) if !value.is_empty() => Ok(Some(Secret::new(value))),
        _ => Err(D::Error::custom(
            "the value of a secret must be a text, in quotes",
        )),
    }
}

impl Document for SecretDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        let name = self.name.as_str();
        if !planner.once("secret", name, place, "name") {
            return;
        }
        if self.value_file.is_some() {
            let problem = "only 'farrier apply' and the watched directory read files; write the \
                           value, or leave it out and set it by itself";
            return planner.fault(place.fault("value_file", problem));
        }
        let old = planner.decided.secrets.get(name);
        let applied = planner.marks.get("secret", name);
        let had = old.and_then(|held| held.value.as_ref());
        let same = match (&self.value, had) {
            (Some(new), Some(old)) => new.expose() == old.expose(),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let mut spec = Map::new();
        let mut fields = Vec::new();
        if self.value.is_some() {
            spec.insert("value".to_owned(), SET.into());
        }
        match same {
            // As it was remembered, so that the time of its mark stays, too.
            true => spec = applied.map_or(spec, |applied| applied.spec.clone()),
            false => {
                // Makes this mark another one, so that its time is not before the new value's.
                let overwritten = old.map_or(0, |held| held.changed.0);
                spec.insert("overwrites".to_owned(), overwritten.into());
                let since = |held: &Held| match applied {
                    Some(applied) if is_later(held, applied) => format!("(set by {})", held.by),
                    _ => SET.to_owned(),
                };
                let from = old.filter(|_| had.is_some()).map(since);
                fields.push(FieldChange {
                    field: "value".to_owned(),
                    from: from.map_or(Value::Null, Value::from),
                    to: "(another)".into(),
                });
            }
        }
        let step = Step::PutSecret(self.name.clone(), self.value.clone());
        planner.named(place, ("secret", name), old.is_some(), fields, spec, step);
    }
}

/// Whether somebody set it after files did; of two in one millisecond, somebody else.
fn is_later(held: &Held, applied: &Applied) -> bool {
    (held.changed, held.by != applied.by) > (applied.at, false)
}

/// What stands for a value.
const SET: &str = "(set)";
