//! What happens to a run, and what it makes of it.

use super::{HeldWhy, Run, RunKind, RunState, Standing, Turn};
use crate::Timestamp;
use crate::timeline::STAGE_MS;
use serde::{Deserialize, Serialize};

/// Something that happens to a run or its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The machine began a boot: its firmware asked by DHCP, or for its first file.
    Asked,
    /// A slot is free and it is this run's turn: see [`next_turns`](super::next_turns).
    Granted,
    /// Another file of its profile was sent.
    Fetched,
    /// The last file of its profile was sent, and the machine is the installer's.
    HandedOver,
    /// It came with a link of its menu: it is the installer's, whatever became of the event of its
    /// last file.
    Came {
        /// The try that the link was made for.
        attempt: u8,
    },
    /// The machine itself said how it goes.
    Reported(Report),
    /// A person decided.
    Ordered(Order),
    /// Time passed.
    Tick {
        /// Minutes since Monday 00:00 in the server's own zone, for [`Window`](crate::Window).
        week_minute: u16,
    },
}

/// What an installer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// It goes on.
    Phase {
        /// With what, for people.
        text: String,
        /// Whether the next boots are to go to the disk until it says more.
        #[serde(default)]
        to_disk: bool,
    },
    /// It is done.
    Done,
    /// It gave up.
    Failed {
        /// Why, for people.
        why: String,
    },
}

/// What a person decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Call it off.
    Cancel,
    /// It is done, whatever the machine said.
    Finish,
    /// It has failed, whatever the machine said.
    Fail {
        /// Why; may be empty.
        why: String,
    },
    /// Stop here.
    Hold {
        /// What for; may be empty.
        note: String,
    },
    /// Begin again, with all tries, at the machine's next boot.
    Release,
}

/// What becomes of a run; `None` when this changes nothing. An ended run stays as it is.
pub fn step(run: &Run, happening: &Happening, now: Timestamp) -> Option<Run> {
    if run.is_over() {
        return None;
    }
    let mut next = run.clone();
    match happening {
        Happening::Asked => next.asked(now),
        Happening::Granted => next.granted(now),
        Happening::Fetched if run.turn == Turn::Granted => next.sign = now,
        Happening::Fetched => {}
        Happening::HandedOver if run.counted => {}
        Happening::HandedOver => next.handed_over(now),
        Happening::Came { attempt } if *attempt != run.attempt() => {}
        Happening::Came { .. } => next.handed_over(now),
        Happening::Reported(report) => next.reported(report, now),
        Happening::Ordered(order) => next.ordered(order, now),
        Happening::Tick { week_minute } => next.ticked(*week_minute, now),
    }
    (next != *run).then_some(next)
}

impl Run {
    fn asked(&mut self, now: Timestamp) {
        if !matches!(self.state, RunState::Armed | RunState::Installing) {
            return;
        }
        self.counted = false;
        if self.kind == RunKind::NextBoot {
            self.sent = true;
        }
        // What boots and is never seen to load all of it may have done so all the same: from an
        // address that nobody knows, or with what the journal lost.
        if self.standing() == Standing::Boot && self.begins_boot(now) {
            if self.boots >= self.boots_limit() {
                let boots = self.boots;
                return self.hold(HeldWhy::Boots { boots }, now);
            }
            self.boots += 1;
            self.booted = Some(now);
        }
        if self.kind == RunKind::NextBoot || self.to_disk {
            return;
        }
        if self.tries >= self.limit.tries {
            let tries = self.tries;
            self.hold(HeldWhy::Tries { tries }, now);
        } else if self.turn == Turn::None {
            self.turn = Turn::Queued { since: now };
        } else if self.state == RunState::Installing {
            // A retry loads what the first try did: its slot must not run out meanwhile.
            self.sign = now;
        }
    }

    fn granted(&mut self, now: Timestamp) {
        if matches!(self.turn, Turn::Queued { .. }) {
            self.turn = Turn::Granted;
            self.sent = true;
            self.sign = now;
        }
    }

    fn handed_over(&mut self, now: Timestamp) {
        // Whatever became of its slot or its window meanwhile: a slow load may outlast both, and
        // what was sent was sent. Not to count it would let an installation go round for ever.
        if !self.is_at_work() {
            return;
        }
        match self.kind {
            RunKind::NextBoot => self.enter(RunState::Installed, now),
            RunKind::Install => {
                self.begin(now);
                self.tries = self.tries.saturating_add(1);
                self.counted = true;
                self.boots = 0;
                self.phase = None;
            }
        }
    }

    /// Firmware, loader and menu of one boot ask within minutes; so does a machine that does
    /// nothing but boot, which is held a little later for it.
    fn begins_boot(&self, now: Timestamp) -> bool {
        let last = self.booted.filter(|_| self.boots > 0);
        last.is_none_or(|last| now.0.saturating_sub(last.0) >= STAGE_MS)
    }

