//! What ordering and assigning come to for a selection of machines: the same for the API and the
//! pages, and said before anything is done.

use bootplan::{Catalog, Limit, Machine, MachineId, Mode, ProfileName, Rule, RuleName, effect};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// What a machine is to install: the profile named, else what it is assigned to, else what a rule
/// would have it install once.
pub(crate) fn target(
    catalog: &Catalog,
    machine: &Machine,
    named: Option<&ProfileName>,
) -> Result<ProfileName, String> {
    let by_rule = || {
        let rule = effect::waits_for_order(machine, catalog);
        let rule = rule.or_else(|| effect::adopted(machine, catalog));
        rule.map(|rule| rule.profile.clone())
    };
    let own = named.or(machine.profile.as_ref()).cloned();
    own.or_else(by_rule).ok_or_else(|| {
        let name = &machine.name;
        format!("machine '{name}' has no profile assigned: say which one")
    })
}

/// How often and how long a profile is tried: its own limit, else the site's.
pub(crate) fn limit(catalog: &Catalog, profile: &ProfileName) -> Limit {
    let own = catalog.profile(profile).and_then(|profile| profile.install);
    own.unwrap_or(catalog.site.install_limit)
}

/// A profile that installs is about to be booted always, and nobody has said that it is meant so.
/// Its `Display` says what would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AtEveryBoot {
    /// Which profile.
    pub(crate) profile: ProfileName,
    /// How many machines it would install again and again.
    pub(crate) machines: usize,
    /// How many of them have it to be installed once.
    pub(crate) once: usize,
}

impl AtEveryBoot {
    /// `None`: the profile does not install, or these machines boot it always already.
    pub(crate) fn of(
        catalog: &Catalog,
        profile: Option<&ProfileName>,
        ids: &[MachineId],
    ) -> Option<Self> {
        let name = profile.filter(|name| installs(catalog, name))?;
        let ids: BTreeSet<MachineId> = ids.iter().copied().collect();
        let machines = ids.into_iter().filter_map(|id| catalog.machine(id));
        let has_it = |m: &&Arc<Machine>| m.profile.as_ref() == Some(name);
        let changed: Vec<_> = machines
            .filter(|m| !(has_it(m) && m.mode == Mode::Always))
            .collect();
        let once = changed.iter().filter(|m| has_it(m)).count();
        (!changed.is_empty()).then(|| AtEveryBoot {
            profile: name.clone(),
            machines: changed.len(),
            once,
        })
    }

    /// The same for a machine that is only now entered.
    pub(crate) fn of_new(catalog: &Catalog, profile: Option<&ProfileName>) -> Option<Self> {
        let name = profile.filter(|name| installs(catalog, name))?;
        Some(AtEveryBoot {
            profile: name.clone(),
            machines: 1,
            once: 0,
        })
    }
}

/// What rules would install, and nobody has said that it is meant so. Its lines say what would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByRules {
    /// Each machine, with the rule and what that installs.
    pub(crate) machines: Vec<(MachineId, RuleName, ProfileName)>,
}

impl ByRules {
    /// When a person adopts these machines.
    pub(crate) fn adopting(catalog: &Catalog, ids: &[MachineId]) -> Self {
        Self::of(catalog, ids, effect::adopted)
    }

    /// When these machines are forgotten, and ask again as new ones.
    pub(crate) fn forgetting(catalog: &Catalog, ids: &[MachineId]) -> Self {
        Self::of(catalog, ids, effect::forgotten)
    }

    fn of<'c>(
        catalog: &'c Catalog,
        ids: &[MachineId],
        rule: impl Fn(&Machine, &'c Catalog) -> Option<&'c Arc<Rule>>,
    ) -> Self {
        let ids: BTreeSet<MachineId> = ids.iter().copied().collect();
        let installed = ids.into_iter().filter_map(|id| {
            let rule = rule(catalog.machine(id)?, catalog)?;
            Some((id, rule.name.clone(), rule.profile.clone()))
        });
        ByRules {
            machines: installed.collect(),
        }
    }

    /// Whether there is anything to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// What adopting would install, a line for each rule.
    pub(crate) fn adopted(&self) -> Vec<String> {
        self.lines(|rule, many, profile| {
            format!("Rule {rule} installs {many} with {profile}, once, at the next boot.")
        })
    }

    /// What would come back after forgetting, a line for each rule.
    pub(crate) fn forgotten(&self) -> Vec<String> {
        self.lines(|rule, many, profile| {
            format!(
                "New machines that rule {rule} matches register themselves and are installed: \
                 forgotten, {many} would be installed anew with {profile} at the next boot."
            )
        })
    }

    fn lines(&self, line: impl Fn(&RuleName, String, &ProfileName) -> String) -> Vec<String> {
        let mut by_rule: BTreeMap<(&RuleName, &ProfileName), usize> = BTreeMap::new();
        for (_, rule, profile) in &self.machines {
            *by_rule.entry((rule, profile)).or_default() += 1;
        }
        let lines = by_rule.into_iter();
        let lines = lines.map(|((rule, profile), count)| line(rule, counted(count), profile));
        lines.collect()
    }
}

