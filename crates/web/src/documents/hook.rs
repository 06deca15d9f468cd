//! `kind: hook`: the whole hook, but for its labels, which stay when they are left out. Its secret
//! is a name; its URL may be as good as one, and stands in every export.

use super::kinds::{Document, Kind};
use super::own;
use super::place::Place;
use super::plan::{Planner, Pruned};
use bootplan::Hook;
use serde::Deserialize;
use std::collections::BTreeMap;
use store::Step;

/// Who is told of what happens.
pub(super) const KIND: Kind = Kind {
    name: "hook",
    read: |yaml| Ok(Box::new(HookDoc::deserialize(yaml)?)),
    export: |decided, out| {
        for hook in &decided.hooks {
            out.push("hook", hook.as_ref());
        }
    },
    owned: |decided, own| {
        let owned = decided.hooks.iter().filter(|hook| own.has(&hook.labels));
        let pruned = owned
            .map(|hook| Pruned::named("hook", &hook.name, Step::DeleteHook(hook.name.clone())));
        pruned.collect()
    },
};

/// `bootplan::Hook` with its `kind`; not flattened, as with profiles.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    url: String,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    secret: String,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl Document for HookDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        if !planner.once("hook", &self.name, place, "name") {
            return;
        }
        let decided = planner.decided;
        let old = decided.hooks.iter().find(|hook| hook.name == self.name);
        let has = old.map(|hook| &hook.labels);
        let labels = match own::labels(planner.options, has, self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let doc = self.clone();
        let hook = Hook {
            name: doc.name,
            labels,
            url: doc.url,
            events: doc.events,
            secret: doc.secret,
            enabled: doc.enabled,
        };
        if let Err(fault) = hook.validate() {
            return planner.fault(place.fault(fault.field, fault.problem));
        }
        let step = Step::PutHook(hook.clone());
        planner.object(
            place,
            "hook",
            &self.name,
            old.map(AsRef::as_ref),
            &hook,
            step,
        );
    }
}
