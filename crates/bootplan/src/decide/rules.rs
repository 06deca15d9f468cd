//! Machines without an assignment or order of their own: the narrowest rule, else the site
//! default.

use super::reason::Reason;
use super::{Intent, Judged, Ruling, profile, sketch, unassigned};
use crate::{
    Because, BootClient, Catalog, Machine, MachineState, Mode, NewMachines, Rule, Seen, Stage, rule,
};
use std::sync::Arc;

pub(super) fn judge<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
    machine: Option<&'c Arc<Machine>>,
) -> Judged<'c> {
    let adopted = machine.is_some_and(|m| m.state == MachineState::Registered);
    let found = first(client, catalog, machine);
    let wished = found.and_then(|(rule, _)| rule.new_machines);
    let newcomers = wished.unwrap_or(catalog.site.new_machines);
    if !adopted && newcomers == NewMachines::Ignore {
        return Err(Because::Ignored.into());
    }
    let policy = catalog.site.unassigned;
    let held = !adopted && newcomers == NewMachines::Hold;
    match found {
        Some((rule, true)) if held => {
            unassigned(client, catalog, machine, Reason::Unapproved(rule, policy))
        }
        Some((rule, true)) if rule.mode == Mode::Always => {
            profile(client, catalog, machine, &rule.profile, Reason::Rule(rule))
        }
        // Nothing is installed by a rule as it stands now: the order is made when the machine is
        // registered, so that editing a rule reinstalls nobody.
        Some((rule, true)) if adopted => Ok((Ruling::LocalDisk, Reason::RuleOnce(rule))),
        // It is being registered this very moment; the order is there when it asks again.
        Some((rule, true)) => wait(client, catalog, machine, Reason::RuleOnce(rule)),
        // The loader tells more, and asks again.
        Some((rule, false)) if !held => wait(client, catalog, machine, Reason::RuleUndecided(rule)),
        _ => {
            let because = Because::SiteDefault { policy };
            unassigned(client, catalog, machine, because.into())
        }
    }
}

/// The rule that is asked first, and whether it matches for certain.
pub(super) fn first<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
    machine: Option<&'c Arc<Machine>>,
) -> Option<(&'c Arc<Rule>, bool)> {
    let seen = Seen::of(client, machine.map(|m| &**m));
    rule::first(catalog.rules(), &seen, asks_dhcp(client))
}

fn wait<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
    machine: Option<&'c Arc<Machine>>,
    reason: Reason<'c>,
) -> Judged<'c> {
    let sketch = sketch(client, catalog, machine, Intent::Wait, None)?;
    Ok((Ruling::Boot(sketch), reason))
}

/// Whether this asks for a loader, not yet for what it is to boot.
fn asks_dhcp(client: &BootClient) -> bool {
    match client.stage {
        Stage::Firmware => true,
        Stage::Ipxe => client.arch.is_some(),
        Stage::Pxelinux | Stage::Grub => false,
    }
}
