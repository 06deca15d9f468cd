//! A [`Because`] whose costly texts are still the catalog's: answering a packet allocates nothing.

use crate::run::{HeldWhy, Run, RunState};
use crate::{Because, Machine, ProfileName, Rule, UnassignedPolicy};

/// See [`Because`]; its variants of the same names tell what each one means.
#[derive(Clone, Debug)]
pub(super) enum Reason<'c> {
    Assignment(&'c Machine, &'c ProfileName),
    Run(&'c Machine, &'c Run),
    /// With the place, and how many wait.
    Queue(&'c Run, (usize, usize)),
    Once(&'c ProfileName, Option<&'c Run>),
    Unstored(&'c ProfileName),
    Rule(&'c Rule),
    RuleOnce(&'c Rule),
    RuleUndecided(&'c Rule),
    Unapproved(&'c Rule, UnassignedPolicy),
    Other(Because),
}

impl From<Because> for Reason<'_> {
    fn from(because: Because) -> Self {
        Reason::Other(because)
    }
}

impl Reason<'_> {
    pub(super) fn told(&self) -> Because {
        match self {
            Reason::Assignment(machine, profile) => Because::Assignment {
                machine: machine.name.clone(),
                profile: ProfileName::clone(profile),
            },
            Reason::Run(machine, run) => Because::Run {
                machine: machine.name.clone(),
                profile: run.profile.clone(),
                attempt: run.attempt(),
                of: run.limit.tries,
            },
            Reason::Queue(run, (place, of)) => Because::Queue {
                profile: run.profile.clone(),
                place: *place,
                of: *of,
            },
            Reason::Once(profile, run) => Because::Once {
                profile: ProfileName::clone(profile),
                state: run.map(state),
            },
            Reason::Unstored(profile) => Because::Unstored {
                profile: ProfileName::clone(profile),
            },
            Reason::Rule(rule) => Because::Rule {
                rule: rule.name.clone(),
                profile: rule.profile.clone(),
            },
            Reason::RuleOnce(rule) => Because::RuleOnce {
                rule: rule.name.clone(),
                profile: rule.profile.clone(),
            },
            Reason::RuleUndecided(rule) => Because::RuleUndecided {
                rule: rule.name.clone(),
            },
            Reason::Unapproved(rule, policy) => Because::Unapproved {
                rule: rule.name.clone(),
                profile: rule.profile.clone(),
                policy: *policy,
            },
            Reason::Other(because) => because.clone(),
        }
    }
}

/// A run that has used up its tries is as good as held, before its next event says so.
fn state(run: &Run) -> RunState {
    let used_up = run.state == RunState::Installing && run.tries >= run.limit.tries;
    if used_up && !run.to_disk {
        let tries = run.tries;
        let why = HeldWhy::Tries { tries };
        return RunState::Held { why };
    }
    run.state.clone()
}
