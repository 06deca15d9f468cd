//! The store as documents, so that files and the browser are equals: YAML documents of every kind,
//! and machines as a CSV table.
//!
//! Everything is planned first and shown as a difference; then all of it is done in one
//! transaction, or nothing. Files are only ever read here: what an operator wrote, comments and
//! all, is never written by Farrier.

mod adapter;
mod conflict;
mod diff;
mod erased;
mod hook;
mod kinds;
mod machine;
mod object;
mod own;
mod parts;
mod place;
mod plan;
mod profile;
mod rule;
mod secret;
mod site;
mod table;
#[cfg(test)]
mod tests;

pub use diff::{Change, FieldChange};
pub(crate) use object::{group, readable};
pub use own::{NoLabel, Own};
pub(crate) use parts::{Rest, refused, rest, variable_lines, variables};
pub use place::Fault;

use bootplan::{Catalog, Machine};
use kinds::Placed;
use place::Place;
use plan::Plan;
use serde::{Deserialize, Deserializer, Serialize};
use store::{Batch, Decided, Marks, Refused, Store, StoreError};
use utoipa::ToSchema;

/// How documents are applied.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only tells what would change.
    pub dry_run: bool,
    /// Everything described gets this label.
    pub own: Option<Own>,
    /// What has that label and is not described is deleted; needs `own`.
    pub prune: bool,
    /// Overwrites edits made since files were last applied, takes over what others own, and prunes
    /// even when there is no document at all.
    pub force: bool,
    /// What comes to be installed at every boot is meant so, though no document says `mode: always`.
    pub always: bool,
}

/// What was (or would be) changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Whether anything is different at all.
    pub changed: bool,
    /// True when nothing was really changed.
    pub dry_run: bool,
    /// One entry per document, and before them what is deleted.
    pub changes: Vec<Change>,
    /// Of a dry run: edits made since files were last applied, for which these are refused unless
    /// forced.
    pub conflicts: Vec<Fault>,
    /// The changes for people.
    pub text: String,
}

/// Why documents were not applied. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something is wrong with them.
    #[error("nothing was changed; see errors for what is wrong where")]
    Wrong(Vec<Fault>),
    /// Somebody has edited since what they would change.
    #[error(
        "nothing was changed, because it was edited since files were last applied; see errors for \
         what differs, and force to overwrite it"
    )]
    Edited(Vec<Fault>),
    /// What only the store finds wrong (a name too long for it), with the place it was found at.
    #[error("nothing was changed; {cause}")]
    Refused {
        /// What is wrong.
        cause: StoreError,
        /// Where; `None` when it concerns no single document.
        fault: Option<Fault>,
    },
}

impl From<StoreError> for ApplyError {
    fn from(cause: StoreError) -> Self {
        ApplyError::Refused { cause, fault: None }
    }
}

impl ApplyError {
    /// Everything that is wrong, each with its place.
    pub fn faults(&self) -> &[Fault] {
        match self {
            ApplyError::Wrong(faults) | ApplyError::Edited(faults) => faults,
            ApplyError::Refused { fault, .. } => fault.as_slice(),
        }
    }
}

/// Brings the store to what YAML documents say: all of them, or none.
///
/// # Errors
/// See [`ApplyError`].
pub async fn apply(
    store: &Store,
    text: &str,
    options: &Options,
    by: &str,
) -> Result<Done, ApplyError> {
    let documents = kinds::parse(text).map_err(ApplyError::Wrong)?;
    take(store, documents, options, false, by).await
}

/// Brings machines to what a CSV table says: all of them, or none. That is an edit as one in the
/// browser is: it overwrites others, which its difference shows, and files see it as such.
///
/// # Errors
/// See [`ApplyError`].
pub async fn import(
    store: &Store,
    text: &str,
    dry_run: bool,
    by: &str,
) -> Result<Done, ApplyError> {
    let documents = table::parse(text).map_err(ApplyError::Wrong)?;
    let options = Options {
        dry_run,
        ..Options::default()
    };
    take(store, documents, &options, true, by).await
}

/// Whether this is a table rather than YAML: its first line names columns.
pub fn is_table(text: &str) -> bool {
    table::has_head(text)
}

/// These machines as a CSV table that [`import`] takes.
pub fn table<'a>(machines: impl Iterator<Item = &'a Machine>, catalog: &Catalog) -> String {
    table::export(machines, catalog)
}

/// Everything an operator has decided, as YAML documents that [`apply`] takes. Of secrets only the
/// names, unless `values` are asked for.
pub fn export(decided: &Decided, values: bool) -> String {
    kinds::export(decided, values)
}

async fn take(
    store: &Store,
    documents: Vec<Placed>,
    options: &Options,
    edit: bool,
    by: &str,
) -> Result<Done, ApplyError> {
    if options.dry_run {
        let marks = match edit {
            true => Marks::default(),
            false => store.marks().await?,
        };
        let decided = store.decided().await?;
        let plan = plan::plan(&documents, &decided, &marks, options);
        let plan = plan.map_err(ApplyError::Wrong)?;
        let mut conflicts = Vec::new();
        for conflict in plan.conflicts.iter().filter(|_| !options.force) {
            conflicts.push(conflict.told(store).await?);
        }
        return Ok(done(plan.changes, true, conflicts));
    }
    let forced = options.clone();
    // Planned when nobody else can change anything any more: what was not seen is not overwritten.
    let planned = store
        .apply_planned(by, move |decided, marks| {
            let none = Marks::default();
            let known = if edit { &none } else { marks };
            let plan = plan::plan(&documents, decided, known, &forced).map_err(Stop::Wrong)?;
            if !plan.conflicts.is_empty() && !forced.force {
                return Err(Stop::Edited(plan.conflicts));
            }
            let Plan {
                steps,
                places,
                changes,
                mut marks,
                ..
            } = plan;
            if edit {
                marks.clear();
            }
            Ok((Batch { steps, marks }, (changes, places)))
        })
        .await;
    match planned {
        Ok(Ok((changes, _))) => Ok(done(changes, false, Vec::new())),
        Ok(Err((refused, (_, places)))) => Err(refused_at(refused, &places)),
        Err(Stop::Wrong(faults)) => Err(ApplyError::Wrong(faults)),
        Err(Stop::Store(cause)) => Err(cause.into()),
        Err(Stop::Edited(conflicts)) => {
            let mut faults = Vec::new();
            for conflict in conflicts {
                faults.push(conflict.told(store).await?);
            }
            Err(ApplyError::Edited(faults))
        }
    }
}

enum Stop {
    Wrong(Vec<Fault>),
    Edited(Vec<conflict::Conflict>),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(cause: StoreError) -> Self {
        Stop::Store(cause)
    }
}

fn refused_at(refused: Refused, places: &[Place]) -> ApplyError {
    let place = refused.step.and_then(|step| places.get(step));
    let field = match &refused.cause {
        StoreError::Invalid { field, .. } => field.as_str(),
        _ => "",
    };
    ApplyError::Refused {
        fault: place.map(|place| place.fault(field, refused.cause.to_string())),
        cause: refused.cause,
    }
}

fn done(changes: Vec<Change>, dry_run: bool, conflicts: Vec<Fault>) -> Done {
    Done {
        changed: changes.iter().any(|change| change.action != "unchanged"),
        dry_run,
        text: diff::text(&changes),
        changes,
        conflicts,
    }
}

/// Tells `null` (`Some(None)`) from a field that was left out.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
