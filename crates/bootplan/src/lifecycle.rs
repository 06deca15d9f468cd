//! How far a machine is, in one word: never stored, always from its state and its run.

use crate::timeline::human_duration;
use crate::{
    Catalog, Machine, MachineState, Mode, Run, RunKind, RunState, Timestamp, Turn, effect,
};
use serde::{Deserialize, Serialize};

/// One word for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Nobody has adopted it yet.
    Discovered,
    /// Nothing is to be done with it.
    Ready,
    /// Something is ordered: it begins at the machine's next boot, at a time, or in its turn.
    Armed,
    /// The installer has it.
    Installing,
    /// What it is assigned to is installed.
    Installed,
    /// Its installer gave up.
    Failed,
    /// Stopped; a person says how it goes on.
    Held,
}

impl Lifecycle {
    /// All of them, in the order of a machine's life.
    pub const ALL: [Lifecycle; 7] = [
        Lifecycle::Discovered,
        Lifecycle::Ready,
        Lifecycle::Armed,
        Lifecycle::Installing,
        Lifecycle::Installed,
        Lifecycle::Failed,
        Lifecycle::Held,
    ];

    /// The word shown, searched for and used in the API.
    pub fn slug(self) -> &'static str {
        match self {
            Lifecycle::Discovered => "discovered",
            Lifecycle::Ready => "ready",
            Lifecycle::Armed => "armed",
            Lifecycle::Installing => "installing",
            Lifecycle::Installed => "installed",
            Lifecycle::Failed => "failed",
            Lifecycle::Held => "held",
        }
    }

    /// The one whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Lifecycle::ALL.into_iter().find(|word| word.slug() == slug)
    }
}

impl Machine {
    /// The one word.
    pub fn lifecycle(&self) -> Lifecycle {
        if self.state == MachineState::Discovered {
            return Lifecycle::Discovered;
        }
        let Some(run) = self.shown_run() else {
            return Lifecycle::Ready;
        };
        match &run.state {
            RunState::Waiting | RunState::Armed => Lifecycle::Armed,
            RunState::Installing => Lifecycle::Installing,
            RunState::Installed => Lifecycle::Installed,
            RunState::Failed { .. } => Lifecycle::Failed,
            RunState::Held { .. } => Lifecycle::Held,
            RunState::Cancelled => Lifecycle::Ready,
        }
    }

    /// What there is to say beside the word: `place 7 of 40 in the queue`, `partitioning, 12 min`.
    pub fn progress(&self, catalog: &Catalog, now: Timestamp) -> Option<String> {
        let Some(run) = self.shown_run() else {
            return self.by_rule(catalog);
        };
        if let Turn::Queued { .. } = run.turn {
            let (place, of) = catalog.queue_place(self.id);
            return Some(format!("place {place} of {of} in the queue"));
        }
        match &run.state {
            RunState::Waiting => Some(format!("{}, waits for its time", run.profile)),
            RunState::Armed if run.turn == Turn::Granted => {
                Some(format!("{}, starting", run.profile))
            }
            RunState::Armed => Some(format!("{} at its next boot", run.profile)),
            RunState::Installing => {
                let phase = run.phase.as_deref().unwrap_or("handed over");
                let begun = run.started.unwrap_or(run.since);
                let took = human_duration(now.0 - begun.0);
                let tries = match run.tries {
                    0 | 1 => String::new(),
                    tries => format!(", try {tries} of {}", run.limit.tries),
                };
                Some(format!("{phase}, {took}{tries}"))
            }
            RunState::Installed => Some(run.profile.to_string()),
            RunState::Failed { why } => Some(why.clone()),
            RunState::Held { why } => Some(why.to_string()),
            RunState::Cancelled => None,
        }
    }

    /// What a rule that installs once has to do with it, while nothing is ordered.
    fn by_rule(&self, catalog: &Catalog) -> Option<String> {
        if let Some(rule) = effect::adopted(self, catalog) {
            let (rule, profile) = (&rule.name, &rule.profile);
            return Some(format!(
                "rule '{rule}' installs {profile} once it is adopted"
            ));
        }
        let rule = effect::waits_for_order(self, catalog)?;
        let (rule, profile) = (&rule.name, &rule.profile);
        Some(format!(
            "rule '{rule}' would install {profile} once, when ordered"
        ))
    }

