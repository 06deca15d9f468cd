//! An installation, from the order to its end: the one state beside the fold over events that
//! decides what happens to a disk. [`step`] is all that changes it.

mod notice;
mod step;
#[cfg(test)]
mod tests;

pub use notice::happening;
pub use step::{Happening, Order, Report, step};

use crate::{EventKind, MachineId, ProfileName, Timestamp, Window};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The store's identity of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

/// One order to boot a machine by a profile until that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Identity in the store; a later run has a greater one.
    pub id: RunId,
    /// What it is for.
    pub kind: RunKind,
    /// What is booted.
    pub profile: ProfileName,
    /// How far it is.
    pub state: RunState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// What the installer last said that it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// How often the machine was handed over to the installer, in all since it was armed.
    #[serde(default)]
    pub tries: u8,
    /// When it is enough.
    pub limit: Limit,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Only in these hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Whether it may install now, together with others.
    #[serde(default)]
    pub turn: Turn,
    /// Whether the boot in progress is counted in `tries`: files may be fetched twice.
    #[serde(default)]
    pub counted: bool,
    /// Whether the installer wants the disk to be booted meanwhile: some restart half-way.
    #[serde(default)]
    pub to_disk: bool,
    /// Whether it ever had its turn, and so its menu: what was sent may still be on its way when
    /// the slot is gone, the machine asks anew or the window closes.
    #[serde(default)]
    pub sent: bool,
    /// How many boots began with its menu in sight and ended without its last file, since it was
    /// last handed over.
    #[serde(default)]
    pub boots: u8,
    /// When the last of them began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted: Option<Timestamp>,
    /// When the machine was first handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The last sign of life.
    pub sign: Timestamp,
    /// Who ordered it: a user name, `cli`, `api`, or a rule's name.
    pub by: String,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// An installation: ends by the machine's report, a person, or a limit.
    Install,
    /// One boot of something else: ends when the machine is handed over, and waits for nobody.
    NextBoot,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// Its time has not come.
    Waiting,
    /// The machine's next boot begins it.
    Armed,
    /// The machine was handed over to the installer.
    Installing,
    /// Ended well.
    Installed,
    /// Ended badly, by the machine's own report.
    Failed {
        /// What it said.
        why: String,
    },
    /// Stopped; a person says how it goes on. The machine boots its local disk.
    Held {
        /// Why.
        why: HeldWhy,
    },
    /// Called off.
    Cancelled,
}

/// Why a run was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "held", rename_all = "kebab-case")]
pub enum HeldWhy {
    /// Handed over so often, and never a report.
    Tries {
        /// How often.
        tries: u8,
    },
    /// Booted so often, and never seen to fetch all of it.
    Boots {
        /// How often.
        boots: u8,
    },
    /// Handed over so long ago, and no report.
    Minutes {
        /// The limit that was reached.
        minutes: u32,
    },
    /// Somebody wanted it.
    Person {
        /// What for; may be empty.
        note: String,
    },
}

/// When an installation that does not report is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// After so many tries (1 to 20), or so many boots (at least three of an installation) that
    /// never came to its last file.
    pub tries: u8,
    /// So many minutes after the first of them (5 to 10080, a week).
    pub minutes: u32,
}

/// Whether a run is one of those that install at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "turn", rename_all = "kebab-case")]
pub enum Turn {
    /// The machine has not asked for it.
    #[default]
    None,
    /// It waits in the queue.
    Queued {
        /// Since when; the longest wait is the next turn.
        since: Timestamp,
    },
    /// It has one of the slots.
    Granted,
}

/// What a run makes of its machine's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Boot its profile.
    Boot,
    /// Wait for a slot.
    Queue,
    /// Boot the local disk.
    LocalDisk,
    /// Nothing: as if there were no run.
    None,
}

impl Run {
    /// What its machine gets now. This is the guard against installing for ever: it goes by what
    /// was counted, and needs no later question to be stored in time. What is not counted yet, or
    /// cannot be, is [`Catalog::is_uncounted`](crate::Catalog::is_uncounted).
    pub fn standing(&self) -> Standing {
        match (&self.state, self.kind) {
            (RunState::Held { .. }, _) => Standing::LocalDisk,
            (RunState::Armed, RunKind::NextBoot) => Standing::Boot,
            (RunState::Armed | RunState::Installing, _) => {
                if self.to_disk || self.tries >= self.limit.tries {
                    Standing::LocalDisk
                } else if self.turn == Turn::Granted {
                    Standing::Boot
                } else {
                    Standing::Queue
                }
            }
            _ => Standing::None,
        }
    }

    /// The number, from 1, of the try that begins when the machine is handed over next. To be
    /// written into what it is handed over with, so that it can say which try it reports of.
    pub fn attempt(&self) -> u8 {
        self.tries.saturating_add(1)
    }

    /// Whether this try may report: the last one until the next one is handed over (a held machine
    /// may only have been slow), and the next one, whose beginning may not be stored yet.
    pub fn may_report(&self, attempt: u8) -> bool {
        attempt > 0 && (attempt == self.tries || attempt == self.attempt())
    }

