//! Edits that files would undo without having seen them.
//!
//! What files last made of an object is remembered (a [`Mark`](store::Mark)). A field is in
//! conflict when it is now neither what the files last made of it nor what the document says: a
//! person changed it since, and the document does not know. What nobody described by a file before
//! is in no conflict.

use super::diff::FieldChange;
use super::place::{Fault, Place};
use bootplan::{Catalog, Machine, MachineId, Timestamp};
use serde_json::Value;
use store::{Applied, Marks, Store, StoreError};

/// An object that was edited since files were last applied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conflict {
    pub(super) place: Place,
    pub(super) kind: &'static str,
    /// What its mark is kept under.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) applied_at: Timestamp,
    pub(super) applied_by: String,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Deleted,
    Edited { applied: Value, change: FieldChange },
}

/// The fields of one object that are in conflict.
pub(super) fn find(
    marks: &Marks,
    kind: &'static str,
    key: &str,
    name: &str,
    exists: bool,
    place: &Place,
    fields: &[FieldChange],
) -> Vec<Conflict> {
    let Some(applied) = marks.get(kind, key) else {
        return Vec::new();
    };
    let conflict = |what| conflict(applied, kind, key, name, place, what);
    if !exists {
        return vec![conflict(What::Deleted)];
    }
    let edited = fields.iter().filter_map(|change| {
        let was = applied.spec.get(&change.field).unwrap_or(&Value::Null);
        // Adopting is no edit; and what is not remembered cannot be told.
        let told = change.field != "state" && *was != change.from;
        told.then(|| {
            conflict(What::Edited {
                applied: was.clone(),
                change: change.clone(),
            })
        })
    });
    edited.collect()
}

/// A machine that files made, that was deleted since, and that a document would make again.
pub(super) fn vanished(
    marks: &Marks,
    catalog: &Catalog,
    machine: &Machine,
    place: &Place,
) -> Option<Conflict> {
    let gone = |key: &str| {
        let id = key.parse().ok().map(MachineId);
        id.is_none_or(|id| catalog.machine(id).is_none())
    };
    let same = |applied: &Applied| {
        let macs = applied.spec.get("macs").and_then(Value::as_array);
        let mut macs = macs.into_iter().flatten().filter_map(Value::as_str);
        macs.any(|mac| machine.macs.iter().any(|own| own.to_string() == mac))
    };
    let (key, applied) = marks
        .of("machine")
        .find(|(key, applied)| gone(key) && same(applied))?;
    let name = &machine.name;
    Some(conflict(
        applied,
        "machine",
        key,
        name,
        place,
        What::Deleted,
    ))
}

fn conflict(
    applied: &Applied,
    kind: &'static str,
    key: &str,
    name: &str,
    place: &Place,
    what: What,
) -> Conflict {
    Conflict {
        place: place.clone(),
        kind,
        key: key.to_owned(),
        name: name.to_owned(),
        applied_at: applied.at,
        applied_by: applied.by.clone(),
        what,
    }
}

impl Conflict {
    /// What a person reads, with the time of the edit from the history.
    pub(super) async fn told(&self, store: &Store) -> Result<Fault, StoreError> {
        let machine = (self.kind == "machine").then(|| self.key.parse().ok().map(MachineId));
        let edit = store
            .last_edit(self.kind, &self.name, machine.flatten(), self.applied_at)
            .await?;
        let edited = match edit {
            Some((at, by)) => format!("{} by {by}", clock(at)),
            None => "at a time that the history no longer tells".to_owned(),
        };
        let files = format!(
            "files were applied {} by {}",
            clock(self.applied_at),
            self.applied_by
        );
        let Conflict { kind, name, .. } = self;
        Ok(match &self.what {
            What::Deleted => self.place.fault(
                "name",
                format!(
                    "{kind} '{name}' was deleted {edited}, after {files}; \
                     take it out of the files, or force"
                ),
            ),
            What::Edited { applied, change } => self.place.fault(
                &change.field,
                format!(
                    "{kind} '{name}': {} was edited {edited}, after {files}: it was {applied}, \
                     is {}, and the document says {}; take the edit into the files, or force",
                    change.field, change.from, change.to
                ),
            ),
        })
    }
}

fn clock(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0);
    at.map_or_else(
        |_| "at an unknown time".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}
