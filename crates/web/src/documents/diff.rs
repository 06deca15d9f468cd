//! The difference that documents make, field by field.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// What one document changes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// Which document of the stream, from 1; 0 for what no document describes and is deleted.
    pub document: usize,
    /// Its `kind`: `profile`, `machine`, `site`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// `create`, `update`, `unchanged` or `delete`.
    pub action: &'static str,
    /// What becomes different.
    pub fields: Vec<FieldChange>,
}

/// One field that becomes different.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// What it is; `null` when it is not set.
    #[schema(value_type = Value)]
    pub from: Value,
    /// What it becomes.
    #[schema(value_type = Value)]
    pub to: Value,
}

impl Change {
    /// What stands before it for people: `+`, `~`, `-`, `=`.
    pub fn sign(&self) -> char {
        match self.action {
            "create" => '+',
            "update" => '~',
            "delete" => '-',
            _ => '=',
        }
    }
}

/// What an object says, as JSON shows it, without these fields.
pub(super) fn spec<T: Serialize>(value: &T, except: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(value) else {
        return Map::new();
    };
    fields.retain(|name, _| !except.contains(&name.as_str()));
    fields
}

/// Field by field, as JSON shows them; a field that is not written counts as `null`.
pub(super) fn fields<T: Serialize>(old: Option<&T>, new: &T, except: &[&str]) -> Vec<FieldChange> {
    let old = old.map(|old| spec(old, except)).unwrap_or_default();
    let new = spec(new, except);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .map(|name| FieldChange {
            field: name.clone(),
            from: old.get(name).cloned().unwrap_or(Value::Null),
            to: new.get(name).cloned().unwrap_or(Value::Null),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

/// The difference as a person reads it.
pub(super) fn text(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        text.push_str(&format!(
            "{} {} {}\n",
            change.sign(),
            change.kind,
            change.name
        ));
        for field in &change.fields {
            let line = match field.from {
                Value::Null => format!("    {}: {}\n", field.field, field.to),
                _ => format!("    {}: {} -> {}\n", field.field, field.from, field.to),
            };
            text.push_str(&line);
        }
    }
    text
}
