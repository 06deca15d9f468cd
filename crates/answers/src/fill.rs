//! Kernel arguments of a decision, filled in before its menu is rendered.

use crate::case::{Case, Links, stranger};
use bootplan::{Because, BootClient, Catalog, Decision, Endpoint, Intent, Outcome};
use std::sync::Arc;

/// Fills the arguments of every profile in the decision's menu.
///
/// Where that fails for the profile that would be booted, the machine gets its local disk
/// instead, and the reason says what is wrong; another entry of a menu is left out.
pub fn fill(
    decision: &mut Decision,
    client: &BootClient,
    catalog: &Catalog,
    server: &Endpoint,
    links: Links<'_>,
) {
    let Outcome::Boot(plan) = &mut decision.outcome else {
        return;
    };
    if !plan.entries.iter().any(|profile| profile.has_template()) {
        return;
    }
    let known = decision.machine.and_then(|id| catalog.machine(id)).cloned();
    let machine = known.unwrap_or_else(|| Arc::new(stranger(client.mac)));
    let mut fault = None;
    let assigned = plan.intent == Intent::Assigned;
    let mut filled = Vec::with_capacity(plan.entries.len());
    for (index, profile) in plan.entries.iter().enumerate() {
        if !profile.has_template() {
            filled.push(Arc::clone(profile));
            continue;
        }
        match Case::new(catalog, &machine, profile, server, links).filled() {
            Ok(profile) => filled.push(Arc::new(profile)),
            Err(found) if assigned && index == 0 => fault = Some((profile.name.clone(), found)),
            Err(_) => {}
        }
    }
    plan.entries = filled;
    if let Some((profile, fault)) = fault {
        decision.outcome = Outcome::LocalDisk;
        decision.because = Because::Template {
            profile,
            fault: fault.to_string(),
        };
    }
}