/// "1 machine", "3 machines".
pub(crate) fn counted(n: usize) -> String {
    match n {
        1 => "1 machine".to_owned(),
        n => format!("{n} machines"),
    }
}

/// Said wherever a profile is ordered for one boot only that is made to install.
pub const NEXT_BOOT_WARNING: &str = "Next boot only of a profile that installs writes the disk, too, \
    and hears no report. For installing there is Install once.";

/// Whether this profile is made to install.
fn installs(catalog: &Catalog, name: &ProfileName) -> bool {
    catalog.profile(name).is_some_and(|p| p.installs())
}

impl fmt::Display for AtEveryBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = &self.profile;
        match self.machines {
            1 => write!(
                f,
                "profile '{profile}' installs: booted always, it would install this machine at \
                 every boot, and no tries are counted"
            )?,
            n => write!(
                f,
                "profile '{profile}' installs: booted always, it would install these {n} machines \
                 at every boot, all at once, and no tries are counted"
            )?,
        }
        match self.once {
            0 => Ok(()),
            1 => f.write_str("; 1 of these has it to be installed once"),
            n => write!(f, "; {n} of these have it to be installed once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::{LoaderInventory, Profile, Site};

    fn profile(json: serde_json::Value) -> Profile {
        serde_json::from_value(json).expect("a profile")
    }

    fn catalog() -> Catalog {
        let boot = serde_json::json!({"kind": "linux", "kernel": "d/linux"});
        let answer =
            |sealed: bool| serde_json::json!([{"name": "a", "text": "x", "sealed": sealed}]);
        let profiles = [
            profile(serde_json::json!({"name": "rescue", "title": "r", "boot": boot})),
            profile(
                serde_json::json!({"name": "open", "title": "o", "boot": boot,
                "answers": answer(false)}),
            ),
            profile(
                serde_json::json!({"name": "sealed", "title": "s", "boot": boot,
                "answers": answer(true)}),
            ),
            profile(
                serde_json::json!({"name": "counted", "title": "c", "boot": boot,
                "install": {"tries": 3, "minutes": 60}}),
            ),
        ];
        let machine = |id, profile: Option<&str>, mode| Machine {
            profile: profile.map(|name| name.parse().expect("a name")),
            mode,
            ..Machine::named(MachineId(id), format!("node-{id}"))
        };
        let machines = [
            machine(1, None, Mode::Always),
            machine(2, Some("sealed"), Mode::InstallOnce),
            machine(3, Some("sealed"), Mode::Always),
        ];
        let (site, loaders) = (Site::default(), LoaderInventory::default());
        Catalog::new(1, site, loaders, machines, profiles)
    }

    #[test]
    fn rules_say_what_they_would_install_each_once() {
        let by = |id, rule: &str| {
            let rule = rule.parse().expect("a name");
            (MachineId(id), rule, "auto".parse().expect("a name"))
        };
        let rules = ByRules {
            machines: vec![by(1, "rack"), by(2, "lab"), by(3, "rack")],
        };
        let lines = [rules.adopted(), rules.forgotten()].concat().join("\n");
        insta::assert_snapshot!(lines, @r"
        Rule lab installs 1 machine with auto, once, at the next boot.
        Rule rack installs 2 machines with auto, once, at the next boot.
        New machines that rule lab matches register themselves and are installed: forgotten, 1 machine would be installed anew with auto at the next boot.
        New machines that rule rack matches register themselves and are installed: forgotten, 2 machines would be installed anew with auto at the next boot.
        ");
        let none = ByRules::adopting(&catalog(), &[MachineId(1), MachineId(99)]);
        assert!(none.is_empty());
    }

    #[test]
    fn only_what_installs_and_changes_anything_is_asked_about() {
        let catalog = catalog();
        let asked = |profile: &str, ids: &[i64]| {
            let name = profile.parse().expect("a name");
            let ids: Vec<_> = ids.iter().copied().map(MachineId).collect();
            let asked = AtEveryBoot::of(&catalog, Some(&name), &ids);
            asked.map(|asked| (asked.machines, asked.once))
        };
        assert_eq!(asked("rescue", &[1, 2, 3]), None);
        assert_eq!(asked("open", &[1, 2, 3]), None);
        assert_eq!(asked("counted", &[1]), Some((1, 0)));
        assert_eq!(asked("sealed", &[1, 2, 2, 3, 99]), Some((2, 1)));
        assert_eq!(asked("sealed", &[3]), None, "it boots it always already");
        let name = "sealed".parse().expect("a name");
        let said = AtEveryBoot::of(&catalog, Some(&name), &[MachineId(1), MachineId(2)]);
        insta::assert_snapshot!(said.expect("asked"), @"profile 'sealed' installs: booted always, it would install these 2 machines at every boot, all at once, and no tries are counted; 1 of these has it to be installed once");
        assert!(AtEveryBoot::of_new(&catalog, Some(&name)).is_some());
        assert!(AtEveryBoot::of_new(&catalog, None).is_none());
    }
}