    /// The run that still means something: one that is open, or the end of what is assigned.
    fn shown_run(&self) -> Option<&Run> {
        let run = self.run.as_deref()?;
        let of_assignment = run.kind == RunKind::Install
            && self.mode == Mode::InstallOnce
            && self.profile.as_ref() == Some(&run.profile);
        (!run.is_over() || of_assignment).then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Happening, Order, Report, step};
    use crate::{Arming, Limit, LoaderInventory, MachineId, RunId, Site};
    use std::sync::Arc;

    fn arming(kind: RunKind) -> Arming {
        Arming {
            kind,
            profile: "debian-12".parse().expect("a slug"),
            limit: Limit {
                tries: 3,
                minutes: 60,
            },
            not_before: None,
            window: None,
            force: false,
        }
    }

    fn machine(id: i64, kind: RunKind, happenings: &[Happening]) -> Machine {
        let mut run = arming(kind).run(RunId(id), "ann", Timestamp(0));
        for happening in happenings {
            if let Some(next) = step(&run, happening, Timestamp(0)) {
                run = next;
            }
        }
        Machine {
            profile: (kind == RunKind::Install).then(|| run.profile.clone()),
            mode: Mode::InstallOnce,
            run: Some(Arc::new(run)),
            ..Machine::named(MachineId(id), format!("node-{id}"))
        }
    }

    fn told(machine: &Machine) -> String {
        let all = [machine.clone()];
        let catalog = Catalog::new(1, Site::default(), LoaderInventory::default(), all, []);
        let now = Timestamp(12 * 60_000);
        let line = machine.progress(&catalog, now).unwrap_or_default();
        format!("{}: {line}", machine.lifecycle().slug())
    }

    #[test]
    fn a_word_and_a_line() {
        use Happening::{Asked, Granted, HandedOver, Ordered, Reported};
        let phase = |text: &str| {
            Reported(Report::Phase {
                text: text.to_owned(),
                to_disk: false,
            })
        };
        let why = "no disk".to_owned();
        let note = String::new();
        let cases: [(&[Happening], &str); 11] = [
            (&[], "armed: debian-12 at its next boot"),
            (&[Asked], "armed: place 1 of 1 in the queue"),
            (&[Asked, Granted], "armed: debian-12, starting"),
            (
                &[Asked, Granted, HandedOver],
                "installing: handed over, 12 min 0 s",
            ),
            (
                &[Asked, Granted, HandedOver, phase("partitioning")],
                "installing: partitioning, 12 min 0 s",
            ),
            (
                &[Asked, Granted, HandedOver, Asked, HandedOver],
                "installing: handed over, 12 min 0 s, try 2 of 3",
            ),
            (
                &[Asked, Granted, HandedOver, Reported(Report::Done)],
                "installed: debian-12",
            ),
            (
                &[
                    Asked,
                    Granted,
                    HandedOver,
                    Reported(Report::Failed { why: why.clone() }),
                ],
                "failed: no disk",
            ),
            (&[Ordered(Order::Fail { why })], "failed: no disk"),
            (
                &[Ordered(Order::Hold { note })],
                "held: somebody stopped it",
            ),
            (&[Ordered(Order::Cancel)], "ready: "),
        ];
        for (happenings, expected) in cases {
            let machine = machine(1, RunKind::Install, happenings);
            assert_eq!(told(&machine), expected, "{happenings:?}");
        }
        assert_eq!(
            told(&machine(1, RunKind::NextBoot, &[])),
            "armed: debian-12 at its next boot"
        );
        assert_eq!(
            told(&machine(1, RunKind::NextBoot, &[Asked, HandedOver])),
            "ready: "
        );
    }

    #[test]
    fn what_is_assigned_now_counts() {
        let done = [Happening::Ordered(Order::Finish)];
        let mut machine = machine(1, RunKind::Install, &done);
        assert_eq!(machine.lifecycle(), Lifecycle::Installed);
        machine.profile = Some("another".parse().expect("a slug"));
        assert_eq!(machine.lifecycle(), Lifecycle::Ready);
        machine.state = MachineState::Discovered;
        assert_eq!(machine.lifecycle(), Lifecycle::Discovered);
    }

    #[test]
    fn words_are_read_back() {
        for word in Lifecycle::ALL {
            assert_eq!(Lifecycle::from_slug(word.slug()), Some(word));
        }
        assert_eq!(Lifecycle::from_slug("broken"), None);
    }
}
