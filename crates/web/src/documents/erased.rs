//! Documents by which machines would come to be installed at every boot. They are refused where
//! none of them says `mode: always`: neither a name alone, nor a profile that becomes an installer,
//! may wipe disks.

use super::place::{Fault, Place};
use super::plan::Planner;
use crate::every_boot::{self, Erased};
use bootplan::{Catalog, MachineId, ProfileName, Rule, RuleName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::Step;

/// What documents say of what is booted, and where.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Machines: whether `mode: always` is written, and whether any profile is.
    machines: BTreeMap<MachineId, (bool, bool)>,
    /// Rules, and whether `mode: always` is written.
    rules: BTreeMap<RuleName, (bool, Place)>,
    profiles: BTreeMap<ProfileName, Place>,
}

impl Said {
    pub(super) fn machine(&mut self, id: MachineId, always: bool, profile: bool) {
        self.machines.insert(id, (always, profile));
    }

    pub(super) fn rule(&mut self, name: &RuleName, always: bool, place: &Place) {
        self.rules.insert(name.clone(), (always, place.clone()));
    }

    pub(super) fn profile(&mut self, name: &ProfileName, place: &Place) {
        self.profiles.insert(name.clone(), place.clone());
    }
}

/// All that nobody has said to be meant so.
pub(super) fn unsaid(planner: &Planner<'_>) -> Vec<Fault> {
    if planner.options.always {
        return Vec::new();
    }
    let (before, after) = (planner.catalog, after(planner));
    let after = after.as_ref().unwrap_or(before);
    let mut faults = Vec::new();
    let mut rest: BTreeMap<ProfileName, Erased> = BTreeMap::new();
    // Those described, as they would be.
    for (machine, place) in planner.described_machines() {
        let Some(profile) = every_boot::assigned(machine, after) else {
            continue;
        };
        let known = before.machine(machine.id);
        let had = known.and_then(|known| every_boot::assigned(known, before));
        match planner.said.machines.get(&machine.id) {
            _ if had == Some(profile) => {}
            Some((true, _)) => {}
            Some((false, true)) => faults.push(place.fault("profile", named_alone(profile))),
            _ => {
                let erased = of(&mut rest, profile, profile);
                erased.machines.push((Arc::new(machine.clone()), None));
            }
        }
    }
    // All others, as they are.
    for erased in every_boot::between(before, after) {
        let profile = &erased.profile;
        let mut by_rule: BTreeMap<RuleName, Erased> = BTreeMap::new();
        for rule in erased.rules {
            match planner.said.rules.get(&rule) {
                Some((true, _)) => {}
                Some(_) => of(&mut by_rule, &rule, profile).rules.extend([rule]),
                None => of(&mut rest, profile, profile).rules.extend([rule]),
            }
        }
        for (machine, rule) in erased.machines {
            let described = planner.machine_described(machine.id);
            let elsewhere = described.is_some_and(|m| rule.is_none() || m.profile.is_some());
            if elsewhere || planner.is_pruned(machine.id) {
                continue;
            }
            let written = rule.as_ref().and_then(|rule| {
                let (always, _) = planner.said.rules.get(rule)?;
                Some((rule.clone(), *always))
            });
            let found = match written {
                Some((_, true)) => continue,
                Some((name, false)) => of(&mut by_rule, &name, profile),
                None => of(&mut rest, profile, profile),
            };
            found.machines.push((machine, rule));
        }
        for (rule, erased) in by_rule {
            let place = planner.said.rules.get(&rule).map(|(_, place)| place);
            let problem = format!(
                "{erased}; write 'mode: install-once', or 'mode: always' if it is meant so"
            );
            faults.extend(place.map(|place| place.fault("profile", problem)));
        }
    }
    for (profile, erased) in rest {
        let place = planner.said.profiles.get(&profile);
        let problem = format!(
            "{erased}; write 'mode: always' where they are given it, or apply with 'always', if it \
             is meant so"
        );
        let nowhere = Place::default();
        faults.push(place.unwrap_or(&nowhere).fault("install", problem));
    }
    faults
}

fn of<'e, K: Ord + Clone>(
    found: &'e mut BTreeMap<K, Erased>,
    key: &K,
    profile: &ProfileName,
) -> &'e mut Erased {
    found.entry(key.clone()).or_insert_with(|| Erased {
        profile: profile.clone(),
        machines: Vec::new(),
        rules: BTreeSet::new(),
    })
}

fn named_alone(profile: &ProfileName) -> String {
    format!(
        "profile '{profile}' installs, and would at every boot: write \
         'assign: {{profile: {profile}, mode: install-once}}', or 'mode: always' if it is meant so"
    )
}

/// With the profiles, rules and settings that the documents make; `None`: with none of them.
fn after(planner: &Planner<'_>) -> Option<Catalog> {
    let steps = planner.steps().iter();
    let steps: Vec<&Step> = steps
        .filter(|step| {
            matches!(
                step,
                Step::PutProfile(_) | Step::PutRule(_) | Step::DeleteRule(_) | Step::SetSite(_)
            )
        })
        .collect();
    if steps.is_empty() {
        return None;
    }
    let mut after = planner.catalog.clone();
    let rules = after.every_rule().map(|r| (r.name.clone(), Arc::clone(r)));
    let mut rules: BTreeMap<RuleName, Arc<Rule>> = rules.collect();
    for step in steps {
        match step {
            Step::PutProfile(profile) => after = after.with_profile(profile.clone()),
            Step::SetSite(site) => after.site = site.clone(),
            Step::PutRule(rule) => drop(rules.insert(rule.name.clone(), Arc::new(rule.clone()))),
            Step::DeleteRule(name) => drop(rules.remove(name)),
            _ => {}
        }
    }
    Some(after.with_rules(rules.into_values()))
}
