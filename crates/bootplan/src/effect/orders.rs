//! What rules that install once have to do with a machine that nothing is ordered for: said
//! before a person acts, since such a rule wipes a disk.

use super::asking;
use crate::{
    Because, BootMethod, Catalog, Machine, MachineState, Mode, NewMachines, Rule, Ruling, Seen,
    judge, rule,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rule that orders an installation the moment that a person adopts this machine.
pub fn adopted<'c>(machine: &Machine, catalog: &'c Catalog) -> Option<&'c Arc<Rule>> {
    let decided = machine.profile.is_some() || machine.run.is_some();
    let doubtful = catalog.doubts_any_of(machine);
    if machine.state != MachineState::Discovered || decided || doubtful {
        return None;
    }
    first(machine, catalog, true).filter(|rule| orders(rule, catalog))
}

/// The rule that would have this machine installed if it were forgotten: as a new one it would
/// be registered by itself, and ordered, at its next boot.
pub fn forgotten<'c>(machine: &Machine, catalog: &'c Catalog) -> Option<&'c Arc<Rule>> {
    let anew = Machine {
        state: MachineState::Discovered,
        labels: BTreeMap::new(),
        profile: None,
        run: None,
        ..machine.clone()
    };
    let rule = first(&anew, catalog, false)?;
    let newcomers = rule.new_machines.unwrap_or(catalog.site.new_machines);
    (newcomers == NewMachines::Register && orders(rule, catalog)).then_some(rule)
}

/// The rule that would install this registered machine once, as soon as a person orders it.
pub fn waits_for_order<'c>(machine: &Machine, catalog: &'c Catalog) -> Option<&'c Arc<Rule>> {
    let client = asking(machine);
    let verdict = judge(&client, catalog);
    match (&verdict.ruling, verdict.because()) {
        (Ruling::LocalDisk, Because::RuleOnce { rule, .. }) => catalog.rule(&rule),
        _ => None,
    }
}

/// The rule asked first, if it matches for certain; with `doubtful` none when a narrower one may.
fn first<'c>(machine: &Machine, catalog: &'c Catalog, doubtful: bool) -> Option<&'c Arc<Rule>> {
    let client = asking(machine);
    let seen = Seen::of(&client, Some(machine));
    let found = rule::first(catalog.rules(), &seen, doubtful);
    found.filter(|(_, certain)| *certain).map(|(rule, _)| rule)
}

/// Whether it makes orders at all: a profile that is disabled, or boots the disk, cannot be ordered.
fn orders(rule: &Rule, catalog: &Catalog) -> bool {
    let profile = catalog.profile(&rule.profile);
    rule.mode == Mode::InstallOnce
        && profile.is_some_and(|p| p.enabled && !matches!(p.boot, BootMethod::LocalDisk {}))
}