    /// Whether its machine may be at work on it now: it was let, and its order is open. What it
    /// was let begin it may go on with when its slot or its window is gone.
    pub fn is_at_work(&self) -> bool {
        match self.state {
            RunState::Installing => true,
            RunState::Armed if self.standing() == Standing::Boot => true,
            RunState::Armed | RunState::Waiting => self.sent,
            _ => false,
        }
    }

    /// Whether it is over; nothing changes it any more.
    pub fn is_over(&self) -> bool {
        matches!(
            self.state,
            RunState::Installed | RunState::Failed { .. } | RunState::Cancelled
        )
    }

    /// The event of a change from `before`; `None` when people need not hear of it.
    pub fn event(&self, before: &Run, by: &str) -> Option<EventKind> {
        let told =
            self.state != before.state || self.phase != before.phase || self.tries != before.tries;
        told.then(|| self.told(by))
    }

    /// The event of a run that has just been ordered, or of its last change.
    pub fn told(&self, by: &str) -> EventKind {
        EventKind::RunChanged {
            run: self.id,
            profile: self.profile.clone(),
            state: self.state.clone(),
            phase: self.phase.clone(),
            tries: self.tries,
            of: self.limit.tries,
            by: by.to_owned(),
        }
    }
}

/// What somebody orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arming {
    /// What for.
    pub kind: RunKind,
    /// What is booted.
    pub profile: ProfileName,
    /// When it is enough.
    pub limit: Limit,
    /// Not before this time.
    pub not_before: Option<Timestamp>,
    /// Only in these hours.
    pub window: Option<Window>,
    /// Calls off an installation that is under way; without, that is a conflict.
    pub force: bool,
}

impl Arming {
    /// The run that begins with this order.
    pub fn run(self, id: RunId, by: &str, now: Timestamp) -> Run {
        // Whether a window is open the next tick says.
        let now_is_fine = self.window.is_none() && self.not_before.is_none_or(|at| at <= now);
        Run {
            id,
            kind: self.kind,
            profile: self.profile,
            state: match now_is_fine {
                true => RunState::Armed,
                false => RunState::Waiting,
            },
            since: now,
            phase: None,
            tries: 0,
            limit: self.limit.clamped(),
            not_before: self.not_before,
            window: self.window,
            turn: Turn::None,
            counted: false,
            sent: false,
            boots: 0,
            booted: None,
            to_disk: false,
            started: None,
            sign: now,
            by: by.to_owned(),
        }
    }
}

impl Limit {
    /// Brings both numbers into their range.
    pub fn clamped(self) -> Self {
        Limit {
            tries: self.tries.clamp(1, 20),
            minutes: self.minutes.clamp(5, 7 * 24 * 60),
        }
    }
}

/// Those that wait for a slot, the next one first.
pub fn queue<'r>(runs: impl IntoIterator<Item = (MachineId, &'r Run)>) -> Vec<MachineId> {
    let waiting = |(machine, run): (MachineId, &Run)| match run.turn {
        Turn::Queued { since } => Some((since, run.id, machine)),
        Turn::None | Turn::Granted => None,
    };
    let mut queue: Vec<_> = runs.into_iter().filter_map(waiting).collect();
    queue.sort_unstable();
    queue.into_iter().map(|(_, _, machine)| machine).collect()
}

/// Whose turn it is now, when so many may install at the same time (0: any number). Give each of
/// them [`Happening::Granted`] in the same transaction, or the next question counts the same
/// slots as free.
pub fn next_turns<'r>(
    runs: impl IntoIterator<Item = (MachineId, &'r Run)> + Clone,
    slots: u16,
) -> Vec<MachineId> {
    let mut queue = queue(runs.clone());
    if slots > 0 {
        let taken = runs
            .into_iter()
            .filter(|(_, run)| run.turn == Turn::Granted);
        queue.truncate(usize::from(slots).saturating_sub(taken.count()));
    }
    queue
}

impl RunState {
    /// The word shown and stored.
    pub fn slug(&self) -> &'static str {
        match self {
            RunState::Waiting => "waiting",
            RunState::Armed => "armed",
            RunState::Installing => "installing",
            RunState::Installed => "installed",
            RunState::Failed { .. } => "failed",
            RunState::Held { .. } => "held",
            RunState::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for HeldWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeldWhy::Tries { tries: 1 } => f.write_str("one try without a report"),
            HeldWhy::Tries { tries } => write!(f, "{tries} tries without a report"),
            HeldWhy::Boots { boots: 1 } => f.write_str("one boot without its last file"),
            HeldWhy::Boots { boots } => write!(f, "{boots} boots without its last file"),
            HeldWhy::Minutes { minutes } => write!(f, "no report within {minutes} minutes"),
            HeldWhy::Person { note } if note.is_empty() => f.write_str("somebody stopped it"),
            HeldWhy::Person { note } => write!(f, "somebody stopped it: {note}"),
        }
    }
}
