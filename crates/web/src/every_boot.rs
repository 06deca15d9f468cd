//! Machines whose disks a change of profiles and rules would have written at every boot: one
//! question, asked by the pages, the API and files alike before such a change is made.

use crate::rules;
use bootplan::{Because, Catalog, Machine, Mode, Profile, ProfileName, RuleName, effect};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A profile that installs comes to be booted always by what did not boot it so before, and nobody
/// has said that it is meant so. Its `Display` says what would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Erased {
    /// Which profile.
    pub(crate) profile: ProfileName,
    /// The machines that it would install at their next boot and every one after, by identity, each
    /// with the rule that gives it; `None`: it is assigned.
    pub(crate) machines: Vec<(Arc<Machine>, Option<RuleName>)>,
    /// Rules that come to give it to whatever they match, now or later.
    pub(crate) rules: BTreeSet<RuleName>,
}

/// What another profile in place of the one of its name, or a new one, comes to.
pub(crate) async fn by_profile(catalog: Arc<Catalog>, profile: Profile) -> Vec<Erased> {
    let after = Catalog::clone(&catalog).with_profile(profile);
    rules::aside(move || between(&catalog, &after)).await
}

/// What other profiles and rules come to, for machines as they are: by profile. Machines are decided
/// about only where a rule gives what installs.
pub(crate) fn between(before: &Catalog, after: &Catalog) -> Vec<Erased> {
    let mut found: BTreeMap<&ProfileName, Erased> = BTreeMap::new();
    let (gave, gives) = (giving(before), giving(after));
    for (rule, profile) in &gives {
        if gave.get(rule) != Some(profile) {
            at(&mut found, profile).rules.insert((*rule).clone());
        }
    }
    for machine in before.machines() {
        let Some((profile, rule)) = given(machine, after, &gives) else {
            continue;
        };
        let had = given(machine, before, &gave).map(|(had, _)| had);
        if had != Some(profile) {
            let machine = Arc::clone(machine);
            let erased = at(&mut found, profile);
            erased.machines.push((machine, rule.cloned()));
        }
    }
    found.into_values().collect()
}

fn at<'f, 'c>(
    found: &'f mut BTreeMap<&'c ProfileName, Erased>,
    profile: &'c ProfileName,
) -> &'f mut Erased {
    found.entry(profile).or_insert_with(|| Erased {
        profile: profile.clone(),
        machines: Vec::new(),
        rules: BTreeSet::new(),
    })
}

/// Rules in force that give what installs at every boot.
fn giving(catalog: &Catalog) -> BTreeMap<&RuleName, &ProfileName> {
    let all = catalog.rules().iter().filter(|rule| rule.mode.is_always());
    let installing = all.filter(|rule| installs(catalog, &rule.profile));
    installing.map(|rule| (&rule.name, &rule.profile)).collect()
}

/// What a machine installs at every boot, and the rule that says so.
fn given<'c>(
    machine: &Machine,
    catalog: &'c Catalog,
    rules: &BTreeMap<&'c RuleName, &'c ProfileName>,
) -> Option<(&'c ProfileName, Option<&'c RuleName>)> {
    if machine.profile.is_some() {
        return assigned(machine, catalog).map(|profile| (profile, None));
    }
    if rules.is_empty() {
        return None;
    }
    match effect::decided(machine, catalog).because {
        Because::Rule { rule, .. } => {
            let (rule, profile) = rules.get_key_value(&rule)?;
            Some((profile, Some(rule)))
        }
        _ => None,
    }
}

/// What a machine is assigned to install at every boot.
pub(crate) fn assigned<'c>(machine: &Machine, catalog: &'c Catalog) -> Option<&'c ProfileName> {
    let name = machine.profile.as_ref();
    let name = name.filter(|name| machine.mode == Mode::Always && installs(catalog, name))?;
    catalog.profile(name).map(|profile| &profile.name)
}

/// Whether it writes a disk when it is booted now.
fn installs(catalog: &Catalog, name: &ProfileName) -> bool {
    let profile = catalog.profile(name);
    profile.is_some_and(|profile| profile.enabled && profile.installs())
}

/// What has to be said before such a change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// What would happen.
    pub(crate) text: String,
    /// Says what was asked about: the same for the same machines and rules.
    pub(crate) mark: String,
}

impl Question {
    /// `None`: there is nothing to ask.
    pub(crate) fn of(erased: &[Erased]) -> Option<Question> {
        if erased.is_empty() {
            return None;
        }
        let all: Vec<String> = erased.iter().map(ToString::to_string).collect();
        let mut hash = Sha256::new();
        for Erased {
            profile,
            machines,
            rules,
        } in erased
        {
            let ids: Vec<i64> = machines.iter().map(|(m, _)| m.id.0).collect();
            hash.update(format!("{profile} {ids:?} {rules:?}\n"));
        }
        Some(Question {
            text: all.join("; "),
            mark: HEXLOWER.encode(&hash.finalize()[..8]),
        })
    }
}

impl fmt::Display for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile '{}' installs", self.profile)?;
        let rules: Vec<String> = self.rules.iter().map(|rule| format!("'{rule}'")).collect();
        match rules.as_slice() {
            [] => {}
            [rule] => write!(
                f,
                ", and rule {rule} would give it at every boot to each machine that it decides about"
            )?,
            many => write!(
                f,
                ", and rules {} would give it at every boot to each machine that they decide about",
                many.join(", ")
            )?,
        }
        let names: Vec<&str> = self.machines.iter().map(|(m, _)| m.name.as_str()).collect();
        let more = names.len().saturating_sub(NAMED);
        let named = names[..names.len() - more].join(", ");
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let then = if self.rules.is_empty() { ':' } else { ';' };
        match names.len() {
            0 => Ok(()),
            1 => write!(
                f,
                "{then} 1 machine would be erased at its next boot, and again at every one after it: \
                 {named}"
            ),
            n => write!(
                f,
                "{then} {n} machines would be erased at their next boot, and again at every one after \
                 it: {named}{more}"
            ),
        }
    }
}

/// Machines listed by name; of more only the number is told.
const NAMED: usize = 40;

#[cfg(test)]
mod tests;
