//! What machines without a disk keep on this server: what becomes of it when a machine is forgotten,
//! or turns out to be another one. For pages and API alike.

use crate::people::PeopleState;
use bootplan::MachineId;
use std::io;
use std::sync::Arc;
use store::{MachineRecord, StoreError};

/// What machines keep; the program has it. Every call may wait for the file system.
pub trait Kept: Send + Sync {
    /// Bytes that what this machine keeps takes; `None`: it keeps nothing.
    fn bytes(&self, machine: MachineId) -> Option<u64>;
    /// Whether the machine writes to it now.
    fn is_in_use(&self, machine: MachineId) -> bool;
    /// Throws it away.
    ///
    /// # Errors
    /// When the file system refuses.
    fn throw_away(&self, machine: MachineId) -> io::Result<()>;
    /// Makes it another machine's; `false`: that one keeps something itself, nothing is changed.
    ///
    /// # Errors
    /// When the file system refuses.
    fn hand_over(&self, from: MachineId, to: MachineId) -> io::Result<bool>;
}

/// Why machines were not forgotten, or not altogether.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgetError {
    /// It would write into nothing.
    #[error(
        "nothing was changed: {0} is on and writes to what it keeps on the server; switch it off and wait half a \
         minute, or leave what it keeps"
    )]
    InUse(String),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system said no.
    #[error("forgotten, but what was kept is still there: {0}")]
    Left(io::Error),
    /// The server is stopping.
    #[error("the work was not finished")]
    Unfinished,
}

/// What became of what a machine kept that turned out to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It kept nothing.
    Nothing,
    /// It is the other's now.
    Over,
    /// It is where it was: both keep something, or the file system said no.
    Left,
}

/// Bytes that what a machine keeps takes.
pub(crate) async fn bytes(state: &PeopleState, machine: MachineId) -> Option<u64> {
    blocking(state, move |kept| kept.bytes(machine)).await?
}

/// Forgets machines: all of them or, on an error, none. What they keep is thrown away only if `discard`; says how many
/// of them keep something still.
pub(crate) async fn forget(
    state: &PeopleState,
    ids: &[MachineId],
    discard: bool,
    by: &str,
) -> Result<usize, ForgetError> {
    let asked = ids.to_vec();
    let looked = blocking(state, move |kept| {
        let keeping: Vec<_> = asked
            .into_iter()
            .filter(|id| kept.bytes(*id).is_some())
            .collect();
        let busy = keeping.iter().find(|id| discard && kept.is_in_use(**id));
        let busy = busy.copied();
        (keeping, busy)
    });
    let (keeping, busy) = looked.await.unwrap_or_default();
    if let Some(busy) = busy {
        let record = state.store.machine(busy);
        let name = record.map_or_else(String::new, |record| record.machine.name.clone());
        return Err(ForgetError::InUse(name));
    }
    state.store.delete_machines(ids, by).await?;
    if !discard || keeping.is_empty() {
        return Ok(keeping.len());
    }
    let thrown = blocking(state, move |kept| {
        keeping.iter().try_for_each(|id| kept.throw_away(*id))
    });
    match thrown.await {
        Some(thrown) => thrown.map(|()| 0).map_err(ForgetError::Left),
        None => Err(ForgetError::Unfinished),
    }
}

/// Two machines are one. What the one that is given up keeps is the other's afterwards, if that keeps nothing itself.
pub(crate) async fn merge(
    state: &PeopleState,
    into: MachineId,
    from: MachineId,
    by: &str,
) -> Result<(MachineRecord, Moved), StoreError> {
    let merged = state.store.merge(into, from, by).await?;
    let moved = blocking(state, move |kept| match kept.bytes(from) {
        None => Moved::Nothing,
        Some(_) => match kept.hand_over(from, into) {
            Ok(true) => Moved::Over,
            Ok(false) => Moved::Left,
            Err(error) => {
                tracing::warn!(%error, "what a merged machine kept cannot be handed over");
                Moved::Left
            }
        },
    });
    Ok((merged, moved.await.unwrap_or(Moved::Nothing)))
}

/// `None` also where nothing is ever kept.
async fn blocking<T: Send + 'static>(
    state: &PeopleState,
    work: impl FnOnce(&dyn Kept) -> T + Send + 'static,
) -> Option<T> {
    let kept = Arc::clone(state.kept.as_ref()?);
    tokio::task::spawn_blocking(move || work(&*kept)).await.ok()
}
