//! What machines say themselves of their installation: the one way in that is not a person's.

use crate::change::{Change, to_the_end};
use crate::rows::failed;
use crate::runs::FARRIER;
use crate::{Store, StoreError};
use bootplan::run::{Happening, Report, Run};
use bootplan::{Hardware, Machine, MachineId, RunId, RunKind, RunState};

/// What came of a machine's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is stored.
    Stored,
    /// It said so before: an answer of ours got lost, and it asked once more.
    Again,
    /// Nothing is to be reported: another run, or another try of it, is in force, or none is.
    OutOfDate,
}

impl Store {
    /// Takes what a machine says of one try of one run. It is on disk when this returns, so that
    /// the machine may forget it. `attempt` is what [`Run::attempt`] was when the machine was
    /// told where to report.
    ///
    /// # Errors
    /// The machine does not exist, database failure; then nothing has happened.
    pub async fn report(
        &self,
        machine: MachineId,
        run: RunId,
        attempt: u8,
        report: Report,
    ) -> Result<Heard, StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let mut change = store.begin().await?;
            let known = change.must_know(machine)?;
            let Some(run) = known.run.as_deref().filter(|known| known.id == run) else {
                return Ok(Heard::OutOfDate);
            };
            if said_before(run, &report) {
                return Ok(Heard::Again);
            }
            if !run.may_report(attempt) {
                return Ok(Heard::OutOfDate);
            }
            if !change.hear(machine, attempt, &report).await? {
                return Ok(Heard::OutOfDate);
            }
            change.take_turns().await?;
            change.commit().await?;
            Ok(Heard::Stored)
        })
        .await
    }
}

impl Store {
    /// Keeps what a machine says that it is made of, in place of what it said before. False: the
    /// run that its link belongs to is not the machine's any more.
    ///
    /// # Errors
    /// The machine does not exist, database failure.
    pub async fn tell_hardware(
        &self,
        machine: MachineId,
        run: RunId,
        hardware: Hardware,
    ) -> Result<bool, StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let mut change = store.begin().await?;
            let known = change.must_know(machine)?;
            let of_run = known.run.as_deref().is_some_and(|known| known.id == run);
            if !of_run && run != NO_RUN {
                return Ok(false);
            }
            let told = Some(hardware);
            if known.facts.hardware != told {
                let mut new = Machine::clone(&known);
                new.facts.hardware = told;
                let stored = change.update_machine(&known, &new).await;
                stored.map_err(failed("storing an inventory"))?;
                change.commit().await?;
            }
            Ok(true)
        })
        .await
    }
}

/// What links of machines say that boot their profile always.
const NO_RUN: RunId = RunId(0);

impl Change {
    /// What a machine says of a try that may report; false when that changes nothing.
    pub(crate) async fn hear(
        &mut self,
        machine: MachineId,
        attempt: u8,
        report: &Report,
    ) -> Result<bool, StoreError> {
        let mut moved = false;
        let run = self.must_know(machine)?.run.clone();
        if run.is_some_and(|run| run.kind == RunKind::Install) {
            let came = Happening::Came { attempt };
            moved = self.happen(machine, &came, FARRIER).await?;
        }
        let happening = Happening::Reported(report.clone());
        moved |= self.happen(machine, &happening, THE_MACHINE).await?;
        Ok(moved)
    }
}

fn said_before(run: &Run, report: &Report) -> bool {
    matches!(
        (&run.state, report),
        (RunState::Installed, Report::Done) | (RunState::Failed { .. }, Report::Failed { .. })
    )
}

/// Who did what the machine reported.
const THE_MACHINE: &str = "machine";