    /// An installation that does not even come to its installer has more than one chance: nothing
    /// has happened to its disk as far as we know.
    fn boots_limit(&self) -> u8 {
        match self.kind {
            RunKind::NextBoot => self.limit.tries,
            RunKind::Install => self.limit.tries.max(3),
        }
    }

    fn reported(&mut self, report: &Report, now: Timestamp) {
        let held = matches!(self.state, RunState::Held { .. });
        // Only a machine that was sent its menu has the link of this try.
        let begun = self.is_at_work();
        if begun && self.kind == RunKind::NextBoot {
            // The event of its last file got lost, and who reports has booted.
            return match report {
                Report::Phase { .. } | Report::Done => self.enter(RunState::Installed, now),
                Report::Failed { why } => {
                    let why = one_line(why);
                    self.enter(RunState::Failed { why }, now);
                }
            };
        }
        match report {
            Report::Phase { text, to_disk } if begun => {
                if self.state != RunState::Installing {
                    // The event of the last file got lost, the try was made all the same.
                    self.handed_over(now);
                }
                self.phase = Some(one_line(text));
                self.to_disk = *to_disk;
                self.sign = now;
            }
            // A held machine may only have been slow: what it has done it has done.
            Report::Done if begun || held => self.enter(RunState::Installed, now),
            Report::Failed { why } if begun || held => {
                let why = one_line(why);
                self.enter(RunState::Failed { why }, now);
            }
            _ => {}
        }
    }

    fn ordered(&mut self, order: &Order, now: Timestamp) {
        let held = matches!(self.state, RunState::Held { .. });
        match order {
            Order::Cancel => self.enter(RunState::Cancelled, now),
            Order::Finish => self.enter(RunState::Installed, now),
            Order::Fail { why } => {
                let why = one_line(why);
                self.enter(RunState::Failed { why }, now);
            }
            Order::Hold { note } if !held => {
                let note = one_line(note);
                self.hold(HeldWhy::Person { note }, now);
            }
            Order::Release if held => {
                self.enter(RunState::Armed, now);
                self.tries = 0;
                self.boots = 0;
                self.counted = false;
                self.to_disk = false;
                self.phase = None;
                self.started = None;
            }
            Order::Hold { .. } | Order::Release => {}
        }
    }

    fn ticked(&mut self, week_minute: u16, now: Timestamp) {
        let open = self.window.as_ref().is_none_or(|w| w.is_open(week_minute));
        let due = self.not_before.is_none_or(|at| at <= now);
        match self.state {
            RunState::Waiting if open && due => self.enter(RunState::Armed, now),
            // Who has a slot has begun; who stands in the queue comes back tomorrow night.
            RunState::Armed if !open && self.turn != Turn::Granted => {
                self.enter(RunState::Waiting, now);
            }
            RunState::Armed if self.turn == Turn::Granted && self.silent(GRANT_MINUTES, now) => {
                self.turn = Turn::None;
            }
            RunState::Installing => {
                let minutes = self.limit.minutes;
                let begun = self.started.unwrap_or(self.since);
                if passed(begun, minutes, now) {
                    self.hold(HeldWhy::Minutes { minutes }, now);
                } else if self.turn == Turn::Granted && self.silent(SLOT_MINUTES, now) {
                    self.turn = Turn::None;
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: Timestamp) {
        if self.state != RunState::Installing {
            self.state = RunState::Installing;
            self.since = now;
        }
        self.started = self.started.or(Some(now));
        self.sign = now;
    }

    fn hold(&mut self, why: HeldWhy, now: Timestamp) {
        self.enter(RunState::Held { why }, now);
    }

    /// A state in which nothing is being installed.
    fn enter(&mut self, state: RunState, now: Timestamp) {
        self.state = state;
        self.since = now;
        self.turn = Turn::None;
    }

    fn silent(&self, minutes: u32, now: Timestamp) -> bool {
        passed(self.sign, minutes, now)
    }
}

/// A text of anybody's, fit for a line of a page, a menu and a log.
fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let short: String = text.chars().map(printable).take(TEXT_LIMIT).collect();
    short.trim().to_owned()
}

fn passed(since: Timestamp, minutes: u32, now: Timestamp) -> bool {
    now.0.saturating_sub(since.0) >= i64::from(minutes) * 60_000
}

/// A machine that was given a slot and fetched nothing has gone away: firmware that got an answer
/// has its loader and menu within a minute or two.
const GRANT_MINUTES: u32 = 10;
/// An installer that says nothing for so long no longer loads anything from us; others may.
const SLOT_MINUTES: u32 = 60;
const TEXT_LIMIT: usize = 200;
