//! `kind: rule`: the whole rule, but for its labels, which stay when they are left out.

use super::kinds::{Document, Kind};
use super::own;
use super::place::Place;
use super::plan::{Planner, Pruned};
use bootplan::{Mode, NewMachines, ProfileName, Rule, RuleName, Selector};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::Step;

/// What machines get that have no assignment of their own.
pub(super) const KIND: Kind = Kind {
    name: "rule",
    read: |yaml| Ok(Box::new(RuleDoc::deserialize(yaml)?)),
    export: |decided, out| {
        let catalog = &decided.catalog;
        for rule in catalog.every_rule() {
            let profile = catalog.profile(&rule.profile);
            let installs = profile.is_some_and(|profile| profile.installs());
            let always = rule.mode.is_always() && installs;
            let mode = always.then_some(rule.mode);
            out.push("rule", &RuleOut { rule, mode });
        }
    },
    owned: |decided, own| {
        let owned = decided.catalog.every_rule().filter(|r| own.has(&r.labels));
        let pruned =
            owned.map(|r| Pruned::named("rule", &r.name, Step::DeleteRule(r.name.clone())));
        pruned.collect()
    },
};

#[derive(Serialize)]
struct RuleOut<'a> {
    #[serde(flatten)]
    rule: &'a Rule,
    /// Written though it goes without saying, where it means an installation at every boot: that is
    /// not read back unsaid.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
}

/// `bootplan::Rule` with its `kind`; not flattened, as with profiles.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: RuleName,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default = "yes")]
    enabled: bool,
    selector: Selector,
    profile: ProfileName,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    new_machines: Option<NewMachines>,
}

fn yes() -> bool {
    true
}

impl Document for RuleDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        let name = self.name.as_str();
        if !planner.once("rule", name, place, "name") {
            return;
        }
        if !planner.profiles.contains(&self.profile) {
            let problem = format!(
                "profile '{}' does not exist and no document makes it",
                self.profile
            );
            return planner.fault(place.fault("profile", problem));
        }
        let old = planner.catalog.rule(&self.name).map(|r| r.as_ref());
        let has = old.map(|rule| &rule.labels);
        let labels = match own::labels(planner.options, has, self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let rule = Rule {
            name: self.name.clone(),
            labels,
            enabled: self.enabled,
            selector: self.selector.clone(),
            profile: self.profile.clone(),
            mode: self.mode.unwrap_or_default(),
            new_machines: self.new_machines,
        };
        let always = self.mode == Some(Mode::Always);
        planner.said.rule(&self.name, always, place);
        let step = Step::PutRule(rule.clone());
        planner.object(place, "rule", name, old, &rule, step);
    }
}
